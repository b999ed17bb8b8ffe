import subprocess
import sys

import cv2
import numpy as np
import pandas as pd
import pytest

from facekp import plots
from facekp.errors import UserError
from facekp.training.logs import RunLog


def run_log(name, epochs, metric="nme"):
    rows = [{"epoch": e, "step": e * 5, "train_loss": 0.4 / e, "val_loss": 0.3 / e, f"train_{metric}": 0.2 / e,
             f"val_{metric}": 0.1 / e} for e in range(1, epochs + 1)]  # fmt: skip
    steps = pd.DataFrame({"step": range(1, epochs * 5 + 1), "loss": np.linspace(0.5, 0.1, epochs * 5)})
    return RunLog(name, steps, pd.DataFrame(rows), metric)


@pytest.mark.parametrize("epochs", [1, 4])
@pytest.mark.parametrize(("count", "metric"), [(1, "nme"), (3, "nme"), (9, "nme"), (1, "missed"), (3, "missed")])
def test_curves_of_one_run_and_of_several(tmp_path, epochs, count, metric):
    plots.save_curves([run_log(f"run {i}", epochs, metric) for i in range(count)], tmp_path / "curves.png")
    picture = cv2.imread(str(tmp_path / "curves.png")).astype(int)
    for colour in plots.COLOURS[: max(2, min(count, 6))]:  # one run: a colour each for training and validation
        bgr = [int(colour[i : i + 2], 16) for i in (5, 3, 1)]
        assert (np.abs(picture - bgr).max(2) < 30).sum() > 20, colour


def test_runs_of_different_metrics_are_not_drawn_together(tmp_path):
    runs = [run_log("points", 2), run_log("boxes", 2, "missed")]
    with pytest.raises(UserError, match="points is evaluated by nme, boxes by missed"):
        plots.save_curves(runs, tmp_path / "curves.png")
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("error")
def test_a_curve_may_reach_zero(tmp_path):
    log = run_log("boxes", 3, "missed")
    log.epochs.loc[1:, "val_missed"] = 0.0
    plots.save_curves([log], tmp_path / "curves.png")


def test_an_error_curve_is_drawn(tmp_path):
    plots.save_error_curve(np.array([0.01, 0.02, 0.5]), tmp_path / "errors.png")
    assert cv2.imread(str(tmp_path / "errors.png")).std() > 5


@pytest.mark.parametrize(("faces", "others"), [([0.9, 0.2], [0.1]), ([], [0.6]), ([0.7], [])])
def test_a_score_is_drawn_in_the_colours_of_faces_and_of_others(faces, others):
    confusion = np.array([[sum(s >= 0.5 for s in each), sum(s < 0.5 for s in each)] for each in (faces, others)])
    picture = plots.draw_scores(np.array(faces), np.array(others), confusion)
    assert picture.dtype == np.uint8 and picture.shape[2] == 3
    left = picture[:, : picture.shape[1] // 2].astype(int)
    assert ((left[..., 0] - left[..., 2] > 80).sum() > 500) == bool(faces)  # blue
    assert ((left[..., 2] - left[..., 0] > 80).sum() > 500) == bool(others)  # orange


def test_importing_it_keeps_the_matplotlib_backend():
    code = (
        "import matplotlib; matplotlib.use('svg'); import facekp.plots; "
        "import sys; sys.exit(matplotlib.get_backend() != 'svg')"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_chinese_names_in_a_plot_are_drawn_or_spelt_out():
    from facekp import plots

    drawn = plots._drawable("人脸\x1b \U000e0001")
    assert "\x1b" not in drawn and "\U000e0001" not in drawn
    signs = plots._fonts()[1]
    assert drawn.startswith("人脸" if ord("人") in signs else r"\u4eba")
