"""What SAM-GoogLeNet-BN adds and multiplies by hand in training is what Paddle's own operators compute."""

import numpy as np
import paddle

from facekp.models.sam_googlenet import _AddBias, _sum_channels, _sum_places, _Weigh


def tensors(*shapes):
    rng = np.random.default_rng(0)
    made = [paddle.to_tensor(rng.standard_normal(shape).astype(np.float32)) for shape in shapes]
    for tensor in made:
        tensor.stop_gradient = False
    return made


def test_sums_are_sums():
    (x,) = tensors((2, 5, 3, 4))
    np.testing.assert_allclose(_sum_channels(x, 0.2).numpy(), x.numpy().mean(1, keepdims=True), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(_sum_places(x).numpy(), x.numpy().sum((0, 2, 3)), rtol=1e-4, atol=1e-5)


def test_gradients_are_those_of_the_plain_operators():
    x, bias, weights, upstream = tensors((2, 5, 3, 4), (5,), (2, 1, 3, 4), (2, 5, 3, 4))
    for fast, plain, other in (
        (_AddBias.apply, lambda a, b: a + b.reshape([1, -1, 1, 1]), bias),
        (_Weigh.apply, lambda a, b: a * b, weights),
    ):
        results = []
        for function in (fast, plain):
            y = function(x, other)
            results.append([y.numpy(), *(g.numpy() for g in paddle.grad([y], [x, other], [upstream]))])
        for ours, expected in zip(*results):
            np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)
