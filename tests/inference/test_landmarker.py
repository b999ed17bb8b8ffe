import numpy as np
import pytest

import facekp
from facekp import geometry
from facekp.errors import UserError
from facekp.images import read_image
from facekp.landmarks import eye_distance

#: By eye: outer eye corners, nose tip, mouth corners, chin of assets/photos/astronaut.png.
ASTRONAUT = {36: (194, 102), 45: (255, 105), 30: (225, 127), 48: (204, 141), 54: (244, 142), 8: (223, 178)}


@pytest.fixture(scope="module")
def landmarker():
    return facekp.load_landmarker()


@pytest.fixture(scope="module")
def astronaut():
    return read_image("assets/photos/astronaut.png")


def off(points, matrix=None):
    """Mean distance from the points set by eye, in eye distances."""
    truth = np.array(list(ASTRONAUT.values()), float)
    truth = truth if matrix is None else geometry.apply(matrix, truth)
    return (np.linalg.norm(points[list(ASTRONAUT)] - truth, axis=1) / eye_distance(points)).mean()


def test_the_promise(landmarker, astronaut):
    before = astronaut.copy()
    faces = landmarker(astronaut)
    assert faces.points.shape == (1, 68, 2)
    assert faces.boxes.shape == (1, 4)
    assert faces.scores.shape == (1,)
    assert faces.points.dtype == faces.boxes.dtype == faces.scores.dtype == np.float32
    assert 0 <= faces.scores[0] <= 1
    np.testing.assert_array_equal(before, astronaut)
    assert off(faces.points[0]) < 0.07


def test_boxes_replace_the_detector(landmarker, astronaut):
    def no_detector(image):
        raise AssertionError("the detector ran")

    own = facekp.load_landmarker(detector=no_detector)
    faces = own(astronaut, boxes=[[178, 84, 272, 180]])
    assert off(faces.points[0]) < 0.07
    assert faces.scores.tolist() == [1.0]
    assert len(own(astronaut, boxes=np.zeros((0, 4)))) == 0


def test_no_face_is_no_exception(landmarker):
    for shape in ((1, 1, 3), (64, 80, 3)):
        faces = landmarker(np.zeros(shape, np.uint8))
        assert (len(faces), faces.points.shape, faces.boxes.shape) == (0, (0, 68, 2), (0, 4))


def test_largest_first(landmarker, astronaut):
    side_by_side = np.zeros((512, 1024, 3), np.uint8)
    small = geometry.warp(astronaut, geometry.scaling(0.6), (512, 512))
    side_by_side[:, :512], side_by_side[:, 512:] = small, astronaut
    faces = landmarker(side_by_side, boxes=[[107, 50, 163, 108], [690, 84, 784, 180]])
    areas = (faces.boxes[:, 2:] - faces.boxes[:, :2]).prod(1)
    assert areas[0] > areas[1]
    assert faces.points[0, 30, 0] > 512 > faces.points[1, 30, 0]
    assert off(faces.points[1], geometry.scaling(0.6)) < 0.1


@pytest.mark.parametrize("angle", [-40, -20, 20, 40])
def test_the_second_pass_sets_a_turned_face_upright(landmarker, astronaut, angle):
    matrix = geometry.rotation(angle, (225, 135))
    turned = geometry.warp(astronaut, matrix, (512, 512), border="replicate")
    assert off(landmarker(turned, boxes=[[175, 85, 275, 185]]).points[0], matrix) < 0.09


def test_a_face_is_found_once_also_when_turned(landmarker, astronaut):
    for angle in (-30, -15, 15, 30):
        turned = geometry.warp(astronaut, geometry.rotation(angle, (225, 135)), (512, 512), border="replicate")
        assert len(landmarker(turned)) == 1


def test_grey_and_transparent_pictures_work(landmarker, astronaut):
    box = [[178, 84, 272, 180]]
    plain = landmarker(astronaut, boxes=box).points
    with_alpha = np.dstack([astronaut, np.full(astronaut.shape[:2], 255, np.uint8)])
    np.testing.assert_array_equal(landmarker(with_alpha, boxes=box).points, plain)
    grey = astronaut.mean(2).astype(np.uint8)
    assert off(landmarker(grey, boxes=box).points[0]) < 0.08


@pytest.mark.parametrize(
    "image", [np.zeros((5, 5, 3)), np.zeros((5, 5, 2), np.uint8), np.zeros((0, 5, 3), np.uint8), "a.jpg"]
)
def test_what_is_no_picture_is_refused(landmarker, image):
    with pytest.raises(UserError, match="picture"):
        landmarker(image)


@pytest.mark.parametrize("box", [[5, 5, 5, 9], [9, 9, 1, 1], [0, 0, float("nan"), 5]])
def test_empty_boxes_are_refused(landmarker, astronaut, box):
    with pytest.raises(UserError, match="box 0"):
        landmarker(astronaut, boxes=[box])


@pytest.mark.parametrize("boxes", [[1, 2, 3], [1, 2, 3, 4], [["a", 2, 3, 4]], [[1, 2, 3, 4, 5]]])
def test_what_are_no_boxes_is_refused(landmarker, astronaut, boxes):
    with pytest.raises(UserError, match="boxes"):
        landmarker(astronaut, boxes=boxes)


@pytest.mark.parametrize("source", ["sam", "weights.safetensors", "hub"])
def test_unknown_sources_are_named(source):
    with pytest.raises(UserError, match=source):
        facekp.load_landmarker(source)
