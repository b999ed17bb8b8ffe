"""The custom training operators of SAM-GoogLeNet-BN compute the same as Paddle's own: sums, products and pooling."""

import numpy as np
import paddle
import pytest
from paddle import nn

from facekp.models.fast import MaxPool2D, add_bias, sum_channels, sum_places, weigh


def tensors(*shapes):
    rng = np.random.default_rng(0)
    made = [paddle.to_tensor(rng.standard_normal(shape).astype(np.float32)) for shape in shapes]
    for tensor in made:
        tensor.stop_gradient = False
    return made


def test_sums_are_those_of_numpy():
    (x,) = tensors((2, 5, 3, 4))
    np.testing.assert_allclose(sum_channels(x, 0.2).numpy(), x.numpy().mean(1, keepdims=True), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(sum_places(x).numpy(), x.numpy().sum((0, 2, 3)), rtol=1e-4, atol=1e-5)


def test_gradients_are_those_of_the_plain_operators():
    x, bias, weights, upstream = tensors((2, 5, 3, 4), (5,), (2, 1, 3, 4), (2, 5, 3, 4))
    for fast, plain, other in (
        (add_bias, lambda a, b: a + b.reshape([1, -1, 1, 1]), bias),
        (weigh, lambda a, b: a * b, weights),
    ):
        results = []
        for function in (fast, plain):
            y = function(x, other)
            results.append([y.numpy(), *(g.numpy() for g in paddle.grad([y], [x, other], [upstream]))])
        for ours, expected in zip(*results):
            np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("stride", [1, 2])
def test_the_fast_pooling_is_paddles(stride):
    (x,) = tensors((2, 3, 9, 8))
    fast, plain = MaxPool2D(3, stride, 1), nn.MaxPool2D(3, stride, 1)
    results = []
    for image in (x, nn.functional.relu(x)):  # after a ReLU many values are equal: the first one gets the gradient
        for pool in (fast, plain):
            y = pool(image)
            results.append((y.numpy(), paddle.grad([(y * y).sum()], [image], retain_graph=True)[0].numpy()))
    for ours, theirs in zip(results[::2], results[1::2]):
        for a, b in zip(ours, theirs):
            np.testing.assert_array_equal(a, b)
    fast.eval()
    np.testing.assert_array_equal(fast(x).numpy(), plain(x).numpy())
