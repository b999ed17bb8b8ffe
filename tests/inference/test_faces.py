import numpy as np
import pytest

from facekp import Faces
from facekp.inference.tracking import Tracks
from facekp.landmarks import IBUG68, MEAN_FACE, SIGNALS, parse_schema


def test_faces_are_sorted_largest_first():
    boxes = [[0, 0, 2, 2], [0, 0, 9, 9], [0, 0, 5, 5]]
    faces = Faces.from_arrays(np.arange(3 * 68 * 2).reshape(3, 68, 2), boxes, [0.1, 0.2, 0.3])
    assert faces.boxes[:, 2].tolist() == [9, 5, 2]
    np.testing.assert_allclose(faces.scores, [0.2, 0.3, 0.1])
    assert faces.points[0, 0, 0] == 136
    assert [score for _, _, score in faces] == [float(s) for s in faces.scores]
    assert {a.dtype for a in (faces.points, faces.boxes, faces.scores)} == {np.dtype(np.float32)}


def test_importing_facekp_does_not_import_paddle():
    import subprocess
    import sys

    code = "import sys, facekp, facekp.vision.geometry, facekp.data.prepare; sys.exit('paddle' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_converted_faces_keep_their_pose_and_signals():
    corners = parse_schema({"name": "corners", "points": ["left_eye", "right_eye"],
                            "convert_from": {"ibug68": [36, 45]}}, "an example")  # fmt: skip
    points = MEAN_FACE[None] * 100
    faces = Faces.from_arrays(points, [[0, 0, 100, 97]], [1])
    converted = faces.converted(corners)
    assert converted.points.shape == (1, 2, 2)
    assert converted.signals["mouth_open"] == faces.signals["mouth_open"]
    assert converted.pose.yaw == faces.pose.yaw
    assert converted.take(np.array([0])).pose.yaw == faces.pose.yaw
    tracks = Tracks(faces.points, faces.boxes, faces.scores, ids=np.array([7]), unseen=np.zeros(1),
                    rest=np.zeros((1, len(SIGNALS))), memory=({},)).converted(corners)  # fmt: skip
    taken = tracks.take(np.array([0]))
    assert taken.pose.yaw == faces.pose.yaw and taken.ids.tolist() == [7] and len(taken.memory) == 1


def test_sigma_and_visibility_are_sorted_and_taken_with_their_points():
    boxes = [[0, 0, 1, 1], [0, 0, 9, 9], [0, 0, 4, 4]]
    sigma = np.arange(3)[:, None] * np.ones((3, 68))
    faces = Faces.from_arrays(np.zeros((3, 68, 2)), boxes, [0.1, 0.2, 0.3], sigma=sigma, visibility=sigma / 10)
    assert faces.sigma[:, 0].tolist() == [1, 2, 0] and faces.sigma.dtype == np.float32
    assert faces.take(np.array([2])).visibility.shape == (1, 68)
    assert Faces.none().sigma is None
    same = parse_schema({"name": "ibug68", "points": list(IBUG68.points)}, "a recipe")
    assert faces.converted(same).sigma is faces.sigma


def kept(*faces):
    """Return which of the (box, score) pairs are kept: their boxes, largest first."""
    boxes, scores = zip(*faces)
    return Faces.from_arrays(np.zeros((len(boxes), 68, 2)), boxes, scores).without_doubles().boxes.tolist()


FACE = [0, 0, 100, 100]


def test_a_small_face_around_the_nose_of_a_large_one_is_dropped():
    assert kept((FACE, 0.95), ([30, 40, 70, 80], 0.75)) == [FACE]
    assert kept((FACE, 0.95), ([30, 70, 70, 110], 0.75)) == [FACE]  # three quarters of it inside


@pytest.mark.parametrize(
    "other",
    [
        ([70, 20, 150, 100], 0.8),  # two heads side by side, one partly hidden
        ([60, 50, 110, 100], 0.98),  # a child in front of an adult, with a higher score
        ([30, 75, 70, 115], 0.8),  # below the chin: less than 0.7 inside
    ],
)
def test_two_people_whose_heads_overlap_both_stay(other):
    assert len(kept((FACE, 0.95), other)) == 2
