"""Checkpoints and logs that are damaged or of another run, runs without a number, and killed loader processes."""

import json
from pathlib import Path

import numpy as np
import paddle
import pytest
from safetensors.numpy import load_file, save_file

from facekp.errors import UserError
from facekp.io.safetensors import read_metadata
from facekp.models import build_network
from facekp.training.callbacks import MovingAverage
from facekp.training.checkpoint import RunState, load_checkpoint, save_checkpoint
from facekp.training.config import OptimizerConfig, load_config
from facekp.training.loaders import loaders_watched
from facekp.training.logs import read_run
from facekp.training.schedules import build_optimizer, build_schedule
from facekp.training.train import train

ROOT = Path(__file__).resolve().parents[2]


def built():
    paddle.seed(0)
    network = build_network("plain_resnet", channels=(4, 8), map_size=2)
    schedule = build_schedule(OptimizerConfig(type="adamw", lr=0.01, warmup_epochs=1), epochs=3, steps=4)
    return network, build_optimizer(OptimizerConfig(type="adamw", lr=0.01), schedule, network)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    network, optimizer = built()
    network(paddle.ones([2, 3, 96, 96])).mean().backward()
    optimizer.step()
    average = MovingAverage(RunState(), network, 0.9).average
    path = tmp_path_factory.mktemp("run") / "last.safetensors"
    save_checkpoint(path, network, optimizer, RunState(1, 4, 0.5), average)
    return path


CHANGES = {
    "epoch": ("state", lambda s: {**s, "epoch": -1}, "state.epoch"),
    "step": ("state", lambda s: {**s, "step": "many"}, "state.step"),
    "best": ("state", lambda s: {**s, "best": None}, "state.best"),
    "sizes": ("state", lambda s: {**s, "log_sizes": [1]}, "state.log_sizes"),
    "more": ("state", lambda s: {**s, "evil": 1}, "state.evil"),
    "a list": ("state", lambda s: [1], "state: it is not a mapping"),
    "schedule": ("schedule", lambda s: {**s, "last_epoch": "x"}, r"schedule\.last_epoch"),
    "another schedule": ("schedule", lambda s: {"factor": 1}, "not that of the config"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_checkpoint_says_what_cannot_be(checkpoint, tmp_path, what):
    key, change, message = CHANGES[what]
    metadata = read_metadata(checkpoint)
    metadata[key] = json.dumps(change(json.loads(metadata[key])))
    save_file(load_file(checkpoint), tmp_path / "last.safetensors", metadata)
    network, optimizer = built()
    with pytest.raises(UserError, match=rf"last\.safetensors: damaged, or another run's.*{message}"):
        load_checkpoint(tmp_path / "last.safetensors", network, optimizer, RunState())


ARRAYS = {
    "unknown part": lambda a: a.update({"evil.x": np.zeros(1, np.float32)}),
    "unknown parameter": lambda a: a.update({"optimizer.evil:moment1_0": np.zeros(1, np.float32)}),
    "unknown state": lambda a: a.update({"optimizer.head.linear.bias:evil_0": np.zeros(1, np.float32)}),
    "shape": lambda a: a.update({"optimizer.head.linear.bias:moment1_0": np.zeros((2, 2), np.float32)}),
    "type": lambda a: a.update({"optimizer.head.linear.bias:moment1_0": np.zeros(136, np.int64)}),
    "average": lambda a: a.pop("average.head.linear.bias"),
}


@pytest.mark.parametrize("what", ARRAYS)
def test_a_checkpoints_arrays_are_compared_with_the_network(checkpoint, tmp_path, what):
    arrays = load_file(checkpoint)
    ARRAYS[what](arrays)
    save_file(arrays, tmp_path / "last.safetensors", read_metadata(checkpoint))
    network, optimizer = built()
    average = MovingAverage(RunState(), network, 0.9).average
    before = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    with pytest.raises(UserError, match=r"last\.safetensors: damaged, or another run's"):
        load_checkpoint(tmp_path / "last.safetensors", network, optimizer, RunState(), average)
    for name, tensor in network.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), before[name])


def test_the_whole_checkpoint_is_taken(checkpoint):
    network, optimizer = built()
    state = RunState()
    load_checkpoint(checkpoint, network, optimizer, state, MovingAverage(RunState(), network, 0.9).average)
    assert state == RunState(1, 4, 0.5)


def test_a_run_whose_validation_is_never_a_number_names_no_weights(tmp_path, monkeypatch):
    from facekp.metrics import NME

    monkeypatch.setattr(NME, "accumulate", lambda self: float("nan"))
    options = [f"output={tmp_path}", "data.sources=[{type: drawn, train: 4, validation: 4}]", "network.channels=[4, 4]",
               "train.epochs=1", "data.workers=0"]  # fmt: skip
    summary = train(load_config("configs/quickstart.yml", options))
    assert summary.weights is None
    assert not (tmp_path / "quickstart" / "best.safetensors").exists()


def test_a_log_that_claims_gigabytes_is_told(tmp_path):
    (tmp_path / "metrics.csv").write_text("epoch,step,train_loss,val_loss,train_nme,val_nme\n1,2,1,1,1,1\n")
    (tmp_path / "vdlrecords.facekp.log").write_bytes((1 << 31).to_bytes(8, "little"))
    with pytest.raises(UserError, match="claims a record of 2147483648 bytes"):
        read_run(tmp_path)


def test_a_loader_process_that_was_killed_is_one_line_and_other_errors_stay():
    with pytest.raises(UserError, match=r"a loader process was killed.*data\.workers"), loaders_watched():
        raise SystemError("(Fatal) DataLoader process (pid 7) exited is killed by signal: Killed.")
    with pytest.raises(RuntimeError, match="ours"), loaders_watched():
        raise RuntimeError("ours")
