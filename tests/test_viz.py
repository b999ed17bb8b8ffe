import cv2
import numpy as np
import pytest

from facekp import viz
from facekp.data.drawn import draw_face
from facekp.landmarks import load_schema, parse_schema
from facekp.vision import pixels
from facekp.viz import comparison_sheet


@pytest.mark.parametrize("size", [60, 400])
def test_every_point_is_drawn_and_the_picture_stays(size):
    image, points = draw_face(1, size)
    before = image.copy()
    drawn = viz.draw_points(image, points, (0, 255, 0))
    np.testing.assert_array_equal(image, before)
    changed = (drawn != image).any(2)
    for x, y in points.round().astype(int):
        assert changed[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3].any()
    assert changed.mean() < 0.3


def test_points_far_outside_do_no_harm():
    pair = parse_schema({"name": "pair", "points": ["a", "b"], "edges": [{"points": "0-1"}]}, "an example")
    points = np.array([[1e9, -1e9], [20.0, 20.0]])
    drawn = viz.draw_points(np.zeros((40, 40, 3), np.uint8), points, radius=2, schema=pair)
    assert drawn[20, 20].any()


def test_unknown_points_are_omitted():
    image = np.zeros((60, 60, 3), np.uint8)
    chain = parse_schema({"name": "chain", "points": ["a", "b", "c"], "edges": [{"points": "0-2"}]}, "an example")
    points = np.array([[10.0, 10.0], [50.0, 10.0], [30.0, np.nan]])
    drawn = viz.draw_points(image, points, radius=2, schema=chain).any(2)
    assert drawn[10, 10] and drawn[10, 50] and drawn[10, 30]  # the curve joins the known points
    assert not drawn[20:].any()
    np.testing.assert_array_equal(viz.draw_points(image, np.full((3, 2), np.nan), schema=chain), image)


def test_the_curves_are_those_of_the_schema():
    five = load_schema("five")
    points = five.mean_points * 100 + 20
    image = np.zeros((140, 140, 3), np.uint8)
    dots = viz.draw_points(image, points, radius=2, schema=five)
    assert all(dots[round(float(y)), round(float(x))].any() for x, y in points)
    assert 0 < dots.any(2).sum() < 5 * 50  # no lines between them
    edges = [{"points": ["left_eye", "right_eye"]}, {"points": ["nose_tip", 3, 4], "closed": True}]
    linked = parse_schema({"name": "linked", "points": list(five.points), "edges": edges}, "an example")
    drawn = viz.draw_points(image, points, radius=2, schema=linked)
    for a, b in ((0, 1), (2, 3), (3, 4), (4, 2)):
        x, y = ((points[a] + points[b]) / 2).round().astype(int)
        assert drawn[y, x].any() and not dots[y, x].any(), (a, b)


def test_a_cross_has_four_arms():
    one = parse_schema({"name": "one", "points": ["a"]}, "an example")
    cross, dot = (
        viz.draw_points(np.zeros((40, 40, 3), np.uint8), np.full((1, 2), 20.0), radius=6, schema=one, crosses=crosses)
        for crosses in (True, False)
    )
    for x, y in ((16, 16), (24, 16), (16, 24), (24, 24)):
        assert cross[y, x].any() and dot[y, x].any()
    for x, y in ((20, 15), (15, 20), (25, 20), (20, 25)):
        assert not cross[y, x].any() and dot[y, x].any()


def test_a_sheet_shows_both_kinds_of_points_on_every_face():
    faces = [draw_face(seed, 96) for seed in range(5)]
    inputs = np.stack([face[..., :1].transpose(2, 0, 1) / np.float32(255) for face, _ in faces])
    truth = np.stack([points for _, points in faces])
    sheet = viz.comparison_sheet(inputs, truth, truth + 6, [f"face {i}" for i in range(5)], columns=3, side=100)
    assert sheet.shape == (2 * 122, 300, 3)
    for i in range(5):
        cell = sheet[(i // 3) * 122 : (i // 3) * 122 + 100, (i % 3) * 100 : (i % 3) * 100 + 100]
        for colour in (viz.TRUTH, viz.PREDICTED):
            assert (np.abs(cell.astype(int) - colour).max(2) < 40).sum() > 30
    assert (sheet[122:222, 200:] == 255).all()  # there is no sixth face


def test_a_sheet_shows_boxes_in_the_colours_of_what_they_are():
    inputs = np.zeros((3, 3, 64, 96), np.float32)
    truth = np.zeros((3, 4, 5), np.float32)
    truth[0, 0], truth[1, 0] = [10, 12, 40, 50, 1], [50, 8, 90, 60, 0]
    sheet = viz.box_sheet(inputs, truth, [np.array([[20, 20, 60, 60.0]]), np.zeros((0, 4)), np.zeros((0, 4))], 2)
    assert sheet.shape == (2 * 64, 2 * 96, 3)

    def is_there(x, y, colour):
        return np.abs(sheet[y, x].astype(int) - colour).max() < 60

    assert is_there(10, 30, viz.TRUTH) and is_there(40, 15, viz.TRUTH) and is_there(15, 50, viz.TRUTH)
    assert is_there(20, 55, viz.PREDICTED) and is_there(60, 40, viz.PREDICTED)
    assert is_there(96 + 50, 30, 160) and is_there(96 + 70, 60, 160)
    assert not sheet[64:, :96].any() and (sheet[64:, 96:] == 255).all()  # no box in the third, and no fourth


def test_a_line_stands_under_its_own_image_alone():
    black, nothing = np.zeros((2, 3, 64, 96), np.float32), np.zeros((2, 1, 5), np.float32)
    found = [np.zeros((0, 4))] * 2
    sheet = viz.box_sheet(black, nothing, found, captions=["a name that is far too long for so small an image", ""])
    assert sheet.shape == (64 + 22, 2 * 96, 3)
    assert sheet[64:, :96].min() < 100 and (sheet[64:, 96:] == 255).all() and not sheet[:64, : 2 * 96].any()


def test_what_the_network_sees_is_shown_in_its_colours():
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    grey = pixels.to_chw(pixels.gray_normalize(picture, 1))
    np.testing.assert_array_equal(viz.network_input_to_bgr(grey)[..., 0], cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY))
    colour = viz.network_input_to_bgr(pixels.to_chw(pixels.imagenet_normalize(picture)))
    for channel in range(3):  # blue stays blue
        assert np.corrcoef(colour[..., channel].ravel(), picture[..., channel].ravel())[0, 1] > 0.99
    np.testing.assert_array_equal(
        viz.network_input_to_bgr(np.repeat(grey[:1], 2, 0)), viz.network_input_to_bgr(grey[:1])
    )


def test_captions_that_opencv_has_no_letters_for_are_spelt_out():
    blank = np.zeros((1, 3, 64, 64), np.float32)
    points = np.full((1, 68, 2), 30.0)
    sheets = [comparison_sheet(blank, points, points, [caption]) for caption in ("人", "脸", r"\u4eba")]
    assert not np.array_equal(sheets[0], sheets[1])
    np.testing.assert_array_equal(sheets[0], sheets[2])
