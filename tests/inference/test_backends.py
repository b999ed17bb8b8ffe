"""Three libraries that run one network: equal points, the choice between them, and messages where none can."""

import importlib.util
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import paddle
import pytest

import facekp
from facekp import zoo
from facekp.codecs.points import MeanFaceCodec, PercentCodec, StandardCodec, codec_to_dict
from facekp.errors import UserError
from facekp.inference import backends
from facekp.inference.backends import (
    BACKENDS,
    RECIPE_FILE,
    DygraphBackend,
    OnnxBackend,
    PaddleBackend,
    load_backend,
)
from facekp.inference.export import can_write_onnx, export
from facekp.io.images import read_image
from facekp.landmarks import IBUG68, MEAN_FACE, load_schema
from facekp.models import build_network
from facekp.models.weights import save_weights
from facekp.recipes import PointsRecipe
from facekp.zoo import SHIPPED, find, models

ROOT = Path(__file__).resolve().parents[2]
ASTRONAUT = ROOT / "assets" / "photos" / "astronaut.png"
FORMATS = ("paddle", "onnx") if can_write_onnx() else ("paddle",)
needs_runtime = pytest.mark.skipif(importlib.util.find_spec("onnxruntime") is None, reason="needs onnxruntime")
needs_converter = pytest.mark.skipif(not can_write_onnx(), reason="needs the extra [onnx]")
CODEC = MeanFaceCodec(96, tuple((0.15 + 0.7 * float(x), 0.15 + 0.7 * float(y)) for x, y in MEAN_FACE))


def write_weights(path, codec=CODEC, schema=IBUG68, **network):
    """Write random weights whose batch norms are not the identity; return their recipe."""
    paddle.seed(1)
    recipe = PointsRecipe(
        network={"in_channels": 1, **network},
        schema=schema,
        codec=codec_to_dict(codec),
        size=96,
        pixels=[{"type": "GrayNormalize", "channels": 1}, {"type": "ToCHW"}],
        face_centre=(0.5, 0.5),
        face_side=0.7,
    )
    net = build_network(**recipe.network_arguments())
    for _ in range(3):
        net(paddle.randn([4, 1, 96, 96]))
    save_weights(path, net, recipe)
    return recipe


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The shipped network as `tools/export.py` writes it."""
    folder = tmp_path_factory.mktemp("exported")
    export(SHIPPED / "face_crop_light.safetensors", folder, FORMATS)
    return folder


def crops(count, size=112):
    return np.random.default_rng(0).random((count, 1, size, size), np.float32)


@pytest.mark.parametrize("name", ["paddle", pytest.param("onnx", marks=[needs_runtime, needs_converter])])
def test_all_find_the_same_points(exported, name):
    image = read_image(ASTRONAUT)
    reference = facekp.load_landmarker("face_crop_light", backend="dygraph")
    other = facekp.load_landmarker(exported, backend=name, threads=1)
    expected, found = reference(image), other(image)
    np.testing.assert_allclose(found.points, expected.points, atol=0.01)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-4)
    batch = crops(5)
    for count in (1, 5):  # any batch size
        np.testing.assert_allclose(
            other.backend(batch[:count])[0], reference.backend(batch[:count])[0], atol=0.01, rtol=0
        )


@needs_runtime
@pytest.mark.parametrize("name", [name for name, model in models().items() if model.finds == "points"])
def test_the_onnx_file_of_a_model_is_that_of_its_weights(name):
    """After a change of weights, run python tools/export.py --shipped."""
    weights = find(name)
    onnx, recipe = load_backend(weights, "onnx")
    dygraph, _ = load_backend(weights, "dygraph")
    face = facekp.load_landmarker(weights, passes=1, backend="onnx")
    shape = recipe.blank_batch().shape[1:]
    batch = np.random.default_rng(0).random((4, *shape), np.float32)
    for result, expected in zip(onnx(batch), dygraph(batch)):
        assert (result is None) == (expected is None)
        if result is not None:
            np.testing.assert_allclose(result, expected, atol=0.01, rtol=0)
    other = facekp.load_landmarker(weights, passes=1, backend="dygraph")
    image, box = read_image(ASTRONAUT), [[178, 84, 272, 180]]
    np.testing.assert_allclose(face(image, boxes=box).points, other(image, boxes=box).points, atol=0.01)


@needs_runtime
@pytest.mark.parametrize("name", [name for name, model in models().items() if model.finds == "points"])
def test_eight_bits_of_a_model_are_the_default_and_move_its_points_by_less_than_its_error(name):
    image = read_image(ASTRONAUT)
    default, int8, dygraph = (
        facekp.load_landmarker(name, backend=backend)(image) for backend in (None, "int8", "dygraph")
    )
    np.testing.assert_array_equal(default.points, int8.points)
    eyes = np.linalg.norm(dygraph.points[0, 36] - dygraph.points[0, 45])
    distance = np.linalg.norm(int8.points - dygraph.points, axis=-1).mean() / eyes
    assert 0 < distance < 0.02  # half of the NME of these networks
    assert abs(int8.scores - dygraph.scores) < 0.02


@pytest.mark.parametrize("name", ["paddle", pytest.param("onnx", marks=[needs_runtime, needs_converter])])
@pytest.mark.parametrize(
    ("codec", "network"),
    [
        (CODEC, {"type": "plain_resnet", "channels": [8, 16], "score": True}),
        (StandardCodec(48.0, 20.0), {"type": "plain_resnet", "channels": [8, 16]}),
        (CODEC, {"type": "sam_googlenet_bn"}),  # oneDNN does not accept its graph in Paddle 3
        (
            PercentCodec(96),
            {
                "type": "plain_resnet",
                "channels": [8, 16, 16, 16],
                "head": "simcc",
                "map_size": 6,
                "score": True,
                "sigma": True,
                "visibility": True,
            },
        ),
    ],
    ids=["score", "standard codec", "sam_googlenet_bn", "simcc"],
)
def test_every_codec_and_score_is_inside(tmp_path, name, codec, network):
    recipe = write_weights(tmp_path / "w.safetensors", codec, **network)
    export(tmp_path / "w.safetensors", tmp_path / "out", [name])
    dygraph, _ = load_backend(tmp_path / "w.safetensors")
    other, read = load_backend(tmp_path / "out", name)
    assert read.build_codec() == recipe.build_codec()
    outputs, expected = other(crops(3, 96)), dygraph(crops(3, 96))
    shapes = {"points": (3, 68, 2), "score": (3,), "sigma": (3, 68), "visibility": (3, 68)}
    for field, shape in shapes.items():
        array = getattr(outputs, field)
        if field not in recipe.layout.names:
            assert array is None and getattr(expected, field) is None
            continue
        assert array.shape == shape and array.dtype == np.float32
        tolerance = 0.01 if field in ("points", "sigma") else 1e-4
        np.testing.assert_allclose(array, getattr(expected, field), atol=tolerance, rtol=0)
    if name == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(tmp_path / "out" / "model.onnx"))
        assert tuple(output.name for output in session.get_outputs()) == recipe.layout.names


@pytest.mark.parametrize("name", ["paddle", pytest.param("onnx", marks=[needs_runtime, needs_converter])])
def test_points_of_any_schema_are_exported(tmp_path, name):
    five = load_schema("five")
    recipe = write_weights(tmp_path / "w.safetensors", StandardCodec(48.0, 20.0), five, type="plain_resnet",
                           channels=[8, 16])  # fmt: skip
    export(tmp_path / "w.safetensors", tmp_path / "out", [name])
    landmarker = facekp.load_landmarker(tmp_path / "out", detector=lambda image: None, backend=name)
    assert landmarker.recipe == recipe and landmarker.schema == five
    expected = load_backend(tmp_path / "w.safetensors")[0](crops(2, 96))[0]
    np.testing.assert_allclose(landmarker.backend(crops(2, 96))[0], expected, atol=0.01, rtol=0)
    faces = landmarker(np.zeros((90, 90, 3), np.uint8), boxes=[[20, 20, 70, 70]])
    assert faces.points.shape == (1, 5, 2) and faces.schema == five


@needs_converter
@needs_runtime
def test_half_precision_weights_are_half_the_size_and_cost_what_they_say(tmp_path):
    whole, half = tmp_path / "whole", tmp_path / "half"
    for folder in (whole, half):
        export(SHIPPED / "face_crop_light.safetensors", folder, ["onnx"], half=folder is half)
    sizes = [(folder / "model.onnx").stat().st_size for folder in (half, whole)]
    assert sizes[0] < 0.55 * sizes[1]
    results = [load_backend(folder, "onnx")[0](crops(4))[0] for folder in (half, whole)]
    np.testing.assert_allclose(*results, atol=1e-3)  # these weights are stored in half precision anyway


def test_an_export_leaves_nothing_of_an_earlier_one(tmp_path):
    write_weights(tmp_path / "w.safetensors", type="plain_resnet", channels=[4, 8])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "model.onnx").write_bytes(b"of another network")
    (tmp_path / "out" / RECIPE_FILE).write_text("{}")
    export(tmp_path / "w.safetensors", tmp_path / "out", ["paddle"])
    assert not (tmp_path / "out" / "model.onnx").exists()
    assert isinstance(load_backend(tmp_path / "out")[0], PaddleBackend)


@needs_runtime
def test_the_fastest_is_chosen(exported, tmp_path):
    kinds = {name: OnnxBackend if name == "onnx" else PaddleBackend for name in FORMATS}
    for name, kind in kinds.items():
        assert isinstance(load_backend(exported, name)[0], kind)
    assert isinstance(load_backend(exported)[0], kinds[FORMATS[-1]])
    assert isinstance(facekp.load_landmarker().backend, OnnxBackend)
    own = shutil.copy(SHIPPED / "face_crop_light.safetensors", tmp_path)
    shutil.copy(SHIPPED / "face_crop_light.onnx", tmp_path)  # may be out of date beside other weights
    assert isinstance(load_backend(own)[0], DygraphBackend)


def child(code, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout


@needs_runtime
@pytest.mark.parametrize("tool", ["sticker", "predict"])
def test_the_tools_do_without_paddle(tmp_path, tool):
    photo = shutil.copy(ASTRONAUT, tmp_path / "photo.png")
    code = (
        "import runpy, sys; sys.argv = sys.argv[1:]; sys.modules['paddle'] = None; "  # None: importing it fails
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    out = tmp_path / "out"
    assert child(code, ROOT / "tools" / f"{tool}.py", photo, "-o", out)
    assert any(out.iterdir())


def test_without_onnx_runtime_paddle_runs_the_shipped_weights():
    code = (
        "import sys; sys.modules['onnxruntime'] = None; import facekp; "
        "print(type(facekp.load_landmarker().backend).__name__)"
    )
    assert child(code).strip() == "DygraphBackend"


def test_without_any_library_the_remedy_is_named():
    code = (
        "import sys; sys.modules['onnxruntime'] = sys.modules['paddle'] = None; import facekp\n"
        "from facekp.errors import UserError\n"
        "try: facekp.load_landmarker()\n"
        "except UserError as error: print(error)"
    )
    assert 'pip install onnxruntime or pip install "facekp[cpu]"' in child(code)


def test_what_cannot_be_run_is_named(exported, tmp_path):
    write_weights(tmp_path / "w.safetensors", type="plain_resnet", channels=[4, 8])
    with pytest.raises(UserError, match=r"tensorrt.*onnx, paddle, dygraph"):
        load_backend(exported, "tensorrt")
    with pytest.raises(UserError, match=r"w\.safetensors: .*onnx.*dygraph.*facekp export"):
        load_backend(tmp_path / "w.safetensors", "onnx")
    with pytest.raises(UserError, match=r"recipe\.json"):
        load_backend(tmp_path)
    with pytest.raises(UserError, match="threads"):
        load_backend(exported, threads=0)


@pytest.mark.parametrize("name", ["paddle", pytest.param("onnx", marks=[needs_runtime, needs_converter])])
def test_damaged_exports_are_named(exported, tmp_path, name):
    folder = shutil.copytree(exported, tmp_path / "out")
    victim = next(path for path in folder.iterdir() if path.suffix == {"paddle": ".pdiparams", "onnx": ".onnx"}[name])
    victim.write_bytes(victim.read_bytes()[:1000])
    with pytest.raises(UserError, match="export again"):
        load_backend(folder, name)
    victim.unlink()
    with pytest.raises(UserError, match=r"model\.pdiparams|no files for the backend onnx"):
        load_backend(folder, name)
    (folder / "recipe.json").write_text('{"format": "facekp-1", "recipe": {"size": 3}}')
    with pytest.raises(UserError, match=r"recipe\.json: its description is damaged"):
        load_backend(folder)
    (folder / "recipe.json").write_text("[]")
    with pytest.raises(UserError, match=r"recipe\.json"):
        load_backend(folder)


@pytest.mark.parametrize("name", BACKENDS)
def test_threads_change_no_point(exported, name):
    path = exported if name in FORMATS else SHIPPED / "face_crop_light.safetensors"
    if name == "onnx" and name not in FORMATS:
        pytest.skip("needs the extra [onnx]")
    results = [load_backend(path, name, threads)[0](crops(2))[0] for threads in (2, 1)]
    np.testing.assert_allclose(*results, atol=1e-3)


@pytest.mark.parametrize("name", BACKENDS)
def test_every_thread_gets_its_own_results(exported, name):
    path = exported if name in FORMATS else SHIPPED / "face_crop_light.safetensors"
    if name == "onnx" and name not in FORMATS:
        pytest.skip("needs the extra [onnx]")
    backend, batches = load_backend(path, name, 1)[0], [crops(count) for count in (1, 2, 3, 4)]
    alone = [backend(batch)[0] for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        for number, outputs in enumerate(pool.map(backend, batches * 10)):
            np.testing.assert_allclose(outputs[0], alone[number % 4], atol=1e-3)


def test_a_broken_installation_of_onnx_runtime_is_not_hidden(tmp_path, monkeypatch):
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('libfoo.so: cannot open shared object file')")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in list(sys.modules) if name.split(".")[0] == "onnxruntime"]:
        monkeypatch.delitem(sys.modules, name)
    importlib.invalidate_caches()
    with pytest.raises(ImportError, match="libfoo"):
        load_backend(SHIPPED / "face_crop_light.safetensors")


def test_a_missing_one_is_replaced_by_the_next(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "onnxruntime" else find(name))
    backend, _ = load_backend(SHIPPED / "face_crop_light.safetensors")
    assert isinstance(backend, backends.DygraphBackend)


def test_a_broken_library_is_not_taken_for_a_missing_one(monkeypatch, tmp_path):
    """An installed ONNX Runtime that cannot be imported is an error; Paddle does not silently replace it."""
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # installed, but its import fails
    monkeypatch.setattr(backends.importlib.util, "find_spec", lambda name: object())
    with pytest.raises((ImportError, UserError), match="onnxruntime"):
        backends.load_backend(zoo.get("face_crop_light"))
