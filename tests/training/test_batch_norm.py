"""Batch norm over all processes: with one process it equals Paddle's own; test_many_machines.py has two."""

import subprocess
import sys

import numpy as np
import paddle
import pytest
from paddle import nn

from facekp.training.batch_norm import synchronize


def make(scale=3.0):
    """Return two equal layers, the second synchronized, an input and a gradient of the output."""
    paddle.seed(0)
    plain, synchronized = nn.BatchNorm2D(5), nn.BatchNorm2D(5)
    plain.weight.set_value(paddle.rand([5]) + 0.5)
    plain.bias.set_value(paddle.randn([5]))
    synchronized.set_state_dict(plain.state_dict())
    synchronize(synchronized)
    return plain, synchronized, paddle.randn([4, 5, 6, 7]) * scale + 2, paddle.randn([4, 5, 6, 7])


def test_alone_it_is_batch_norm():
    plain, synchronized, x, upstream = make()
    results = []
    for layer in (plain, synchronized):
        image = x.clone().detach()
        image.stop_gradient = False
        y = layer(image)
        y.backward(upstream)
        arrays = [y, image.grad, layer.weight.grad, layer.bias.grad, layer._mean, layer._variance]
        layer.eval()
        results.append([array.numpy() for array in [*arrays, layer(image)]])
    for ours, theirs in zip(*results):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_a_constant_channel_becomes_the_bias():
    _, layer, x, _ = make()
    y = layer(paddle.ones_like(x) * 7)
    np.testing.assert_allclose(
        y.numpy(), np.broadcast_to(layer.bias.numpy()[:, None, None], y.shape), atol=1e-3
    )  # rounding of 7, times 1 / sqrt(epsilon)


def test_all_layers_of_a_network_but_no_other_ones():
    network = nn.Sequential(nn.Conv2D(3, 4, 1), nn.BatchNorm2D(4), nn.Sequential(nn.BatchNorm2D(4), nn.ReLU()))
    names = list(network.state_dict())
    synchronize(network)
    changed = [type(layer).__name__ for layer in network.sublayers() if "forward" in vars(layer)]
    assert changed == ["BatchNorm2D", "BatchNorm2D"]
    assert list(network.state_dict()) == names


GRADIENTS = """
import paddle
import pytest
from paddle import distributed, nn
from facekp.training.batch_norm import synchronize
distributed.init_parallel_env()
rank, count = distributed.get_rank(), distributed.get_world_size()

def make():
    paddle.seed(0)
    return nn.Sequential(nn.Conv2D(3, 4, 3), nn.BatchNorm2D(4), nn.ReLU(), nn.Conv2D(4, 2, 3), nn.BatchNorm2D(2))

paddle.seed(1)
x, truth = paddle.randn([8, 3, 9, 9]), paddle.randn([8, 2, 5, 5])
one, several = make(), make()
((one(x) - truth) ** 2).mean().backward()
synchronize(several)
parallel = paddle.DataParallel(several)  # kept until the gradients are there
((parallel(x[rank::count]) - truth[rank::count]) ** 2).mean().backward()
for (name, alone), (_, shared) in zip(one.named_parameters(), several.named_parameters()):
    if alone.grad is not None:  # running statistics are parameters, too
        largest = float(alone.grad.abs().max())
        # A bias before a batch norm has no gradient but rounding.
        assert float((alone.grad - shared.grad).abs().max()) < 1e-4 * max(largest, 0.01), name
print("equal", count)
"""


@pytest.mark.slow
def test_two_processes_have_the_gradients_of_one_with_the_whole_batch(tmp_path):
    (tmp_path / "gradients.py").write_text(GRADIENTS)
    command = [
        sys.executable,
        "-m",
        "paddle.distributed.launch",
        "--nproc_per_node",
        "2",
        "--log_dir",
        tmp_path / "log",
    ]
    done = subprocess.run(
        [*map(str, command), "gradients.py"], cwd=tmp_path, capture_output=True, text=True, timeout=240
    )
    logs = [path.read_text() for path in sorted((tmp_path / "log").glob("workerlog.*"))]
    assert done.returncode == 0 and len(logs) == 2 and all("equal 2" in log for log in logs), logs
