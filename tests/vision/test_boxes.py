import numpy as np
import pytest

from facekp.errors import UserError
from facekp.vision import boxes as b


def test_iou():
    boxes = np.array([[0, 0, 2, 2], [1, 1, 3, 3], [5, 5, 6, 6]], float)
    np.testing.assert_allclose(b.iou(boxes[0], boxes), [1, 1 / 7, 0])


def test_each_box_is_compared_with_each():
    boxes = np.array([[0, 0, 2, 2], [1, 1, 3, 3], [5, 5, 6, 6]], float)
    table = b.iou(boxes[:, None], boxes[None, :2])
    np.testing.assert_allclose(table, [[1, 1 / 7], [1 / 7, 1], [0, 0]])
    assert b.iou(np.zeros(4), np.zeros(4)) == 0


def test_the_part_inside_is_of_the_first_box():
    small, large = np.array([0, 0, 2, 4.0]), np.array([1, -10, 30, 3.0])
    assert b.part_inside(small, large) == pytest.approx(1 * 3 / 8)
    assert b.part_inside(large, small) == pytest.approx(1 * 3 / (29 * 13))
    assert b.part_inside(small, small + 50) == 0


def test_an_inside_out_box_has_no_area():
    assert b.area(np.array([[1, 2, 4, 4], [4, 2, 1, 4], [4, 4, 1, 2]])).tolist() == [6, 0, 0]


def test_suppression_keeps_the_best_of_each_group():
    boxes = np.array([[0, 0, 10, 10], [1, 1, 11, 11], [40, 40, 50, 50], [0, 0, 10, 10.5]])
    assert b.suppress_overlaps(boxes, np.array([0.5, 0.9, 0.3, 0.8]), max_iou=0.3).tolist() == [1, 2]
    assert b.suppress_overlaps(np.zeros((0, 4)), np.zeros(0), max_iou=0.3).tolist() == []


@pytest.mark.parametrize(
    "given", [[[1, 2, 3, 4]], [(1.0, 2, 3, 4)], np.array([[1, 2, 3, 4]]), [np.float64([1, 2, 3, 4])]]
)
def test_boxes_of_a_caller_become_float32(given):
    found = b.as_boxes(given)
    assert found.dtype == np.float32 and found.tolist() == [[1, 2, 3, 4]]


@pytest.mark.parametrize("given", [[], (), np.zeros((0, 4)), np.zeros(0), [[]]])
def test_no_boxes_are_none(given):
    assert b.as_boxes(given).shape == (0, 4)
    assert b.as_boxes(given).dtype == np.float32


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([1, 2, 3, 4], r"shape \(N, 4\), each x0, y0, x1, y1, not \(4,\)"),
        ([[1, 2, 3]], r"not \(1, 3\)"),
        (np.ones((2, 2, 4)), r"not \(2, 2, 4\)"),
        ([["a", 2, 3, 4]], "boxes are numbers"),
        ([[1, 2, 3, 4], [1, 2]], "boxes are numbers"),
        ([None], "boxes"),
        ({"x0": 1}, "boxes are numbers"),
    ],
)
def test_what_are_no_boxes_is_told_in_a_line(given, message):
    with pytest.raises(UserError, match=message) as caught:
        b.as_boxes(given)
    assert "\n" not in str(caught.value)
