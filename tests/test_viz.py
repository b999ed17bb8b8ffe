import cv2
import numpy as np
import pandas as pd
import pytest

from facekp import viz
from facekp.data.drawn import draw_face
from facekp.errors import UserError
from facekp.training.logs import RunLog
from facekp.vision import pixels


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
    assert not sheet[64:, :96].any() and (sheet[64:, 96:] == 255).all()  # nobody in the third, and there is no fourth


def run_log(name, epochs, metric="nme"):
    rows = [{"epoch": e, "step": e * 5, "train_loss": 0.4 / e, "val_loss": 0.3 / e, f"train_{metric}": 0.2 / e,
             f"val_{metric}": 0.1 / e} for e in range(1, epochs + 1)]  # fmt: skip
    steps = pd.DataFrame({"step": range(1, epochs * 5 + 1), "loss": np.linspace(0.5, 0.1, epochs * 5)})
    return RunLog(name, steps, pd.DataFrame(rows), metric)


@pytest.mark.parametrize("epochs", [1, 4])
@pytest.mark.parametrize(("count", "metric"), [(1, "nme"), (3, "nme"), (9, "nme"), (1, "missed"), (3, "missed")])
def test_curves_of_one_run_and_of_several(tmp_path, epochs, count, metric):
    viz.save_curves([run_log(f"run {i}", epochs, metric) for i in range(count)], tmp_path / "curves.png")
    picture = cv2.imread(str(tmp_path / "curves.png")).astype(int)
    for colour in viz.COLOURS[: max(2, min(count, 6))]:  # one run has a colour each for training and validation
        bgr = [int(colour[i : i + 2], 16) for i in (5, 3, 1)]
        assert (np.abs(picture - bgr).max(2) < 30).sum() > 20, colour


def test_runs_of_different_metrics_are_not_drawn_together(tmp_path):
    runs = [run_log("points", 2), run_log("boxes", 2, "missed")]
    with pytest.raises(UserError, match="points is judged by nme, boxes by missed"):
        viz.save_curves(runs, tmp_path / "curves.png")
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("error")
def test_a_curve_may_reach_zero(tmp_path):
    log = run_log("boxes", 3, "missed")
    log.epochs.loc[1:, "val_missed"] = 0.0
    viz.save_curves([log], tmp_path / "curves.png")


def test_an_error_curve_is_drawn(tmp_path):
    viz.save_error_curve(np.array([0.01, 0.02, 0.5]), tmp_path / "errors.png")
    assert cv2.imread(str(tmp_path / "errors.png")).std() > 5


def test_what_the_network_sees_is_shown_in_its_colours():
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    grey = pixels.to_chw(pixels.gray_normalize(picture, 1))
    np.testing.assert_array_equal(viz.network_input_to_bgr(grey)[..., 0], cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY))
    colour = viz.network_input_to_bgr(pixels.to_chw(pixels.imagenet_normalize(picture)))
    for channel in range(3):  # blue stays blue
        assert np.corrcoef(colour[..., channel].ravel(), picture[..., channel].ravel())[0, 1] > 0.99
