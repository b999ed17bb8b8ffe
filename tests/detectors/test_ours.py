import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from facekp import load_landmarker
from facekp.detectors.ours import FaceDetector, load_detector
from facekp.errors import UserError
from facekp.inference.backends import SHIPPED_DETECTOR
from facekp.io.images import read_image
from facekp.recipes import BoxesRecipe
from facekp.vision import geometry
from facekp.vision.boxes import STRIDES, iou

#: The astronaut's face in assets/photos/astronaut.png, by eye: the box of brows, jaw and chin.
ASTRONAUT = np.array([178.0, 84.0, 272.0, 180.0])

DETECTORS = [None, "haar"]


@pytest.fixture(scope="module")
def astronaut():
    return read_image("assets/photos/astronaut.png")


@pytest.fixture(scope="module")
def detectors():
    return {name: load_detector(name) for name in DETECTORS}


@pytest.mark.parametrize("name", DETECTORS)
def test_finds_the_face_of_a_photo(astronaut, detectors, name):
    boxes, scores = detectors[name](astronaut)
    assert boxes.shape == (len(scores), 4)
    assert boxes.dtype == scores.dtype == np.float32
    assert iou(ASTRONAUT, boxes)[0] > 0.7
    assert 0.5 < scores[0] <= 1
    assert (scores[1:] < 0.5).all()


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("scale", [0.2, 0.5, 1.0, 3.0])
def test_with_the_points_it_is_the_only_face(astronaut, detectors, name, scale):
    picture = cv2.resize(astronaut, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    if name == "haar" and scale < 0.5:
        pytest.skip("the cascades search for nothing below 24 pixels")
    assert len(load_landmarker(detector=detectors[name])(picture)) == 1


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_boxes_are_in_pixels_of_the_photo_whatever_its_size(astronaut, detectors, scale, name):
    boxes, _ = detectors[name](cv2.resize(astronaut, None, fx=scale, fy=scale))
    assert iou(ASTRONAUT * scale, boxes).max() > 0.65


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("angle", [-30, 30])
def test_turned_faces_are_found(astronaut, detectors, angle, name):
    matrix = geometry.rotation(angle, (225, 135))
    turned = geometry.warp(astronaut, matrix, (512, 512), border="replicate")
    boxes, _ = detectors[name](turned)
    assert iou(ASTRONAUT, boxes).max() > 0.5  # the middle of the turn is the middle of the face


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("size", [(1, 1), (20, 300), (5, 5), (200, 200)])
def test_pictures_without_a_face_have_none(detectors, size, name):
    boxes, scores = detectors[name](np.full((*size, 3), 127, np.uint8))
    assert boxes.shape == (0, 4)
    assert scores.shape == (0,)


@pytest.mark.parametrize("shape", [(640, 640), (361, 640), (90, 50), (1400, 300), (720, 1280)])
def test_a_cell_of_the_searched_picture_leads_to_its_place_in_the_photo(shape):
    """A stand-in network that fires where its input is white: the box must lie on the white spot of the photo."""

    def white_cells(batch):
        stride = STRIDES[0]
        cells = batch[0, 0, ::1, ::1]
        high, wide = cells.shape[0] // stride, cells.shape[1] // stride
        light = cells.reshape(high, stride, wide, stride).mean((1, 3)).reshape(-1)
        rest = sum((cells.shape[0] // s) * (cells.shape[1] // s) for s in STRIDES[1:])
        outputs = np.full((1, len(light) + rest, 5), stride / 2, np.float32)
        outputs[0, :, 0] = -9
        outputs[0, light.argmax(), 0] = 9
        return outputs, None

    recipe = BoxesRecipe({}, 64, [{"type": "GrayNormalize", "channels": 1}, {"type": "ToCHW"}])
    detector = FaceDetector(white_cells, recipe, longest_sides=[320])
    photo = np.zeros((*shape, 3), np.uint8)
    scale = min(320 / max(shape), FaceDetector.MOST_ENLARGED)
    spot = np.array([2, 1, 3, 2]) * STRIDES[0] / scale  # the cell in row 1, column 2
    x0, y0, x1, y1 = spot.round().astype(int)
    photo[y0:y1, x0:x1] = 255
    boxes, scores = detector(photo)
    assert np.abs(boxes[0] - (spot - 0.5)).max() < 0.03 * max(shape)
    assert scores[0] > 0.99


def test_our_own_is_the_landmarkers_default(astronaut):
    assert isinstance(load_landmarker().detector, FaceDetector)
    named = load_landmarker(detector="haar")
    assert not isinstance(named.detector, FaceDetector)
    ours, theirs = load_landmarker()(astronaut), named(astronaut)
    assert np.abs(ours.points - theirs.points).max() < 5


def test_onnx_and_paddle_find_the_same(astronaut):
    onnx, dygraph = (load_detector(SHIPPED_DETECTOR, name)(astronaut) for name in ("onnx", "dygraph"))
    for one, other in zip(onnx, dygraph):
        np.testing.assert_allclose(one, other, atol=0.02)


def test_the_shipped_detector_is_small():
    assert os.path.getsize(SHIPPED_DETECTOR) <= 1_000_000


WRONG = {
    "no such file": ("nowhere.safetensors", "neither haar, mediapipe or yunet"),
    "no model for yunet": ("yunet", "yunet:PATH"),
    "a network of points": (str(SHIPPED_DETECTOR.with_name("face_crop_light.safetensors")), "finds points, not boxes"),
}


@pytest.mark.parametrize(("source", "message"), WRONG.values(), ids=WRONG)
def test_what_is_no_detector_is_said(source, message):
    with pytest.raises(UserError, match=message):
        load_detector(source)


def test_a_detector_finds_no_points():
    with pytest.raises(UserError, match="finds boxes, not points"):
        load_landmarker(Path(SHIPPED_DETECTOR))
