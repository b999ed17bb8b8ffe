from pathlib import Path

import numpy as np
import pytest

from facekp.codecs.points import StandardCodec, UnitCodec
from facekp.data.combine import NoFacesDataset
from facekp.data.csv68 import FacialKeypointsDataset
from facekp.data.dataset import Draw, FilesDataset
from facekp.data.statistics import with_mean_face
from facekp.data.transforms import FaceCrop, build_transforms
from facekp.errors import UserError
from facekp.landmarks import IBUG68, MEAN_FACE, parse_schema


def dataset(folder, **options):
    return FacialKeypointsDataset(folder / "training_frames_keypoints.csv", folder / "training", **options)


def edit_csv(folder, edit):
    path = folder / "training_frames_keypoints.csv"
    path.write_text(edit(path.read_text()))


def test_codec_and_transform(drawn_csv):
    faces = dataset(drawn_csv, transform=FaceCrop(size=96), codec=StandardCodec(0.0, 2.0))
    image, label = faces[0]
    assert image.shape == (96, 96, 3)
    np.testing.assert_allclose(label.reshape(68, 2) * 2, FaceCrop(size=96)(dataset(drawn_csv)[0])[1], atol=1e-3)


def test_a_draw_repeats_itself_and_seeds_differ(drawn_csv):
    faces = dataset(drawn_csv, transform=FaceCrop(size=96, rotate=20, scale=0.2, shift=0.1, flip=0.5))
    first = faces[Draw(0, 7)][1]
    np.testing.assert_array_equal(first, faces[Draw(0, 7)][1])
    assert np.abs(first - faces[Draw(0, 8)][1]).max() > 1


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

    def __init__(self, schema, points, **options):
        super().__init__(**options)
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
    faces = OneFace(PAIR, points, transform=FaceCrop(size=40, margin=0.5, schema=PAIR), codec=UnitCodec(40))
    faces.check()
    image, label = faces[0]
    assert image.shape == (40, 40, 3)
    np.testing.assert_allclose(label[:4] * 40, [9.5, 14.5, 29.5, 24.5], atol=1e-4)  # as for the two points alone
    assert np.isnan(label[5])
    with pytest.raises(UserError, match="row 1: 1 of its points known; a face needs at least two"):
        OneFace(PAIR, [[20, 20], [np.nan, 30], [np.nan, np.nan]]).check()


def test_samples_without_a_face_have_labels_that_are_all_unknown():
    class Nobody(OneFace):
        def has_face(self, index):
            return False

    image, label = Nobody(PAIR, [[20, 20], [40, 20], [30, 40]], codec=UnitCodec(40))[0]
    assert image.shape == (60, 80, 3) and label.shape == (6,) and np.isnan(label).all()


@pytest.mark.parametrize("points", [[[20, 30], [40, 30]], [[30, 20], [30, 40]]])
def test_points_on_one_line_are_a_face(points):
    schema = with_mean_face(EYES, np.array([points], np.float64))
    faces = OneFace(schema, points, transform=FaceCrop(size=40, margin=0.5, schema=schema))
    faces.check()
    np.testing.assert_allclose(np.ptp(faces[0][1], axis=0).max(), 20)
    with np.errstate(all="raise"):
        square = NoFacesDataset([faces]).load(0)[1]
    (x0, y0), side = square.min(0), np.ptp(square, axis=0).max()
    inside = ((np.array(points) >= [x0, y0]) & (np.array(points) <= [x0 + side, y0 + side])).all()
    assert not inside


class Marked(OneFace):
    """One face with labels of the visibility of its points."""

    def __init__(self, schema, points, marks, **options):
        super().__init__(schema, points, **options)
        self.marks = np.array(marks, np.uint8)

    def visibility(self, index):
        return self.marks


@pytest.mark.parametrize(("points", "marks"), [
    ([[20, 20], [40, 20], [30, 40]], [1, 1, 1]),  # none left
    ([[20, 20], [40, 20], [30, 40]], [1, 2, 1]),  # one left
    ([[20, 20], [20, 20], [30, 40]], [2, 2, 1]),  # two left, at one place
])  # fmt: skip
def test_hidden_points_are_not_dropped_where_too_few_would_be_left(points, marks):
    faces = Marked(PAIR, points, marks, transform=FaceCrop(size=40, margin=0.5, schema=PAIR))
    whole = faces[0][1]
    faces.hidden_weight = 0.0
    np.testing.assert_array_equal(faces[0][1], whole)


def visible_of(faces, seeds=20):
    """Return the visibility in the labels of several draws: (seeds, points)."""
    faces.with_visibility, faces.codec = True, UnitCodec(128)
    return np.stack([faces[Draw(0, seed)][1][2 * faces.schema.num_points :] for seed in range(seeds)])


def test_labels_with_hidden_points_say_which_are_seen():
    points = [[20, 20], [40, 20], [30, 40]]
    crop = FaceCrop(size=40, margin=0.5, schema=PAIR)
    for transform in (None, crop):
        np.testing.assert_array_equal(visible_of(Marked(PAIR, points, [2, 1, 2], transform=transform), 1), [[1, 0, 1]])
        missing = Marked(PAIR, [[20, 20], [40, 20], [np.nan, np.nan]], [2, 1, 0], transform=transform)
        np.testing.assert_array_equal(visible_of(missing, 1), [[1, 0, np.nan]])
        assert np.isnan(visible_of(Marked(PAIR, points, [2, 2, 2], transform=transform), 1)).all()  # not labelled
    faces = Marked(PAIR, points, [2, 1, 2], transform=crop)
    assert faces[0][1].shape == (3, 2)


def test_cover_teaches_visibility_alone():
    covered = build_transforms([{"type": "FaceCrop", "size": 128}, {"type": "Cover", "p": 0.5}])
    face = MEAN_FACE * 40 + 10
    seen = visible_of(OneFace(IBUG68, face, transform=covered))
    assert np.isfinite(seen).all() and 0.4 < seen.mean() < 0.99 and (seen == 0).any()
    marks = np.where(np.arange(68) < 5, 1, 2)
    marked = visible_of(Marked(IBUG68, face, marks, transform=covered))
    np.testing.assert_array_equal(marked, np.where(marks == 1, 0, seen))
