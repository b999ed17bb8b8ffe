"""What facekp uses of Paddle that Paddle does not promise to keep: a new version of it is looked at here.

Import it where Paddle is there anyway.
"""

from __future__ import annotations

from typing import Any

import paddle
from paddle import Tensor, nn
from paddle.io.dataloader.collate import default_collate_fn as default_collate_fn  # for facekp.data.loader
from paddle.metric import Metric
from paddle.optimizer import Optimizer


def metrics_of(model: paddle.Model) -> list[Metric]:
    """Those that the model was prepared with."""
    metrics: list[Metric] = model._metrics
    return metrics


def optimizer_of(model: paddle.Model) -> Optimizer:
    """The one that the model was prepared with."""
    return model._optimizer


def schedule_of(optimizer: Optimizer) -> Any:
    """Its `LRScheduler`, or a number."""
    return optimizer._learning_rate


def accumulators_of(optimizer: Optimizer) -> tuple[str, ...]:
    """Names of the arrays that it keeps of each parameter, as far as it has made them."""
    return tuple(optimizer._accumulators)


def beta_of(optimizer: Optimizer, name: str) -> float:
    """Adam's `beta1` or `beta2`."""
    beta: float = getattr(optimizer, f"_{name}")
    return beta


def fix_statistics(norm: nn.Layer, fixed: bool) -> None:
    """Let a batch norm use its running statistics and leave them alone; `train()` does not undo it."""
    norm._use_global_stats = True if fixed else None


def follow_statistics(norm: nn.Layer, mean: Tensor, variance: Tensor) -> None:
    """Move a batch norm's running statistics towards those of a batch, as a training step does."""
    with paddle.no_grad():
        keep = norm._momentum
        norm._mean.set_value(keep * norm._mean + (1 - keep) * mean)
        norm._variance.set_value(keep * norm._variance + (1 - keep) * variance)


def epsilon_of(norm: nn.Layer) -> float:
    """What a batch norm adds to the variance."""
    epsilon: float = norm._epsilon
    return epsilon


def set_threads(count: int) -> None:
    """CPU threads of Paddle, in the whole process."""
    paddle.base.core.set_num_threads(count)


def launch_store() -> Any:
    """The key-value store that the processes of a launcher share."""
    return paddle.base.core.create_or_get_global_tcp_store()
