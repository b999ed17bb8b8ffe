"""Optimizers and learning-rate schedules."""

from __future__ import annotations

import math

from paddle import nn
from paddle.optimizer import Adam, AdamW, Momentum, Optimizer
from paddle.optimizer.lr import CosineAnnealingDecay, LinearWarmup, LRScheduler, ReduceOnPlateau
from paddle.regularizer import L2Decay

from facekp.training.config import OptimizerConfig


class FrozenStart(LRScheduler):
    """Constant rate while the network is frozen, then a cosine decay to zero from another rate.

    Args:
        frozen_lr: Learning rate while only the head is trained.
        frozen_steps: Number of frozen steps.
        thawed_lr: Learning rate at which the cosine begins.
        steps: Total number of steps.
    """

    def __init__(self, frozen_lr: float, frozen_steps: int, thawed_lr: float, steps: int) -> None:
        self.frozen_lr, self.frozen_steps, self.thawed_lr, self.steps = frozen_lr, frozen_steps, thawed_lr, steps
        super().__init__(frozen_lr)

    def get_lr(self) -> float:
        """Return the rate of the step `last_epoch`, as Paddle names its counter."""
        if self.last_epoch < self.frozen_steps:
            return self.frozen_lr
        part = (self.last_epoch - self.frozen_steps) / (self.steps - self.frozen_steps)
        return self.thawed_lr * (1 + math.cos(math.pi * min(part, 1.0))) / 2


def thawed_rate(config: OptimizerConfig, processes: int = 1) -> float:
    """Return the learning rate after a frozen start: a tenth of `lr` unless the config sets it."""
    rate = config.lr / 10 if config.thawed_lr is None else config.thawed_lr
    return rate * (processes if config.scale_lr else 1)


def build_schedule(
    config: OptimizerConfig, epochs: int, steps: int, processes: int = 1, freeze_epochs: int = 0
) -> LRScheduler:
    """Build the learning-rate schedule.

    It is an optional linear warm-up, then a cosine decay to zero (after `cosine_steps` the rate rises again); or
    `FrozenStart` or `ReduceOnPlateau`.

    Args:
        config: Config of the optimizer.
        epochs: Total number of epochs.
        steps: Number of steps in an epoch.
        processes: Number of processes that train together; see `scale_lr`.
        freeze_epochs: Number of initial epochs with a constant rate, which then decays from `thawed_lr`.
    """
    scale = processes if config.scale_lr else 1
    rate, total = config.lr * scale, epochs * steps
    if config.schedule == "plateau":  # the callback `Plateau` sets the rate after a frozen start
        return ReduceOnPlateau(rate, factor=config.plateau_factor, patience=config.plateau_patience)
    if freeze_epochs:
        return FrozenStart(rate, freeze_epochs * steps, thawed_rate(config, processes), total)
    warmup = min(round(config.warmup_epochs * steps), total - 1)
    cosine = CosineAnnealingDecay(rate, T_max=config.cosine_steps or total - warmup)
    return LinearWarmup(cosine, warmup, rate * 0.01, rate) if warmup else cosine


def build_optimizer(config: OptimizerConfig, schedule: LRScheduler, network: nn.Layer) -> Optimizer:
    """Build the optimizer of a config for a network's parameters."""
    parameters = network.parameters()
    if config.type == "adamw":
        return AdamW(schedule, parameters=parameters, weight_decay=config.weight_decay)
    decay = L2Decay(config.weight_decay)
    if config.type == "adam":
        return Adam(schedule, parameters=parameters, weight_decay=decay)
    return Momentum(schedule, config.momentum, parameters=parameters, weight_decay=decay)
