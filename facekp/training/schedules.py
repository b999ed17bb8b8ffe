"""Optimizers and learning-rate schedules."""

from __future__ import annotations

import math

from paddle import nn
from paddle.optimizer import Adam, AdamW, Momentum, Optimizer
from paddle.optimizer.lr import CosineAnnealingDecay, LinearWarmup, LRScheduler, ReduceOnPlateau
from paddle.regularizer import L2Decay

from facekp.training.config import OptimizerConfig


class FrozenStart(LRScheduler):
    """One rate while the network is frozen, then a cosine down to zero from another.

    Args:
        frozen_lr: While only the head learns.
        frozen_steps: How long that is.
        thawed_lr: Where the cosine begins.
        steps: Of the whole recipe.
    """

    def __init__(self, frozen_lr: float, frozen_steps: int, thawed_lr: float, steps: int) -> None:
        self.frozen_lr, self.frozen_steps, self.thawed_lr, self.steps = frozen_lr, frozen_steps, thawed_lr, steps
        super().__init__(frozen_lr)

    def get_lr(self) -> float:
        """The rate of the step `last_epoch`, as Paddle calls its counter."""
        if self.last_epoch < self.frozen_steps:
            return self.frozen_lr
        part = (self.last_epoch - self.frozen_steps) / (self.steps - self.frozen_steps)
        return self.thawed_lr * (1 + math.cos(math.pi * min(part, 1.0))) / 2


def thawed_rate(config: OptimizerConfig, processes: int = 1) -> float:
    """The learning rate after a frozen start: a tenth of `lr` unless the config says otherwise."""
    rate = config.lr / 10 if config.thawed_lr is None else config.thawed_lr
    return rate * (processes if config.scale_lr else 1)


def build_schedule(
    config: OptimizerConfig, epochs: int, steps: int, processes: int = 1, freeze_epochs: int = 0
) -> LRScheduler:
    """The learning rate of every step.

    A linear warm-up if asked for, then a cosine down to zero (behind `cosine_steps` it rises again); or what
    `FrozenStart` or `ReduceOnPlateau` do.

    Args:
        config: Its rates.
        epochs: Of the whole recipe.
        steps: In an epoch.
        processes: How many train together; see `scale_lr`.
        freeze_epochs: For so many of the epochs the rate stays, and then falls from `thawed_lr`.
    """
    scale = processes if config.scale_lr else 1
    rate, total = config.lr * scale, epochs * steps
    if config.schedule == "plateau":  # the callback `Plateau` knows of the thaw
        return ReduceOnPlateau(rate, factor=config.plateau_factor, patience=config.plateau_patience)
    if freeze_epochs:
        return FrozenStart(rate, freeze_epochs * steps, thawed_rate(config, processes), total)
    warmup = min(round(config.warmup_epochs * steps), total - 1)
    cosine = CosineAnnealingDecay(rate, T_max=config.cosine_steps or total - warmup)
    return LinearWarmup(cosine, warmup, rate * 0.01, rate) if warmup else cosine


def build_optimizer(config: OptimizerConfig, schedule: LRScheduler, network: nn.Layer) -> Optimizer:
    """The optimizer of a config over a network's parameters."""
    parameters = network.parameters()
    if config.type == "adamw":
        return AdamW(schedule, parameters=parameters, weight_decay=config.weight_decay)
    decay = L2Decay(config.weight_decay)
    if config.type == "adam":
        return Adam(schedule, parameters=parameters, weight_decay=decay)
    return Momentum(schedule, config.momentum, parameters=parameters, weight_decay=decay)
