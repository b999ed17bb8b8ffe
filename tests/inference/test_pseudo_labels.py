"""Pseudo-labels for photos: kept where several predictions agree, and stopped runs can be resumed."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import facekp
from facekp.data.formats import parse_source
from facekp.data.labels import write_pts
from facekp.data.pts import PtsDataset
from facekp.errors import UserError
from facekp.inference.pseudo_labels import DONE, agreed_points, as_source, label_photos
from facekp.io.images import read_image, write_image
from facekp.landmarks import load_schema

PHOTOS = Path(__file__).resolve().parents[2] / "assets" / "photos"


@pytest.fixture(scope="module")
def landmarker():
    return facekp.load_landmarker()


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    shutil.copy(PHOTOS / "astronaut.png", folder / "face.png")
    write_image(folder / "empty.png", np.full((64, 64, 3), 127, np.uint8))
    (folder / "zz_broken.png").write_bytes(b"no image")
    return sorted(folder.iterdir())


def test_a_sure_face_becomes_a_label_near_what_was_found(landmarker, photos, tmp_path):
    out = tmp_path / "out"
    done = label_photos(photos, landmarker, out, min_score=0.8, max_change=3)
    assert (done.photos, done.kept, done.dropped, done.failed) == (3, 1, 0, 1)
    assert sorted(p.name for p in out.iterdir()) == [DONE, "face.png", "face_1.pts"]
    image, points = PtsDataset(out).load(0)
    np.testing.assert_array_equal(image, read_image(photos[1]))
    found = landmarker(image).points[0]
    assert np.linalg.norm(points - found, axis=-1).mean() < 0.03 * np.ptp(found, axis=0).max()
    with pytest.raises(UserError, match="add --resume"):
        label_photos(photos, landmarker, out)


def test_a_stopped_run_goes_on_and_a_half_line_does_not_count(landmarker, photos, tmp_path):
    out = tmp_path / "out"
    label_photos(photos[:1], landmarker, out, 0.8, 3)
    with (out / DONE).open("a") as file:
        file.write("face.png,1")  # killed while writing
    done = label_photos(photos, landmarker, out, 0.8, 3, resume=True)
    assert (done.photos, done.kept, done.failed) == (3, 1, 1)
    assert len((out / DONE).read_text().splitlines()) == 5
    before = (out / "face_1.pts").stat().st_mtime_ns
    assert label_photos(photos, landmarker, out, 0.8, 3, resume=True) == done
    with pytest.raises(UserError, match=r"started with --min-score 0\.8"):
        label_photos(photos, landmarker, out, resume=True)
    assert (out / "face_1.pts").stat().st_mtime_ns == before


def test_a_config_can_name_labels_of_any_points(tmp_path):
    five = load_schema("five")
    folder = tmp_path / "my, labels"
    write_image(folder / "a.png", np.full((64, 64, 3), 127, np.uint8))
    write_pts(folder / "a.pts", five.mean_points * 40)
    assert as_source(folder, load_schema("ibug68")) == {"type": "pts", "root": str(folder)}
    source = parse_source(as_source(folder, five))
    assert source.schema_of_points == five
    np.testing.assert_allclose(source.read(folder).faces[0].points, five.mean_points * 40, atol=0.01)


def test_a_line_break_in_a_name_does_not_end_the_list(landmarker, photos, tmp_path):
    strange = photos[0].rename(photos[0].with_name("a\rb\u2028c.png"))
    done = label_photos([strange], landmarker, tmp_path / "out")
    assert label_photos([strange], landmarker, tmp_path / "out", resume=True) == done
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_points_that_move_or_are_not_trusted_are_no_labels(landmarker, photos):
    image = read_image(photos[1])
    points = landmarker(image).points[0]
    assert agreed_points(landmarker, image, points, 0.5, 3) is not None
    assert agreed_points(landmarker, image, points + np.float32([12, 0]), 0.5, 3) is None
    assert agreed_points(landmarker, image, points, 1.0, 3) is None
    assert agreed_points(landmarker, image, points, 0.5, 0.01) is None


def test_two_photos_of_one_name_would_overwrite_each_other(landmarker, photos, tmp_path):
    other = tmp_path / "other" / "face.jpg"
    other.parent.mkdir()
    with pytest.raises(UserError, match="rename one"):
        label_photos([*photos, other], landmarker, tmp_path / "out")


def test_photos_whose_labels_could_not_be_told_apart_are_refused(landmarker, photos, tmp_path):
    out, other = tmp_path / "out", photos[1].with_name("face_1.png")
    with pytest.raises(UserError, match=r"face_1\.png: its labels cannot be distinguished from those of .*face\.png"):
        label_photos([*photos, other], landmarker, out)
    label_photos(photos[:1], landmarker, out)
    for name in ("empty_1.png", "empty.jpg"):  # or from those of an earlier run
        with pytest.raises(UserError, match=r"empty\.png; rename"):
            label_photos([photos[0].with_name(name)], landmarker, out, resume=True)
