"""Every format of labels: reading a small handmade file, round trips, and messages for wrong files."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from facekp.data.formats import FORMATS, labels_source
from facekp.data.labels import Labels, make_face, reduced
from facekp.errors import UserError
from facekp.landmarks import load_schema

FOUR = """
name: four
points: [left_eye, right_eye, nose, chin]
regions: {eyes: 0-1}
normalise: [left_eye, right_eye]
edges: [{points: [left_eye, nose, right_eye]}]
"""
PLACES = [[30.5, 40], [70, 41], [50, 60.25], [51, 90]]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("four.yml").write_text(FOUR)
    for name in ("a.png", "b.png"):
        cv2.imwrite(name, np.zeros((100, 120, 3), np.uint8))
    return tmp_path


def coco():
    return {
        "images": [{"id": 7, "file_name": "a.png"}, {"id": 8, "file_name": "b.png"}],
        "categories": [{"id": 1, "name": "face", "keypoints": ["left_eye", "right_eye", "nose", "chin"]}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 1, "bbox": [20, 30, 70, 65.5], "iscrowd": 0,
             "keypoints": [30.5, 40, 2, 70, 41, 1, 50, 60.25, 2, 0, 0, 0], "attributes": {"blur": True, "pose": False}},
            {"id": 2, "image_id": 8, "category_id": 1, "keypoints": [30, 40, 2, 70, 41, 2, 50, 60, 2, 51, 90, 2]},
        ],
    }  # fmt: skip


def csv():
    return (
        "image,box_x0,box_y0,box_x1,box_y1,left_eye_x,left_eye_y,right_eye_x,right_eye_y,right_eye_v,nose_x,nose_y,"
        "chin_x,chin_y\n"
        "a.png,20,30,90,95.5,30.5,40,70,41,1,50,60.25,,\n"
        "b.png,,,,,30,40,70,41,2,50,60,51,90\n"
    )


def imglab():
    return (
        '<?xml version="1.0"?>\n<dataset><name>n</name><images>\n'
        '<image file="a.png"><box top="30" left="20" width="71" height="66"><label>x</label>'
        '<part name="left_eye" x="30" y="40"/><part name="nose" x="50" y="60"/></box>'
        '<box top="1" left="1" width="5" height="5" ignore="1"/></image>\n'
        '<image file="b.png"><box top="40" left="30" width="41" height="51">'
        '<part name="0" x="30" y="40"/><part name="1" x="70" y="41"/><part name="02" x="50" y="60"/>'
        '<part name="3" x="51" y="90"/></box></image>\n</images></dataset>\n'
    )


def labelme():
    def shape(label, place, group, kind="point", **flags):
        return {"label": label, "points": place, "group_id": group, "shape_type": kind, "flags": flags}

    return {
        "imagePath": "a.png",
        "shapes": [
            shape("left_eye", [[30.5, 40]], 1), shape("right_eye", [[70, 41]], 1, hidden=True),
            shape("nose", [[50, 60.25]], 1), shape("face", [[90, 30], [20, 95.5]], 1, "rectangle"),
            shape("chin", [[51, 90]], 2), shape("nose", [[50, 60]], 2),
        ],
    }  # fmt: skip


def pts():
    return "version: 1\nn_points: 4\n{\n31.5 41\n71 42\n51 61.25\n52 91\n}\n"


def wflw():
    points = load_schema("wflw98").mean_points * 60 + 20
    return " ".join(f"{v:.4f}" for v in points.ravel()) + " 15 15 85 85 1 0 0 0 1 0 a.png\n"


def lapa():
    points = load_schema("lapa106").mean_points * 60 + 20
    return "106\n" + "\n".join(f"{x:.3f} {y:.3f}" for x, y in points) + "\n"


def write(name, content):
    """Write the content of a format's file; return the path for its reader."""
    if name in ("coco", "labelme"):
        text = content if isinstance(content, str) else json.dumps(content)
        path = Path("labels.json") if name == "coco" else Path("labelme.json")
        path.write_text(text)
        return path
    if name == "pts":
        Path("a.pts").write_text(content)
        return Path()
    if name == "lapa":
        Path("landmarks").mkdir(exist_ok=True)
        Path("landmarks/a.txt").write_text(content)
        return Path()
    path = Path(f"labels.{ {'csv': 'csv', 'imglab': 'xml', 'wflw': 'txt'}[name] }")
    path.write_text(content)
    return path


def read(name, path, **options):
    schema = None if name in ("wflw", "lapa", "cofw", "aflw") else "four.yml"
    images = Path() if name == "lapa" else None
    return labels_source(name, path, options.get("schema", schema), images).read(path)


MAKERS = {"coco": coco, "csv": csv, "imglab": imglab, "labelme": labelme, "pts": pts, "wflw": wflw, "lapa": lapa}
SEEN = {  # visibility of the first face and, if there is one, of the second
    "coco": [[2, 1, 2, 0], [2, 2, 2, 2]],
    "csv": [[2, 1, 2, 0], [2, 2, 2, 2]],
    "imglab": [[2, 0, 2, 0], [2, 2, 2, 2]],
    "labelme": [[2, 1, 2, 0], [0, 0, 2, 2]],
    "pts": [[2, 2, 2, 2]],
    "wflw": [[2] * 98],
    "lapa": [[2] * 106],
}


@pytest.mark.parametrize("name", MAKERS)
def test_reads_a_file_made_by_hand(folder, name):
    labels = read(name, write(name, MAKERS[name]()))
    assert [face.visibility.tolist() for face in labels.faces] == SEEN[name]
    assert all(face.image.name in ("a.png", "b.png") and face.image.is_file() for face in labels.faces)
    if labels.schema.name == "four":
        expected = np.floor(PLACES[0]) if name == "imglab" else PLACES[0]
        np.testing.assert_allclose(labels.faces[0].points[0], expected)
    if name in ("coco", "csv", "labelme", "imglab"):
        np.testing.assert_allclose(labels.faces[0].box, [20, 30, 90, 95 if name == "imglab" else 95.5])
        assert np.isnan(labels.faces[0].points[3]).all()
    assert labels.faces[0].attributes == {"coco": ("blur",), "wflw": ("pose", "occlusion")}.get(name, ())


@pytest.mark.parametrize("target", ["coco", "csv", "imglab", "pts"])
@pytest.mark.parametrize("name", MAKERS)
def test_round_trips_lose_nothing_that_the_format_holds(folder, name, target):
    labels = read(name, write(name, MAKERS[name]()))
    kind = FORMATS[target]
    kept = reduced(labels, kind.holds, lossy=True, where="out")
    if not kept.faces:
        return  # all faces have missing points, which .pts cannot hold
    output = Path("out", {"coco": "x.json", "csv": "x.csv", "imglab": "x.xml", "pts": "x"}[target])
    folder_of_names = Path() if target == "pts" else output.parent
    kind.write(kept, output, folder_of_names)
    schema = "four.yml" if kept.schema.name == "four" else kept.schema.name
    again = labels_source(target, output, schema, Path() if target == "pts" else None).read(output)
    assert len(again.faces) == len(kept.faces)
    assert all(one.same(other) for one, other in zip(kept.faces, again.faces))
    if target in ("coco", "csv"):  # these hold everything
        assert all(one.same(other) for one, other in zip(labels.faces, again.faces))


@pytest.mark.parametrize(
    ("target", "lost"),
    [("pts", "missing points"), ("imglab", "hidden points")],
)
def test_what_a_format_cannot_hold_is_refused(folder, target, lost):
    labels = read("coco", write("coco", coco()))
    with pytest.raises(UserError, match=f"holds no {lost}, which labels.json: annotations.0 has.*--lossy"):
        reduced(labels, FORMATS[target].holds, lossy=False, where="out")


def change(**changes):
    """Return a function that replaces values of COCO's or labelme's JSON; the keys of a path are joined by __."""

    def apply(values):
        for path, value in changes.items():
            *keys, last = path.split("__")
            place = values
            for key in keys:
                place = place[int(key) if key.isdigit() else key]
            place[int(last) if last.isdigit() else last] = value
        return values

    return apply


FAULTS = {
    "coco": [
        (lambda v: "{", "not valid JSON"),
        (lambda v: "[1]", "holds a JSON list, not an object"),
        (lambda v: json.dumps(v).replace("60.25", "NaN"), "NaN is not a number"),
        (lambda v: json.dumps(v).replace("60.25", "1e999"), "0.keypoints: holds a number that is not finite"),
        (lambda v: json.dumps(v).replace("60.25", "1" + "0" * 400), "too large"),
        (lambda v: json.dumps(v).replace("60.25", "1e9"), "the point nose at .* is out of range"),
        (change(annotations__0__keypoints=[1, 2, 3]), "annotations.0.keypoints: 3 numbers, but 4 points need 12"),
        (change(annotations__0__keypoints=[1, 2, 3] * 4), "visibility of a point is 0 .* not 3"),
        (change(annotations__0__keypoints="x"), "annotations.0.keypoints: must be a list of numbers"),
        (change(annotations__1__image_id=99), "annotations.1: image_id 99 is not an image"),
        (change(annotations__1__category_id=5), "annotations.1: category_id 5 is in no category"),
        (change(annotations__1__bbox=[1, 2, -3, 4]), "annotations.1: the box .* is empty"),
        (change(annotations__1__bbox=[1, 2]), "annotations.1.bbox: needs x, y, width, height"),
        (change(annotations__0=3), "annotations.0: must be an object"),
        (change(images__1__id=7), "images.1: the id 7 is given twice"),
        (change(images__1={"id": 8}), "images.1: needs an id and a file_name"),
        (change(images="x"), "has no list images"),
        (change(categories__0__keypoints=["left_eye", "right_eye", "nose", "jaw"]), "'jaw' is not a point of four"),
        (change(categories__0__keypoints=["a", "a", "nose", "chin"]), "a point is named twice"),
        (change(categories__0__keypoints=[]), "no category has keypoints"),
    ],
    "csv": [
        (lambda t: t.split("\n", 1)[1], "needs a header: image, NAME_x, NAME_y"),
        (lambda t: "", "needs a header"),
        (lambda t: t.replace("nose_x", "nosex"), "unknown column 'nosex'"),
        (lambda t: t.replace("nose_y", "nose_v"), "the point nose has no column nose_y"),
        (lambda t: t.replace("nose_x", "chin_x"), "has two columns 'chin_x'"),
        (lambda t: t.replace("nose_", "tip_"), "'tip' is not a point of four"),
        (lambda t: t.replace("box_x1,", "").replace("90,95.5", "95.5"), "a box needs the four columns"),
        (lambda t: t.replace("a.png", ""), "row 1: no image name"),
        (lambda t: t.replace("60.25", "x"), r"row 1 \(a.png\): holds something that is not a number"),
        (lambda t: t.replace("60.25", "inf"), r"row 1 \(a.png\): holds a number that is not finite"),
        (lambda t: t.replace("60.25", ""), "the point nose has only one of its two coordinates"),
        (lambda t: t.replace("51,90", "51,1e7"), "row 2 .*the point chin at .* is out of range"),
        (lambda t: t.replace(",41,1,", ",41,7,"), "row 1 .*visibility"),
        (lambda t: t.replace("51,90", "51,90,3"), "row 2: 15 cells, but the header has 14"),
        (lambda t: t.replace("20,30,90", "20,30,10"), "row 1 .*the box .* is empty"),
        (lambda t: "image,0,1,2\na.png,1,2,3\n", "needs a header"),
    ],
    "imglab": [
        (lambda t: t[:-20], "not valid XML"),
        (lambda t: t.replace("<dataset>", "<!DOCTYPE x [<!ENTITY a 'b'>]><dataset>"), "has a DOCTYPE"),
        (lambda t: t.replace("dataset>", "data>"), "not imglab's XML"),
        (lambda t: t.replace('file="a.png"', ""), "image 1: names no file"),
        (lambda t: t.replace('width="71"', ""), "image 1 .*box 1: needs left, top, width, height"),
        (lambda t: t.replace('x="50"', 'x="q"', 1), "part 'nose': holds something that is not a number"),
        (lambda t: t.replace('x="50"', 'x="nan"', 1), "part 'nose': holds a number that is not finite"),
        (lambda t: t.replace('name="nose"', 'name="tip"'), "'tip' is not a point of four|1 points, but four has 4"),
        (lambda t: t.replace('name="02"', 'name="12"'), "numbers its parts up to 12, but four has 4 points"),
        (lambda t: t.replace('name="nose"', 'name="left_eye"'), "the part 'left_eye' occurs twice"),
        (lambda t: t.replace('x="50"', 'x="5000000"', 1), "the point nose at .* is out of range"),
        (lambda t: t.replace('width="71"', 'width="-71"'), "the box .* is empty"),
    ],
    "labelme": [
        (lambda v: "nothing", "not valid JSON"),
        (lambda v: "[" * 100_000, "not valid JSON"),
        (change(imagePath=None), "has no imagePath and shapes"),
        (change(shapes={}), "has no imagePath and shapes"),
        (change(shapes__0__label="eye"), "shapes.0: 'eye' is not a point of four"),
        (change(shapes__0__points=[[1, 2], [3, 4]]), "shapes.0: must be a point"),
        (change(shapes__0__points=[[1]]), "shapes.0: must be a point"),
        (change(shapes__0__shape_type="polygon"), "shapes.0: must be a point, or a rectangle"),
        (change(shapes__0__label="nose"), "shapes.2: nose occurs twice in this face"),
        (change(shapes__0__points=[[1, "x"]]), "shapes.0.points: must be a list of numbers"),
        (change(shapes__0__points=[[1, 1e8]]), "the point left_eye at .* is out of range"),
        (change(shapes__0__group_id=[1]), "shapes.0: must be an object, its group_id a number"),
    ],
    "pts": [
        (lambda t: t.replace("51 61.25", "51"), "7 numbers, but 4 points need 8"),
        (lambda t: t.replace("51 61.25", "51 x"), "holds something that is not a number"),
        (lambda t: t.replace("61.25", "nan"), "holds a number that is not finite"),
        (lambda t: t.replace("61.25", "inf"), "holds a number that is not finite"),
        (lambda t: t.replace("61.25", "1e7"), "the point nose at .* is out of range"),
        (lambda t: "", "0 numbers, but 4 points need 8"),
        (lambda t: t + "31 41\n", None),  # text after the brace is ignored
        (lambda t: t.replace("}", "1 2\n}"), "10 numbers, but 4 points need 8"),
        (lambda t: "1 " * 600_000, "larger than 1 MiB"),
        (lambda t: "\x00\x01", "holds something that is not a number|0 numbers"),
    ],
    "wflw": [
        (lambda t: t.replace(" a.png", ""), "row 1: 206 values, but .* need 207"),
        (lambda t: t + "1 2 3\n", "row 2: 3 values"),
        (lambda t: "x" + t, r"row 1 \(a.png\): holds something that is not a number"),
        (lambda t: "nan" + t[t.index(" ") :], r"row 1 \(a.png\): holds a number that is not finite"),
        (lambda t: "1e9" + t[t.index(" ") :], "the point left_jaw_0 at .* is out of range"),
        (lambda t: t.replace("1 0 0 0 1 0", "1 0 0 0 2 0"), "an attribute is 0 or 1, not 2"),
        (lambda t: t.replace("15 15 85 85", "15 15 5 85"), "the box .* is empty"),
        (lambda t: t.replace("1 0 0 0 1 0", "1 0 0 0 1 0 0"), "208 values"),
    ],
    "lapa": [
        (lambda t: "", "its first row must be 106"),
        (lambda t: t.replace("106\n", "68\n", 1), "its first row must be 106"),
        (lambda t: t.split("\n", 1)[1], "its first row must be 106"),
        (lambda t: t + "1 2\n", "needs 106 rows x y below the first; it has 107"),
        (lambda t: t.rsplit("\n", 2)[0], "needs 106 rows x y below the first; it has 105"),
        (lambda t: t.replace(" ", "  1 ", 1), "needs 106 rows"),
        (lambda t: t.replace("20.", "x.", 1), "holds something that is not a number"),
        (lambda t: t.replace("106\n20.000", "106\nnan", 1), "not finite"),
        (lambda t: t.replace("106\n20.000", "106\n2e8", 1), "is out of range"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "edit", "message"),
    [(name, *fault) for name, faults in FAULTS.items() for fault in faults],
)
def test_a_wrong_file_is_told_in_one_line(folder, name, edit, message):
    path = write(name, edit(MAKERS[name]()))
    if message is None:
        read(name, path)
        return
    with pytest.raises(UserError, match=message) as caught:
        read(name, path)
    assert "\n" not in str(caught.value)
    assert str(path.name) in str(caught.value)


@pytest.mark.parametrize("name", ["coco", "csv", "imglab", "wflw"])
def test_only_regular_files_in_utf8_are_read(folder, name):
    for path, message in ((Path("none.x"), "cannot be read"), (folder, "not a file"), (Path("pipe"), "not a file")):
        if path.name == "pipe":
            os.mkfifo(path)
        with pytest.raises(UserError, match=message):
            labels_source(name, path, "ibug68" if name == "wflw" else "four.yml").read(path)
    Path("latin").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="not a text file"):
        labels_source(name, Path("latin"), "four.yml").read(Path("latin"))


def test_a_format_needs_a_schema_unless_its_names_are_known(folder):
    path = write("coco", coco())
    with pytest.raises(UserError, match="no known schema; give schema"):
        labels_source("coco", path).read(path)
    values = coco()
    values["categories"][0]["keypoints"] = list(load_schema("five").points)
    values["annotations"] = []
    path = write("coco", values)
    assert labels_source("coco", path).schema_of_points.name == "five"
    with pytest.raises(UserError, match="format csv does not say what its points are; give schema"):
        labels_source("csv", write("csv", csv())).read(Path("labels.csv"))


def test_names_in_another_order_and_numbers_are_understood(folder):
    values = coco()
    values["categories"][0]["keypoints"] = ["chin", "nose", "right_eye", "left_eye"]
    face = read("coco", write("coco", values)).faces[1]
    np.testing.assert_array_equal(face.points[3], [30, 40])
    values["categories"][0]["keypoints"] = ["kpt-0", "kpt-1", "kpt-2", "kpt-3"]
    face = read("coco", write("coco", values)).faces[1]
    np.testing.assert_array_equal(face.points[0], [30, 40])


def test_wflw_omits_by_attribute_and_finds_its_images(folder):
    lists, images = Path("WFLW/WFLW_annotations/lists"), Path("WFLW/WFLW_images")
    for place in (lists, images):
        place.mkdir(parents=True)
    (lists / "train.txt").write_text(wflw())
    source = labels_source("wflw", lists / "train.txt")
    assert source.read(lists / "train.txt").faces[0].image == images / "a.png"
    source.omit = ("occlusion",)
    assert not source.read(lists / "train.txt").faces


def test_a_face_without_a_place_for_a_visible_point_is_refused():
    with pytest.raises(UserError, match="the point left_eye at"):
        make_face(load_schema("five"), Path("a.png"), np.full((5, 2), np.nan), [2] * 5, where="here")
    with pytest.raises(UserError, match="here: 4 points, but five has 5"):
        make_face(load_schema("five"), Path("a.png"), np.zeros((4, 2)), where="here")


def test_attributes_of_several_words_are_no_words_of_a_csv(folder):
    content = coco()
    content["annotations"][0]["attributes"] = {"blur": True, "heavy make-up": True}
    labels = read("coco", write("coco", content))
    with pytest.raises(UserError, match=r"annotations.0: the attribute 'heavy make-up' is not one word, .* rename it"):
        FORMATS["csv"].write(labels, Path("x.csv"), Path())
    assert not Path("x.csv").exists()


def test_points_may_be_called_by_digits(folder):
    Path("digits.yml").write_text("name: digits\npoints: ['1', '2', '3']\n")
    schema = load_schema("digits.yml")
    for known in ([2, 0, 2], [2, 2, 2]):
        face = make_face(schema, folder / "a.png", [[10, 20], [50, 60], [30, 40]], known)
        FORMATS["imglab"].write(Labels(schema, [face]), Path("digits.xml"), Path())
        again = labels_source("imglab", Path("digits.xml"), "digits.yml").read(Path("digits.xml")).faces[0]
        np.testing.assert_array_equal(again.points, face.points)
