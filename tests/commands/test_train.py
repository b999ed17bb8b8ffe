"""The usual workflow through the commands: train, kill, resume, evaluate and predict."""

import fcntl
import json
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import psutil
import pytest
import yaml
from safetensors.numpy import load_file
from visualdl import LogReader

from facekp.data.drawn import draw_face
from facekp.loading import load_landmarker
from facekp.metrics import point_errors

ROOT = Path(__file__).resolve().parents[2]
TINY = [
    "-c", "configs/quickstart.yml",
    "-o", "data.sources=[{type: drawn, train: 128, validation: 16}]", "-o", "train.epochs=3",
    "-o", "train.batch_size=16", "-o", "network.channels=[8, 16, 32, 32]",
    "-o", "data.workers=1", "-o", "train.ema=0.9",
]  # fmt: skip


def tiny(output, *more):
    return [*TINY, "-o", f"output={output}", *more]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A tiny run without interruption."""
    output = tmp_path_factory.mktemp("whole")
    command = [sys.executable, "tools/train.py", *tiny(output)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert not done.stderr  # no progress bar without a terminal
    return output / "quickstart", done


def scalars(folder, tag):
    reader = LogReader(file_path=str(folder / "vdlrecords.facekp.log"))
    return [(record.id, record.value) for record in reader.get_data("scalar", tag)]


def test_a_run_learns_and_leaves_everything_behind(trained):
    folder, done = trained
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "config.yml", "metrics.csv", "curves.png", "faces.png", "best.safetensors", "last.safetensors",
        "vdlrecords.facekp.log",
    }  # fmt: skip
    table = pd.read_csv(folder / "metrics.csv")
    assert table["epoch"].tolist() == [1, 2, 3]
    assert table["step"].tolist() == [8, 16, 24]
    assert table["train_loss"].iloc[-1] < 0.95 * table["train_loss"].iloc[0]
    assert yaml.safe_load((folder / "config.yml").read_text())["data"]["sources"][0]["train"] == 128
    assert cv2.imread(str(folder / "curves.png")).std() > 10
    assert "left" in done.stdout and "best validation nme" in done.stdout


def test_the_dashboard_holds_losses_rates_errors_and_faces(trained):
    folder, _ = trained
    table = pd.read_csv(folder / "metrics.csv")
    steps = scalars(folder, "step/train_loss")
    assert [step for step, _ in steps] == list(range(1, 25))
    rates = [rate for _, rate in scalars(folder, "step/learning_rate")]
    expected = 0.5 * (1 + np.cos(np.pi * np.arange(24) / 24)) / 2
    np.testing.assert_allclose(rates, expected, rtol=1e-4)
    np.testing.assert_allclose([v for _, v in scalars(folder, "epoch/val_nme")], table["val_nme"], rtol=1e-5)
    means = np.array([value for _, value in steps]).reshape(3, 8).mean(1)
    np.testing.assert_allclose(table["train_loss"], means, rtol=1e-5)
    images = LogReader(file_path=str(folder / "vdlrecords.facekp.log")).get_data("image", "validation/faces")
    assert [record.id for record in images] == [1, 2, 3]


@pytest.mark.slow
@pytest.mark.parametrize("epochs_before_the_kill", [0, 1])
def test_resume_after_sigkill_ends_with_the_same_weights(trained, tmp_path, epochs_before_the_kill):
    whole, _ = trained
    folder = tmp_path / "quickstart"
    options = [sys.executable, "-u", "tools/train.py", *tiny(tmp_path)]
    if epochs_before_the_kill:
        done = subprocess.run([*options, "-o", "train.stop_after=1"], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        options.append("--resume")
    # Kill it within an epoch: as soon as the progress bar shows a step of the second one.
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 100, 0, 0))  # by default 0 columns, without a bar
    process = subprocess.Popen(options, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    seen = b""
    while not re.search(rb"epoch 2/3: +[1-9]\d*%", seen):
        seen += os.read(ours, 1000)  # raises if the process has ended
    loaders = psutil.Process(process.pid).children(recursive=True)
    assert loaders
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not psutil.wait_procs(loaders, timeout=20)[1]  # no loader process is left
    os.close(ours)
    assert pd.read_csv(folder / "metrics.csv")["epoch"].tolist() == [1]

    resume = [*options, "--resume"] if "--resume" not in options else options
    done = subprocess.run(resume, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    for name in ("last.safetensors", "best.safetensors"):
        killed, unbroken = load_file(folder / name), load_file(whole / name)
        assert killed.keys() == unbroken.keys()
        for key in unbroken:
            np.testing.assert_array_equal(killed[key], unbroken[key], err_msg=key)
    columns = ["epoch", "step", "train_loss", "train_nme", "val_loss", "val_nme"]
    pd.testing.assert_frame_equal(
        pd.read_csv(folder / "metrics.csv")[columns], pd.read_csv(whole / "metrics.csv")[columns]
    )
    assert scalars(folder, "step/train_loss") == scalars(whole, "step/train_loss")


def test_two_runs_never_mix(trained, refuses, run_tool, tmp_path):
    folder, _ = trained
    before = (folder / "last.safetensors").read_bytes()
    assert "exists already" in refuses("train", *tiny(folder.parent))
    assert "optimizer.lr = 0.5, not 0.7" in refuses("train", *tiny(folder.parent, "-o", "optimizer.lr=0.7", "--resume"))
    assert "no finished epoch" in refuses("train", *tiny(tmp_path, "--resume"))
    assert (folder / "last.safetensors").read_bytes() == before
    assert not (tmp_path / "quickstart").exists()
    again = run_tool("train", *tiny(folder.parent, "--resume"))
    assert again.returncode == 0
    assert "already trained for 3 epochs" in again.stdout


def test_a_run_that_diverges_is_no_success(run_tool, tmp_path):
    done = run_tool("train", *tiny(tmp_path, "-o", "optimizer.lr=1e30", "-o", "train.epochs=1"))
    assert done.returncode == 2
    assert "lower optimizer.lr" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_damaged_run_folder_is_told(trained, refuses, tmp_path):
    folder, _ = trained
    copy = shutil.copytree(folder, tmp_path / "quickstart")
    (copy / "metrics.csv").write_text("epoch")
    assert "metrics.csv: missing or shorter" in refuses("train", *tiny(tmp_path, "--resume"))
    (copy / "config.yml").write_text("{")
    assert "config.yml: missing or damaged" in refuses("train", *tiny(tmp_path, "--resume"))


def test_overwrite_deletes_a_run_but_nothing_else(refuses, tmp_path):
    (tmp_path / "quickstart").mkdir()
    (tmp_path / "quickstart" / "thesis.txt").write_text("years of work")
    (tmp_path / "quickstart" / "config.yml").write_text("title: My thesis")
    assert "not a run's folder" in refuses("train", *tiny(tmp_path, "--overwrite"))
    assert (tmp_path / "quickstart" / "thesis.txt").exists()


def test_mistakes_end_with_one_line_and_leave_nothing(drawn_csv, refuses, tmp_path):
    output = tmp_path / "out"
    csv = ["-c", "configs/sam_googlenet_bn.yml", "-o", f"output={output}"]
    assert "facekp prepare-data" in refuses("train", *csv, "-o", f"data.sources.0.root={tmp_path / 'nowhere'}")
    assert "valid here are epochs" in refuses("train", *csv, "-o", "train.epoch=1")
    assert "train --list" in refuses("train", "-c", "sam.yml")
    grey = 'data.pixels=[{"type": "GrayNormalize", "channels": 3}, {"type": "ToCHW"}]'
    assert "(3, 96, 96)" in refuses("train", *tiny(output, "-o", grey))
    assert "shape (1, 96, 96)" in refuses("train", *tiny(output, "-o", "size=128"))
    (drawn_csv / "training" / "person1_01.jpg").write_bytes(b"damaged")
    assert "row 2 (person1_01.jpg)" in refuses("train", *csv, "-o", f"data.sources.0.root={drawn_csv}")
    assert not output.exists()


def test_evaluate_tells_the_same_error_as_training(trained, run_tool, refuses, tmp_path):
    folder, _ = trained
    weights = folder / "best.safetensors"
    done = run_tool("evaluate", *tiny(folder.parent), "-w", weights, "--output", tmp_path / "e")
    assert done.returncode == 0, done.stderr
    table = json.loads((tmp_path / "e" / "metrics.json").read_text())["all"]
    best = pd.read_csv(folder / "metrics.csv")["val_nme"].min()
    assert table["faces"] == 16
    assert table["nme"] == pytest.approx(best, rel=1e-5)
    regions = sum(
        table[f"nme_{name}"] * n for name, n in (("jaw", 17), ("brows", 10), ("nose", 9), ("eyes", 12), ("mouth", 20))
    )
    assert regions / 68 == pytest.approx(table["nme"], rel=1e-6)
    assert f"{table['nme'] * 100:.2f} %" in done.stdout
    for picture in ("error_curve.png", "worst.png"):
        assert cv2.imread(str(tmp_path / "e" / picture)).std() > 5
    beside = run_tool("evaluate", "-w", weights, "--output", tmp_path / "e2")  # the config beside the weights
    assert beside.stdout.splitlines()[1:-1] == done.stdout.splitlines()[1:-1]
    in_use = run_tool("evaluate", "-w", weights, "--boxes", "jittered", "--passes", 3, "--output", tmp_path / "e3")
    assert in_use.returncode == 0, in_use.stderr
    assert json.loads((tmp_path / "e3" / "metrics.json").read_text())["all"]["faces"] == 16
    assert cv2.imread(str(tmp_path / "e3" / "worst.png")).std() > 5
    assert "need --boxes" in refuses("evaluate", "-w", weights, "--flip")
    other = ["-c", "configs/sam_googlenet_bn.yml", "-w", weights]
    assert "give the config of the training" in refuses("evaluate", *other)
    assert "no such weights" in refuses("evaluate", *tiny(folder.parent), "-w", tmp_path / "none.safetensors")


def test_trained_weights_find_points_through_the_library(trained):
    folder, _ = trained
    landmarker = load_landmarker(folder / "best.safetensors")
    image, points = draw_face(1000)
    faces = landmarker(image, boxes=[[*points.min(0), *points.max(0)]])
    assert point_errors(faces.points, points[None]).mean() < 0.25  # 24 steps of training
