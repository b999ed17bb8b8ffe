import os

import cv2
import numpy as np
import pytest

from facekp import load_landmarker
from facekp.codecs.boxes import STRIDES
from facekp.detectors import load_detector
from facekp.detectors.ours import FaceDetector
from facekp.io.images import read_image
from facekp.recipes import BoxesRecipe
from facekp.vision.boxes import iou
from facekp.zoo import SHIPPED_DETECTOR


@pytest.fixture(scope="module")
def astronaut():
    return read_image("assets/photos/astronaut.png")


@pytest.mark.parametrize("shape", [(640, 640), (361, 640), (90, 50), (1400, 300), (720, 1280)])
def test_a_cell_of_the_searched_picture_leads_to_its_place_in_the_photo(shape):
    """With a stand-in network that detects the whitest cell, the box must lie on the white spot of the photo."""

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
    scale = min(320 / max(shape), FaceDetector.MAX_ENLARGEMENT)
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


def test_eight_bits_find_the_same_face_and_are_the_default(astronaut):
    (box, *_), _ = load_detector()(astronaut)
    (small, *_), small_scores = load_detector(SHIPPED_DETECTOR, "int8")(astronaut)
    np.testing.assert_array_equal(box, small)
    (whole, *_), whole_scores = load_detector(SHIPPED_DETECTOR, "onnx")(astronaut)
    assert iou(whole, small) > 0.8
    assert abs(whole_scores[0] - small_scores[0]) < 0.05


def test_the_shipped_detector_is_small():
    assert os.path.getsize(SHIPPED_DETECTOR) <= 1_000_000


def test_quick_finds_the_large_face_and_no_small_one(astronaut):
    detector = load_detector()
    wide = np.zeros((900, 1600, 3), np.uint8)
    wide[: astronaut.shape[0], : astronaut.shape[1]] = astronaut
    small = cv2.resize(astronaut[:256, 96:352], (100, 100), interpolation=cv2.INTER_AREA)
    wide[700:800, 1400:1500] = small
    there = [(boxes[:, 0] > 1300).any() for boxes, _ in (detector(wide), detector.quick(wide))]
    here = [(boxes[:, 0] < 512).any() for boxes, _ in (detector(wide), detector.quick(wide))]
    assert there == [True, False] and here == [True, True]


def test_a_face_that_reaches_beyond_the_image_is_found(astronaut):
    landmarker = load_landmarker()
    whole = landmarker(astronaut).points[0]
    x0, y0, x1, y1 = (np.hstack([whole.min(0), whole.max(0)]) + np.array([14, 8, -14, -8])).astype(int)
    faces = landmarker(np.ascontiguousarray(astronaut[y0:y1, x0:x1]))  # no ears, no chin, the brows at the edge
    assert len(faces) == 1
    inner = np.linalg.norm(faces.points[0] + np.array([x0, y0]) - whole, axis=1)[17:]
    assert inner.mean() < 0.05 * (x1 - x0)
