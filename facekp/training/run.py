"""A run: its folder, its optimizer, its seeds."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import yaml
from paddle import nn
from paddle.optimizer import Adam, AdamW, Momentum, Optimizer
from paddle.optimizer.lr import CosineAnnealingDecay, LinearWarmup, LRScheduler
from paddle.regularizer import L2Decay

from facekp.cli import atomic_path
from facekp.errors import UserError
from facekp.training.config import Config, OptimizerConfig


def find_run_folder(config: Config, resume: bool, overwrite: bool) -> Path:
    """Name a run's folder, output/NAME, and make sure that two runs never mix. Nothing is written yet.

    Args:
        config: Of the run.
        resume: Go on in an existing folder.
        overwrite: `start_run_folder` may delete an existing run.

    Returns:
        The folder.

    Raises:
        UserError: The folder exists and neither was asked for; or there is nothing to resume; or the folder
            to overwrite holds something that is no run; or the config differs from the one resumed.
    """
    folder = Path(config.output) / config.name
    written = folder / "config.yml"
    if resume:
        if not (folder / "last.safetensors").is_file():
            raise UserError(f"{folder}: no finished epoch to resume from; start without --resume (or --overwrite)")
        _same_config(written, config)
    elif folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is a file; choose another name or output")
    elif folder.exists() and any(folder.iterdir()):
        if not overwrite:
            raise UserError(f"{folder}: exists already; add --resume, --overwrite, or -o name=ANOTHER")
        if not written.is_file():
            raise UserError(f"{folder}: is not a run's folder, so --overwrite leaves it alone; choose another name")
    return folder


def start_run_folder(folder: Path, config: Config, resume: bool) -> None:
    """Delete what an earlier run left, unless it is resumed, and write the resolved config."""
    if folder.exists() and not resume:
        shutil.rmtree(folder)
    with atomic_path(folder / "config.yml") as temporary:
        temporary.write_text(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False), encoding="utf-8")


def _same_config(written: Path, config: Config) -> None:
    """Only where the data lie and how many processes load them may differ when a run goes on."""
    try:
        old = yaml.safe_load(written.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"{written}: missing or damaged ({error}); start anew with --overwrite") from error
    may_differ = {"train.stop_after", "data.workers", "data.root", "data.pts_root", "output"}
    before, now = _leaves(old), _leaves(config.model_dump(mode="json"))
    for key in sorted(set(before) | set(now)):
        if key not in may_differ and before.get(key) != now.get(key):
            raise UserError(
                f"{written}: the run to resume has {key} = {before.get(key)!r}, not {now.get(key)!r}; "
                "start another run with -o name=ANOTHER"
            )


def _leaves(values: Any, key: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} as {"a.b": 1}."""
    if not isinstance(values, dict):
        return {key: values}
    return {k: v for name, value in values.items() for k, v in _leaves(value, f"{key}.{name}" if key else name).items()}


def seed_everything(seed: int) -> None:
    """Seed Paddle, Python and numpy: the initial weights, and whatever else draws before the first step."""
    paddle.seed(seed)
    random.seed(seed)
    np.random.seed(seed)


def check_network(network: nn.Layer, image: np.ndarray, label: np.ndarray) -> None:
    """Pass one sample through the network before the first step.

    Args:
        network: Any.
        image: (C, H, W) as it comes out of the transforms.
        label: (2K,) as it comes out of the codec.

    Raises:
        UserError: The network cannot take such pictures, or predicts another number of points.
    """
    network.eval()
    try:
        with paddle.no_grad():
            predicted = network(paddle.to_tensor(image[None]))
    except (ValueError, RuntimeError, OSError) as error:  # what Paddle's kernels raise
        reason = str(error).strip().splitlines()[-1]
        raise UserError(
            f"the network cannot take pictures of the shape {image.shape} that data.pixels makes ({reason}); "
            "let network.in_channels and the channels of GrayNormalize agree"
        ) from error
    network.train()
    scored = predicted.shape[1] % 2  # one number behind the points
    if predicted.shape[1] - scored != label.shape[0]:
        raise UserError(f"the network predicts {predicted.shape[1]} numbers, but a label has {label.shape[0]}")


def build_schedule(config: OptimizerConfig, epochs: int, steps: int) -> LRScheduler:
    """The learning rate of every step: a linear warm-up if asked for, then a cosine down to zero.

    Args:
        config: Rate and warm-up.
        epochs: Of the whole recipe.
        steps: In an epoch.
    """
    warmup = round(config.warmup_epochs * steps)
    cosine = CosineAnnealingDecay(config.lr, T_max=epochs * steps - warmup)
    return LinearWarmup(cosine, warmup, config.lr * 0.01, config.lr) if warmup else cosine


def build_optimizer(config: OptimizerConfig, schedule: LRScheduler, network: nn.Layer) -> Optimizer:
    """The optimizer of a config over a network's parameters."""
    parameters = network.parameters()
    if config.type == "adamw":
        return AdamW(schedule, parameters=parameters, weight_decay=config.weight_decay)
    decay = L2Decay(config.weight_decay)
    if config.type == "adam":
        return Adam(schedule, parameters=parameters, weight_decay=decay)
    return Momentum(schedule, config.momentum, parameters=parameters, weight_decay=decay)
