import dataclasses

import numpy as np
import pytest

import facekp
from facekp.codecs.points import Outputs
from facekp.errors import UserError
from facekp.inference.landmarker import DOUBTFUL, LATE_TRUST, Landmarker
from facekp.io.images import read_image
from facekp.landmarks import IBUG68, MEAN_FACE
from facekp.models import build_network
from facekp.models.weights import save_weights
from facekp.vision import geometry

#: Points set by eye in assets/photos/astronaut.png: outer eye corners, nose tip, mouth corners and chin.
ASTRONAUT = {36: (194, 102), 45: (255, 105), 30: (225, 127), 48: (204, 141), 54: (244, 142), 8: (223, 178)}


@pytest.fixture(scope="module")
def landmarker():
    return facekp.load_landmarker()


@pytest.fixture(scope="module")
def astronaut():
    return read_image("assets/photos/astronaut.png")


def off(points, matrix=None):
    """Return the mean distance from the points set by eye, in eye distances."""
    truth = np.array(list(ASTRONAUT.values()), float)
    truth = truth if matrix is None else geometry.apply(matrix, truth)
    return (np.linalg.norm(points[list(ASTRONAUT)] - truth, axis=1) / IBUG68.unit(points)).mean()


def test_shapes_dtypes_and_points_of_a_photo(landmarker, astronaut):
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
    assert 0.9 < faces.scores[0] <= 1  # the score of the network
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


def test_a_doubtful_face_gets_one_more_pass(landmarker, astronaut):
    matrix = geometry.rotation(-75, (224, 128))
    turned, box = geometry.warp(astronaut, matrix, (512, 512)), [[165, 69, 284, 190]]
    once = facekp.load_landmarker(passes=1)(turned, boxes=box)
    assert DOUBTFUL[0] < once.scores[0] < DOUBTFUL[1] and off(once.points[0], matrix) > 0.4  # also after two passes
    faces = landmarker(turned, boxes=box)
    assert 0.8 < faces.scores[0] <= LATE_TRUST and off(faces.points[0], matrix) < 0.07


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
    with pytest.raises(UserError, match=r"an image (is|has)"):
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


class Known:
    """Backend that returns the same points for every crop, with the given scores, one per crop."""

    def __init__(self, points, scores=None):
        self.points, self.scores = points.astype(np.float32), scores

    def __call__(self, batch):
        scores = None if self.scores is None else np.float32(self.scores[: len(batch)])
        return Outputs(np.repeat(self.points[None], len(batch), 0), scores)


@pytest.fixture
def known():
    """Return a function that builds a landmarker which finds the mean face in the middle of every crop."""
    recipe = facekp.load_landmarker().recipe

    def build(scores=None, **options):
        points = (MEAN_FACE - 0.5) * recipe.face_side * recipe.size + recipe.size / 2
        return Landmarker(Known(points, scores), recipe, **options)

    return build


def two_boxes(image):
    return np.float32([[10, 10, 40, 40], [60, 10, 90, 40]]), np.float32([0.9, 0.8])


def test_faces_that_the_network_does_not_trust_are_dropped(known):
    image = np.zeros((60, 120, 3), np.uint8)
    faces = known([0.02, 0.9], detector=two_boxes)(image)
    np.testing.assert_allclose(faces.scores, [(0.8 * 0.9**3) ** 0.25], rtol=1e-6)
    assert faces.points[0, :, 0].min() > 50
    assert len(known([0.02, 0.9], detector=two_boxes, min_score=0.01)(image)) == 2
    assert known([0.01, 0.02], detector=two_boxes)(image).points.shape == (0, 68, 2)


def test_only_plausible_faces_get_further_passes(known):
    def three_boxes(image):
        return np.repeat(two_boxes(image)[0][:1], 3, 0), np.float32([0.39, 0.4, 0.1])

    landmarker, crops = known([0.01, 0.02, 0.9], detector=three_boxes), []
    backend, landmarker.backend = landmarker.backend, lambda batch: crops.append(len(batch)) or backend(batch)
    image = np.zeros((60, 120, 3), np.uint8)
    landmarker(image)
    assert crops == [3, 2]  # all but the one with low scores from both detector and network
    crops.clear()
    landmarker(image, boxes=three_boxes(image)[0])
    assert crops == [3, 3]  # boxes of a caller are faces
    crops.clear()
    backend.scores = [0.5, 0.9, 0.9]
    landmarker(image)
    assert crops == [3, 3, 1]  # a third pass for the doubtful one


def test_faces_of_the_caller_are_never_dropped(known):
    image = np.zeros((60, 120, 3), np.uint8)
    faces = known([0.02, 0.9], detector=two_boxes)(image, boxes=two_boxes(image)[0])
    assert sorted(faces.scores.tolist()) == [np.float32(0.02), np.float32(0.9)]


def test_without_a_score_of_the_network_the_detectors_counts(known):
    faces = known(detector=two_boxes)(np.zeros((60, 120, 3), np.uint8))
    assert faces.scores.tolist() == [np.float32(0.9), np.float32(0.8)]


def test_where_a_network_gives_no_score_the_default_one_rejects_what_is_no_face(landmarker, astronaut, tmp_path):
    turned = geometry.warp(astronaut, geometry.rotation(-30, (225, 135)), (512, 512), border="replicate")
    recipe = dataclasses.replace(landmarker.recipe, network={"type": "plain_resnet", "in_channels": 1})
    save_weights(tmp_path / "unscored.safetensors", build_network(**recipe.network_arguments()), recipe)
    unscored = facekp.load_landmarker(tmp_path / "unscored.safetensors")
    assert len(landmarker.detector(turned)[0]) > len(landmarker(turned)) == 1  # boxes, one of them a face
    np.testing.assert_allclose(unscored(turned).scores, landmarker(turned).scores)


def test_the_mirror_image_of_a_picture_gives_the_mirror_image_of_its_points(astronaut):
    flip = facekp.load_landmarker(passes=1, flip=True)
    x0, y0, x1, y1 = 178, 84, 272, 180
    width = astronaut.shape[1]
    points = flip(astronaut, boxes=[[x0, y0, x1, y1]]).points[0]
    mirrored = flip(np.ascontiguousarray(astronaut[:, ::-1]), boxes=[[width - 1 - x1, y0, width - 1 - x0, y1]]).points[
        0
    ]
    back = geometry.apply(geometry.mirror(width), mirrored)[IBUG68.flip_order]
    assert np.linalg.norm(back - points, axis=1).max() < 0.3
    assert off(points) < 0.07


def test_many_faces_are_taken_in_batches(landmarker, astronaut):
    boxes = [[178 + i % 5, 84, 272, 180] for i in range(40)]
    several = landmarker(astronaut, boxes=boxes)
    assert several.points.shape == (40, 68, 2)
    alone = landmarker(astronaut, boxes=boxes[3:4])
    assert np.abs(several.points - alone.points[0]).max(axis=(1, 2)).min() < 0.01


def test_points_of_the_last_frame_need_no_detector_and_one_pass(landmarker, astronaut):
    def no_detector(image):
        raise AssertionError("the detector ran")

    own, crops = facekp.load_landmarker(detector=no_detector), []
    backend, own.backend = own.backend, lambda batch: crops.append(len(batch)) or backend(batch)
    before = landmarker(astronaut).points
    faces = own(astronaut, points=before + np.float32([3, -2]))
    assert crops == [1]
    assert off(faces.points[0]) < 0.07 and 0.9 < faces.scores[0] <= 1
    turn = geometry.rotation(70, (225, 130))  # the crop is upright at any roll of the head
    turned = own(geometry.warp(astronaut, turn, (512, 512)), points=geometry.apply(turn, before))
    assert off(turned.points[0], turn) < 0.07
    assert len(own(astronaut, points=np.zeros((0, 68, 2)))) == 0


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (np.zeros((1, 5, 2)), "this network's are"),
        (np.full((1, 68, 2), np.nan), "are not those of a face"),
        (np.zeros((1, 68, 2)), "are not those of a face"),
        ([["a"]], "must be numbers"),
    ],
)
def test_points_that_are_no_face(landmarker, astronaut, points, message):
    with pytest.raises(UserError, match=message):
        landmarker(astronaut, points=points)
    with pytest.raises(UserError, match="not both"):
        landmarker(astronaut, boxes=[[0, 0, 9, 9]], points=points)


class AllOutputs:
    """Backend with all outputs: the mean face in the middle of every crop, the same for mirrored crops."""

    def __init__(self, size):
        self.points = (MEAN_FACE * size * 0.7 + size * 0.15).astype(np.float32)

    def __call__(self, batch):
        each = np.arange(68, dtype=np.float32)
        return Outputs(
            np.repeat(self.points[None], len(batch), 0),
            np.full(len(batch), 0.9, np.float32),
            np.repeat(1 + each[None], len(batch), 0),
            np.repeat(each[None] / 100, len(batch), 0),
        )


def test_sigma_comes_in_pixels_of_the_image_and_is_mirrored_with_its_point(landmarker):
    recipe = dataclasses.replace(landmarker.recipe)
    image = np.zeros((600, 600, 3), np.uint8)
    boxes = [[100, 100, 200, 200], [300, 300, 340, 340]]
    one = Landmarker(AllOutputs(recipe.size), recipe, two_boxes, passes=1)
    faces = one(image, boxes=boxes)
    assert faces.sigma.shape == faces.visibility.shape == (2, 68) and faces.sigma.dtype == np.float32
    factor = 100 / (recipe.size * recipe.face_side)  # pixels of the image per pixel of the crop
    np.testing.assert_allclose(faces.sigma[0], (1 + np.arange(68)) * factor, rtol=1e-5)
    np.testing.assert_allclose(faces.sigma[1], faces.sigma[0] * 0.4, rtol=1e-5)
    np.testing.assert_allclose(faces.visibility[0], np.arange(68) / 100, rtol=1e-6)
    two = Landmarker(AllOutputs(recipe.size), recipe, two_boxes, passes=2, flip=True)(image, boxes=boxes)
    order = IBUG68.flip_order
    np.testing.assert_allclose(two.visibility[0], (np.arange(68) + order) / 200, rtol=1e-5)
    assert one(image).sigma.shape == (2, 68)
    assert one(image, points=faces.points).visibility.shape == (2, 68)


def test_networks_without_sigma_and_visibility_give_none(landmarker, astronaut):
    faces = landmarker(astronaut)
    assert faces.sigma is None and faces.visibility is None


def test_boxes_of_a_detector_that_are_none_are_left_out(astronaut):
    boxes = np.array([[5, 5, 5, 5], [178, 84, 272, 180], [np.nan, 0, 9, 9], [9, 9, 3, 30]])
    own = facekp.load_landmarker(detector=lambda image: (boxes, np.ones(4)))
    assert len(own(astronaut)) == 1


def test_no_pass_at_all_is_refused():
    with pytest.raises(UserError, match="passes must be at least 1"):
        facekp.load_landmarker(passes=0)
