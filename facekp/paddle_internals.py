"""Internals of Paddle that facekp uses and that Paddle may change: the place to check for a new version.

Import this module only where Paddle is imported anyway.
"""

from __future__ import annotations

from typing import Any

import paddle
from paddle import Tensor, nn
from paddle.io.dataloader.collate import default_collate_fn as default_collate_fn  # for facekp.data.loader
from paddle.metric import Metric
from paddle.optimizer import Optimizer


def metrics_of(model: paddle.Model) -> list[Metric]:
    """Return the metrics that the model was prepared with."""
    metrics: list[Metric] = model._metrics
    return metrics


def optimizer_of(model: paddle.Model) -> Optimizer:
    """Return the optimizer that the model was prepared with."""
    return model._optimizer


def schedule_of(optimizer: Optimizer) -> Any:
    """Return the learning rate of the optimizer: an `LRScheduler`, or a number."""
    return optimizer._learning_rate


def accumulators_of(optimizer: Optimizer) -> tuple[str, ...]:
    """Return the names of the arrays that the optimizer keeps for each parameter, as far as they exist."""
    return tuple(optimizer._accumulators)


def beta_of(optimizer: Optimizer, name: str) -> float:
    """Return Adam's `beta1` or `beta2`."""
    beta: float = getattr(optimizer, f"_{name}")
    return beta


def fix_statistics(norm: nn.Layer, fixed: bool) -> None:
    """Make a batch norm use its running statistics without updating them; `train()` does not undo it."""
    norm._use_global_stats = True if fixed else None


def follow_statistics(norm: nn.Layer, mean: Tensor, variance: Tensor) -> None:
    """Update a batch norm's running statistics with those of a batch, as a training step does."""
    with paddle.no_grad():
        keep = norm._momentum
        norm._mean.set_value(keep * norm._mean + (1 - keep) * mean)
        norm._variance.set_value(keep * norm._variance + (1 - keep) * variance)


def epsilon_of(norm: nn.Layer) -> float:
    """Return the value that a batch norm adds to the variance."""
    epsilon: float = norm._epsilon
    return epsilon


def set_threads(count: int) -> None:
    """Set the number of CPU threads of Paddle for the whole process."""
    paddle.base.core.set_num_threads(count)


def launch_store() -> Any:
    """Return the key-value store that the processes of a launcher share."""
    return paddle.base.core.create_or_get_global_tcp_store()
