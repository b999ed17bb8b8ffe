import numpy as np
import pytest

from facekp.landmarks import (
    CURVES,
    EYES,
    FLIP_ORDER,
    FLIP_ORDERS,
    MEAN_FACE,
    MEAN_FIVE,
    REGIONS,
    anchors,
    eye_distance,
    face_box,
    mouth_openness,
)
from facekp.vision import geometry


def test_regions_cover_every_point_once():
    assert sorted(i for region in REGIONS.values() for i in region) == list(range(68))


def test_flip_order_is_its_own_inverse_and_mirrors_the_mean_face():
    assert (FLIP_ORDER[FLIP_ORDER] == np.arange(68)).all()
    mirrored = (MEAN_FACE * [-1, 1] + [1, 0])[FLIP_ORDER]
    np.testing.assert_allclose(mirrored, MEAN_FACE, atol=0.0015)


def test_curves_draw_every_point():
    assert {i for indices, _ in CURVES for i in indices} == set(range(68))


def test_anchors_follow_the_face():
    places = anchors(MEAN_FACE)
    turned = anchors(MEAN_FACE[:, ::-1] * [-1, 1])  # a quarter turn
    for name, (x, y) in places.items():
        np.testing.assert_allclose(turned[name], [-y, x], atol=1e-6, err_msg=name)
    assert places["crown"][1] < places["forehead"][1] < places["brow_centre"][1] < places["chin"][1]
    assert places["left_eye"][0] < places["right_eye"][0]


def test_anchors_refuse_five_points():
    with pytest.raises(ValueError, match=r"\(68, 2\)"):
        anchors(np.zeros((5, 2)))


def test_eye_distance_and_mouth():
    faces = np.stack([MEAN_FACE, MEAN_FACE * 2])
    np.testing.assert_allclose(eye_distance(faces), [0.606, 1.212], atol=1e-3)
    opened = MEAN_FACE.copy()
    opened[[65, 66, 67], 1] += 0.2
    assert mouth_openness(MEAN_FACE) < 0.15 < 0.3 < mouth_openness(opened)


def test_five_points_mirror_onto_themselves():
    order = FLIP_ORDERS[5]
    assert (order[order] == np.arange(5)).all()
    np.testing.assert_allclose((MEAN_FIVE * [-1, 1] + [1, 0])[order], MEAN_FIVE, atol=1e-6)
    left, right = EYES[5]
    assert eye_distance(MEAN_FIVE) == MEAN_FIVE[right[0], 0] - MEAN_FIVE[left[0], 0] > 0


def test_the_box_of_five_points_is_that_of_the_face_around_them():
    turn = geometry.compose(geometry.rotation(20), geometry.scaling(80), geometry.translation(100, 50))
    expected = geometry.bounding_box(geometry.apply(turn, MEAN_FACE))
    np.testing.assert_allclose(face_box(geometry.apply(turn, MEAN_FIVE)), expected, atol=1e-3)
    np.testing.assert_allclose(face_box(geometry.apply(turn, MEAN_FACE)), expected, atol=1e-6)
