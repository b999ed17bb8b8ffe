import cv2
import numpy as np
import pytest

from facekp import load_landmarker
from facekp.detectors import DETECTORS, FacesOf, load_detector
from facekp.detectors.haar import HaarDetector
from facekp.errors import UserError
from facekp.inference.faces import Faces
from facekp.io.images import read_image
from facekp.landmarks import MEAN_FACE
from facekp.vision import geometry
from facekp.vision.boxes import iou
from facekp.zoo import SHIPPED_DETECTOR

#: Box of the astronaut's face in assets/photos/astronaut.png, set by eye around brows, jaw and chin.
ASTRONAUT = np.array([178.0, 84.0, 272.0, 180.0])

NAMES = [None, "haar"]


@pytest.fixture(scope="module")
def astronaut():
    return read_image("assets/photos/astronaut.png")


@pytest.fixture(scope="module")
def detectors():
    return {name: load_detector(name) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_finds_the_face_of_a_photo(astronaut, detectors, name):
    boxes, scores = detectors[name](astronaut)
    assert boxes.shape == (len(scores), 4)
    assert boxes.dtype == scores.dtype == np.float32
    assert iou(ASTRONAUT, boxes)[0] > 0.7
    assert 0.5 < scores[0] <= 1
    assert (scores[1:] < 0.5).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scale", [0.2, 0.5, 1.0, 3.0])
def test_with_the_points_it_is_the_only_face(astronaut, detectors, name, scale):
    picture = cv2.resize(astronaut, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    if name == "haar" and scale < 0.5:
        pytest.skip("the cascades search for nothing below 24 pixels")
    assert len(load_landmarker(detector=detectors[name])(picture)) == 1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_boxes_are_in_pixels_of_the_photo_whatever_its_size(astronaut, detectors, scale, name):
    boxes, _ = detectors[name](cv2.resize(astronaut, None, fx=scale, fy=scale))
    assert iou(ASTRONAUT * scale, boxes).max() > 0.65


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("angle", [-30, 30])
def test_turned_faces_are_found(astronaut, detectors, angle, name):
    matrix = geometry.rotation(angle, (225, 135))
    turned = geometry.warp(astronaut, matrix, (512, 512), border="replicate")
    boxes, _ = detectors[name](turned)
    assert iou(ASTRONAUT, boxes).max() > 0.5  # the rotation is about the centre of the face


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(1, 1), (20, 300), (5, 5), (200, 200)])
def test_pictures_without_a_face_have_none(detectors, size, name):
    boxes, scores = detectors[name](np.full((*size, 3), 127, np.uint8))
    assert boxes.shape == (0, 4)
    assert scores.shape == (0,)


WRONG = {
    "no such file": ("nowhere.safetensors", r"neither a detector \(haar, mediapipe, yunet\), nor a file of weights"),
    "no model for yunet": ("yunet", "yunet:PATH"),
    "a network of points": (str(SHIPPED_DETECTOR.with_name("face_crop_light.safetensors")), "finds points, not boxes"),
}


@pytest.mark.parametrize(("source", "message"), WRONG.values(), ids=WRONG)
def test_what_is_no_detector_is_said(source, message):
    with pytest.raises(UserError, match=message):
        load_detector(source)


def test_a_detector_finds_no_points():
    with pytest.raises(UserError, match="finds boxes, not points"):
        load_landmarker(SHIPPED_DETECTOR)


def test_a_detector_of_ones_own_has_a_name_and_an_argument(monkeypatch):
    given = []
    monkeypatch.setitem(DETECTORS, "mine", lambda argument: given.append(argument) or HaarDetector())
    for source in ("mine", "mine:a:b.onnx"):
        assert isinstance(load_detector(source), HaarDetector)
    assert given == ["", "a:b.onnx"]
    with pytest.raises(UserError, match="neither a detector \\(haar, mediapipe, yunet, mine\\)"):
        load_detector("mein")


def test_a_landmarker_is_a_detector():
    points = np.stack([MEAN_FACE * 40, MEAN_FACE * 90 + 50])
    faces = Faces.from_arrays(points, geometry.bounding_box(points), [0.3, 0.9])
    boxes, scores = FacesOf(lambda image: faces)(np.zeros((9, 9, 3), np.uint8))
    np.testing.assert_array_equal(boxes, faces.boxes)
    assert scores.tolist() == [np.float32(0.9), np.float32(0.3)]
