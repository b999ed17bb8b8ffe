import cv2
import pandas as pd
from visualdl import LogWriter

from facekp.training.logs import LOG_FILE, METRICS_FILE


def write_run(folder, metric, best):
    """Write the files of a run of three epochs that curves need; return its folder."""
    with LogWriter(str(folder), file_name=LOG_FILE) as log:
        for step in range(1, 7):
            log.add_scalar("step/train_loss", 1 / step, step)
    losses = {"train_loss": [0.9, 0.5, 0.4], "val_loss": [0.8, 0.6, 0.5]}
    values = {f"train_{metric}": [0.3, 0.2, 0.1], f"val_{metric}": [0.4, best, 0.35]}
    columns = {"epoch": [1, 2, 3], "step": [2, 4, 6], **losses, **values, "val_other": [7, 7, 7], "seconds": [1, 1, 1]}
    pd.DataFrame(columns).to_csv(folder / METRICS_FILE, index=False)
    return folder


def test_curves_of_detectors_are_drawn_together(run_tool, tmp_path):
    runs = [write_run(tmp_path / name, "missed", best) for name, best in (("first", 0.25), ("second", 0.125))]
    done = run_tool("plot", *runs, "-o", tmp_path / "curves.png")
    assert done.returncode == 0, done.stderr
    assert "first: best validation missed 25.00 % after epoch 2" in done.stdout
    assert "second: best validation missed 12.50 % after epoch 2" in done.stdout
    assert cv2.imread(str(tmp_path / "curves.png")).std() > 10


def test_pixels_are_no_percent(run_tool, tmp_path):
    done = run_tool("plot", write_run(tmp_path / "run", "distance_px", 4.25), "-o", tmp_path / "curves.png")
    assert "run: best validation distance_px 0.35 after epoch 3" in done.stdout


def test_runs_of_points_and_of_boxes_do_not_go_into_one_picture(refuses, tmp_path):
    points, boxes = write_run(tmp_path / "points", "nme", 0.2), write_run(tmp_path / "boxes", "missed", 0.2)
    line = refuses("plot", points, boxes, "-o", tmp_path / "curves.png")
    assert "points is evaluated by nme, boxes by missed; plot each alone" in line
    assert not (tmp_path / "curves.png").exists()
    assert "no run with a finished epoch" in refuses("plot", tmp_path, "-o", tmp_path / "curves.png")


def test_damaged_logs_are_told(refuses, tmp_path):
    folder = write_run(tmp_path / "run", "nme", 0.2)
    (folder / METRICS_FILE).write_text("epoch,step\n1,2\n")
    assert "its logs are damaged" in refuses("plot", folder, "-o", tmp_path / "curves.png")
    assert not list(tmp_path.glob("*.png"))
