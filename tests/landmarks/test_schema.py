import dataclasses
import json

import numpy as np
import pytest
import yaml

from facekp.errors import UserError
from facekp.landmarks import IBUG68, MEAN_FACE, SCHEMAS, load_schema, parse_schema
from facekp.landmarks.schema import FOLDER, MAX_BYTES
from facekp.vision import geometry

FIVE = load_schema("five")

#: Eight points of a cat; the names of mirrored points differ in the side only.
CAT = {
    "name": "cat",
    "points": ["left_ear", "right_ear", "left_eye", "right_eye", "nose", "chin", "mouth_left", "mouth_right"],
    "regions": {"ears": "0-1", "muzzle": ["nose", "mouth_left", 7, "chin"], "nose": 4},
    "normalise": ["left_eye", 3],
    "edges": [{"points": ["mouth_left", "chin", "mouth_right"]}, {"points": "3-0", "closed": True}],
    "anchors": {"left_eye": "left_eye", "right_eye": 3, "mouth": "6-7"},
    "convert": {"five": [2, 3, "nose", [6], "mouth_right"], "sides": ["0-1", ["left_eye", "3-5"]]},
}


def changed(**values):
    return {**CAT, **values}


def test_what_a_file_says():
    cat = parse_schema(CAT, "an example")
    assert (cat.name, cat.num_points, cat.points[4]) == ("cat", 8, "nose")
    assert cat.mirror_pairs == ((0, 1), (2, 3), (6, 7))  # from the names
    assert cat.flip_order.tolist() == [1, 0, 3, 2, 4, 5, 7, 6]
    assert cat.regions == {"ears": (0, 1), "muzzle": (4, 6, 7, 5), "nose": (4,)}
    assert cat.normalise == (2, 3)
    assert cat.edges == (((6, 5, 7), False), ((3, 2, 1, 0), True))
    assert cat.anchors == {"left_eye": (2,), "right_eye": (3,), "mouth": (6, 7)}
    assert cat.convert == {"five": ((2,), (3,), (4,), (6,), (7,)), "sides": ((0, 1), (2, 3, 4, 5))}
    assert cat.mean_face is None and cat.whole_face
    with pytest.raises(ValueError, match="cat has no mean face"):
        _ = cat.mean_points


def test_sides_are_whole_words_of_a_name_and_points_of_the_middle_stay():
    schema = parse_schema({"name": "n", "points": ["upleft", "inner_right_top", "inner_left_top", "left"[::-1]]}, "")
    assert schema.mirror_pairs == ((2, 1),)
    assert schema.flip_order.tolist() == [0, 2, 1, 3]


@pytest.mark.parametrize(
    ("left", "right"), [("leftEye", "rightEye"), ("eyeLeft", "eyeRight"), ("Left_eye", "Right_eye"), ("左眼", "右眼"),
                        ("EYE_LEFT", "EYE_RIGHT"), ("left-eye", "right-eye"), ("eye left", "eye right")]
)  # fmt: skip
def test_sides_of_names_in_other_spellings(left, right):
    points = [right, "nose", left, "brightest", "upright", "cleft"]
    schema = parse_schema({"name": "n", "points": points}, "")
    assert schema.mirror_pairs == ((2, 0),)
    schema.need_mirror_pairs("a test")


def test_a_key_that_stands_twice_is_told(tmp_path):
    (tmp_path / "n.yml").write_text("name: n\npoints: [left_a, right_a]\npoints: [left_b, right_b]\n")
    with pytest.raises(UserError, match="'points' occurs twice"):
        load_schema(tmp_path / "n.yml")


def test_listed_pairs_replace_those_of_the_names():
    plain = {"name": "plain", "points": ["a", "b", "c", "d"]}
    assert parse_schema(plain, "").flip_order.tolist() == [0, 1, 2, 3]
    assert parse_schema({**plain, "mirror_pairs": [["a", "c"], [1, "d"]]}, "").mirror_pairs == ((0, 2), (1, 3))
    with pytest.raises(UserError, match="has no mirror image; add"):
        parse_schema(changed(mirror_pairs=[]), "")


def test_a_name_that_looks_like_a_range_is_a_name():
    schema = parse_schema({"name": "n", "points": ["a", "0-1", "b"], "regions": {"one": "0-1", "two": "0-2"}}, "")
    assert schema.regions == {"one": (1,), "two": (0, 1, 2)}


WRONG = {
    "nothing": (None, "not a point schema"),
    "a list": ([CAT], "not a point schema"),
    "no name": ({"points": ["a"]}, "name: Field required"),
    "a name with a slash": (changed(name="../cat"), "name: String should match"),
    "no points": (changed(points=[]), "points: List should have at least 1 item"),
    "numbers for points": (changed(points=[0, 1]), r"points\.0: Input should be a valid string"),
    "too many points": (changed(points=[f"p{i}" for i in range(1001)]), "points: List should have at most 1000"),
    "twice the same": (changed(points=["a", "b", "a"]), "points: a is named twice"),
    "unknown key": (changed(mirror=[]), "mirror: Extra inputs .*valid keys are name, points, mirror_pairs"),
    "no mirror image": (changed(points=[*CAT["points"], "left_paw"]), "left_paw has no mirror image right_paw; add it"),
    "asymmetric pair": (changed(mirror_pairs=[[0, 1], [1, 2]]), "right_ear is in two pairs"),
    "mirrored to itself": (changed(mirror_pairs=[[4, 4]]), "nose is in two pairs"),
    "half a pair": (changed(mirror_pairs=[[0]]), r"mirror_pairs\.0"),
    "unknown point": (changed(regions={"tail": "tail"}), "regions.tail: there is no point 'tail'; .* from 0 to 7"),
    "index too large": (changed(anchors={"tail": 8}), "anchors.tail: there is no point 8"),
    "negative index": (changed(normalise=[-1, 2]), "normalise: there is no point -1"),
    "range too long": (changed(regions={"all": "0-8"}), "regions.all: there is no point 8"),
    "range of names": (changed(edges=[{"points": "nose-chin"}]), "edges: there is no point 'nose-chin'"),
    "true": (changed(regions={"a": True}), "regions.a"),
    "a fraction": (changed(regions={"a": 1.5}), "regions.a"),
    "empty region": (changed(regions={"a": []}), "regions.a.*at least 1 item"),
    "endless region": (changed(regions={"a": ["0-7"] * 200}), "regions.a: names more than 1000 points"),
    "unknown edge key": (
        changed(edges=[{"points": 0, "close": True}]),
        r"edges\.0\.close: .*valid keys are points, closed",
    ),
    "same point twice": (changed(normalise=["nose", 4]), "normalise: needs two different points"),
    "other normalisation": (changed(normalise="eyes"), "normalise"),
    "short mean face": (changed(mean_face=[[0, 0]]), "mean_face: needs 8 pairs"),
    "mean face of one place": (changed(mean_face=[[1, 2]] * 8), "mean_face: all points coincide"),
    "NaN in the mean face": (changed(mean_face=[[0, float("nan")]] * 8), r"mean_face\.0\.1"),
    "infinite mean face": (changed(mean_face=[[0, 1e300]] * 8), r"mean_face\.0\.1"),
    "half a face, of no shape": (changed(whole_face=False, anchors={}), "whole_face: false needs"),
    "short conversion": (changed(convert={"ibug68": [0, 1]}), "convert.ibug68: needs 68 entries"),
    "conversion of nothing": (changed(convert={"ibug68": [[]] * 68}), "convert.ibug68.0"),
    "another's name": (changed(name="ibug68"), "name: ibug68 is the schema of 68 points"),
}


@pytest.mark.parametrize(("values", "message"), WRONG.values(), ids=WRONG)
def test_a_malformed_schema_is_told_in_a_line(values, message):
    with pytest.raises(UserError, match=rf"^cat\.yml: {message}|^cat\.yml: .*{message}") as caught:
        parse_schema(values, "cat.yml")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [*SCHEMAS, "cat"])
def test_a_schema_comes_back_from_its_plain_values(name):
    schema = parse_schema(CAT, "") if name == "cat" else load_schema(name)
    for values in (schema.to_dict(), json.loads(json.dumps(schema.to_dict())), yaml.safe_load(yaml.dump(
            json.loads(json.dumps(schema.to_dict()))))):  # fmt: skip
        assert parse_schema(values, "") == schema
    assert hash(parse_schema(schema.to_dict(), "")) == hash(schema)
    assert dataclasses.replace(schema, name="other") != schema


def test_schemas_come_from_files_and_from_the_registry(tmp_path, monkeypatch):
    path = tmp_path / "cat.yml"
    path.write_text(yaml.dump(CAT))
    cat = load_schema(path)
    assert cat == load_schema(str(path)) == parse_schema(CAT, "")
    monkeypatch.setitem(SCHEMAS, "cat", cat)
    assert load_schema("cat") is cat
    monkeypatch.setitem(SCHEMAS, "cat", path)
    assert load_schema("cat") == cat
    assert load_schema("ibug68") is IBUG68
    assert {path.stem for path in FOLDER.iterdir()} <= set(SCHEMAS)


FILES = {
    "not YAML": (b"points: [a, b", "not valid YAML"),
    "no text": (b"\xff\xfe\x00", "not valid YAML"),
    "code": (b"!!python/object/apply:os.system ['true']", "not valid YAML"),
    "empty": (b"", "not a point schema"),
    "too large": (b"#" * (MAX_BYTES + 1), "larger than 1 MiB"),
    "malformed": (b"name: cat", "points: Field required"),
}


@pytest.mark.parametrize(("text", "message"), FILES.values(), ids=FILES)
def test_what_is_no_schema_file_is_told_in_a_line(tmp_path, text, message):
    (tmp_path / "cat.yml").write_bytes(text)
    with pytest.raises(UserError, match=rf"cat\.yml: {message}") as caught:
        load_schema(tmp_path / "cat.yml")
    assert "\n" not in str(caught.value)


def test_unknown_and_missing_schemas_are_named(tmp_path):
    with pytest.raises(UserError, match=r"unknown point schema 'ibug86'; known are .*ibug68.*, or give a YAML file"):
        load_schema("ibug86")
    with pytest.raises(UserError, match=r"none\.yml: cannot be read"):
        load_schema(tmp_path / "none.yml")
    with pytest.raises(UserError, match=r"cannot be read"):
        (tmp_path / "folder.yml").mkdir()
        load_schema(tmp_path / "folder.yml")


def test_regions_and_edges_cover_every_one_of_the_68_points():
    assert sorted(i for region in IBUG68.regions.values() for i in region) == list(range(68))
    assert {i for indices, _ in IBUG68.edges for i in indices} == set(range(68))


@pytest.mark.parametrize("name", ["ibug68", "five"])
def test_flip_order_is_its_own_inverse_and_mirrors_the_mean_face(name):
    schema = load_schema(name)
    order = schema.flip_order
    assert (order[order] == np.arange(schema.num_points)).all()
    mirrored = (schema.mean_points * [-1, 1] + [1, 0])[order]
    np.testing.assert_allclose(mirrored, schema.mean_points, atol=0.0015 if name == "ibug68" else 1e-6)
    assert (order == np.arange(schema.num_points)).sum() == {"ibug68": 10, "five": 1}[name]


def test_the_unit_is_the_distance_of_the_eyes():
    faces = np.stack([MEAN_FACE, MEAN_FACE * 2])
    np.testing.assert_allclose(IBUG68.unit(faces), [0.606, 1.212], atol=1e-3)
    left, right = FIVE.mean_points[:2]
    assert FIVE.unit(FIVE.mean_points) == right[0] - left[0] > 0


@pytest.mark.filterwarnings("error")
def test_without_a_pair_the_unit_is_the_diagonal_of_the_box():
    schema = parse_schema(changed(normalise="box"), "")
    assert schema.normalise is None and schema.to_dict()["normalise"] == "box"
    points = np.full((3, 8, 2), 5.0)
    points[:, 0], points[:, 1] = [2, 1], [5, 5]
    points[1, 2:] = np.nan  # unknown points change nothing
    points[2] = np.nan
    np.testing.assert_allclose(schema.unit(points), [5, 5, np.nan])
    assert np.isnan(parse_schema(CAT, "").unit(points[1]))  # its pair is unknown


def test_the_box_of_five_points_is_that_of_the_face_around_them():
    turn = geometry.compose(geometry.rotation(20), geometry.scaling(80), geometry.translation(100, 50))
    expected = geometry.bounding_box(geometry.apply(turn, MEAN_FACE))
    five = geometry.apply(turn, FIVE.mean_points)
    np.testing.assert_allclose(FIVE.face_box(five), expected, atol=1e-3)
    np.testing.assert_allclose(IBUG68.face_box(geometry.apply(turn, MEAN_FACE)), expected, atol=1e-6)
    five[[1, 3]] = np.nan, 7
    five[3, 1] = np.nan
    np.testing.assert_allclose(FIVE.face_box(five), expected, atol=1e-3)  # three points give the same box


def test_the_box_is_around_the_known_points():
    points = np.float32([[1, 2], [30, 40], [np.nan, 99], [5, 6]])
    schema = parse_schema({"name": "n", "points": ["a", "b", "c", "d"]}, "")
    assert schema.face_box(points).tolist() == [1, 2, 30, 40]
    assert schema.face_box(np.int64([[1, 2], [30, 40], [5, 6], [7, 8]])).tolist() == [1, 2, 30, 40]
    assert np.isnan(schema.face_box(np.full((4, 2), np.nan))).all()
    assert np.isnan(FIVE.face_box(np.full((5, 2), np.nan))).all()
    whole = FIVE.face_box((FIVE.mean_points * 1000).round().astype(int))
    np.testing.assert_allclose(whole, geometry.bounding_box(MEAN_FACE * 1000), atol=1)


def test_points_become_those_of_another_schema():
    cat = parse_schema(CAT, "")
    points = np.arange(32, dtype=np.float32).reshape(2, 8, 2)
    assert cat.converted(points, "cat") is points
    assert cat.converted(points, "ibug68") is None
    five = cat.converted(points, "five")
    assert five.shape == (2, 5, 2) and five.dtype == np.float32
    np.testing.assert_array_equal(five, points[:, [2, 3, 4, 6, 7]])
    np.testing.assert_array_equal(cat.converted(points, "sides")[1], [points[1, :2].mean(0), points[1, 2:6].mean(0)])


def test_one_name_for_different_points_is_told():
    cat, reordered = parse_schema(CAT, ""), parse_schema(changed(points=CAT["points"][::-1]), "")
    assert cat.converted(np.zeros((8, 2)), parse_schema(changed(edges=[]), "")).shape == (8, 2)
    with pytest.raises(UserError, match="two schemas are called cat, but have different points; rename one"):
        cat.conversion(reordered)


def test_a_conversion_to_more_or_fewer_points_than_there_are_is_told():
    sides = parse_schema({"name": "sides", "points": ["left_side", "right_side", "chin"]}, "")
    with pytest.raises(UserError, match=r"cat: convert\.sides: has 2 entries, but sides has 3 points"):
        parse_schema(CAT, "").conversion(sides)
    with pytest.raises(UserError, match=r"cat: convert\.five: has 4 entries, but five has 5 points"):
        parse_schema(changed(convert={"five": [2, 3, 4, 6]}), "").conversion("five")


def test_what_to_add_where_no_conversion_is_known():
    cat, dog = parse_schema(CAT, ""), parse_schema(changed(name="dog", convert={}), "")
    assert str(dog.no_conversion(cat)).endswith("add convert: cat to dog")
    assert str(IBUG68.no_conversion(cat)).endswith("add convert_from: ibug68 to cat")
