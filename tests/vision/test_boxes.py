import numpy as np
import pytest

from facekp.vision import boxes as b


def test_cells_lie_row_by_row_the_finest_grid_first():
    centres, strides = b.cell_centres(64, 96)
    assert centres.dtype == strides.dtype == np.float32
    assert [int((strides == s).sum()) for s in b.STRIDES] == [8 * 12, 4 * 6, 2 * 3]
    assert (np.diff(strides) >= 0).all()
    assert centres[:2].tolist() == [[3.5, 3.5], [11.5, 3.5]]  # pixels 0 to 7, and 8 to 15
    assert centres[12].tolist() == [3.5, 11.5]  # the second row
    assert centres[96].tolist() == [7.5, 7.5]
    assert centres[120].tolist() == [15.5, 15.5]
    assert centres[-1].tolist() == [79.5, 47.5]


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


FACES = np.array([[10, 12, 40, 50], [70, 8, 90, 30], [20, 60, 60, 120], [100, 30, 159, 90]], np.float32)


def encoded(faces, scores, cells, height, width):
    """What a network that knows the faces would say; each at one cell."""
    centres, _ = b.cell_centres(height, width)
    outputs = np.tile(np.float32([-8, 5, 5, 5, 5]), (len(centres), 1))
    for face, score, cell in zip(faces, scores, cells):
        outputs[cell] = [np.log(score / (1 - score)), *(centres[cell] - face[:2]), *(face[2:] - centres[cell])]
    return outputs


@pytest.mark.parametrize("stride", b.STRIDES)
def test_boxes_come_back_from_the_cells_of_each_grid(stride):
    centres, strides = b.cell_centres(128, 160)
    off = np.abs(centres[None] - (FACES[:, None, :2] + FACES[:, None, 2:]) / 2).max(-1)
    cells = np.where(strides == stride, off, np.inf).argmin(1)
    assert len(set(cells)) == len(FACES)
    found, scores = b.choose_boxes(encoded(FACES, [0.6, 0.9, 0.5, 0.8], cells, 128, 160), 128, 160)
    np.testing.assert_allclose(found, FACES[[1, 3, 0, 2]], atol=1e-4)
    np.testing.assert_allclose(scores, [0.9, 0.8, 0.6, 0.5], atol=1e-5)
    assert found.dtype == scores.dtype == np.float32


def test_doubles_and_weak_cells_are_left_out():
    faces = np.concatenate([FACES[:1], FACES[:1] + 3, FACES[1:2], FACES[2:3]])  # the second shares 70 % with the first
    outputs = encoded(faces, [0.5, 0.7, 0.6, 0.3], [20, 41, 29, 400], 128, 160)
    np.testing.assert_allclose(b.choose_boxes(outputs, 128, 160)[0], faces[[1, 2]], atol=1e-4)
    np.testing.assert_allclose(b.choose_boxes(outputs, 128, 160, 0.2)[0], faces[[1, 2, 3]], atol=1e-4)
    none, scores = b.choose_boxes(outputs, 128, 160, 0.8)
    assert none.shape == (0, 4) and scores.shape == (0,)


def test_suppression_keeps_the_best_of_each_heap():
    boxes = np.array([[0, 0, 10, 10], [1, 1, 11, 11], [40, 40, 50, 50], [0, 0, 10, 10.5]])
    assert b.suppress_overlaps(boxes, np.array([0.5, 0.9, 0.3, 0.8]), most=0.3).tolist() == [1, 2]
    assert b.suppress_overlaps(np.zeros((0, 4)), np.zeros(0), most=0.3).tolist() == []
