import json

import numpy as np
import paddle
import pytest
from safetensors.numpy import load_file, save_file

from facekp.errors import UserError
from facekp.io.safetensors import read_metadata
from facekp.models import build_network
from facekp.models.weights import save_weights
from facekp.training.callbacks import MovingAverage
from facekp.training.checkpoint import RunState, cut_logs, load_checkpoint, save_checkpoint
from facekp.training.config import OptimizerConfig
from facekp.training.logs import LOG_FILE, METRICS_FILE
from facekp.training.schedules import build_optimizer, build_schedule


def start(kind, seed):
    paddle.seed(seed)
    network = build_network("plain_resnet", channels=(4, 8), map_size=2)
    schedule = build_schedule(OptimizerConfig(type=kind, lr=0.01, warmup_epochs=1), epochs=3, steps=4)
    return network, build_optimizer(OptimizerConfig(type=kind, lr=0.01), schedule, network), schedule


def steps(network, optimizer, schedule, count, first=0):
    for i in range(first, first + count):
        x = paddle.to_tensor(np.random.default_rng(i).random((4, 3, 96, 96), np.float32))
        network(x).square().mean().backward()
        optimizer.step()
        optimizer.clear_grad()
        schedule.step()


def state_of(network):
    return {name: tensor.numpy() for name, tensor in network.state_dict().items()}


@pytest.mark.parametrize("kind", ["momentum", "adam", "adamw"])
def test_going_on_from_a_checkpoint_is_as_if_nothing_had_happened(tmp_path, kind):
    whole = start(kind, seed=1)
    steps(*whole, count=6)

    broken = start(kind, seed=1)
    steps(*broken, count=3)
    save_checkpoint(tmp_path / "last.safetensors", *broken[:2], RunState(1, 3, 0.5, {"a": 7}))

    resumed = start(kind, seed=2)  # other weights and other automatic names
    state = RunState()
    load_checkpoint(tmp_path / "last.safetensors", *resumed[:2], state)
    assert state == RunState(1, 3, 0.5, {"a": 7})
    steps(*resumed, count=3, first=3)
    assert resumed[2].last_lr == whole[2].last_lr
    for name, array in state_of(whole[0]).items():
        np.testing.assert_array_equal(state_of(resumed[0])[name], array, err_msg=name)


def test_weights_alone_cannot_be_resumed(tmp_path):
    from facekp.landmarks import IBUG68
    from facekp.recipes import PointsRecipe

    network, optimizer, _ = start("momentum", seed=1)
    recipe = PointsRecipe(
        {"type": "plain_resnet"}, IBUG68, 96, [], {"type": "standard", "mean": 0.0, "std": 1.0}, (0.5, 0.5), 0.7
    )
    save_weights(tmp_path / "w.safetensors", network, recipe)
    with pytest.raises(UserError, match="weights alone"):
        load_checkpoint(tmp_path / "w.safetensors", network, optimizer, RunState())


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    network, optimizer, _ = start("momentum", seed=1)
    save_checkpoint(tmp_path / "last.safetensors", network, optimizer, RunState())
    other = build_network("plain_resnet", channels=(4, 16), map_size=2)
    with pytest.raises(UserError, match="another network"):
        load_checkpoint(tmp_path / "last.safetensors", other, optimizer, RunState())


def test_a_checkpoint_of_another_number_of_processes_is_refused(tmp_path):
    network, optimizer, _ = start("momentum", seed=1)
    save_checkpoint(tmp_path / "last.safetensors", network, optimizer, RunState(epoch=1, processes=2))
    load_checkpoint(tmp_path / "last.safetensors", network, optimizer, RunState(processes=2))
    with pytest.raises(UserError, match="has 2 processes, not 1"):
        load_checkpoint(tmp_path / "last.safetensors", network, optimizer, RunState())


def rates_of(schedule, count):
    """Return the learning rates of the first steps."""
    rates = []
    for _ in range(count):
        rates.append(schedule.get_lr())
        schedule.step()
    return rates


def test_the_learning_rate_grows_with_the_processes_unless_told_not_to():
    def highest(processes, **options):
        config = OptimizerConfig(lr=0.1, **options)
        return max(rates_of(build_schedule(config, epochs=3, steps=4, processes=processes), 12))

    assert highest(4) == pytest.approx(0.4)
    assert highest(4, warmup_epochs=1) == pytest.approx(0.4)
    assert highest(4, scale_lr=False) == pytest.approx(0.1)


def test_a_warm_up_leaves_a_step_for_the_cosine():
    schedule = build_schedule(OptimizerConfig(lr=0.1, warmup_epochs=0.9), epochs=1, steps=2)
    assert rates_of(schedule, 2) == pytest.approx([0.001, 0.1])


def test_the_learning_rate_warms_up_and_falls_to_zero():
    schedule = build_schedule(OptimizerConfig(lr=0.1, warmup_epochs=2), epochs=10, steps=5)
    rates = rates_of(schedule, 50)
    assert rates[:10] == sorted(rates[:10])
    assert max(rates) == pytest.approx(0.1)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] < 0.001
    plain = build_schedule(OptimizerConfig(lr=0.1), epochs=2, steps=5)
    assert plain.get_lr() == pytest.approx(0.1)


def test_logs_are_cut_back_but_never_stretched(tmp_path):
    (tmp_path / METRICS_FILE).write_text("finished|unfinished")
    cut_logs(tmp_path, RunState(log_sizes={METRICS_FILE: 8}))
    assert (tmp_path / METRICS_FILE).read_text() == "finished"
    for wrong in ({METRICS_FILE: 9}, {LOG_FILE: 3}):
        with pytest.raises(UserError, match="--overwrite"):
            cut_logs(tmp_path, RunState(log_sizes=wrong))
    assert (tmp_path / METRICS_FILE).read_text() == "finished"


def test_a_checkpoint_cuts_no_file_but_the_logs_of_its_run(tmp_path):
    run, precious = tmp_path / "run", tmp_path / "thesis.txt"
    run.mkdir()
    precious.write_text("years of work")
    (run / "config.yml").write_text("name: run")
    (run / METRICS_FILE).symlink_to(precious)
    for name in (str(precious), "../thesis.txt", "config.yml", METRICS_FILE):
        with pytest.raises(UserError, match=r"last\.safetensors|metrics\.csv"):
            cut_logs(run, RunState(log_sizes={name: 0}))
    (run / METRICS_FILE).unlink()
    (run / METRICS_FILE).write_text("epoch")
    with pytest.raises(UserError, match="shorter"):
        cut_logs(run, RunState(log_sizes={METRICS_FILE: 6}))
    assert precious.read_text() == "years of work"
    assert (run / METRICS_FILE).read_text() == "epoch" and (run / "config.yml").read_text() == "name: run"


def test_the_moving_average_is_the_formula_and_survives_a_checkpoint(tmp_path):
    network, optimizer, schedule = start("adamw", seed=1)
    state = RunState()
    ema = MovingAverage(state, network, decay=0.9)
    expected = state_of(network)
    for step in range(1, 4):
        steps(network, optimizer, schedule, count=1, first=step)
        state.step = step
        ema.on_train_batch_end(step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = {n: decay * old + (1 - decay) * state_of(network)[n] for n, old in expected.items()}
    trained = state_of(network)
    ema.on_eval_begin()
    for name, array in state_of(network).items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-5, atol=1e-6, err_msg=name)
    ema.on_eval_end()
    for name, array in state_of(network).items():
        np.testing.assert_array_equal(array, trained[name], err_msg=name)

    save_checkpoint(tmp_path / "last.safetensors", network, optimizer, state, ema.average)
    other, other_optimizer, _ = start("adamw", seed=2)
    restored = MovingAverage(RunState(), other, decay=0.9)
    load_checkpoint(tmp_path / "last.safetensors", other, other_optimizer, RunState(), restored.average)
    for name, tensor in ema.average.items():
        np.testing.assert_array_equal(restored.average[name].numpy(), tensor.numpy(), err_msg=name)
        assert np.abs(tensor.numpy() - trained[name]).max() > 0


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
