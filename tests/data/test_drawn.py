import cv2
import numpy as np

from facekp.data.drawn import DrawnFacesDataset, draw_face
from facekp.data.statistics import crop_statistics, label_mean_std
from facekp.data.transforms import FaceCrop
from facekp.landmarks import REGIONS


def test_the_same_seed_draws_the_same_face():
    one, other = draw_face(4), draw_face(4)
    np.testing.assert_array_equal(one[0], other[0])
    np.testing.assert_array_equal(one[1], other[1])
    assert np.abs(one[1] - draw_face(5)[1]).max() > 1


def test_the_points_lie_on_what_is_drawn():
    """The inside of the eyes is bright and what lies around them is skin, on most faces."""
    brighter = 0
    for seed in range(20):
        image, points = draw_face(seed, 200)
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(float)
        mask = np.zeros(grey.shape, np.uint8)
        for eye in (REGIONS["eyes"][:6], REGIONS["eyes"][6:]):
            cv2.fillPoly(mask, [points[eye].round().astype(np.int32)], 1)
        around = cv2.dilate(mask, np.ones((9, 9))) - cv2.dilate(mask, np.ones((3, 3)))
        brighter += np.percentile(grey[mask > 0], 90) > np.percentile(grey[around > 0], 50)
    assert brighter >= 17


def test_crop_statistics_of_face_crops_are_known():
    faces = DrawnFacesDataset(10, transform=FaceCrop(size=100, margin=0.25))
    found = crop_statistics(faces, size=100)
    np.testing.assert_allclose(found.centre, 0.495, atol=1e-3)
    assert abs(found.side - 1 / 1.5) < 1e-3


def test_label_mean_std():
    points = np.stack([draw_face(seed)[1] for seed in range(5)])
    mean, std = label_mean_std(points)
    assert abs(mean - points.mean()) < 1e-4
    assert abs(std - points.std()) < 1e-4
