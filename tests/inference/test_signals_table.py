"""Pose and expressions in the tables of points."""

import csv

import numpy as np
import pytest

from facekp.errors import UserError
from facekp.inference.faces import Faces
from facekp.inference.many import PointsTable
from facekp.landmarks import IBUG68, MEAN_FACE, SIGNALS, load_schema
from facekp.vision import geometry

NAMES = ["yaw", "pitch", "roll", *SIGNALS]


def two_faces():
    wide = MEAN_FACE * 200
    wide[[65, 66, 67]] += (0, 40)
    points = np.stack([wide, geometry.apply(geometry.rotation(30), MEAN_FACE * 100)])
    return Faces.from_arrays(points, geometry.bounding_box(points), np.ones(2))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_signals_stand_behind_the_points(tmp_path, suffix):
    path, faces = tmp_path / f"points{suffix}", two_faces()
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    with PointsTable(path, IBUG68, "a network", signals=True) as table:
        table.add("a.png", faces)
        table.add("b.png", Faces.none())
        table.finish()
    if suffix == ".csv":
        rows = list(csv.DictReader(path.open()))
    else:
        import pyarrow.parquet

        rows = pyarrow.parquet.read_table(path).to_pylist()
    assert len(rows) == 2
    assert [*rows[0]][-len(NAMES) :] == NAMES
    assert float(rows[0]["mouth_open"]) == 1
    assert float(rows[1]["mouth_open"]) < 0.5
    assert float(rows[1]["roll"]) == pytest.approx(30, abs=0.1)


def test_the_usual_table_stays_as_it_is_and_the_two_do_not_mix(tmp_path):
    path = tmp_path / "points.csv"
    with PointsTable(path, IBUG68, "a network") as table:
        table.add("a.png", two_faces())
        table.finish()
    assert path.read_text().splitlines()[0].endswith("x67,y67")
    with pytest.raises(UserError, match="other columns"):
        PointsTable(path, IBUG68, "a network", resume=True, signals=True)


def test_points_that_tell_no_signals_say_so(tmp_path):
    five = load_schema("five")
    with PointsTable(tmp_path / "points.csv", five, "a network", signals=True) as table:
        table.add("a.png", Faces.from_arrays(five.mean_points[None] * 100, [[0, 0, 9, 9]], [1], five))
        table.finish()
    assert next(csv.DictReader((tmp_path / "points.csv").open()))["mouth_open"] == "nan"
