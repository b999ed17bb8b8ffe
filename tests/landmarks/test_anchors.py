import re
from pathlib import Path

import numpy as np
import pytest

from facekp.landmarks import (
    IBUG68,
    MEAN_FACE,
    anchor_names,
    anchors,
    face_outline,
    load_schema,
    parse_schema,
)

FIVE = load_schema("five")


def test_anchors_follow_the_face():
    places = anchors(MEAN_FACE)
    turned = anchors(MEAN_FACE[:, ::-1] * [-1, 1])  # a quarter turn
    for name, (x, y) in places.items():
        np.testing.assert_allclose(turned[name], [-y, x], atol=1e-6, err_msg=name)
    assert places["crown"][1] < places["forehead"][1] < places["brow_centre"][1] < places["chin"][1]
    assert places["left_eye"][0] < places["right_eye"][0]
    assert set(places) == anchor_names()


def test_the_guide_has_the_places_on_the_mean_face():
    guide = Path(__file__).resolve().parents[2] / "docs/stickers.md"
    written = {}
    for names, places in re.findall(
        r"^\| [a-z ]+ \| (`.*`) \| (\(.*\)) \|$", guide.read_text(encoding="utf-8"), re.MULTILINE
    ):
        numbers = [[int(x), int(y)] for x, y in re.findall(r"\((-?\d+), (-?\d+)\)", places)]
        written.update(zip(re.findall("`(.*?)`", names), numbers))
    places = anchors(MEAN_FACE * 1000)
    assert written.keys() == places.keys()
    for name, place in written.items():
        np.testing.assert_allclose(place, places[name], atol=0.51, err_msg=name)


def test_anchors_refuse_another_number_of_points():
    with pytest.raises(ValueError, match=r"\(68, 2\)"):
        anchors(np.zeros((5, 2)))
    with pytest.raises(ValueError, match=r"five .*\(5, 2\)"):
        anchors(MEAN_FACE, FIVE)


def test_five_points_have_only_the_places_that_they_show():
    places = anchors(FIVE.mean_points * 100, FIVE)
    assert set(places) == anchor_names(FIVE) == set(FIVE.anchors)
    np.testing.assert_allclose(places["mouth"], FIVE.mean_points[3:].mean(0) * 100, rtol=1e-6)
    whole = anchors(MEAN_FACE * 100)
    for name in ("left_eye", "right_eye", "nose_tip", "mouth_left", "mouth_right"):
        np.testing.assert_allclose(places[name], whole[name], atol=0.02)


def test_points_that_convert_to_the_68_have_all_places():
    backwards = {"name": "backwards", "points": [f"p{i}" for i in range(68)], "anchors": {"chin": 0, "tongue": 1},
                 "convert": {"ibug68": list(range(67, -1, -1))}}  # fmt: skip
    schema = parse_schema(backwards, "an example")
    places, whole = anchors(MEAN_FACE[::-1], schema), anchors(MEAN_FACE)
    assert set(places) == anchor_names(schema) == {*whole, "tongue"}
    for name in set(whole) - {"chin"}:
        np.testing.assert_allclose(places[name], whole[name], atol=1e-9, err_msg=name)
    np.testing.assert_array_equal(places["chin"], MEAN_FACE[67])  # its own anchors come first


def test_the_outline_is_the_jaw_and_the_forehead():
    outline = face_outline(MEAN_FACE)
    np.testing.assert_allclose(outline[:17], MEAN_FACE[IBUG68.regions["jaw"],], atol=1e-6)
    assert outline[17:, 1].max() < MEAN_FACE[0, 1]
    assert outline[:, 1].min() == pytest.approx(anchors(MEAN_FACE)["forehead"][1], abs=0.01)
