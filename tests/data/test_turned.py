"""Turned heads: the shape learned from labels alone, points that move with the image, and hidden points."""

import random

import cv2
import numpy as np
import pytest
from tests_support import head_in_space, seen_from

from facekp.data.drawn import draw_face
from facekp.data.transforms import FaceCrop
from facekp.data.turned import HeadShape, TurnHead, turn_head
from facekp.errors import UserError
from facekp.landmarks import IBUG68, MEAN_FACE, head_pose
from facekp.vision import geometry


@pytest.fixture(scope="module")
def shape():
    rng = np.random.default_rng(0)
    views = [seen_from(head_in_space(), *rng.uniform(-30, 30, 3)) for _ in range(200)]
    return HeadShape.learn(np.stack(views))


def test_the_shape_is_found_from_flat_points_alone(shape):
    space = head_in_space()

    def distances(points):  # the pose of "straight ahead" is a convention
        return np.linalg.norm(points[:, None] - points, axis=-1)

    np.testing.assert_allclose(distances(shape.points), distances(space), atol=0.01)
    np.testing.assert_allclose(shape.points[:, 0], space[:, 0], atol=1e-3)
    assert shape.points[30, 2] < shape.points[[0, 16], 2].mean() - 0.3  # the nose points to the viewer
    for yaw in (-40, -10, 25):
        assert shape.pose(seen_from(space, yaw, 5, 20)).yaw == pytest.approx(yaw, abs=3)


def test_faces_from_one_side_have_no_shape():
    with pytest.raises(UserError, match="give more"):
        HeadShape.learn(np.stack([MEAN_FACE] * 4))


def test_no_turn_is_the_image_itself(shape):
    image, face = draw_face(seed=1)
    turned = turn_head(image, face, shape, yaw=0)
    np.testing.assert_allclose(turned.points, face, atol=1e-3)
    # A bilinear sample of a step of 255, off by less than 1/32 pixel, OpenCV's grid.
    assert np.abs(turned.image.astype(int) - image)[1:-1, 1:-1].max() <= 255 / 32 + 1
    assert turned.visible.all()


@pytest.mark.parametrize(("yaw", "pitch"), [(20, 0), (-35, 10), (50, -10)])
def test_a_dot_on_a_point_lies_under_the_point_after_turning(shape, yaw, pitch):
    face = seen_from(shape.points, 3, 0, 4, scale=220).astype(np.float32)
    count = 0
    for point in (30, 8, 36, 45, 48, 54, 19, 24):
        image = np.zeros((400, 400, 3), np.uint8)
        cv2.circle(image, [round(float(v) * 16) for v in face[point]], 3 * 16, (255, 255, 255), -1, cv2.LINE_AA, 4)
        turned = turn_head(image, face, shape, yaw, pitch)
        if turned.visible[point]:
            x, y = np.round(turned.points[point]).astype(int)
            assert turned.image[y - 1 : y + 2, x - 1 : x + 2].max() > 128, point
            count += 1
    assert count >= 5


def test_far_side_points_are_hidden_and_near_ones_seen(shape):
    face = seen_from(shape.points, 0, scale=220).astype(np.float32)
    turned = turn_head(np.zeros((400, 400, 3), np.uint8), face, shape, yaw=60)  # towards the right of the image
    assert shape.pose(turned.points).yaw == pytest.approx(60, abs=2)
    far, near = [15, 14, 45, 44], [1, 2, 3, 17, 36, 31, 48]
    assert not turned.visible[far].any() and turned.visible[near].all()
    other = turn_head(np.zeros((400, 400, 3), np.uint8), face, shape, yaw=-60)
    assert not other.visible[IBUG68.flip_order[far]].any() and other.visible[IBUG68.flip_order[near]].all()


def test_angles_have_the_signs_of_head_pose(shape):
    face = seen_from(shape.points, 0, scale=220).astype(np.float32)
    image = np.zeros((400, 400, 3), np.uint8)
    before = head_pose(face[None])
    for yaw, pitch in ((20, 0), (-20, 0), (0, 15), (0, -15)):
        after = head_pose(turn_head(image, face, shape, yaw, pitch).points[None])
        # The average head of `head_pose` is less deep than this one.
        change = np.array([after.yaw[0] - before.yaw[0], after.pitch[0] - before.pitch[0]])
        np.testing.assert_allclose(change, [yaw, pitch], atol=8)


def test_a_head_is_turned_farther_to_its_own_side_and_the_same_by_seed(shape):
    turn = TurnHead(shape, every=1, yaw=(10, 80), pitch=(0, 0))
    for own in (-30, -12, 12, 30):
        face = seen_from(shape.points, own).astype(np.float32)
        results = []
        for _ in range(2):
            random.seed(own)
            results.append(turn((np.zeros((400, 400, 3), np.uint8), face)))
        np.testing.assert_array_equal(results[0][1], results[1][1])
        after = shape.pose(results[0][1]).yaw
        assert np.sign(after) == np.sign(own) and abs(own) + 8 < abs(after) < 84


def test_what_is_not_turned_is_seen_from_the_front_and_not_known_from_the_side(shape):
    turn = TurnHead(shape, every=1e9)
    image = np.zeros((400, 400, 3), np.uint8)
    for own, visible in ((5, 1.0), (35, np.nan)):
        face = seen_from(shape.points, own).astype(np.float32)
        same, points, seen = turn((image, face))
        assert same is image and points is face
        np.testing.assert_array_equal(seen, np.full(68, visible, np.float32))


def test_what_labels_mark_as_hidden_stays_hidden(shape):
    marked = np.ones(68, np.float32)
    marked[[8, 30, 48]] = 0
    image = np.zeros((400, 400, 3), np.uint8)
    for every in (1, 1e9):
        turn = TurnHead(shape, every=every, yaw=(40, 40), pitch=(0, 0))
        for own in (5, 35):
            face = seen_from(shape.points, own).astype(np.float32)
            random.seed(0)
            before = turn((image, face))[2]
            random.seed(0)
            after = turn((image, face, marked))[2]
            np.testing.assert_array_equal(after[marked == 0], 0)
            if every == 1 or own == 5:
                np.testing.assert_array_equal(after[marked == 1], before[marked == 1])
            else:  # from the side only the labels tell
                np.testing.assert_array_equal(after, marked)


def test_visibility_is_mirrored_with_its_points():
    face = (MEAN_FACE * 60 + 20).astype(np.float32)
    seen = np.arange(68, dtype=np.float32)
    _, _, after = FaceCrop(64, flip=1.0)((np.zeros((100, 100, 3), np.uint8), face, seen))
    np.testing.assert_array_equal(after, seen[IBUG68.flip_order])
    _, points, after = FaceCrop(64)((np.zeros((100, 100, 3), np.uint8), face, seen))
    np.testing.assert_array_equal(after, seen)
    np.testing.assert_allclose(geometry.bounding_box(points)[[0, 2]].mean(), 31.5, atol=1)
