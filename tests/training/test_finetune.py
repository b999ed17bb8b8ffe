"""Pretrained weights, frozen layers, a rate that falls on a plateau, and five points, with the real commands."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import paddle
import pandas as pd
import pytest
from safetensors.numpy import load_file
from visualdl import LogReader

from facekp.data.drawn import draw_face
from facekp.errors import UserError
from facekp.io.images import write_image
from facekp.landmarks import load_schema
from facekp.loading import load_landmarker
from facekp.models import build_network
from facekp.models.weights import load_weights, save_weights
from facekp.stickers import load_sticker
from facekp.training.callbacks import Freeze
from facekp.training.checkpoint import RunState
from facekp.training.config import OptimizerConfig, load_config
from facekp.training.schedules import build_schedule
from facekp.training.start import load_pretrained

ROOT = Path(__file__).resolve().parents[2]


def five(points):
    """Return the five points of a face with 68."""
    return np.stack([points[36:42].mean(0), points[42:48].mean(0), points[30], points[48], points[54]])


@pytest.fixture(scope="module")
def five_data(tmp_path_factory):
    """Drawn faces in the layout of CUHK's data set: 48 for training, 8 for validation."""
    root = tmp_path_factory.mktemp("cuhk")
    for name, seeds in (("train", range(48)), ("test", range(48, 56))):
        lines = []
        for seed in seeds:
            image, points = draw_face(seed, 160)
            write_image(root / "drawn" / f"{seed}.png", image)
            (x0, y0), (x1, y1) = points.min(0).astype(int), points.max(0).astype(int)
            numbers = " ".join(f"{v:.4f}" for v in five(points).ravel())
            lines.append(f"drawn\\{seed}.png {x0} {x1} {y0} {y1} {numbers}")
        (root / f"{name}ImageList.txt").write_text("\n".join(lines))
    return root


@pytest.fixture(scope="module")
def five_run(five_data, tmp_path_factory):
    """A light network trained on the five points of drawn faces, in the first epoch with its head alone."""
    output = tmp_path_factory.mktemp("five")
    options = [
        "size=96", "codec=mean_face", f"data.sources.0.root={five_data}", "data.workers=0", f"output={output}",
        "train.epochs=4", "train.batch_size=8",
        "network={type: plain_resnet, channels: [8, 16, 32, 32]}", "data.train=[{type: Resize, size: 96}]",
        "data.validation=[{type: Resize, size: 96}]", "train.freeze_epochs=1", "optimizer.lr=0.01",
        "optimizer.thawed_lr=0.005",
    ]  # fmt: skip
    command = [sys.executable, "tools/train.py", "-c", "configs/cuhk5_mobilenet_v2.yml"]
    command += [part for option in options for part in ("-o", option)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return output / "cuhk5_mobilenet_v2", done


def test_weights_of_other_points_are_refused(five_run, run_tool):
    options = ("-o", "data.sources=[{type: drawn, train: 8, validation: 4}]")
    done = run_tool("evaluate", "-w", five_run[0] / "best.safetensors", *options)
    assert done.returncode == 2
    assert "finds the points of five, but the data of cuhk5_mobilenet_v2 have those of ibug68" in done.stderr


def test_five_points_are_learned_with_the_same_command(five_run, run_tool):
    folder, done = five_run
    table = pd.read_csv(folder / "metrics.csv")
    assert table["val_nme"].min() < 0.9 * table["val_nme"].iloc[0]
    # Two errors of the same faces: relative to the eye distance, and in pixels of the 96-pixel crop.
    assert 15 < (table["val_distance_px"] / table["val_nme"]).iloc[-1] < 45
    assert "only the head is trained" in done.stderr + done.stdout
    assert "epoch 2: all layers are trained" in done.stderr + done.stdout
    for boxes in ("training", "expanded"):
        evaluated = run_tool("evaluate", "-w", folder / "best.safetensors", "--boxes", boxes)
        assert evaluated.returncode == 0, evaluated.stderr
        assert "distance_px" in evaluated.stdout


def test_labels_are_fractions_of_the_crop(five_data):
    config = load_config("configs/cuhk5_mobilenet_v2.yml", [f"data.sources.0.root={five_data}"])
    data = config.what.build_data(config)
    assert (len(data.train), len(data.validation)) == (48, 8)
    picture, points = data.validation.load(3)
    np.testing.assert_allclose(data.validation[3][1].reshape(5, 2), points / picture.shape[0], atol=0.01)


def test_such_weights_give_five_points_and_no_sticker(five_run, refuses):
    folder, _ = five_run
    landmarker = load_landmarker(folder / "best.safetensors")
    image, points = draw_face(100, 160)
    faces = landmarker(image, boxes=[[*points.min(0), *points.max(0)]])
    assert faces.points.shape == (1, 5, 2)
    error = np.linalg.norm(faces.points[0] - five(points), axis=1).mean() / load_schema("five").unit(five(points))
    assert error < 0.25  # 24 steps of training
    _, top, _, bottom = faces.boxes[0]
    assert bottom - top > 1.5 * np.ptp(faces.points[0, :, 1])  # the face's box, not that of the five points
    assert len(landmarker(np.zeros((60, 60, 3), np.uint8))) == 0
    with pytest.raises(UserError, match=r"sticker crown: needs the anchor .*, which the points of five do not give"):
        load_sticker("crown").apply(image, faces)
    photo = ROOT / "assets" / "photos" / "astronaut.png"
    line = refuses("sticker", photo, "--source", folder / "best.safetensors", "-o", folder / "no.png")
    assert "the points of five do not give" in line
    assert not (folder / "no.png").exists()


@pytest.mark.parametrize("name", ["resnet18", "sam_googlenet_bn"])
def test_frozen_weights_and_statistics_stay_and_thawed_ones_move(name):
    paddle.seed(0)
    network = build_network(name, num_points=5)
    optimizer = paddle.optimizer.AdamW(0.01, parameters=network.parameters())
    state = RunState()
    freeze = Freeze(state, network, 1)

    def epoch():
        before = {key: tensor.numpy().copy() for key, tensor in network.state_dict().items()}
        freeze.on_epoch_begin(0)
        network.train()  # as paddle.Model does before every batch
        x = paddle.to_tensor(np.random.default_rng(state.epoch).random((4, 3, 96, 96), np.float32))
        network(x).square().mean().backward()
        optimizer.step()
        optimizer.clear_grad()
        state.epoch += 1
        return {key for key, tensor in network.state_dict().items() if (tensor.numpy() != before[key]).any()}

    frozen = epoch()
    assert frozen and all(key.startswith("head.") for key in frozen)
    thawed = epoch()
    assert any(key.endswith("_mean") for key in thawed) and any(key.endswith("_variance") for key in thawed)
    learned = {key for key, p in network.named_parameters() if not p.stop_gradient}
    assert len(learned - thawed) <= 0.1 * len(learned)  # some ReLUs may be inactive


def test_the_rate_stays_then_falls_from_the_thawed_one():
    schedule = build_schedule(OptimizerConfig(lr=0.1, thawed_lr=0.02), epochs=4, steps=5, freeze_epochs=1)
    rates = []
    for _ in range(20):
        rates.append(schedule())
        schedule.step()
    assert rates[:5] == [0.1] * 5
    assert rates[5] == pytest.approx(0.02)
    assert all(a > b for a, b in zip(rates[5:], rates[6:])) and rates[-1] < 0.0005
    by_default = build_schedule(OptimizerConfig(lr=0.1), epochs=4, steps=5, freeze_epochs=1)
    by_default.step(5)
    assert by_default() == pytest.approx(0.01)
    restored = build_schedule(OptimizerConfig(lr=0.1, thawed_lr=0.02), epochs=4, steps=5, freeze_epochs=1)
    half = build_schedule(OptimizerConfig(lr=0.1, thawed_lr=0.02), epochs=4, steps=5, freeze_epochs=1)
    half.step(12)
    restored.set_state_dict(half.state_dict())
    assert restored() == half() == rates[12]


def test_a_plateau_lowers_the_rate(run_tool, tmp_path):
    options = [
        "data.sources=[{type: drawn, train: 16, validation: 8}]",
        "data.workers=0", "network.channels=[8, 8, 8, 8]", f"output={tmp_path}",
        "train.epochs=4", "train.batch_size=16",
        "optimizer={type: adam, lr: 1.0e-5, schedule: plateau, plateau_patience: 0, plateau_factor: 0.1}",
    ]  # fmt: skip
    config = ["-c", "configs/quickstart.yml", *(part for option in options for part in ("-o", option))]
    first = run_tool("train", *config, "-o", "train.stop_after=2")
    assert first.returncode == 0, first.stderr
    done = run_tool("train", *config, "--resume")
    assert done.returncode == 0, done.stderr
    reader = LogReader(file_path=str(tmp_path / "quickstart" / "vdlrecords.facekp.log"))
    rates = [record.value for record in reader.get_data("scalar", "step/learning_rate")]
    nme = pd.read_csv(tmp_path / "quickstart" / "metrics.csv")["val_nme"]
    expected, best = [1e-5], np.inf
    for value in nme[:-1]:  # Paddle's rule: better means by more than 0.01 %
        better = value < best * (1 - 1e-4)
        expected.append(expected[-1] if better else expected[-1] * 0.1)
        best = value if better else best
    np.testing.assert_allclose(rates, expected, rtol=1e-4)
    assert rates[-1] < 1e-5


def test_pretrained_weights_of_another_point_count_keep_the_body(tmp_path, five_run):
    trained, recipe = load_weights(five_run[0] / "best.safetensors")
    paddle.seed(1)
    network = build_network("plain_resnet", num_points=68, channels=(8, 16, 32, 32))
    head = network.head.linear.weight.numpy().copy()
    load_pretrained(network, str(five_run[0] / "best.safetensors"))
    expected = load_file(five_run[0] / "best.safetensors")
    for name, tensor in network.state_dict().items():
        if not name.startswith("head."):
            np.testing.assert_array_equal(tensor.numpy(), expected[name], err_msg=name)
    np.testing.assert_array_equal(network.head.linear.weight.numpy(), head)

    same = build_network("plain_resnet", num_points=5, channels=(8, 16, 32, 32))
    load_pretrained(same, str(five_run[0] / "best.safetensors"))
    np.testing.assert_array_equal(same.head.linear.weight.numpy(), trained.head.linear.weight.numpy())

    other = build_network("plain_resnet", num_points=5, channels=(8, 16, 32, 48))
    with pytest.raises(UserError, match="another network"):
        load_pretrained(other, str(five_run[0] / "best.safetensors"))
    with pytest.raises(UserError, match="needs a network of resnet18"):
        load_pretrained(network, True)
    with pytest.raises(UserError, match="no such weights"):
        load_pretrained(network, str(tmp_path / "none.safetensors"))
    save_weights(tmp_path / "half.safetensors", trained, recipe, half=True)
    load_pretrained(same, str(tmp_path / "half.safetensors"))
    assert np.isfinite(same.head.linear.weight.numpy()).all()
