"""Piecewise affine warps: corners of triangles land on their counterparts, and an image follows its mesh."""

import cv2
import numpy as np

from facekp.vision import geometry, piecewise

TRIANGLES = np.array([[[2, 3], [40, 5], [10, 50]], [[40, 5], [44, 52], [10, 50]]], np.float64)


def test_maps_send_corners_to_corners():
    moved = TRIANGLES * [1.5, 0.7] + [[3, -8]]
    moved[0, 0] += 4
    maps = piecewise.triangle_maps(TRIANGLES, moved)
    for matrix, source, target in zip(maps, TRIANGLES, moved):
        np.testing.assert_allclose(geometry.apply(matrix, source), target, atol=1e-9)


def test_later_polygons_cover_earlier_ones_and_start_shifts_the_canvas():
    squares = np.array([[[10, 10], [20, 10], [20, 20], [10, 20]], [[15, 10], [25, 10], [25, 20], [15, 20]]])
    owner = piecewise.paint(squares, (30, 30))
    assert owner.dtype == np.int32 and owner.shape == (30, 30)
    assert owner[12, 12] == 1 and owner[12, 17] == 2 and owner[12, 23] == 2 and owner[5, 5] == 0
    np.testing.assert_array_equal(piecewise.paint(squares, (20, 25), (8, 3)), owner[3:28, 8:28])


def test_an_image_warped_by_one_affine_map_in_both_triangles_is_that_warp():
    image = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8), (0, 0), 3)
    matrix = geometry.compose(geometry.rotation(10, (25, 25)), geometry.scaling(0.9))
    target = np.stack([geometry.apply(matrix, corners) for corners in TRIANGLES])
    owner = piecewise.paint(target, (50, 40), (4, 6))
    x, y = piecewise.sample_positions(owner, piecewise.triangle_maps(target, TRIANGLES), np.eye(2, 3), (4, 6))
    expected = cv2.warpAffine(image, matrix, (60, 60))[6:46, 4:54]
    warped = cv2.remap(image, x, y, cv2.INTER_LINEAR)
    # OpenCV interpolates on a grid of 1/32 pixel; neighbouring pixels of this image differ by at most 20.
    assert np.abs(warped.astype(int) - expected)[owner > 0].max() <= 2
    np.testing.assert_array_equal(np.stack([x, y], -1)[owner == 0], np.argwhere(owner == 0)[:, ::-1] + np.array([4, 6]))
