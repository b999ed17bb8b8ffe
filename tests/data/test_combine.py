import numpy as np
import pytest

from facekp.codecs.points import StandardCodec, UnitCodec
from facekp.data.combine import JoinedDataset, KeptCrops, NoFacesDataset
from facekp.data.dataset import Draw, LandmarkDataset
from facekp.data.drawn import DrawnFacesDataset, draw_face
from facekp.data.pts import PtsDataset
from facekp.data.transforms import FaceCrop, build_transforms
from facekp.io.images import write_image
from facekp.landmarks import IBUG68, MEAN_FACE, parse_schema
from facekp.vision import geometry

PAIR = parse_schema({"name": "pair", "points": ["left_ear", "right_ear", "chin"]}, "an example")

POINTS = [[20, 20], [40, 20], [30, 40]]


class OneFace(LandmarkDataset):
    """One black image of 60 x 80 pixels with one face of any points, and perhaps their visibility."""

    def __init__(self, schema, points, marks=None):
        super().__init__()
        self.schema, self.points = schema, np.array(points, np.float32)
        self.marks = None if marks is None else np.array(marks, np.uint8)

    def __len__(self):
        return 1

    def load(self, index):
        return np.zeros((60, 80, 3), np.uint8), self.points.copy()

    def visibility(self, index):
        return self.marks


def test_samples_are_transformed_and_encoded():
    faces = DrawnFacesDataset(3)
    image, label = JoinedDataset([faces], FaceCrop(size=96), StandardCodec(0.0, 2.0))[0]
    assert image.shape == (96, 96, 3)
    np.testing.assert_allclose(label.reshape(68, 2) * 2, FaceCrop(size=96)(faces[0])[1], atol=1e-3)


def test_a_draw_repeats_itself_and_seeds_differ():
    varied = FaceCrop(size=96, rotate=20, scale=0.2, shift=0.1, flip=0.5)
    faces = JoinedDataset([DrawnFacesDataset(3)], varied)
    first = faces[Draw(0, 7)][1]
    np.testing.assert_array_equal(first, faces[Draw(0, 7)][1])
    assert np.abs(first - faces[Draw(0, 8)][1]).max() > 1


def test_the_last_epochs_have_their_own_transform():
    faces = JoinedDataset([DrawnFacesDataset(3)], FaceCrop(size=96), final_transform=FaceCrop(size=48))
    assert [faces[Draw(0, 7, final)][0].shape[0] for final in (False, True)] == [96, 48]


def test_samples_without_a_face_have_labels_that_are_all_unknown():
    class Nobody(OneFace):
        def has_face(self, index):
            return False

    image, label = JoinedDataset([Nobody(PAIR, POINTS)], codec=UnitCodec(40))[0]
    assert image.shape == (60, 80, 3) and label.shape == (6,) and np.isnan(label).all()


@pytest.mark.parametrize(("points", "marks"), [
    (POINTS, [1, 1, 1]),  # none left
    (POINTS, [1, 2, 1]),  # one left
    ([[20, 20], [20, 20], [30, 40]], [2, 2, 1]),  # two left, at one place
])  # fmt: skip
def test_hidden_points_are_not_dropped_where_too_few_would_be_left(points, marks):
    face, crop = OneFace(PAIR, points, marks), FaceCrop(size=40, margin=0.5, schema=PAIR)
    whole = JoinedDataset([face], crop)[0][1]
    np.testing.assert_array_equal(JoinedDataset([face], crop, hidden_weight=0.0)[0][1], whole)


def visible_of(face, transform, seeds=20):
    """Return the visibility in the labels of several draws: (seeds, points)."""
    faces = JoinedDataset([face], transform, UnitCodec(128), with_visibility=True)
    return np.stack([faces[Draw(0, seed)][1][2 * faces.schema.num_points :] for seed in range(seeds)])


def test_labels_with_hidden_points_say_which_are_seen():
    crop = FaceCrop(size=40, margin=0.5, schema=PAIR)
    for transform in (None, crop):
        np.testing.assert_array_equal(visible_of(OneFace(PAIR, POINTS, [2, 1, 2]), transform, 1), [[1, 0, 1]])
        missing = OneFace(PAIR, [[20, 20], [40, 20], [np.nan, np.nan]], [2, 1, 0])
        np.testing.assert_array_equal(visible_of(missing, transform, 1), [[1, 0, np.nan]])
        assert np.isnan(visible_of(OneFace(PAIR, POINTS, [2, 2, 2]), transform, 1)).all()  # not labelled
    faces = JoinedDataset([OneFace(PAIR, POINTS, [2, 1, 2])], crop)
    assert faces[0][1].shape == (3, 2)


def test_cover_teaches_visibility_alone():
    covered = build_transforms([{"type": "FaceCrop", "size": 128}, {"type": "Cover", "p": 0.5}])
    face = MEAN_FACE * 40 + 10
    seen = visible_of(OneFace(IBUG68, face), covered)
    assert np.isfinite(seen).all() and 0.4 < seen.mean() < 0.99 and (seen == 0).any()
    marks = np.where(np.arange(68) < 5, 1, 2)
    marked = visible_of(OneFace(IBUG68, face, marks), covered)
    np.testing.assert_array_equal(marked, np.where(marks == 1, 0, seen))


def test_kept_crops_show_the_same_face():
    faces = DrawnFacesDataset(4, size=240)
    transform = build_transforms([{"type": "FaceCrop", "size": 96, "margin": 0.2}])
    kept = JoinedDataset([KeptCrops(faces, face_side=110)], transform)
    direct = JoinedDataset([faces], transform)
    for i in range(4):
        np.testing.assert_allclose(kept[i][1], direct[i][1], atol=0.02)
        assert np.abs(kept[i][0].astype(int) - direct[i][0].astype(int)).mean() < 3
    assert kept.parts[0].load(0)[0].shape[0] < 240


def test_joined_sets_keep_their_order():
    parts = [DrawnFacesDataset(2), DrawnFacesDataset(3, first_seed=10)]
    joined = JoinedDataset(parts)
    assert [joined.name(i) for i in range(len(joined))] == [f"drawn face {i}" for i in (0, 1, 10, 11, 12)]
    np.testing.assert_array_equal(joined[3][1], draw_face(11)[1])


def test_squares_without_a_face_lie_beside_all_faces_of_their_picture(tmp_path):
    rng = np.random.default_rng(0)
    faces = []
    for place in ((20, 30), (180, 90)):
        faces.append(MEAN_FACE / MEAN_FACE.max() * 60 + place)
        text = "\n".join(f"{x + 1} {y + 1}" for x, y in faces[-1])
        (tmp_path / f"a_{len(faces)}.pts").write_text(text)
    write_image(tmp_path / "a.png", rng.integers(0, 256, (200, 300, 3), dtype=np.uint8))
    boxes = [geometry.bounding_box(face) for face in faces]
    squares = NoFacesDataset([PtsDataset(tmp_path)])
    assert len(squares) == 2
    assert len(NoFacesDataset([PtsDataset(tmp_path)], every=2)) == 1
    for seed in range(10):
        for index in range(2):
            image, points = NoFacesDataset([PtsDataset(tmp_path)], seed=seed).load(index)
            assert image.shape == (200, 300, 3)
            square = geometry.bounding_box(points)
            for box in boxes:
                inside = np.clip(np.minimum(square[2:], box[2:]) - np.maximum(square[:2], box[:2]), 0, None).prod()
                assert inside < 0.16 * (box[2:] - box[:2]).prod()
    assert not squares.has_face(0)
    assert np.isnan(JoinedDataset([squares])[0][1]).all()
    assert np.isnan(JoinedDataset([KeptCrops(squares, 60)])[1][1]).all()
