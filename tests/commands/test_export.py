"""The command that exports a network for applications, called as by users."""

import numpy as np
import paddle
import pytest
from paddle.nn import functional as F  # noqa: N812
from paddle.static import InputSpec

import facekp
from facekp.detectors import load_detector
from facekp.errors import UserError
from facekp.inference.export import can_write_onnx, convert_to_onnx
from facekp.io.images import read_image
from facekp.vision.boxes import iou

needs_converter = pytest.mark.skipif(not can_write_onnx(), reason="needs the extra [onnx]")


def test_what_it_writes_is_run(run_tool, tmp_path):
    done = run_tool("export", "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names >= {"recipe.json", "model.pdiparams"}
    assert names & {"model.json", "model.pdmodel"}
    assert ("model.onnx" in names) == can_write_onnx()
    assert all(name in done.stdout for name in names)
    assert can_write_onnx() or "facekp[onnx]" in done.stderr
    assert not can_write_onnx() or not done.stderr.strip()
    assert len(facekp.load_landmarker(tmp_path / "out")(read_image("assets/photos/astronaut.png"))) == 1


def test_only_the_formats_asked_for(run_tool, tmp_path):
    assert run_tool("export", "-o", tmp_path / "out", "--formats", "paddle").returncode == 0
    assert not (tmp_path / "out" / "model.onnx").exists()


def test_what_is_wrong_is_said_in_a_line(refuses, tmp_path):
    (tmp_path / "file").write_text("")
    assert "-o" in refuses("export")
    assert "neither a model" in refuses("export", "-o", tmp_path / "out", "-w", "nobody")
    assert "is a file" in refuses("export", "-o", tmp_path / "file")
    assert not (tmp_path / "out").exists()


class Maxout(paddle.nn.Layer):
    def forward(self, x):
        """An operator that ONNX lacks."""
        return F.maxout(x, groups=2, axis=1)


@needs_converter
def test_an_operator_that_onnx_lacks_ends_in_a_line(tmp_path):
    layer = Maxout()
    layer.eval()
    paddle.jit.save(layer, str(tmp_path / "model"), [InputSpec([None, 4, 8, 8], "float32")])
    program = next(path for path in tmp_path.iterdir() if path.suffix in {".json", ".pdmodel"})
    with pytest.raises(UserError, match=r"unsupported operators.*--formats paddle"):
        convert_to_onnx(program, tmp_path / "model.onnx")


@needs_converter
def test_eight_bits_move_the_points_a_little(run_tool, tmp_path):
    done = run_tool("export", "-o", tmp_path / "out", "--formats", "onnx", "--half", "--int8", "assets/photos")
    assert done.returncode == 0, done.stderr
    whole = facekp.load_landmarker(backend="onnx")
    small = facekp.load_landmarker(tmp_path / "out")
    image = read_image("assets/photos/astronaut.png")
    faces, others = whole(image), small(image)
    distance = np.linalg.norm(faces.points - others.points, axis=-1).mean()
    assert 0 < distance < 0.02 * (faces.boxes[0, 2] - faces.boxes[0, 0])
    weights = (tmp_path / "out" / "model.onnx").stat().st_size
    assert weights < 1.6 * 1.07e6  # one byte per weight of most convolutions, two per weight of the rest


@needs_converter
def test_eight_bits_of_a_detector_find_the_same_faces(run_tool, tmp_path):
    options = ("--formats", "onnx", "--int8", "assets/photos")
    done = run_tool("export", "-w", "face_detector", "-o", tmp_path / "out", *options)
    assert done.returncode == 0, done.stderr
    image = read_image("assets/photos/astronaut.png")
    whole, small = (
        facekp.load_landmarker(detector=detector)(image)
        for detector in (load_detector(backend="onnx"), tmp_path / "out")
    )
    assert len(whole) == len(small) == 1
    assert iou(whole.boxes, small.boxes)[0] > 0.9
    assert (tmp_path / "out" / "model.onnx").stat().st_size < 0.6 * 4 * 0.44e6


def test_models_with_eight_bits_are_not_written_again_without_photos(refuses):
    assert "face_crop_light, face_detector" in refuses("export", "--shipped")


def test_eight_bits_are_for_the_onnx_file(refuses, tmp_path):
    assert "about the ONNX file" in refuses(
        "export", "-o", tmp_path / "out", "--formats", "paddle", "--int8", "assets/photos"
    )
