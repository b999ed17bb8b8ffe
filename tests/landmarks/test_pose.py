"""Angles and cameras of heads with known poses."""

import numpy as np
import pytest

from facekp.inference.faces import Faces
from facekp.landmarks import IBUG68, MEAN_FACE, anchors, head_pose, load_schema
from facekp.landmarks.head import DEPTH, HEAD_PLACES, HEAD_POINTS
from facekp.landmarks.pose import complete_far_side, from_the_front, rotation


def seen(yaw=0.0, pitch=0.0, roll=0.0, size=200.0, shape=HEAD_POINTS):
    """Return the points of the average head in orthographic projection: (68, 2)."""
    return (shape @ rotation(yaw, pitch, roll).T)[:, :2] * size + (300, 250)


@pytest.mark.parametrize("yaw", [-75, -40, 0, 20, 60])
@pytest.mark.parametrize(("pitch", "roll"), [(0, 0), (20, -30), (-25, 100)])
def test_known_angles(yaw, pitch, roll):
    pose = head_pose(seen(yaw, pitch, roll)[None])
    np.testing.assert_allclose([pose.yaw[0], pose.pitch[0], pose.roll[0]], [yaw, pitch, roll], atol=0.2)


def test_signs():
    pose = head_pose(np.stack([seen(), seen(yaw=30), seen(pitch=20), seen(roll=15)]))
    right, up, clockwise = (seen(yaw=30), seen(pitch=20), seen(roll=15))
    assert right[30, 0] - right[27, 0] > 10  # the nose points to the right of the image,
    assert up[30, 1] - up[27, 1] < seen()[30, 1] - seen()[27, 1]  # upwards,
    assert clockwise[45, 1] > clockwise[36, 1]  # and the right eye goes down
    assert pose.yaw[1] > 29
    assert pose.pitch[2] > 19
    assert pose.roll[3] > 14


def test_the_camera_maps_the_head_to_the_points():
    points = seen(35, -10, 12)
    camera = head_pose(points[None]).camera[0]
    np.testing.assert_array_equal(camera[2], [0, 0, 0, 1])
    found = np.hstack([HEAD_POINTS, np.ones((68, 1))]) @ camera.T
    np.testing.assert_allclose(found[:, :2], points, atol=1.5)
    np.testing.assert_array_equal(found[:, 2], 1)


def test_turning_the_image_changes_the_roll_alone():
    points = seen(40, 15, 0)
    a = np.radians(50)
    turned = points @ np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])
    before, after = head_pose(points[None]), head_pose(turned[None])
    np.testing.assert_allclose([after.yaw, after.pitch, after.roll - before.roll], [before.yaw, before.pitch, [50]],
                               atol=1e-3)  # fmt: skip


def test_expressions_hardly_change_the_pose():
    shape = HEAD_POINTS.copy()
    shape[[55, 56, 57, 58, 59, 65, 66, 67, *range(4, 13)], 1] += 0.15  # the mouth opens
    shape[17:27, 1] -= 0.05  # the brows rise
    shape[[37, 38, 43, 44], 1] += 0.04  # the lids close
    pose = head_pose(seen(25, 5, 0, shape=shape)[None])
    np.testing.assert_allclose([pose.yaw[0], pose.pitch[0], pose.roll[0]], [25, 5, 0], atol=4)


def test_many_faces_at_once_are_each_as_alone():
    faces = np.stack([seen(yaw) for yaw in (-50, 0, 33)])
    np.testing.assert_allclose(head_pose(faces).yaw, [head_pose(face[None]).yaw[0] for face in faces], atol=1e-9)


@pytest.mark.parametrize("points", [np.full((68, 2), np.nan), np.zeros((68, 2)), np.full((68, 2), 7.0)])
def test_impossible_faces_have_no_pose(points):
    pose = head_pose(np.stack([points, seen(30)]))
    assert np.isnan(pose.yaw[0])
    assert np.isnan(pose.camera[0]).all()
    assert pose.yaw[1] == pytest.approx(30, abs=0.2)


def test_faces_have_a_pose_and_one_of_them_can_be_taken():
    points = np.stack([seen(20), seen(-45)]).astype(np.float32)
    faces = Faces(points, np.zeros((2, 4), np.float32), np.ones(2, np.float32))
    np.testing.assert_allclose(faces.pose.yaw, [20, -45], atol=0.2)
    assert faces.pose is faces.pose
    assert faces.pose.of(1).yaw.tolist() == [faces.pose.yaw[1]]
    assert len(Faces.none().pose.yaw) == 0


def test_points_on_a_line_have_no_pose():
    rng = np.random.default_rng(0)
    along, direction = rng.normal(size=(200, 68, 1)) * 50, rng.normal(size=(200, 1, 2))
    lines = rng.uniform(0, 500, (200, 1, 2)) + along * direction
    assert np.isnan(head_pose(lines).yaw).all()
    assert np.isfinite(head_pose(seen(yaw=88)[None]).yaw).all()  # a profile is not a line


def test_five_points_have_no_pose():
    five = load_schema("five")
    faces = Faces.from_arrays(five.mean_points[None] * 100, [[0, 0, 1, 1]], [1], five)
    assert np.isnan(faces.pose.yaw).all()
    assert np.isnan(faces.signals["mouth_open"]).all()


def test_from_the_front_a_turned_face_is_the_mean_face():
    for yaw in (-60, 0, 45):
        points = seen(yaw, 10, 20)[None]
        np.testing.assert_allclose(from_the_front(points, head_pose(points).camera)[0], MEAN_FACE, atol=0.02)


@pytest.mark.parametrize("yaw", [-65, 65])
def test_the_far_side_mirrors_the_near_one(yaw):
    truth = seen(yaw)
    guessed = truth.copy()
    far = np.sign(yaw) * (MEAN_FACE[:, 0] - 0.5) > 0.1
    far[17:48] = False  # these determine the pose
    guessed[far] += (15, 10)
    found = complete_far_side(guessed, head_pose(guessed[None]))
    np.testing.assert_allclose(found, truth, atol=4)
    near = np.sign(yaw) * (MEAN_FACE[:, 0] - 0.5) < 0
    np.testing.assert_array_equal(found[near], guessed[near])
    name = "right_jaw" if yaw > 0 else "left_jaw"
    index = 12 if yaw > 0 else 4
    np.testing.assert_allclose(anchors(guessed)[name], truth[index], atol=4)


@pytest.mark.parametrize("name", ["ibug68", "wflw98", "lapa106"])
def test_the_far_side_is_mirrored_for_the_anchors_of_other_schemas_too(name):
    schema, truth = load_schema(name), seen(60)
    guessed = truth.copy()
    guessed[42:48] += (15, 0)
    pose = head_pose(truth[None])
    found, true = (anchors(IBUG68.converted(points, schema), schema, pose) for points in (guessed, truth))
    for eye in ("left_eye", "right_eye", "right_eye_outer"):
        np.testing.assert_allclose(found[eye], true[eye], atol=1)


def test_hardly_turned_faces_keep_their_points():
    points = seen(15)
    assert complete_far_side(points, head_pose(points[None])) is points


def test_places_of_the_head_turn_with_it():
    for name, (x, y, depth) in HEAD_PLACES.items():
        place = (np.array([x, y, depth]) @ rotation(40, 10, -15).T)[:2] * 200 + (300, 250)
        np.testing.assert_allclose(anchors(seen(40, 10, -15))[name], place, atol=2, err_msg=name)


def test_the_head_is_symmetric():
    from facekp.landmarks import IBUG68

    np.testing.assert_array_equal(DEPTH, DEPTH[IBUG68.flip_order])
