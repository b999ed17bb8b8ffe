"""Regression tests for defects found in code review; each fails without its fix."""

import sys

import numpy as np
import pytest

from facekp import zoo
from facekp.data.composed import ComposedDataset, FaceOutline, LabelledImage
from facekp.errors import UserError
from facekp.inference import backends
from facekp.inference.faces import Faces
from facekp.inference.tracking import Tracker
from facekp.io.images import write_image
from facekp.landmarks import load_schema
from facekp.loading import load_landmarker
from facekp.metrics import METRICS, NME
from facekp.stickers.files import plan
from facekp.training import load_config, train


def test_five_points_are_followed_through_a_video():
    five = load_schema("five")
    points = five.mean_points * 60 + 20

    def landmarker(image, boxes=None):
        return Faces.from_arrays([points], [five.face_box(points)], [1.0], five)

    tracker = Tracker(landmarker)
    for frame in range(4):
        tracks = tracker(np.zeros((120, 120, 3), np.uint8), frame / 25)
        assert tracks.points.shape == (1, 5, 2) and tracks.schema is five
    np.testing.assert_allclose(tracks.points[0], points, atol=1e-3)


@pytest.mark.parametrize(
    "options", [{"passes": 3}, {"flip": True}, {"backend": "onnx"}, {"threads": 1}], ids=lambda each: next(iter(each))
)
def test_paddlehubs_landmarker_refuses_what_it_cannot_honour(options):
    with pytest.raises(UserError, match=f"{next(iter(options))}: PaddleHub's landmarker has no such setting"):
        load_landmarker("hub", **options)


def test_a_broken_library_is_not_taken_for_a_missing_one(monkeypatch, tmp_path):
    """An installed ONNX Runtime that cannot be imported is an error; Paddle does not silently replace it."""
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # installed, but its import fails
    monkeypatch.setattr(backends.importlib.util, "find_spec", lambda name: object())
    with pytest.raises((ImportError, UserError), match="onnxruntime"):
        backends.load_backend(zoo.get("face_crop_light"))


def test_a_photo_that_is_named_is_done_also_if_it_looks_like_a_result(tmp_path):
    photo, result = tmp_path / "a.jpg", tmp_path / "a_sticker.jpg"
    with pytest.raises(UserError, match="would be overwritten"):
        plan([photo, result], None, found=[])
    assert [pair[0] for pair in plan([result], None, found=[])] == [result]
    assert [pair[0] for pair in plan([photo, result], None, found=[photo, result])] == [photo]
    both = plan([photo, result], tmp_path / "out", found=[])
    assert [pair[0] for pair in both] == [photo, result]


def test_a_run_without_a_number_names_no_weights(tmp_path, monkeypatch):
    class Never(NME):
        def accumulate(self):
            return float("nan")

    monkeypatch.setitem(METRICS, "never", lambda codec, schema: Never(codec, schema))
    options = ["metrics=[never]", f"output={tmp_path}", "data.workers=0", "train.epochs=1", "network.channels=[4, 4]"]
    sources = "data.sources=[{type: drawn, train: 8, validation: 4}]"
    summary = train(load_config("configs/quickstart.yml", [*options, sources]))
    assert summary.weights is None and summary.epochs == 1
    assert not (tmp_path / "quickstart" / "best.safetensors").exists()


def test_large_images_are_kept_no_larger_than_their_faces_are_shown(tmp_path):
    write_image(tmp_path / "large.png", np.zeros((1200, 1600, 3), np.uint8))
    corners = np.float32([[400, 300], [1200, 300], [1200, 900], [400, 900]])
    composed = ComposedDataset([LabelledImage(tmp_path / "large.png", [FaceOutline(corners)])], size=96)
    (kept,) = composed._pixels
    assert max(kept.shape[:2]) < 200  # a face of 800 pixels is shown at 82 pixels at most
    outline = composed.images[0].faces[0].points
    assert np.ptp(outline[:, 0]) == pytest.approx(0.85 * 96, abs=1)


def test_a_face_has_points_or_says_that_it_is_a_box():
    assert not FaceOutline(np.zeros((4, 2))).is_box  # four points are not a box
