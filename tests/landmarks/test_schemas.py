"""The point schemas that come with facekp, and messages for wrong schemas."""

import numpy as np
import pytest
import yaml

from facekp.data.drawn import DrawnFacesDataset
from facekp.errors import UserError
from facekp.inference.faces import Faces
from facekp.landmarks import IBUG68, SCHEMAS, anchors, load_schema, parse_schema
from facekp.stickers import load_sticker

COUNTS = {"ibug68": 68, "five": 5, "wflw98": 98, "lapa106": 106, "jd106": 106, "aflw21": 21, "aflw19": 19, "cofw29": 29}

#: Mirror pairs as published with the baselines of the data sets.
PUBLISHED_PAIRS = {
    "wflw98": [
        *((i, 32 - i) for i in range(16)), (33, 46), (34, 45), (35, 44), (36, 43), (37, 42), (38, 50), (39, 49),
        (40, 48), (41, 47), (60, 72), (61, 71), (62, 70), (63, 69), (64, 68), (65, 75), (66, 74), (67, 73), (55, 59),
        (56, 58), (76, 82), (77, 81), (78, 80), (87, 83), (86, 84), (88, 92), (89, 91), (95, 93), (96, 97),
    ],
    "lapa106": [
        *((i, 32 - i) for i in range(16)), (33, 46), (34, 45), (35, 44), (36, 43), (37, 42), (38, 50), (39, 49),
        (40, 48), (41, 47), (55, 65), (56, 64), (57, 63), (58, 62), (59, 61), (66, 79), (67, 78), (68, 77), (69, 76),
        (70, 75), (71, 82), (72, 81), (73, 80), (74, 83), (84, 90), (85, 89), (86, 88), (95, 91), (94, 92), (96, 100),
        (97, 99), (103, 101), (104, 105),
    ],
    "cofw29": [(0, 1), (2, 3), (4, 6), (5, 7), (8, 9), (10, 11), (12, 14), (13, 15), (16, 17), (18, 19), (22, 23)],
    "aflw19": [(0, 5), (1, 4), (2, 3), (6, 11), (7, 10), (8, 9), (12, 14), (15, 17)],
    "aflw21": [(0, 5), (1, 4), (2, 3), (6, 11), (7, 10), (8, 9), (12, 16), (13, 15), (17, 19)],
}  # fmt: skip


def test_every_schema_has_its_number_of_points():
    assert {name: load_schema(name).num_points for name in SCHEMAS} == COUNTS
    assert load_schema("jd106") is load_schema("lapa106") or load_schema("jd106") == load_schema("lapa106")


@pytest.mark.parametrize("name", PUBLISHED_PAIRS)
def test_mirror_pairs_are_the_published_ones(name):
    pairs = {frozenset(pair) for pair in load_schema(name).mirror_pairs}
    assert pairs == {frozenset(pair) for pair in PUBLISHED_PAIRS[name]}


@pytest.mark.parametrize("name", COUNTS)
def test_a_mirrored_mean_face_is_the_mean_face(name):
    schema = load_schema(name)
    mirrored = (schema.mean_points * [-1, 1] + [1, 0])[schema.flip_order]
    np.testing.assert_allclose(mirrored, schema.mean_points, atol=1e-4)
    np.testing.assert_allclose(schema.face_box(schema.mean_points), [0, 0, 1, 0.965], atol=1e-3)


@pytest.mark.parametrize("name", ["wflw98", "lapa106"])
def test_the_68_points_survive_98_and_106(name):
    there = IBUG68.converted(IBUG68.mean_points, name)
    np.testing.assert_allclose(load_schema(name).converted(there, "ibug68"), IBUG68.mean_points, atol=1e-6)


@pytest.mark.parametrize("name", ["wflw98", "lapa106"])
def test_stickers_work_on_98_and_106_points(name):
    image, points = DrawnFacesDataset(1, size=200, schema=load_schema(name))[0]
    schema = load_schema(name)
    faces = Faces.from_arrays(points[None], schema.face_box(points)[None], [1.0], schema)
    for pack in ("sunglasses", "top_hat"):
        assert np.abs(load_sticker(pack).apply(image, faces).astype(int) - image).max() > 50
    whole = anchors(IBUG68.converted(IBUG68.mean_points, name) * 100, schema)
    for place, (x, y) in anchors(IBUG68.mean_points * 100).items():
        np.testing.assert_allclose(whole[place], (x, y), atol=3, err_msg=place)


def test_a_sticker_says_which_anchor_is_missing():
    schema = load_schema("cofw29")
    faces = Faces.from_arrays(schema.mean_points[None] * 100, [[0, 0, 100, 97]], [1.0], schema)
    with pytest.raises(UserError, match=r"needs the anchor .*, which the points of cofw29 do not give"):
        load_sticker("top_hat").apply(np.zeros((100, 100, 3), np.uint8), faces)


def test_missing_points_do_not_move_the_box_much():
    for name in COUNTS:
        schema = load_schema(name)
        points = schema.mean_points * 200
        points[::3] = np.nan
        np.testing.assert_allclose(schema.face_box(points), [0, 0, 200, 193], atol=1.5, err_msg=name)
    loose = parse_schema({"name": "loose", "points": ["left_a", "right_a", "b"]}, "x")
    assert loose.face_box(np.array([[1, 2], [np.nan, np.nan], [5, 9.0]])).tolist() == [1, 2, 5, 9]


def test_anchors_alone_carry_the_whole_face():
    schema = parse_schema(
        {"name": "own", "points": ["left_pupil", "right_pupil", "lips"], "whole_face": False,
         "anchors": {"left_eye": 0, "right_eye": 1, "mouth": 2}},
        "x",
    )  # fmt: skip
    whole = IBUG68.mean_points * 100 + 7
    points = np.stack([whole[36:42].mean(0), whole[42:48].mean(0), whole[48:60].mean(0)])
    np.testing.assert_allclose(schema.face_box(points), IBUG68.face_box(whole), atol=0.01)


WRONG = [
    ({"points": ["left_eye", "nose"]}, "points: left_eye has no mirror image right_eye; add it, or list mirror_pairs"),
    ({"points": ["a", "a"]}, "points: a is named twice"),
    ({"points": []}, "points: List should have at least 1 item"),
    ({"points": ["a", "b", "c"], "mirror_pairs": [["a", "b"], ["b", "c"]]}, "mirror_pairs: b is in two pairs"),
    ({"points": ["left_a", "right_a", "b", "c"], "mirror_pairs": [["b", "c"]]}, "left_a has no mirror image; add"),
    ({"points": ["a", "b"], "mirror_pairs": [["a", "q"]]}, "mirror_pairs: there is no point 'q'"),
    ({"points": ["a", "b"], "mirror_pairs": [[0, 7]]}, "mirror_pairs: there is no point 7"),
    ({"points": ["a", "b"], "normalise": ["a", "a"]}, "normalise: needs two different points"),
    ({"points": ["a", "b"], "regions": {"x": ["q"]}}, "regions.x: there is no point 'q'"),
    ({"points": ["a", "b"], "regions": {"x": []}}, "regions.x: Value should have at least 1 item"),
    ({"points": ["a", "b"], "regions": {"x": "0-9"}}, "regions.x: there is no point 9"),
    ({"points": ["a", "b"], "mean_face": [[0, 0]]}, "mean_face: needs 2 pairs of numbers"),
    ({"points": ["a", "b"], "mean_face": [[0, 0], [1, float("nan")]]}, "mean_face"),
    ({"points": ["a", "b"], "whole_face": False}, "whole_face: false needs two anchors that ibug68 has as well"),
    ({"points": ["a", "b"], "convert_from": {"none": [0, 1]}}, "convert_from: unknown point schema 'none'"),
    ({"points": ["a", "b"], "convert_from": {"ibug68": [0]}}, "convert_from.ibug68: 1 entries for 2 points"),
    ({"points": ["a", "b"], "convert_from": {"ibug68": [0, 68]}}, "convert_from.ibug68: there is no point 68"),
    ({"points": ["a", "b"], "edgs": []}, "edgs: .*valid keys are name, points"),
    ({"points": ["a", "b"], "name": "../x"}, "name: "),
]


@pytest.mark.parametrize(("values", "message"), WRONG)
def test_a_wrong_schema_names_its_key(tmp_path, values, message):
    path = tmp_path / "own.yml"
    path.write_text(yaml.safe_dump({"name": "own", **values}))
    with pytest.raises(UserError, match=f"own.yml: {message}|own.yml: .*{message}") as caught:
        load_schema(path)
    assert "\n" not in str(caught.value)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UserError, match=r"unknown point schema 'wflw'; known are .*wflw98.*give a YAML file"):
        load_schema("wflw")
