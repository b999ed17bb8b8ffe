from pathlib import Path

import numpy as np
import pytest

from facekp.codecs.points import UnitCodec
from facekp.data.combine import JoinedDataset, NoFacesDataset
from facekp.data.csv68 import FacialKeypointsDataset
from facekp.data.dataset import FilesDataset
from facekp.data.statistics import with_mean_face
from facekp.data.transforms import FaceCrop
from facekp.errors import UserError
from facekp.landmarks import parse_schema


def dataset(folder):
    return FacialKeypointsDataset(folder / "training_frames_keypoints.csv", folder / "training")


def edit_csv(folder, edit):
    path = folder / "training_frames_keypoints.csv"
    path.write_text(edit(path.read_text()))


def test_samples_are_untransformed(drawn_csv):
    faces = dataset(drawn_csv)
    samples = list(faces)
    assert len(samples) == 12
    for sample, loaded in zip(samples[3], faces.load(3)):
        np.testing.assert_array_equal(sample, loaded)
    for index in (-1, 12):
        with pytest.raises(IndexError):
            faces[index]


def wrong_file(folder):
    (folder / "training" / "person1_01.jpg").unlink()


def damaged_file(folder):
    path = folder / "training" / "person1_01.jpg"
    path.write_bytes(path.read_bytes()[:300])


def far_point(folder):
    edit_csv(folder, lambda t: t.replace(t.splitlines()[2].split(",")[1], "500", 1))


def coinciding_eye_corners(folder):
    def edit(text):
        cells = text.splitlines()[2].split(",")
        cells[1 + 72 : 1 + 74] = cells[1 + 90 : 1 + 92]
        return text.replace(text.splitlines()[2], ",".join(cells))

    edit_csv(folder, edit)


@pytest.mark.parametrize("spoil", [wrong_file, damaged_file, far_point, coinciding_eye_corners])
def test_check_names_the_row_or_skips_it(drawn_csv, spoil):
    spoil(drawn_csv)
    faces = dataset(drawn_csv)
    with pytest.raises(UserError, match=r"row 2 \(person1_01\.jpg\)"):
        faces.check()
    faces.check(skip_damaged=True)
    assert len(faces) == 11
    assert "person1_01.jpg" not in [faces.name(i) for i in range(11)]


def test_points_a_little_outside_are_fine(drawn_csv):
    edit_csv(drawn_csv, lambda t: t.replace(t.splitlines()[2].split(",")[1], "-20", 1))
    dataset(drawn_csv).check()


class OneFace(FilesDataset):
    """One black image of 60 x 80 pixels with one face of any points."""

    def __init__(self, schema, points):
        super().__init__()
        self.schema, self.source = schema, Path("faces")
        self.points, self.rows = np.asarray(points, np.float32)[None], [0]

    def where(self, index):
        return "row 1"

    def name(self, index):
        return "face"

    def load(self, index):
        return np.zeros((60, 80, 3), np.uint8), self.points[self.rows[index]].copy()


PAIR = parse_schema({"name": "pair", "points": ["left_ear", "right_ear", "chin"]}, "an example")


EYES = parse_schema({"name": "eyes", "points": ["left_eye", "right_eye"]}, "an example")


def test_points_of_a_schema_without_a_pair_must_not_all_coincide():
    OneFace(PAIR, [[20, 20], [40, 20], [30, 40]]).check()
    with pytest.raises(UserError, match="row 1: all points coincide"):
        OneFace(PAIR, [[20, 20]] * 3).check()


def test_unknown_points_are_kept_and_do_not_move_the_crop():
    points = np.float32([[20, 20], [40, 30], [30, np.nan]])
    faces = OneFace(PAIR, points)
    faces.check()
    image, label = JoinedDataset([faces], FaceCrop(size=40, margin=0.5, schema=PAIR), UnitCodec(40))[0]
    assert image.shape == (40, 40, 3)
    np.testing.assert_allclose(label[:4] * 40, [9.5, 14.5, 29.5, 24.5], atol=1e-4)  # as for the two points alone
    assert np.isnan(label[5])
    with pytest.raises(UserError, match="row 1: 1 of its points known; a face needs at least two"):
        OneFace(PAIR, [[20, 20], [np.nan, 30], [np.nan, np.nan]]).check()


@pytest.mark.parametrize("points", [[[20, 30], [40, 30]], [[30, 20], [30, 40]]])
def test_points_on_one_line_are_a_face(points):
    schema = with_mean_face(EYES, np.array([points], np.float64))
    faces = OneFace(schema, points)
    faces.check()
    crops = JoinedDataset([faces], FaceCrop(size=40, margin=0.5, schema=schema))
    np.testing.assert_allclose(np.ptp(crops[0][1], axis=0).max(), 20)
    with np.errstate(all="raise"):
        square = NoFacesDataset([faces]).load(0)[1]
    (x0, y0), side = square.min(0), np.ptp(square, axis=0).max()
    inside = ((np.array(points) >= [x0, y0]) & (np.array(points) <= [x0 + side, y0 + side])).all()
    assert not inside
