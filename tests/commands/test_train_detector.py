"""A face detector trained with the same command: training, validation, resuming, and no confusion with points."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file
from tests_support import draw_csv
from visualdl import LogReader

from facekp.errors import UserError
from facekp.models.weights import load_detector_weights, load_weights

ROOT = Path(__file__).resolve().parents[2]


def tiny(data, output, *more):
    options = [
        f"data.sources=[{{type: csv68, root: {data}}}]", "data.workers=0", "size=96", f"output={output}",
        "train.epochs=3",
        "train.batch_size=4", "train.ema=0.5", "optimizer.lr=0.01", "optimizer.warmup_epochs=0",
        "network={type: plain_detector, channels: [4, 4, 8, 8, 8], width: 8, blocks: [1, 1, 1]}", *more,
    ]  # fmt: skip
    return ["-c", "configs/face_detector.yml", *(part for option in options for part in ("-o", option))]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    draw_csv(folder)
    return folder


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """A tiny run without interruption."""
    output = tmp_path_factory.mktemp("whole")
    command = [sys.executable, "tools/train.py", *tiny(data, output)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return output / "face_detector", done


def test_a_detector_learns_and_leaves_everything_behind(trained):
    folder, done = trained
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "config.yml", "metrics.csv", "curves.png", "faces.png", "best.safetensors", "last.safetensors",
        "vdlrecords.facekp.log",
    }  # fmt: skip
    table = pd.read_csv(folder / "metrics.csv")
    assert table["epoch"].tolist() == [1, 2, 3]
    assert table["step"].tolist() == [3, 6, 9]
    assert table["val_missed"].between(0, 1).all() and table["train_missed"].between(0, 1).all()
    assert table["val_loss"].iloc[-1] < 0.95 * table["val_loss"].iloc[0]
    for picture in ("curves.png", "faces.png"):
        assert cv2.imread(str(folder / picture)).std() > 10
    assert f"best validation missed {table['val_missed'].min():.4f}: {folder / 'best.safetensors'}" in done.stdout
    assert "12 training and 4 validation samples" in done.stdout
    reader = LogReader(file_path=str(folder / "vdlrecords.facekp.log"))
    logged = [record.value for record in reader.get_data("scalar", "epoch/val_missed")]
    np.testing.assert_allclose(logged, table["val_missed"], rtol=1e-5)


def test_its_weights_are_a_detectors(trained):
    folder, _ = trained
    network, recipe = load_detector_weights(folder / "best.safetensors")
    table = pd.read_csv(folder / "metrics.csv")
    assert recipe.size == 96 and recipe.notes["config"] == "face_detector"
    assert recipe.notes["val_missed"] == pytest.approx(table["val_missed"].min())
    assert recipe.notes["epoch"] == table["val_missed"].idxmin() + 1
    assert recipe.network["channels"] == [4, 4, 8, 8, 8] and not network.training
    with pytest.raises(UserError, match=r"best\.safetensors: weights of a network that finds boxes, not points"):
        load_weights(folder / "best.safetensors")


def test_a_detector_that_was_stopped_goes_on_as_if_nothing_had_happened(trained, data, run_tool, refuses, tmp_path):
    whole, _ = trained
    folder = tmp_path / "face_detector"
    first = run_tool("train", *tiny(data, tmp_path, "train.stop_after=1"))
    assert first.returncode == 0, first.stderr
    assert pd.read_csv(folder / "metrics.csv")["epoch"].tolist() == [1]
    assert "data.compose" in refuses("train", *tiny(data, tmp_path, "data.compose.roll=10"), "--resume")
    done = run_tool("train", *tiny(data, tmp_path), "--resume")
    assert done.returncode == 0, done.stderr
    broken, unbroken = load_file(folder / "last.safetensors"), load_file(whole / "last.safetensors")
    assert broken.keys() == unbroken.keys()
    for key in unbroken:
        np.testing.assert_array_equal(broken[key], unbroken[key], err_msg=key)
    columns = ["epoch", "step", "train_loss", "train_missed", "val_loss", "val_missed"]
    pd.testing.assert_frame_equal(
        pd.read_csv(folder / "metrics.csv")[columns], pd.read_csv(whole / "metrics.csv")[columns]
    )


def test_a_detectors_mistakes_end_with_one_line_and_leave_nothing(data, refuses, tmp_path):
    assert "multiple of 32" in refuses("train", *tiny(data, tmp_path, "size=100"))
    assert "channels are five" in refuses("train", *tiny(data, tmp_path, "network.channels=[4, 4]"))
    assert "RandomFlip would move" in refuses("train", *tiny(data, tmp_path, "data.train=[{type: RandomFlip}]"))
    grey = "data.pixels=[{type: GrayNormalize, channels: 1}, {type: ToCHW}]"
    assert "shape (1, 96, 96)" in refuses("train", *tiny(data, tmp_path, grey))
    assert not list(tmp_path.iterdir())
