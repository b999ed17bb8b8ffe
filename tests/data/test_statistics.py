import numpy as np
import pytest

from facekp.data.combine import JoinedDataset
from facekp.data.drawn import DrawnFacesDataset, draw_face
from facekp.data.statistics import crop_statistics, label_mean_std, with_mean_face
from facekp.data.transforms import FaceCrop
from facekp.errors import UserError
from facekp.landmarks import parse_schema


def test_crop_statistics_of_face_crops_are_known():
    faces = JoinedDataset([DrawnFacesDataset(10)], FaceCrop(size=100, margin=0.25))
    found = crop_statistics(faces, size=100)
    np.testing.assert_allclose(found.centre, 0.495, atol=1e-3)
    assert abs(found.side - 1 / 1.5) < 1e-3


def test_label_mean_std():
    points = np.stack([draw_face(seed)[1] for seed in range(5)])
    mean, std = label_mean_std(points)
    assert abs(mean - points.mean()) < 1e-4
    assert abs(std - points.std()) < 1e-4


def test_unknown_points_count_nowhere():
    class Incomplete(DrawnFacesDataset):
        def load(self, index):
            image, points = super().load(index)
            points[5 * index : 5 * index + 5] = np.nan  # the other faces have this part of the jaw
            points[40:60] = np.nan if index else points[40:60]
            return image, points

    faces = JoinedDataset([Incomplete(3)], FaceCrop(size=100, margin=0.25))
    found = crop_statistics(faces, size=100)
    assert np.isfinite(found.mean_points).all() and found.mean_points.shape == (68, 2)
    np.testing.assert_allclose(found.centre, 0.495, atol=1e-3)  # each crop is around the known points
    assert abs(found.side - 1 / 1.5) < 1e-3
    assert label_mean_std(np.array([[1.0, np.nan], [3.0, np.nan]])) == (2.0, 1.0)


def test_names_by_the_sides_of_the_person_are_told():
    schema = parse_schema({"name": "mine", "points": ["right_eye", "left_eye", "chin"]}, "an example")
    faces = np.array([[[10.0, 20], [30, 20], [20, 40]]] * 3)
    with pytest.raises(UserError, match=r"most faces are upside down.*list mirror_pairs as \[right_eye, left_eye\]"):
        with_mean_face(schema, faces)
    listed = parse_schema({**schema.to_dict(), "mirror_pairs": [["right_eye", "left_eye"]]}, "an example")
    assert with_mean_face(listed, faces).mean_face == ((0.0, 0.0), (1.0, 0.0), (0.5, 1.0))


def test_the_mean_face_of_points_above_one_another_is_one_of_a_schema():
    schema = parse_schema({"name": "line", "points": ["brow", "chin"]}, "an example")
    for chin in (10.0, 11.0):
        found = with_mean_face(schema, np.array([[[10.0, 20.0], [chin, 60.0]]]))
        assert parse_schema(found.to_dict(), "weights").mean_face[1][1] == 10
