"""Our network as a PaddleHub module, also with PaddleHub's own commands."""

import base64
import json
import os
import re
import socket
import subprocess
import urllib.request
from pathlib import Path

import cv2
import numpy as np
import pytest

import facekp
from facekp.codecs.points import MeanFaceCodec, codec_to_dict
from facekp.detectors import load_detector
from facekp.errors import UserError
from facekp.inference.export import export
from facekp.io.images import read_image, write_image
from facekp.landmarks import parse_schema
from facekp.loading import DEFAULT
from facekp.models import build_network
from facekp.models.weights import save_weights
from facekp.paddlehub.client import FOREHEAD
from facekp.paddlehub.module import NAME, REQUIREMENTS, KeypointModule, write_hub_module
from facekp.recipes import PointsRecipe
from facekp.zoo import SHIPPED_DETECTOR, get

ROOT = Path(__file__).resolve().parents[2]
PHOTO = ROOT / "assets" / "photos" / "astronaut.png"

#: Tolerance in pixels. The module runs the detector in Paddle, `expected` in ONNX Runtime; their float32 boxes differ
#: in the sixth digit, which after two passes is about a thousandth of a pixel, depending on the processor.
INVISIBLE = 0.01


@pytest.fixture(scope="session")
def network(tmp_path_factory):
    folder = tmp_path_factory.mktemp("network")
    export(get(DEFAULT), folder, ["paddle"])
    return folder


@pytest.fixture(scope="session")
def detector(tmp_path_factory):
    folder = tmp_path_factory.mktemp("detector")
    export(SHIPPED_DETECTOR, folder, ["paddle"])
    return folder


@pytest.fixture(scope="session")
def module(network, detector):
    return KeypointModule(network, detector)


@pytest.fixture(scope="module")
def photo():
    return read_image(PHOTO)


@pytest.fixture
def expected(network, photo):
    detector = load_detector(backend="onnx")  # the shipped one, in the module's precision
    return facekp.load_landmarker(network, detector, backend="paddle")(photo)


def test_keypoint_detection_answers_as_paddlehub_does(module, photo, expected, tmp_path):
    black, before = np.zeros((50, 60, 3), np.uint8), photo.copy()
    results = module.keypoint_detection(images=[black, photo], paths=[str(PHOTO)], output_dir=str(tmp_path / "drawn"))
    assert [result["index"] for result in results] == [0, 2]  # an image without a face is omitted
    for result in results:
        np.testing.assert_allclose(result["data"], expected.points, atol=INVISIBLE)
        assert all(type(value) is float for value in result["data"][0][0] + result["scores"])
    assert not (tmp_path / "drawn").exists()
    paths = [tmp_path / "a" / "x.png", tmp_path / "b" / "x.png"]
    for path in paths:
        write_image(path, photo)
    two = module.keypoint_detection(paths=[*map(str, paths)], output_dir=str(tmp_path / "two"), visualization=True)
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == ["x.png", "x_1.png"]
    assert len({each["save_path"] for each in two}) == 2
    (drawn,) = module.keypoint_detection(images=[photo], output_dir=str(tmp_path / "drawn"), visualization=True)
    assert (cv2.imread(drawn["save_path"]) != photo).any()
    np.testing.assert_array_equal(photo, before)
    assert module.keypoint_detection(images=[black]) == module.keypoint_detection() == []


def test_another_module_may_find_the_faces(network, detector, photo, expected):
    x0, y0, x1, y1 = expected.boxes[0]
    module = KeypointModule(network, detector)

    class Detector:
        def face_detection(self, images, use_gpu, visualization):
            top = y0 - FOREHEAD * (y1 - y0)
            return [{"data": [{"left": x0, "top": top, "right": x1, "bottom": y1, "confidence": 0.9}]} for _ in images]

    module.set_face_detector_module(Detector())
    assert isinstance(module.get_face_detector_module(), Detector)
    (result,) = module.keypoint_detection(images=[photo])
    given = facekp.load_landmarker(network, backend="paddle")(photo, boxes=expected.boxes)
    np.testing.assert_allclose(result["data"], given.points, atol=INVISIBLE)


def test_a_module_of_points_of_your_own(detector, photo, tmp_path):
    names = [f"{side}_{part}" for side in ("left", "right") for part in "abcdef"]
    schema = parse_schema({"name": "twelve", "points": names}, "twelve")
    codec = MeanFaceCodec(96, tuple((0.1 + 0.05 * i, 0.5) for i in range(12)))
    network = {"type": "plain_resnet", "channels": [4, 8], "map_size": 2}
    recipe = PointsRecipe(
        network, schema, 96, [{"type": "GrayNormalize"}, {"type": "ToCHW"}], codec_to_dict(codec), (0.5, 0.5), 0.7
    )
    save_weights(tmp_path / "twelve.safetensors", build_network(**recipe.network_arguments()), recipe)
    export(tmp_path / "twelve.safetensors", tmp_path / "exported", ["paddle"])
    write_hub_module(tmp_path / "module", tmp_path / "exported", detector)
    module = KeypointModule(tmp_path / "module" / "network", tmp_path / "module" / "detector")
    (result,) = module.keypoint_detection(images=[photo])
    assert np.array(result["data"]).shape[1:] == (12, 2)


def test_only_an_exported_network_makes_a_module(tmp_path, network, detector):
    with pytest.raises(UserError, match=r"facekp export"):
        write_hub_module(tmp_path / "module", tmp_path, detector)
    with pytest.raises(UserError, match=r"facekp export"):
        write_hub_module(tmp_path / "module", network, tmp_path)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").touch()
    with pytest.raises(UserError, match="exists already"):
        write_hub_module(tmp_path / "taken", network, detector)
    with pytest.raises(UserError, match=r"mine\.txt"):
        write_hub_module(tmp_path / "taken" / "mine.txt" / "module", network, detector)
    assert os.listdir(tmp_path) == ["taken"]


def test_what_the_module_needs_is_the_light_core():
    lines = (ROOT / "setup.cfg").read_text().partition("install_requires =")[2].partition("[options.")[0].split("\n")
    core = {line.partition(";")[0].strip() for line in lines if line.strip() and not line.strip().startswith("#")}
    needed = set(REQUIREMENTS.split("\n")) - {""}
    assert needed <= core  # a copy of facekp runs its networks in Paddle
    assert {re.split("[<>=]", line)[0] for line in core} - {re.split("[<>=]", line)[0] for line in needed} == {
        "onnxruntime"
    }


@pytest.fixture(scope="session")
def hub(hub_python, network, detector, tmp_path_factory):
    """Run PaddleHub's own command with our module installed, in a separate home without a reachable server."""
    folder = tmp_path_factory.mktemp("hub")
    (folder / "home" / "conf").mkdir(parents=True)
    (folder / "home" / "conf" / "config.yaml").write_text("server: http://127.0.0.1:9\n")
    environment = {**os.environ, "HUB_HOME": str(folder / "home"), "PYTHONUNBUFFERED": "1"}

    def start(*arguments, program="hub"):
        command = [Path(hub_python).with_name(program), *map(str, arguments)]
        return subprocess.Popen(
            command, env=environment, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def run(*arguments, program="hub"):
        process = start(*arguments, program=program)
        output = process.communicate(timeout=120)[0]
        return process.returncode, output

    write_hub_module(folder / "written", network, detector)
    status, output = run("install", folder / "written")
    assert status == 0 and f"Successfully installed {NAME}-{facekp.__version__}" in output, output
    run.start = start
    return run


@pytest.mark.hub
def test_hub_run(hub, expected, tmp_path):
    status, output = hub("run", NAME, "--input_path", PHOTO)
    assert status == 0, output
    (result,) = json.loads(output.strip().splitlines()[-1].replace("'", '"'))
    np.testing.assert_allclose(result["data"], expected.points, atol=INVISIBLE)
    status, output = hub("run", NAME, "--input_path", PHOTO, "--visualization", "True", "--output_dir", tmp_path)
    assert status == 0 and (tmp_path / PHOTO.name).is_file(), output
    status, output = hub("run", NAME, "--input_path", "nothing.jpg")
    assert status == 2 and "nothing.jpg: cannot be read" in output and "Traceback" not in output


@pytest.mark.hub
def test_the_module_runs_the_copy_that_it_brings(hub):
    code = (
        f"import paddlehub, cv2, json; module = paddlehub.Module(name='{NAME}'); import facekp, sys; "
        f"faces = module.keypoint_detection(images=[cv2.imread({str(PHOTO)!r})]); "
        "print(facekp.__file__, len(faces[0]['data']), [p for p in sys.path if 'library' in p])"
    )
    status, output = hub("-c", code, program="python")
    assert status == 0, output
    last = output.strip().splitlines()[-1]
    assert f"modules/{NAME}/library/facekp/__init__.py 1 []" in last


@pytest.mark.hub
def test_hub_serving(hub, expected, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = hub.start("serving", "start", "-m", NAME, "-p", port)

    def ask(**body):
        address = f"http://127.0.0.1:{port}/predict/{NAME}"
        request = urllib.request.Request(address, json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    try:
        assert any("Running on" in line for line in server.stdout)
        picture = base64.b64encode(PHOTO.read_bytes()).decode()
        found = ask(images=[picture], visualization=True, output_dir=str(tmp_path / "unwanted"))
        assert found["status"] == "000", found
        np.testing.assert_allclose(found["results"][0]["data"], expected.points, atol=INVISIBLE)
        assert not (tmp_path / "unwanted").exists()
        assert "image 0 is not base64" in ask(images=["no image"])["msg"]
        assert ask(images=[picture])["status"] == "000"
    finally:
        server.kill()
        server.wait()
