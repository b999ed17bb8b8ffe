import numpy as np
import paddle
import pytest

from facekp.errors import UserError
from facekp.models import build_network
from facekp.training.checkpoint import RunState, cut_logs, load_checkpoint, save_checkpoint
from facekp.training.config import OptimizerConfig
from facekp.training.run import build_optimizer, build_schedule
from facekp.weights import save_weights


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
    from facekp.weights import Recipe

    network, optimizer, _ = start("momentum", seed=1)
    recipe = Recipe(
        {"type": "plain_resnet"}, 68, 96, [], {"type": "standard", "mean": 0.0, "std": 1.0}, (0.5, 0.5), 0.7
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


def test_the_learning_rate_warms_up_and_falls_to_zero():
    schedule = build_schedule(OptimizerConfig(lr=0.1, warmup_epochs=2), epochs=10, steps=5)
    rates = []
    for _ in range(50):
        rates.append(schedule.get_lr())
        schedule.step()
    assert rates[:10] == sorted(rates[:10])
    assert max(rates) == pytest.approx(0.1)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] < 0.001
    plain = build_schedule(OptimizerConfig(lr=0.1), epochs=2, steps=5)
    assert plain.get_lr() == pytest.approx(0.1)


def test_logs_are_cut_back_but_never_stretched(tmp_path):
    (tmp_path / "a.csv").write_text("finished|unfinished")
    cut_logs(tmp_path, RunState(log_sizes={"a.csv": 8}))
    assert (tmp_path / "a.csv").read_text() == "finished"
    for wrong in ({"a.csv": 9}, {"gone.csv": 3}):
        with pytest.raises(UserError, match="--overwrite"):
            cut_logs(tmp_path, RunState(log_sizes=wrong))
    assert (tmp_path / "a.csv").read_text() == "finished"
