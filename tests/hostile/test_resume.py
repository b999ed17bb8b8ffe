"""Resuming after a SIGKILL at the end of every epoch gives the same bytes, with every shipped config."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from safetensors.numpy import load_file
from tests_support import draw_csv

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted(path.name for path in (ROOT / "configs").glob("*.yml"))

#: Config -> options that make it small. Sources are drawn faces, except for configs that learn from whole images.
DRAWN = ["data.sources=[{type: drawn, train: 12, validation: 4}]", "train.batch_size=4"]
TINY = {
    "quickstart.yml": ["network.channels=[4, 4]"],
    "face_crop_light.yml": ["network.channels=[4, 4]"],
    "loss_l1.yml": ["network.channels=[4, 4]"],
    "loss_l2.yml": ["network.channels=[4, 4]"],
    "loss_smooth_l1.yml": ["network.channels=[4, 4]"],
    "face_detector.yml": ["network={type: plain_detector, channels: [4, 4, 8, 8, 8], width: 8, blocks: [1, 1, 1]}",
                          "size=96"],
    "cuhk5_resnet18_frozen.yml": ["pretrained=false", "train.freeze_epochs=2"],
    "cuhk5_resnet18_thawed.yml": ["pretrained=false"],
    "every_angle.yml": ["data.turned=null", "data.final.epochs=1", "optimizer.warmup_epochs=1"],  # no depth
    "every_angle_light.yml": ["data.turned=null", "data.final.epochs=1", "optimizer.warmup_epochs=1"],
}  # fmt: skip

#: One config of each kind: points, boxes, and a start with a frozen network.
SHORT = ["quickstart.yml", "face_detector.yml", "resnet18_frozen.yml"]

EPOCHS = 3


def options_of(config, folder):
    """Return the options for a small run of a config on drawn faces."""
    values = [*TINY.get(config, []), f"train.epochs={EPOCHS}", "data.workers=0"]
    if config == "face_detector.yml":
        draw_csv(folder)
        return [*values, f"data.sources=[{{type: csv68, root: {folder}}}]", "train.batch_size=4"]
    return [*values, *DRAWN]


@pytest.mark.parametrize(
    "config", [c if c in SHORT else pytest.param(c, marks=pytest.mark.slow) for c in CONFIGS], ids=lambda c: c[:-4]
)
def test_killed_at_the_end_of_every_epoch_a_run_ends_in_the_same_bytes(config, tmp_path):
    data, runs = tmp_path / "data", tmp_path / "runs"
    data.mkdir()
    job = json.dumps([f"configs/{config}", EPOCHS, options_of(config, data), str(runs)])
    script = Path(__file__).with_name("killed_runs.py")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, script, job], cwd=ROOT, env=environment, capture_output=True, text=True,
                          timeout=600)  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    name = yaml.safe_load((ROOT / "configs" / config).read_text())["name"]
    whole, broken = (runs / kind / name for kind in ("whole", "broken"))
    for file in ("last.safetensors", "best.safetensors"):
        one, other = load_file(whole / file), load_file(broken / file)
        assert one.keys() == other.keys()
        assert all((one[key] == other[key]).all() for key in one), file
    one, other = (pd.read_csv(folder / "metrics.csv").drop(columns="seconds") for folder in (whole, broken))
    assert one.equals(other) and len(one) == EPOCHS
    assert {file.name for file in broken.iterdir()} == {file.name for file in whole.iterdir()}
    assert not [file for file in runs.rglob(".*")]
