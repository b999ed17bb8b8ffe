import cv2
import numpy as np

from facekp.data.drawn import draw_face
from facekp.landmarks import IBUG68


def test_the_same_seed_draws_the_same_face():
    one, other = draw_face(4), draw_face(4)
    np.testing.assert_array_equal(one[0], other[0])
    np.testing.assert_array_equal(one[1], other[1])
    assert np.abs(one[1] - draw_face(5)[1]).max() > 1


def test_the_points_lie_on_what_is_drawn():
    """On most faces the eyes are brighter than the skin around them."""
    brighter = 0
    for seed in range(20):
        image, points = draw_face(seed, 200)
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(float)
        mask = np.zeros(grey.shape, np.uint8)
        eyes = IBUG68.regions["eyes"]
        for eye in (list(eyes[:6]), list(eyes[6:])):
            cv2.fillPoly(mask, [points[eye].round().astype(np.int32)], 1)
        around = cv2.dilate(mask, np.ones((9, 9))) - cv2.dilate(mask, np.ones((3, 3)))
        brighter += np.percentile(grey[mask > 0], 90) > np.percentile(grey[around > 0], 50)
    assert brighter >= 17
