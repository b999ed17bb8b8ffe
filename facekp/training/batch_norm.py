"""Batch norm over the images of all processes, so that several train what one with the whole batch would."""

from __future__ import annotations

from functools import partial
from typing import Any

import paddle
from paddle import Tensor, distributed, nn
from paddle.autograd import PyLayer
from paddle.nn import functional as F  # noqa: N812 (the field's name for it)

from facekp.models.fast import sum_places
from facekp.paddle_internals import epsilon_of, follow_statistics


def synchronize(network: nn.Layer) -> None:
    """Let every batch norm of a network take its statistics from all processes while training.

    Paddle's own `SyncBatchNorm` exists on GPUs alone. Call it in every process, before the first step.

    Args:
        network: Any; changed in place. Its parameters, their names and what it predicts stay as they are.

    Example:
        >>> network = nn.Sequential(nn.Conv2D(3, 4, 1), nn.BatchNorm2D(4))
        >>> synchronize(network)
        >>> list(network.state_dict())
        ['0.weight', '0.bias', '1.weight', '1.bias', '1._mean', '1._variance']
    """
    for layer in network.sublayers(include_self=True):
        if isinstance(layer, nn.BatchNorm2D):
            layer.forward = partial(_forward, layer)


def _forward(layer: nn.BatchNorm2D, x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, H, W)."""
    if not layer.training:
        return nn.BatchNorm2D.forward(layer, x)
    y, mean, variance = _Normalize.apply(x, layer.weight, layer.bias, epsilon_of(layer))
    follow_statistics(layer, mean, variance)
    return y


class _Normalize(PyLayer):
    """Ioffe and Szegedy, "Batch Normalization", 2015, algorithm 1 and its derivative, over all processes' images.

    What goes over all places is left to Paddle's batch norm with given statistics and to products with ones, which are
    the fast ways on a CPU.
    """

    @staticmethod
    def forward(context: Any, x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> tuple[Tensor, ...]:
        own_mean, own_variance = paddle.zeros_like(weight), paddle.ones_like(weight)
        F.batch_norm(x, own_mean, own_variance, None, None, training=True, momentum=0.0)
        places = x.size // weight.size
        sums = _over_processes(own_mean * places, paddle.full([1], places, x.dtype))
        mean, count = sums[:-1] / sums[-1:], sums[-1:]
        variance = _over_processes((own_variance + (own_mean - mean) ** 2) * places) / count
        context.save_for_backward(x, weight, mean, variance, count)
        context.epsilon = epsilon
        return F.batch_norm(x, mean, variance, weight, bias, epsilon=epsilon), mean, variance

    @staticmethod
    def backward(context: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, weight, mean, variance, count = context.saved_tensor()
        normal = F.batch_norm(x, mean, variance, None, None, epsilon=context.epsilon)
        to_weight, to_bias = sum_places(gradient * normal), sum_places(gradient)  # this process's: Paddle averages them
        slope = weight * paddle.rsqrt(variance + context.epsilon)
        scaled = F.batch_norm(gradient, paddle.zeros_like(mean), paddle.ones_like(mean), slope, None, epsilon=0.0)
        shift, tilt = (slope * each / count for each in _over_processes(to_bias, to_weight).split(2))
        return scaled - F.batch_norm(x, mean, variance, tilt, shift, epsilon=context.epsilon), to_weight, to_bias


def _over_processes(*values: Tensor) -> Tensor:
    """Vectors, one behind the other, added up over all processes; they stay as they are."""
    joined = paddle.concat(values)  # a copy, because the sum is written over it
    if distributed.get_world_size() > 1:
        distributed.all_reduce(joined)
    return joined
