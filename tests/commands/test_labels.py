"""`convert-labels` and `check-labels`, called as by users."""

import csv
import json

import numpy as np
import pytest

from facekp.data.coco_file import write_coco
from facekp.data.drawn import DrawnFacesDataset
from facekp.data.formats import labels_source
from facekp.data.labels import Labels, make_face
from facekp.io.images import write_image
from facekp.landmarks import load_schema


@pytest.fixture
def labels(tmp_path):
    """Twenty drawn faces of 98 points, one of them hidden, in COCO's format."""
    schema = load_schema("wflw98")
    drawn = DrawnFacesDataset(20, schema=schema)
    faces = []
    for i in range(20):
        image, points = drawn[i]
        write_image(tmp_path / "photos" / f"{i:02d}.png", image)
        seen = np.where(np.arange(98) == 96, 1, 2) if i == 4 else None
        faces.append(make_face(schema, tmp_path / "photos" / f"{i:02d}.png", points.astype(float).round(2), seen))
    write_coco(Labels(schema, faces), tmp_path / "labels.json", tmp_path)
    return tmp_path / "labels.json"


def test_conversion_to_csv_and_back(labels, run_tool, refuses, tmp_path):
    done = run_tool("convert_labels", labels, tmp_path / "x" / "labels.csv")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("20 faces on 20 images written to")
    done = run_tool("convert_labels", tmp_path / "x" / "labels.csv", tmp_path / "back.json", "--schema", "wflw98")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "back.json").read_text()) == json.loads(labels.read_text())

    pts = tmp_path / "photos" / "points"
    line = refuses("convert_labels", labels, pts)
    assert "holds no hidden points, which" in line and "annotations.4" in line and "--lossy" in line
    done = run_tool("convert_labels", labels, tmp_path / "photos", "--to", "pts", "--lossy", "--convert-to", "ibug68",
                    "--overwrite", "--names-from", tmp_path / "photos")  # fmt: skip
    assert done.returncode == 0, done.stderr
    faces = labels_source("pts", tmp_path / "photos").read(tmp_path / "photos").faces
    assert len(faces) == 20 and faces[0].points.shape == (68, 2)
    np.testing.assert_allclose(faces[3].points, DrawnFacesDataset(20)[3][1], atol=0.01)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.json", "x.csv"], "none.json: cannot be read"),
        (["labels.json", "labels.json"], "exists; choose another name, or add --overwrite"),
        (["labels.json", "x.mat"], "this format cannot be written; choose one with --to: pts, coco, csv, imglab"),
        (["labels.json", "x.csv", "--from", "jpeg"], "unknown format of labels 'jpeg'"),
        (["labels.json", "x.csv", "--schema", "five"], "98 points, but five has 5"),
        (["labels.json", "x.csv", "--convert-to", "five"], "no conversion from wflw98 to five is known"),
    ],
)
def test_what_cannot_be_converted_is_told(labels, refuses, tmp_path, arguments, message):
    line = refuses("convert_labels", *(tmp_path / a if "." in a else a for a in arguments))
    assert message in line
    assert not list(tmp_path.glob("x.*"))


def test_check_labels(labels, run_tool, refuses, tmp_path):
    done = run_tool("check_labels", labels, "-o", tmp_path / "check.html")
    assert done.returncode == 0, done.stderr
    assert "mirrored    0" in done.stdout and "check.csv" in done.stdout
    values = json.loads(labels.read_text())
    schema = load_schema("wflw98")
    keypoints = np.array(values["annotations"][6]["keypoints"]).reshape(98, 3)
    values["annotations"][6]["keypoints"] = keypoints[schema.flip_order].ravel().tolist()
    labels.write_text(json.dumps(values))
    done = run_tool("check_labels", labels, "-o", tmp_path / "check.html")
    assert "mirrored    1" in done.stdout
    rows = list(csv.DictReader((tmp_path / "check.csv").open()))
    assert [row["label"].rsplit(" ", 1)[1] for row in rows if row["kind"] == "mirrored"] == ["annotations.6"]
    assert "give the file or folder of the labels" in refuses("check_labels")
    assert "end its name in .html" in refuses("check_labels", labels, "-o", tmp_path / "x.pdf")
    assert "--schema has no effect with -c" in refuses("check_labels", "-c", "quickstart", "--schema", "five")


def test_a_report_is_not_written_over_the_labels(labels, run_tool, refuses, tmp_path):
    assert run_tool("convert_labels", labels, tmp_path / "mine.csv").returncode == 0
    before = (tmp_path / "mine.csv").read_bytes()
    options = (tmp_path / "mine.csv", "--schema", "wflw98", "-o")
    assert "mine.csv: would be replaced" in refuses("check_labels", *options, tmp_path / "mine.html")
    assert (tmp_path / "mine.csv").read_bytes() == before and not (tmp_path / "mine.html").exists()


def test_sources_of_different_points_are_not_checked_together(labels, refuses, tmp_path):
    config = {"_base_": "own_points", "name": "two", "data": {"sources": [
        {"type": "drawn", "train": 3}, {"type": "coco", "labels": str(labels), "schema": "wflw98"}]}}  # fmt: skip
    (tmp_path / "two.yml").write_text(json.dumps(config))
    assert "take sources of one schema" in refuses("check_labels", "-c", tmp_path / "two.yml")


def test_old_pts_files_do_not_stay_among_new_ones(labels, run_tool, refuses, tmp_path):
    photos = tmp_path / "photos"
    options = (labels, photos, "--to", "pts", "--lossy", "--overwrite", "--names-from", photos)
    assert run_tool("convert_labels", *options).returncode == 0
    assert run_tool("convert_labels", *options).returncode == 0  # files of the same names are replaced
    (photos / "05_1.pts").write_text("")
    assert "05_1.pts: would stay among the new ones" in refuses("convert_labels", *options)


def test_predictions_are_labels_to_correct(run_tool, refuses, tmp_path):
    write_image(tmp_path / "photos" / "a.png", DrawnFacesDataset(3)[2][0])
    write_image(tmp_path / "photos" / "more" / "b.png", DrawnFacesDataset(3)[1][0])
    (tmp_path / "two.yml").write_text("{name: two, points: [left_eye, right_eye, chin], "
                                      "convert_from: {ibug68: [36-41, 42-47, 8]}}")  # fmt: skip
    photos = (tmp_path / "photos", tmp_path / "photos" / "more")
    done = run_tool("predict", *photos, "--schema", tmp_path / "two.yml", "--format", "coco", "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    labels = tmp_path / "out" / "points.json"
    values = json.loads(labels.read_text())
    assert [image["file_name"] for image in values["images"]] == ["a.png", "more/b.png"]  # relative to their folder
    assert values["images"][0]["width"] == 160
    assert values["categories"][0]["keypoints"] == ["left_eye", "right_eye", "chin"]
    assert 0 < values["annotations"][0]["score"] <= 1
    faces = labels_source("coco", labels, str(tmp_path / "two.yml"), tmp_path / "photos").read(labels).faces
    truth = DrawnFacesDataset(3)[2][1]
    np.testing.assert_allclose(faces[0].points[2], truth[8], atol=12)
    assert faces[0].box is not None  # from all 68 points
    assert "a COCO JSON file cannot be extended" in refuses("predict", *photos, "-o", labels, "--resume")
    assert "is written to a .json" in refuses("predict", *photos, "-o", tmp_path / "x.csv", "--format", "coco")
