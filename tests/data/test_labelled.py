"""Labels as sources of faces: splits, validation files, missing and hidden points, mistakes in whole files."""

import json
from pathlib import Path

import numpy as np
import pytest

from facekp.data.coco_file import write_coco
from facekp.data.combine import JoinedDataset
from facekp.data.composed import images_of
from facekp.data.dataset import Draw
from facekp.data.drawn import DrawnFacesDataset
from facekp.data.formats import parse_source
from facekp.data.labels import Labels, make_face
from facekp.data.statistics import crop_statistics, with_mean_face
from facekp.data.transforms import build_transforms
from facekp.errors import FacekpWarning, UserError
from facekp.io.images import write_image
from facekp.landmarks import IBUG68, load_schema, parse_schema


@pytest.fixture
def drawn(tmp_path):
    """Write drawn faces as image files with labels of any schema; return the source."""

    def draw(name, count=10, change=None, visibility=None):
        schema = load_schema(name)
        source = DrawnFacesDataset(count, schema=schema)
        faces = []
        for i in range(count):
            image, points = source[i]
            path = tmp_path / "images" / f"{i:02d}.png"
            write_image(path, image)
            places = points if change is None else change(points)
            faces.append(make_face(schema, path, places.round(3), visibility, where=f"face {i}"))
        write_coco(Labels(schema, faces), tmp_path / f"{name}.json", tmp_path)
        return {"type": "coco", "labels": str(tmp_path / f"{name}.json"), "schema": name}

    return draw


def test_every_tenth_image_is_held_out_or_another_file(drawn):
    source = drawn("wflw98", 20)
    split = parse_source(source).load()
    assert [len(split.train[0]), len(split.validation[0])] == [18, 2]
    split = parse_source({**source, "validation": source["labels"]}).load()
    assert [len(split.train[0]), len(split.validation[0])] == [20, 20]
    split.train[0].check()
    assert split.train[0].name(0) == "images/00.png"
    assert split.train[0].kind == "coco"


def test_98_points_become_68(drawn):
    source = parse_source({**drawn("wflw98"), "convert_to": "ibug68"})
    assert source.schema_of_points.name == "ibug68"
    part = source.load().train[0]
    own = DrawnFacesDataset(10)
    index = [part.name(i) for i in range(len(part))].index("images/03.png")
    np.testing.assert_allclose(part[index][1], own[3][1], atol=0.01)


def test_an_unknown_conversion_is_told(drawn):
    with pytest.raises(UserError, match="no conversion from wflw98 to lapa106 is known; add convert_from: wflw98"):
        parse_source({**drawn("wflw98"), "convert_to": "lapa106"}).load()


def test_swapped_x_and_y_are_refused(drawn):
    source = drawn("wflw98", change=lambda points: points[:, ::-1])
    with pytest.raises(UserError, match="left and right lie above one another in 10 of 10 faces; are x and y swapped"):
        parse_source(source).load()


def test_another_unit_is_refused(drawn):
    part = parse_source(drawn("wflw98", change=lambda points: points / 1000)).load().train[0]
    with pytest.raises(UserError, match=r"annotations.1: its points span 0\.\d+ pixels; points are in pixels"):
        part.check()


def test_points_in_other_pixels_are_refused(drawn):
    part = parse_source(drawn("wflw98", change=lambda points: points * 10)).load().train[0]
    with pytest.raises(UserError, match="is far outside the 160x160"):
        part.check()


def test_options_that_are_wrong_name_the_right_ones(drawn):
    with pytest.raises(UserError, match="unknown option shema; known are weight, labels, validation, hold_out, images, "
                                        "schema, convert_to"):  # fmt: skip
        parse_source({**drawn("wflw98"), "shema": "x"})
    with pytest.raises(UserError, match="unknown point schema 'x'"):
        parse_source({**drawn("wflw98"), "schema": "x"}).load()


def test_labels_of_no_face_are_refused(tmp_path):
    path = tmp_path / "none.json"
    path.write_text(json.dumps({"images": [], "annotations": [],
                                "categories": [{"id": 1, "keypoints": list(IBUG68.points)}]}))  # fmt: skip
    with pytest.raises(UserError, match="contains no labelled face"):
        parse_source({"type": "coco", "labels": str(path)}).load()


def test_a_schema_beside_the_package_is_enough(tmp_path, drawn):
    source = drawn("cofw29")
    (tmp_path / "own.yml").write_text(json.dumps({**load_schema("cofw29").to_dict(), "name": "own"}))
    part = parse_source({**source, "schema": str(tmp_path / "own.yml")}).load().train[0]
    assert part.schema.name == "own" and part.schema.num_points == 29


def test_hidden_points_count_as_often_as_they_weigh(drawn):
    visibility = np.full(98, 2)
    visibility[60:68] = 1
    part = parse_source(drawn("wflw98", visibility=visibility)).load().train[0]
    assert np.isfinite(JoinedDataset([part])[0][1]).all()
    faces = JoinedDataset([part], hidden_weight=0.3)
    known = np.mean([np.isfinite(faces[Draw(0, seed)][1]).all(1) for seed in range(300)], 0)
    assert (known[visibility == 2] == 1).all()
    assert abs(known[visibility == 1].mean() - 0.3) < 0.05
    one, other = (faces[Draw(0, 7)][1] for _ in range(2))
    np.testing.assert_array_equal(one, other)
    faces = JoinedDataset([part], hidden_weight=0.0)
    assert np.isnan(faces[Draw(0, 1)][1][60:68]).all()


def test_the_mean_face_omits_missing_points_and_is_upright():
    schema = parse_schema({"name": "own", "points": list(IBUG68.points)}, "x")
    faces = np.stack([DrawnFacesDataset(60)[i][1] for i in range(60)])
    whole = with_mean_face(schema, faces)
    some = faces.copy()
    some[::2, 36:42] = np.nan
    np.testing.assert_allclose(with_mean_face(schema, some).mean_points, whole.mean_points, atol=0.02)
    np.testing.assert_allclose(whole.mean_points, IBUG68.mean_points, atol=0.08)
    assert whole.mean_points[:, 0].min() == 0 and whole.mean_points[:, 0].max() == pytest.approx(1)
    some[:, 8] = np.nan
    with pytest.raises(UserError, match="no face of the training has a label for the point chin"):
        with_mean_face(schema, some)


def test_crop_statistics_omit_missing_points(drawn):
    pipeline = build_transforms([{"type": "FaceCrop", "size": 100}], load_schema("wflw98"))
    whole = JoinedDataset([parse_source(drawn("wflw98")).load().train[0]], pipeline)

    def spoil(points):
        return np.where(np.arange(98)[:, None] % 7 == 3, np.nan, points)

    before = crop_statistics(whole, 100)
    spoilt = JoinedDataset([parse_source(drawn("wflw98", change=spoil)).load().train[0]], pipeline)
    after = crop_statistics(spoilt, 100)
    np.testing.assert_allclose(after.mean_points, before.mean_points, atol=0.05)
    np.testing.assert_allclose(after.side, before.side, atol=0.03)


def test_formats_imply_their_schema():
    assert parse_source({"type": "lapa", "labels": "x"}).schema_of_points.num_points == 106
    assert parse_source({"type": "pts", "root": "x"}).schema_of_points.num_points == 68
    assert parse_source({"type": "pts", "root": "x", "schema": "wflw98"}).schema_of_points.num_points == 98
    assert Path(parse_source({"type": "pts", "root": "x"}).labels) == Path("x")


BOXES = {
    "csv": (
        "boxes.csv",
        "image,box_x0,box_y0,box_x1,box_y1\na.png,10,20,59,79\n",
    ),
    "coco": (
        "boxes.json",
        json.dumps(
            {
                "images": [{"id": 1, "file_name": "a.png"}],
                "categories": [{"id": 3, "name": "face"}],
                "annotations": [{"id": 1, "image_id": 1, "category_id": 3, "bbox": [10, 20, 49, 59]}],
            }
        ),
    ),
    "imglab": (
        "boxes.xml",
        "<dataset><images><image file='a.png'><box left='10' top='20' width='50' height='60'/></image></images>"
        "</dataset>",
    ),
}


@pytest.mark.parametrize("kind", BOXES)
def test_faces_may_have_boxes_in_place_of_points(tmp_path, kind):
    write_image(tmp_path / "a.png", np.zeros((100, 90, 3), np.uint8))
    name, text = BOXES[kind]
    (tmp_path / name).write_text(text)
    source = {"type": kind, "labels": str(tmp_path / name), "validation": str(tmp_path / name), "boxes": True}
    part = parse_source(source).load().train[0]
    part.check()
    assert len(part) == 1 and part.box_alone(0).tolist() == [10, 20, 59, 79] and part.schema.name == "ibug68"
    (image,) = images_of(part)
    assert image.faces[0].is_box and image.faces[0].points.tolist() == [[10, 20], [59, 20], [59, 79], [10, 79]]
    if kind != "coco":  # csv and imglab need a schema of the points
        source["schema"] = "ibug68"
    with pytest.raises(UserError, match="points") if kind != "imglab" else pytest.warns(FacekpWarning, match="omitted"):
        parse_source({**source, "boxes": False}).load()


def test_boxes_that_cannot_be_right_are_named(tmp_path):
    write_image(tmp_path / "a.png", np.zeros((100, 90, 3), np.uint8))
    labels = tmp_path / "boxes.csv"
    small, outside = "its box spans 3 pixels; boxes are in", r"corner 1 at \(59, 200\) is far outside"
    for box, message in (("10,20,12,23", small), ("10,20,59,200", outside)):
        labels.write_text(f"image,box_x0,box_y0,box_x1,box_y1\na.png,{box}\n")
        part = parse_source({"type": "csv", "labels": str(labels), "validation": str(labels), "boxes": True}).load()
        with pytest.raises(UserError, match=rf"boxes\.csv: row 1 \(a\.png\): {message}"):
            part.train[0].check()
    file = tmp_path / "boxes.json"
    categories = [{"id": 1, "name": "face"}, {"id": 2, "name": "dog"}]
    file.write_text(json.dumps({"images": [], "categories": categories, "annotations": []}))
    with pytest.raises(UserError, match=r"boxes\.json: has 2 categories without keypoints; with boxes: true"):
        parse_source({"type": "coco", "labels": str(file), "boxes": True}).load()


def test_faces_that_are_omitted_are_told(drawn):
    one = [2] + [0] * 97
    with pytest.warns(
        FacekpWarning, match=r"annotations\.\d+ and \d more: fewer than two points are labelled; omitted"
    ):
        parse_source(drawn("wflw98", visibility=one)).load()
