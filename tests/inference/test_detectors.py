import cv2
import numpy as np
import pytest

from facekp import geometry
from facekp.images import read_image
from facekp.inference.detectors import HaarDetector

#: The astronaut's face in assets/photos/astronaut.png, by eye: the box of brows, jaw and chin.
ASTRONAUT = np.array([178.0, 84.0, 272.0, 180.0])


@pytest.fixture(scope="module")
def astronaut():
    return read_image("assets/photos/astronaut.png")


def test_finds_the_face_of_a_photo_and_nothing_else(astronaut):
    boxes, scores = HaarDetector()(astronaut)
    assert boxes.shape == (1, 4)
    assert boxes.dtype == scores.dtype == np.float32
    assert geometry.iou(ASTRONAUT, boxes)[0] > 0.7
    assert 0.5 < scores[0] <= 1


@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_boxes_are_in_pixels_of_the_photo_whatever_its_size(astronaut, scale):
    boxes, _ = HaarDetector()(cv2.resize(astronaut, None, fx=scale, fy=scale))
    assert geometry.iou(ASTRONAUT * scale, boxes).max() > 0.65


@pytest.mark.parametrize("angle", [-30, 30])
def test_turned_pictures_are_tried_turned_back(astronaut, angle):
    matrix = geometry.rotation(angle, (225, 135))
    turned = geometry.warp(astronaut, matrix, (512, 512), border="replicate")
    boxes, _ = HaarDetector()(turned)
    assert geometry.iou(ASTRONAUT, boxes).max() > 0.5  # the middle of the turn is the middle of the face


@pytest.mark.parametrize("size", [(1, 1), (20, 300), (5, 5), (200, 200)])
def test_pictures_without_a_face_have_none(size):
    boxes, scores = HaarDetector()(np.full((*size, 3), 127, np.uint8))
    assert boxes.shape == (0, 4)
    assert scores.shape == (0,)
