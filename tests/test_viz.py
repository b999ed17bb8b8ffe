import cv2
import numpy as np
import pandas as pd
import pytest

from facekp import viz
from facekp.data.drawn import draw_face


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
    drawn = viz.draw_points(np.zeros((40, 40, 3), np.uint8), np.array([[1e9, -1e9], [20.0, 20.0]]), radius=2)
    assert drawn[20, 20].any()


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


def test_curves_are_drawn_also_for_a_single_epoch(tmp_path):
    row = {"epoch": 1, "train_loss": 0.4, "val_loss": 0.3, "train_nme": 0.2, "val_nme": 0.1}
    viz.save_curves(pd.DataFrame([row]), tmp_path / "curves.png")
    viz.save_error_curve(np.array([0.01, 0.02, 0.5]), tmp_path / "errors.png")
    for name in ("curves.png", "errors.png"):
        assert cv2.imread(str(tmp_path / name)).std() > 5
