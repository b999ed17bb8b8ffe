# The page and the HTTP API, without Paddle:
#
#     docker build -f docker/serve.Dockerfile -t facekp-serve .
#     docker run --rm -p 8080:8080 facekp-serve          # http://localhost:8080, the API: /docs
#     docker run --rm -v "$PWD:/photos" -w /photos --user "$(id -u)" facekp-serve sticker photo.jpg -o out.jpg
#
# Not built yet: where this was written there is no Docker. hadolint finds nothing in it; its pip lines and its command
# were run outside of a container, apt-get, useradd and the health check were not.

FROM node:22-slim AS page
WORKDIR /facekp/web
COPY web/package.json web/package-lock.json web/.npmrc ./
RUN npm ci --no-fund --no-audit
COPY web ./
COPY facekp/shipped ../facekp/shipped
COPY assets/stickers ../assets/stickers
RUN npm run build

FROM python:3.12-slim AS wheel
WORKDIR /facekp
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY configs configs
COPY assets/stickers assets/stickers
COPY facekp facekp
COPY --from=page /facekp/web/dist facekp/web/page
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.12-slim
COPY --from=wheel /wheels /wheels
# OpenCV without windows: the ordinary one needs libGL, which this image lacks.
RUN pip install --no-cache-dir "$(echo /wheels/*.whl)[serve]" \
    && pip uninstall --yes opencv-python \
    && pip install --no-cache-dir "opencv-python-headless>=4.8,<5" \
    && useradd --create-home --uid 1000 facekp
USER 1000
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/')"]
ENTRYPOINT ["facekp"]
CMD ["serve", "--api", "--no-browser", "--host", "0.0.0.0"]
