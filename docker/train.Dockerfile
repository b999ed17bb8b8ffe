# Training, evaluation and export, with Paddle on the CPU:
#
#     docker build -f docker/train.Dockerfile -t facekp-train .
#     docker run --rm --shm-size 1g -v "$PWD:/work" facekp-train train -c quickstart
#     docker run --rm -v "$PWD:/work" -p 8040:8040 --entrypoint visualdl facekp-train --logdir output --host 0.0.0.0 --language en
#
# --shm-size: Paddle's loader processes pass their batches through shared memory. If the folder belongs to another user
# than number 1000, add --user "$(id -u)". An image for NVIDIA cards was not tried.
#
# Not built yet: where this was written there is no Docker. hadolint finds nothing in it; its pip lines and its command
# were run outside of a container, apt-get, useradd and the health check were not.

FROM python:3.12-slim AS wheel
WORKDIR /facekp
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY configs configs
COPY assets/stickers assets/stickers
COPY facekp facekp
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.12-slim
COPY --from=wheel /wheels /wheels
# libgomp1: Paddle's threads. OpenCV without windows: the ordinary one needs libGL, which this image lacks.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && pip install --no-cache-dir "$(echo /wheels/*.whl)[cpu,onnx]" \
    && pip uninstall --yes opencv-python \
    && pip install --no-cache-dir "opencv-python-headless>=4.8,<5" \
    && useradd --create-home --uid 1000 facekp
USER 1000
WORKDIR /work
ENTRYPOINT ["facekp"]
CMD ["--help"]
