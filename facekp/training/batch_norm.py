"""Batch norm with statistics over the images of all processes, as if one process had the whole batch."""

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
    """Make every batch norm of a network compute its training statistics over all processes.

    Paddle's own `SyncBatchNorm` exists on GPUs only. Call this in every process, before the first step.

    Args:
        network: Any network; modified in place. Its parameters, their names and its predictions do not change.

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
    """Apply batch norm with the statistics of all processes: (N, C, H, W) -> (N, C, H, W)."""
    if not layer.training:
        return nn.BatchNorm2D.forward(layer, x)
    y, mean, variance = _Normalize.apply(x, layer.weight, layer.bias, epsilon_of(layer))
    follow_statistics(layer, mean, variance)
    return y


class _Normalize(PyLayer):
    """Batch norm over all processes' images, with its gradient (Ioffe and Szegedy, "Batch Normalization", 2015).

    Implements algorithm 1. Operations over all positions use Paddle's batch norm with given statistics, and matrix
    products with ones, because these are fast on a CPU.
    """

    @staticmethod
    def forward(context: Any, x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> tuple[Tensor, ...]:
        own_mean, own_variance = paddle.zeros_like(weight), paddle.ones_like(weight)
        F.batch_norm(x, own_mean, own_variance, None, None, training=True, momentum=0.0)
        positions = x.size // weight.size
        sums = _over_processes(own_mean * positions, paddle.full([1], positions, x.dtype))
        mean, count = sums[:-1] / sums[-1:], sums[-1:]
        variance = _over_processes((own_variance + (own_mean - mean) ** 2) * positions) / count
        context.save_for_backward(x, weight, mean, variance, count)
        context.epsilon = epsilon
        return F.batch_norm(x, mean, variance, weight, bias, epsilon=epsilon), mean, variance

    @staticmethod
    def backward(context: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, weight, mean, variance, count = context.saved_tensor()
        normal = F.batch_norm(x, mean, variance, None, None, epsilon=context.epsilon)
        weight_grad, bias_grad = sum_places(gradient * normal), sum_places(gradient)  # local; Paddle averages them
        slope = weight * paddle.rsqrt(variance + context.epsilon)
        scaled = F.batch_norm(gradient, paddle.zeros_like(mean), paddle.ones_like(mean), slope, None, epsilon=0.0)
        shift, tilt = (slope * each / count for each in _over_processes(bias_grad, weight_grad).split(2))
        return scaled - F.batch_norm(x, mean, variance, tilt, shift, epsilon=context.epsilon), weight_grad, bias_grad


def _over_processes(*values: Tensor) -> Tensor:
    """Return the concatenation of vectors, summed over all processes; the arguments are not modified."""
    joined = paddle.concat(values)  # a copy, because all_reduce works in place
    if distributed.get_world_size() > 1:
        distributed.all_reduce(joined)
    return joined
