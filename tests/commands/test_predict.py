"""The `predict` command on few and many images."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[2]
PHOTO = ROOT / "assets" / "photos" / "astronaut.png"


def test_predict_writes_points_and_pictures(run_tool, refuses, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(PHOTO.read_bytes())
    (tmp_path / "in" / "b.png").write_bytes(b"damaged")
    cv2.imwrite(str(tmp_path / "in" / "c.png"), np.zeros((60, 60, 3), np.uint8))
    done = run_tool("predict", tmp_path / "in", "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "b.png" in done.stderr and "1 face in 2 images, 1 unreadable" in done.stdout
    table = pd.read_csv(tmp_path / "out" / "points.csv")
    assert table["image"].str.endswith("a.png").all() and len(table) == 1
    assert 180 < table["x30"][0] < 260 and 80 < table["y30"][0] < 170  # the astronaut's nose
    failed = pd.read_csv(tmp_path / "out" / "points_failed.csv")
    assert failed["image"].tolist() == [str(tmp_path / "in" / "b.png")]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "points.csv", "points_failed.csv", "a_points.png", "c_points.png",
    }  # fmt: skip
    drawn = cv2.imread(str(tmp_path / "out" / "a_points.png"))
    assert (drawn != cv2.imread(str(PHOTO))).any()

    assert "b.png: not an image" in refuses("predict", tmp_path / "in" / "b.png", "-o", tmp_path / "no")
    assert not (tmp_path / "no").exists()
    (tmp_path / "in" / "d.png").write_bytes(b"damaged")
    nothing = run_tool("predict", tmp_path / "in" / "b.png", tmp_path / "in" / "d.png", "-o", tmp_path / "no.csv")
    assert nothing.returncode == 2
    assert "none of the 2 images" in nothing.stderr.splitlines()[-1]
    assert not list(tmp_path.glob("no*"))
    assert "written twice" in refuses(
        "predict", tmp_path / "out" / "a_points.png", tmp_path / "in", "-o", tmp_path / "out"
    )


@pytest.mark.slow
@pytest.mark.parametrize(("suffix", "ending"), [(".csv", signal.SIGKILL), (".parquet", signal.SIGINT)])
def test_a_stopped_run_goes_on_as_if_nothing_had_happened(run_tool, refuses, tmp_path, suffix, ending):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    read = pd.read_csv if suffix == ".csv" else pd.read_parquet
    photos = tmp_path / "in"
    photos.mkdir()
    small = cv2.resize(cv2.imread(str(PHOTO)), (160, 160), interpolation=cv2.INTER_AREA)
    blank = np.zeros((64, 64, 3), np.uint8)
    for number in range(160):  # every fourth without a face, the others of slightly different brightness
        cv2.imwrite(str(photos / f"{number:03d}.jpg"), blank if number % 4 == 3 else small - small // 8 * (number % 4))
    whole = run_tool("predict", photos, "-o", tmp_path / f"whole{suffix}")
    assert whole.returncode == 0, whole.stderr

    output, unfinished = tmp_path / f"points{suffix}", tmp_path / f"points{suffix}.unfinished"
    command = [sys.executable, "tools/predict.py", str(photos), "-o", str(output)]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # Otherwise it ignores Ctrl-C where the tests run in the background of a shell.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    while not unfinished.exists() or unfinished.stat().st_size < 30_000:  # about thirty images
        try:
            assert process.wait(timeout=0.01) is None, process.stderr.read()
        except subprocess.TimeoutExpired:
            continue
    os.kill(process.pid, ending)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == (-9 if ending == signal.SIGKILL else 130)
    assert not output.exists()
    if ending == signal.SIGINT:
        assert "continue with --resume" in stderr and stderr.splitlines()[-1] == "stopped" and "Traceback" not in stderr
    begun = unfinished.read_bytes()
    assert "--resume" in refuses("predict", photos, "-o", output)
    assert unfinished.read_bytes() == begun

    done = run_tool("predict", photos, "-o", output, "--resume")
    assert done.returncode == 0, done.stderr
    pd.testing.assert_frame_equal(read(output), read(tmp_path / f"whole{suffix}"), atol=0.02)
    assert done.stdout == whole.stdout.replace("whole", "points")
    assert not unfinished.exists()
    before = read(output)
    again = run_tool("predict", photos, "-o", output, "--resume")
    assert again.stdout == done.stdout
    pd.testing.assert_frame_equal(read(output), before)
