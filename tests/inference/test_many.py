import csv
import sys

import cv2
import numpy as np
import pandas as pd
import pytest

from facekp import load_landmarker
from facekp.errors import UserError
from facekp.inference.faces import Faces
from facekp.inference.many import GROUP, PointsTable, find_on_many, predict
from facekp.landmarks import IBUG68, MEAN_FACE, SIGNALS, load_schema, parse_schema
from facekp.vision import geometry

#: Schemas of one point and of two points.
ONE, TWO = (parse_schema({"name": "dots", "points": names}, "an example") for names in (["tip"], ["tip", "end"]))
DAMAGED = UserError("a picture: damaged")


def bright(image):
    """Find one face per 50 grey levels of mean brightness; the brightness is the coordinate of the points."""
    value = float(image.mean())
    count = int(value // 50)
    boxes = np.reshape([[0, 0, 9 - i, 9] for i in range(count)], (count, 4))
    return Faces.from_arrays(np.full((count, 1, 2), value), boxes, [0.5] * count, ONE)


class Together:
    """`bright` for several images at once."""

    groups: list[int]

    def __init__(self):
        self.groups = []

    def __call__(self, image):
        raise AssertionError("many is there to be used")

    def many(self, images):
        self.groups.append(len(images))
        return [bright(image) for image in images]


@pytest.fixture
def folder(tmp_path):
    for number in range(2 * GROUP + 3):
        cv2.imwrite(str(tmp_path / f"{number:02d}.png"), np.full((8, 9, 3), number * 6, np.uint8))
    (tmp_path / "05.png").write_bytes(b"damaged")
    return tmp_path


@pytest.mark.parametrize("threads", [1, 3])
def test_pictures_come_back_in_order_each_with_its_own_faces(folder, threads):
    paths = sorted(folder.iterdir())
    together = Together()
    for landmarker in (bright, together):
        seen = list(find_on_many(paths, landmarker, threads))
        assert [s.path for s in seen] == paths
        for number, one in enumerate(seen):
            if number == 5:
                assert "05.png" in str(one.found) and one.image is None
            else:
                assert len(one.found) == number * 6 // 50
                assert (one.found.points == number * 6).all() and (one.image == number * 6).all()
    assert together.groups == [GROUP - 1, GROUP, 3]


def test_large_pictures_go_in_smaller_groups(tmp_path):
    cv2.imwrite(str(tmp_path / "large.jpg"), np.zeros((3000, 3000, 3), np.uint8))
    together = Together()
    assert len(list(find_on_many([tmp_path / "large.jpg"] * 5, together, 1))) == 5
    assert together.groups == [2, 2, 1]


def test_closing_the_iterator_leaves_no_thread_behind(folder):
    seen = find_on_many(sorted(folder.iterdir()), bright, 2)
    next(seen)
    seen.close()
    with pytest.raises(StopIteration):
        next(seen)


PICTURES = {"a.png": 1, "b, c.png": 0, 'two\n"lines".png': 3, "d.png": DAMAGED, "e\udcff.png": 2}


def faces(image):
    found = PICTURES[image]
    if isinstance(found, UserError):
        return found
    rng = np.random.default_rng(len(image))
    boxes = np.reshape([[1, 2, 30 - i, 40] for i in range(found)], (found, 4))
    return Faces.from_arrays(rng.random((found, 1, 2)) * 100, boxes, rng.random(found), ONE)


def fill(path, images=PICTURES, resume=False, finish=True):
    with PointsTable(path, ONE, "a network", resume) as table:
        for image in images:
            if image not in table:
                table.add(image, faces(image))
        return table.finish() if finish else None


def rows(path):
    if path.suffix == ".parquet":
        return pd.read_parquet(path).to_numpy().tolist()
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


@pytest.fixture(params=["csv", "parquet"])
def path(request, tmp_path):
    if request.param == "parquet":
        pytest.importorskip("pyarrow")
    return tmp_path / f"points.{request.param}"


def test_wherever_it_is_cut_off_it_goes_on_without_a_half_or_a_double_row(path):
    assert fill(path) == ({"d.png": "a picture: damaged"}, 6)
    whole, failed = rows(path), path.with_name("points_failed.csv").read_bytes()
    path.unlink()
    fill(path, finish=False)
    unfinished = path.with_name(path.name + ".unfinished")
    data = unfinished.read_bytes()
    assert not path.exists()
    for end in range(0, len(data) + 1, 1 if path.suffix == ".csv" else 37):
        unfinished.write_bytes(data[:end])
        fill(path, resume=True)
        assert rows(path) == whole
        assert path.with_name("points_failed.csv").read_bytes() == failed
        assert not unfinished.exists()
        path.unlink()
    unfinished.write_bytes(data[: len(data) // 2] + b"\0" * 50)  # as after a power failure
    fill(path, resume=True)
    assert rows(path) == whole


def test_a_finished_table_grows(path):
    fill(path)
    whole = rows(path)
    fill(path, resume=True)
    assert rows(path) == whole
    path.unlink()
    fill(path, list(PICTURES)[:3])
    assert fill(path, resume=True) == ({"d.png": "a picture: damaged"}, 6)
    assert rows(path) == whole
    fill(path, ["a.png"])  # without resume the table is replaced
    assert len(rows(path)) == len(whole) - 5
    assert not path.with_name("points_failed.csv").exists()


@pytest.mark.parametrize("first", [2, 5])
def test_killed_between_the_table_and_the_end(path, first):
    fill(path)
    whole = rows(path)
    path.unlink()
    if first < 5:  # the second run adds to a finished table
        fill(path, list(PICTURES)[:first])
    fill(path, resume=True, finish=False)
    unfinished = path.with_name(path.name + ".unfinished")
    data = unfinished.read_bytes()
    fill(path, resume=True)
    unfinished.write_bytes(data)
    fill(path, resume=True)
    assert rows(path) == whole


def test_what_failed_is_tried_again(path, monkeypatch):
    fill(path, finish=False)
    monkeypatch.setitem(PICTURES, "d.png", 1)
    assert fill(path, resume=True) == ({}, 7)
    assert not path.with_name("points_failed.csv").exists()


def test_nothing_readable_leaves_nothing(path):
    with pytest.raises(UserError, match="none of the 1 images"):
        fill(path, ["d.png"])
    assert not list(path.parent.iterdir())


def test_tables_that_do_not_fit_are_told(path):
    fill(path)
    with pytest.raises(UserError, match="other columns"):
        PointsTable(path, TWO, "a network", resume=True)
    fill(path, finish=False)
    with pytest.raises(UserError, match="add --resume"):
        PointsTable(path, ONE, "a network")
    with pytest.raises(UserError, match="started with a network, not with"):
        PointsTable(path, ONE, "another", resume=True)
    with pytest.raises(UserError, match=r"ends in \.csv or \.parquet"):
        PointsTable(path.with_suffix(".xlsx"), ONE, "a network")
    with pytest.raises(UserError, match="cannot store signals"):
        PointsTable(path.with_suffix(".json"), ONE, "a network", signals=True)
    path.write_bytes(b"PAR1")
    path.with_name(path.name + ".unfinished").unlink()
    with pytest.raises(UserError, match=path.name):
        PointsTable(path, ONE, "a network", resume=True)

    with pytest.raises(UserError, match="give the same --schema and --signals"):
        fill(path.with_name("other" + path.suffix), finish=False)
        PointsTable(path.with_name("other" + path.suffix), ONE, "a network", resume=True, signals=True)


def test_a_line_break_in_a_name_loses_no_face(path, monkeypatch):
    for name in ("b\rc.png", "b\nc.png"):
        monkeypatch.setitem(PICTURES, name, 2)
    names = ["a.png", "b\rc.png", "b\nc.png", "b, c.png"]
    fill(path, names[:2], finish=False)
    failed, faces = fill(path, names, resume=True)
    assert (failed, faces) == ({}, sum(PICTURES[name] for name in names))
    assert [row[0] for row in rows(path)].count("b\\rc.png") == 2


def test_somebody_elses_file_beside_the_table_stays(path):
    other = path.with_name("points_failed.csv")
    other.write_text("exam,grade\n")
    with pytest.raises(UserError, match=r"points_failed\.csv: would be replaced"):
        fill(path)
    assert other.read_text() == "exam,grade\n" and not path.exists()


def test_a_place_that_cannot_be_written_to_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        fill(tmp_path / "file" / "points.csv")


def test_parquet_without_pyarrow_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)  # as if it were not installed
    with pytest.raises(UserError, match=r'pyarrow; pip install "facekp\[parquet\]"'):
        PointsTable(tmp_path / "a.parquet", ONE, "a network")


def test_a_landmarker_finds_the_same_faces_whether_pictures_come_alone_or_together():
    photo = cv2.imread("assets/photos/astronaut.png")
    pair = np.concatenate([photo, cv2.flip(photo, 1)], 1)
    images = [photo, np.zeros((50, 60, 3), np.uint8), pair, cv2.cvtColor(photo, cv2.COLOR_BGR2GRAY)]
    landmarker = load_landmarker()
    together = landmarker.many(images)
    assert [len(found) for found in together] == [1, 0, 2, 1]
    for image, found in zip(images, together):
        alone = landmarker(image)
        for name in ("points", "boxes", "scores"):
            assert getattr(found, name).shape == getattr(alone, name).shape
            np.testing.assert_allclose(getattr(found, name), getattr(alone, name), atol=0.01)
    assert landmarker.many([]) == []


class Bright:
    """`bright` as a landmarker class."""

    schema = ONE

    def __call__(self, image):
        return bright(image)


def test_predicted_points_are_a_table_or_a_table_and_images(folder, tmp_path, capsys):
    paths = sorted(folder.glob("*.png"))
    done = predict(paths, Bright, tmp_path / "out" / "points.csv", threads=1)
    count = sum(number * 6 // 50 for number in range(len(paths)) if number != 5)
    assert (done.table, done.faces) == (tmp_path / "out" / "points.csv", count)
    assert list(done.failed) == [str(paths[5])] and done.failures.is_file()
    assert len(rows(done.table)) == count + 1

    assert capsys.readouterr() == ("", "")

    done = predict(paths, Bright, tmp_path / "drawn", progress=True)
    assert f"skipped: {paths[5]}" in capsys.readouterr().err
    assert rows(done.table) == rows(tmp_path / "out" / "points.csv")
    assert len(list((tmp_path / "drawn").glob("*_points.png"))) == len(paths) - 1


def test_a_single_image_that_cannot_be_read_is_an_error(folder, tmp_path):
    with pytest.raises(UserError, match=r"05\.png"):
        predict([folder / "05.png"], Bright, tmp_path / "points.csv")
    assert not (tmp_path / "points.csv").exists()


def test_no_image_is_written_over_another(folder, tmp_path):
    def never():
        raise AssertionError("the landmarker was loaded")

    cv2.imwrite(str(folder / "00.jpg"), np.zeros((8, 9, 3), np.uint8))
    with pytest.raises(UserError, match=r"00_points\.png: would be written twice"):
        predict([folder / "00.png", folder / "00.jpg"], never, tmp_path / "drawn")


def test_a_stopped_run_reports_its_progress(folder, tmp_path, capsys):
    class Stopped(Bright):
        seen = 0

        def __call__(self, image):
            self.seen += 1
            if self.seen == 8:
                raise KeyboardInterrupt
            return bright(image)

    paths = [path for path in sorted(folder.glob("*.png")) if path.name != "05.png"]
    for progress in (False, True):
        with pytest.raises(KeyboardInterrupt):
            predict(paths, Stopped, tmp_path / "points.csv", resume=True, threads=1, progress=progress)
        assert ("14 of 34 images are done; continue with --resume" in capsys.readouterr().err) == progress
    done = predict(paths, Bright, tmp_path / "points.csv", resume=True)
    assert done.faces == sum(int(path.stem) * 6 // 50 for path in paths)


def test_blank_lines_count_for_nothing_and_short_ones_are_told(tmp_path):
    path = tmp_path / "points.csv"
    fill(path, ["a.png"])
    whole = path.read_text()
    path.write_text(whole + "\n")
    fill(path, ["a.png", "b, c.png"], resume=True)
    assert path.read_text() == whole
    path.write_text(whole.rpartition(",")[0])
    with pytest.raises(UserError, match=r"points\.csv: not a CSV file, or damaged \(line 2 has 8 values\)"):
        fill(path, resume=True)


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
