import sys

import cv2
import numpy as np
import pytest

import facekp
from facekp.detectors.mediapipe import MediaPipeDetector
from facekp.errors import UserError
from facekp.io.images import read_image
from facekp.vision.boxes import iou


def test_without_mediapipe_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "mediapipe", None)  # as if it were not installed
    with pytest.raises(UserError, match='pip install "mediapipe') as caught:
        MediaPipeDetector()
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def mediapipe():
    pytest.importorskip("mediapipe")
    return MediaPipeDetector()


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_mediapipe_finds_the_astronaut(mediapipe, scale):
    photo = cv2.resize(read_image("assets/photos/astronaut.png"), None, fx=scale, fy=scale)
    truth = facekp.load_landmarker()(photo).boxes[0]
    boxes, scores = mediapipe(photo)
    assert boxes.dtype == scores.dtype == np.float32
    assert len(boxes) == len(scores) == 1  # the near and the far model found the same face
    assert iou(truth, boxes[0]) > 0.5
    assert 0.5 <= scores[0] <= 1


@pytest.mark.parametrize("size", [(1, 1), (5, 5), (20, 300), (200, 200)])
def test_mediapipe_finds_nothing_on_blank_pictures(mediapipe, size):
    boxes, scores = mediapipe(np.full((*size, 3), 127, np.uint8))
    assert boxes.shape == (0, 4)
    assert scores.shape == (0,)
