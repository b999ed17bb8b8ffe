import cv2
import numpy as np
import pytest
from tests_support import dot_under, paint_dots

from facekp.vision import geometry as g

RNG = np.random.default_rng(0)


def test_compose_applies_the_first_matrix_first():
    points = RNG.normal(size=(5, 2))
    together = g.apply(g.compose(g.rotation(30), g.scaling(2, 3), g.translation(4, 5)), points)
    one_by_one = g.apply(g.translation(4, 5), g.apply(g.scaling(2, 3), g.apply(g.rotation(30), points)))
    np.testing.assert_allclose(together, one_by_one)


def test_invert_undoes():
    matrix = g.compose(g.rotation(20, (3, 4)), g.scaling(0.3), g.translation(9, -2))
    points = RNG.normal(size=(5, 2))
    np.testing.assert_allclose(g.apply(g.invert(matrix), g.apply(matrix, points)), points, atol=1e-12)


@pytest.mark.parametrize("count", [2, 7])
def test_similarity_recovers_what_made_it(count):
    matrix = g.compose(g.rotation(-70), g.scaling(1.7), g.translation(30, 8))
    source = RNG.normal(size=(count, 2)) * 10
    np.testing.assert_allclose(g.similarity(source, g.apply(matrix, source)), matrix, atol=1e-9)


def test_affine_recovers_what_made_it():
    matrix = np.array([[1.0, 0.4, 3], [-0.2, 0.7, 5]])
    source = RNG.normal(size=(3, 2)) * 10
    np.testing.assert_allclose(g.affine(source, g.apply(matrix, source)), matrix, atol=1e-9)


def test_degenerate_fits_are_refused():
    with pytest.raises(ValueError, match="two different"):
        g.similarity(np.ones((2, 2)), np.zeros((2, 2)))
    with pytest.raises(ValueError, match="line"):
        g.affine(np.array([[0, 0], [1, 1], [2, 2]]), np.zeros((3, 2)))


def test_resizing_is_what_opencv_does():
    image = np.zeros((40, 60, 3), np.uint8)
    image[10:14, 20:24] = 255  # its centre is at (21.5, 11.5)
    small = cv2.resize(image, (30, 20), interpolation=cv2.INTER_AREA)[..., 0].astype(float)
    y, x = np.mgrid[:20, :30]
    seen = [(small * x).sum() / small.sum(), (small * y).sum() / small.sum()]
    np.testing.assert_allclose(g.apply(g.resizing((60, 40), (30, 20)), np.array([21.5, 11.5])), seen, atol=1e-6)


@pytest.mark.parametrize("scale", [0.3, 0.5, 1.0, 2.3])
def test_warp_moves_pixels_where_apply_moves_points(scale):
    points = np.array([[60.0, 50.0], [150.0, 120.0]])
    image = paint_dots(points, (200, 230))
    matrix = g.compose(g.rotation(15, (115, 100)), g.scaling(scale), g.translation(4.5, 2.25))
    size = (round(260 * scale) + 10, round(240 * scale) + 10)
    warped = g.warp(image, matrix, size)
    for point in g.apply(matrix, points):
        np.testing.assert_allclose(dot_under(warped, point, reach=max(3, round(6 * scale))), point, atol=0.15)


def test_warp_averages_when_it_shrinks_a_lot():
    stripes = np.zeros((400, 400, 3), np.uint8)
    stripes[:, ::2] = 255
    shrunk = g.warp(stripes, g.resizing((400, 400), (50, 50)), (50, 50))
    assert np.ptp(shrunk[5:-5, 5:-5].astype(int)) <= 2
    assert abs(int(shrunk[25, 25, 0]) - 127) <= 2


@pytest.mark.parametrize("border", ["constant", "replicate"])
@pytest.mark.parametrize("place", [(300, 200), (0, 0), (590, 395), (-200, 100), (2000, 2000)])
def test_a_shrinking_warp_looks_at_its_part_alone_and_sees_the_same(place, border):
    image = cv2.GaussianBlur(RNG.integers(0, 255, (400, 600, 3), np.uint8), (0, 0), 5)
    matrix = g.compose(g.translation(-place[0], -place[1]), g.rotation(20), g.scaling(0.3), g.translation(30, 30))
    exact = cv2.warpAffine(
        image, matrix, (60, 60), borderMode=cv2.BORDER_CONSTANT if border == "constant" else cv2.BORDER_REPLICATE
    )
    difference = np.abs(g.warp(image, matrix, (60, 60), border).astype(int) - exact)
    assert np.median(difference) <= 1
    assert np.percentile(difference, 95) <= 12  # the outermost pixels are averaged, not sampled


@pytest.mark.parametrize("shape", [(8, 40000), (40000, 8)])
def test_images_beyond_opencvs_limit_are_warped(shape):
    image = np.zeros((*shape, 3), np.uint8)
    image[(3, 39000) if shape[1] > 8 else (39000, 3)] = 200
    x, y = (39000, 3) if shape[1] > 8 else (3, 39000)
    moved = g.warp(image, g.translation(4 - x, 2 - y), (9, 5))
    assert moved[2, 4].tolist() == [200] * 3 and moved.sum() == 600


def test_square_crop_puts_the_box_in_the_middle():
    corners = np.array([[20.0, 30.0], [60.0, 50.0]])
    moved = g.apply(g.square_crop([20, 30, 60, 50], 0.25, 60), corners)
    np.testing.assert_allclose(moved, [[9.5, 19.5], [49.5, 39.5]])


def test_square_crop_of_points_on_one_line():
    for line in ([[20.0, 30.0], [60.0, 30.0]], [[40.0, 10.0], [40.0, 50.0]]):
        moved = g.apply(g.square_crop(np.ravel(line), 0.25, 60), np.array(line))
        np.testing.assert_allclose(moved.mean(0), [29.5, 29.5])
        np.testing.assert_allclose(np.ptp(moved, axis=0).max(), 40)


@pytest.mark.parametrize("box", [[5, 5, 5, 5], [5, 9, 5, 5], [9, 9, 5, 5], [0, 0, float("nan"), 5]])
def test_empty_boxes_are_refused(box):
    with pytest.raises(ValueError, match="empty"):
        g.square_crop(box, 0.1, 64)
