"""Check of labels: inserted mistakes are found, and correct labels have no findings."""

import csv

import numpy as np
import pytest

from facekp.data.drawn import DrawnFacesDataset
from facekp.data.labelled import LabelsDataset
from facekp.data.labels import Labels, make_face
from facekp.errors import UserError
from facekp.evaluation.labels import check_labels, find_swapped
from facekp.evaluation.report import write_report
from facekp.inference.faces import Faces
from facekp.io.images import read_image, write_image
from facekp.landmarks import IBUG68, SCHEMAS, load_schema


def points_of(schema, count):
    faces = [face for _, face in (DrawnFacesDataset(count)[i] for i in range(count))]
    places = [IBUG68.converted(face, schema) for face in faces]
    if places[0] is None:  # the schema of five points
        places = [np.stack([face[list(IBUG68.anchors[name])].mean(0) for name in schema.anchors][:5]) for face in faces]
    return np.stack(places).astype(np.float64)


@pytest.mark.parametrize("name", [name for name in SCHEMAS if name != "jd106"])
def test_swapped_points_are_found_and_nothing_else(name):
    schema = load_schema(name)
    points = points_of(schema, 60)
    assert not find_swapped(schema, points)
    rng = np.random.default_rng(0)
    spoilt, rows = points.copy(), rng.choice(60, 12, replace=False)
    for row in rows[:6]:
        left, right = schema.mirror_pairs[rng.integers(len(schema.mirror_pairs))]
        spoilt[row, [left, right]] = points[row, [right, left]]
    for row in rows[6:]:
        spoilt[row] = points[row][schema.flip_order]
    found = find_swapped(schema, spoilt)
    assert sorted(found) == sorted(rows.tolist())
    assert all(found[row][1] == "the whole face" for row in rows[6:])


@pytest.fixture
def parts(tmp_path):
    """40 drawn faces for training, 10 for validation, with a mistake of each kind."""
    split = {}
    drawn = DrawnFacesDataset(50)
    for name, rows in (("train", range(40)), ("validation", range(40, 50))):
        faces = []
        for i in rows:
            image, points = drawn[i]
            points = points.astype(np.float64)
            box = None
            if i == 3:
                points = points[IBUG68.flip_order]
            if i == 5:
                points[[36, 45]] = points[[45, 36]]
            if i == 7:
                points[30] += (14, 0)
            if i == 9:
                box = [0, 0, 20, 20]
            if i == 11:
                image, points = np.ascontiguousarray(np.rot90(image)), np.stack([points[:, 1], 159 - points[:, 0]], -1)
            if i == 45:
                image, points = drawn[2]
                image = np.clip(image * 0.9 + 5, 0, 255).astype(np.uint8)
            path = tmp_path / name / f"<{i:02d}>.png"
            if i == 13:
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(b"no image")
            else:
                write_image(path, image)
            if i == 15:  # truncated
                path.write_bytes(path.read_bytes()[:-3000])
            faces.append(make_face(IBUG68, path, points, None, box, where=f"{name} row {i}"))
        split[name] = LabelsDataset(Labels(IBUG68, faces), tmp_path / name, "coco")
    return list(split.items())


EXPECTED = [
    ("unreadable", "train row 13"), ("unreadable", "train row 15"), ("mirrored", "train row 3"),
    ("mirrored", "train row 5"), ("turned", "train row 11"), ("far", "train row 7"), ("box", "train row 9"),
    ("duplicate", "validation row 45"),
]  # fmt: skip


def test_each_kind_of_mistake_is_found(parts, tmp_path):
    checked = check_labels(parts)
    found = {(finding.kind, finding.where) for finding in checked.findings}
    # A face that is mirrored as a whole may also look turned, and training may refuse it.
    assert found - {("turned", "train row 3"), ("unreadable", "train row 3")} == set(EXPECTED)
    far = checked.of_kind("far")[0]
    assert 30 in far.points and "nose_tip (30)" in far.text
    table = write_report(checked, tmp_path / "out" / "check.html")
    rows = list(csv.DictReader(table.open()))
    assert [row["kind"] for row in rows] == [finding.kind for finding in checked.findings]
    assert rows[0].keys() == {"kind", "split", "image", "label", "score", "points", "finding"}
    page = (tmp_path / "out" / "check.html").read_text()
    assert page.count("<img") >= 10 + len(rows) - 3  # damaged images are not shown
    assert "<02>" not in page and "&lt;02&gt;" in page  # names are escaped
    assert "http" not in page and "<script" not in page


def test_weights_show_the_faces_that_they_predict_worst(parts):
    truth = {
        part.image_path(i): part.load(i)[1] for _, part in parts for i in range(len(part)) if part.problem(i) is None
    }
    images = {read_image(path).tobytes(): points for path, points in truth.items()}

    def landmarker(image, boxes):
        points = images[image.tobytes()].copy()
        if image.tobytes() == read_image(parts[1][1].image_path(4)).tobytes():
            points += 8
        return Faces.from_arrays(points[None], boxes, [1.0])

    errors = check_labels(parts, landmarker, max_errors=3).of_kind("error")
    assert len(errors) == 3
    assert errors[0].where == "validation row 44" and "held out" in errors[0].text and errors[0].score > 0.1

    def five(image, boxes):
        return Faces.none(load_schema("five"))

    with pytest.raises(UserError, match="the weights find the points of five, the labels have those of ibug68"):
        check_labels(parts, five)


def test_wrong_outputs_are_told(parts, tmp_path):
    checked = check_labels(parts[1:])
    with pytest.raises(UserError, match="the report is an HTML file"):
        write_report(checked, tmp_path / "x.txt")
    with pytest.raises(UserError, match="no labelled face to check"):
        check_labels([])


def test_a_point_that_training_never_sees_is_told(parts):
    for split, part in parts:
        if split == "train":
            part.points[:, 8] = np.nan
    with pytest.raises(UserError, match="no face of the training has a label for the point chin"):
        check_labels(parts)
