"""A run: its folder, its optimizer, its seeds."""

from __future__ import annotations

import math
import os
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import yaml
from paddle import nn
from paddle.optimizer import Adam, AdamW, Momentum, Optimizer
from paddle.optimizer.lr import CosineAnnealingDecay, LinearWarmup, LRScheduler, ReduceOnPlateau
from paddle.regularizer import L2Decay

from facekp.cli import atomic_path
from facekp.errors import UserError
from facekp.models.backbones import BACKBONES, Backbone
from facekp.processor import describe_kernels
from facekp.training.config import Config, OptimizerConfig, parse_config
from facekp.training.processes import Processes
from facekp.weights import read_safetensors, set_state


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
    try:
        old = yaml.safe_load(written.read_text(encoding="utf-8"))
        if not isinstance(old, dict):
            raise ValueError("no mapping")
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{written}: missing or damaged ({error}); start anew with --overwrite") from error
    before, now = essentials(parse_config(old, str(written))), essentials(config)
    for key in sorted(set(before) | set(now)):
        if before.get(key) != now.get(key):
            raise UserError(
                f"{written}: the run to resume has {key} = {before.get(key)!r}, not {now.get(key)!r}; "
                "start another run with -o name=ANOTHER"
            )


def essentials(config: Config) -> dict[str, Any]:
    """Key -> value of a config, less what may differ when a run goes on: where the data lie and who loads them."""
    may_differ = {"train.stop_after", "data.workers", "data.root", "data.pts_root", "output"}
    return {k: v for k, v in _leaves(config.model_dump(mode="json")).items() if k not in may_differ}


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
        label: (2K,) as it comes out of the codec; or of boxes, which are not compared.

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
            "let network.in_channels and the channels that data.pixels makes agree"
        ) from error
    network.train()
    scored = predicted.shape[1] % 2  # one number behind the points
    if predicted.ndim == 2 and predicted.shape[1] - scored != label.shape[0]:
        raise UserError(f"the network predicts {predicted.shape[1]} numbers, but a label has {label.shape[0]}")


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


def build_schedule(
    config: OptimizerConfig, epochs: int, steps: int, processes: int = 1, freeze_epochs: int = 0
) -> LRScheduler:
    """The learning rate of every step.

    A linear warm-up if asked for, then a cosine down to zero (behind `cosine_steps` it rises again); or what `FrozenStart` or `ReduceOnPlateau` do.

    Args:
        config: Its rates.
        epochs: Of the whole recipe.
        steps: In an epoch.
        processes: How many train together; see `scale_lr`.
        freeze_epochs: For so many of the epochs the rate stays, and then falls from `thawed_lr`.
    """
    scale = processes if config.scale_lr else 1
    rate, total = config.lr * scale, epochs * steps
    if config.schedule == "plateau":
        return ReduceOnPlateau(rate, factor=config.plateau_factor, patience=config.plateau_patience)
    if freeze_epochs:
        thawed = rate / 10 if config.thawed_lr is None else config.thawed_lr * scale
        return FrozenStart(rate, freeze_epochs * steps, thawed, total)
    warmup = round(config.warmup_epochs * steps)
    cosine = CosineAnnealingDecay(rate, T_max=config.cosine_steps or total - warmup)
    return LinearWarmup(cosine, warmup, rate * 0.01, rate) if warmup else cosine


def load_pretrained(network: nn.Layer, source: bool | str) -> None:
    """Let a network begin at weights that were trained before.

    Args:
        network: Any of ours.
        source: The config's `pretrained`: True takes Paddle's ImageNet weights; a path takes all of those weights that
            fit, where only the head may differ.

    Raises:
        UserError: There are no such weights, or they are another network's.
    """
    if source is True:
        if not isinstance(network, Backbone):
            raise UserError(f"pretrained: true needs a network of {', '.join(BACKBONES)}; give a path for others")
        network.load_imagenet()
    elif source:
        arrays, _ = read_safetensors(str(source))
        own = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
        taken = {name: array for name, array in arrays.items() if name in own or not name.startswith("head.")}
        for name, array in own.items():
            if name.startswith("head.") and (name not in taken or taken[name].shape != array.shape):
                taken[name] = array
        set_state(network, taken, str(source))


def build_optimizer(config: OptimizerConfig, schedule: LRScheduler, network: nn.Layer) -> Optimizer:
    """The optimizer of a config over a network's parameters."""
    parameters = network.parameters()
    if config.type == "adamw":
        return AdamW(schedule, parameters=parameters, weight_decay=config.weight_decay)
    decay = L2Decay(config.weight_decay)
    if config.type == "adam":
        return Adam(schedule, parameters=parameters, weight_decay=decay)
    return Momentum(schedule, config.momentum, parameters=parameters, weight_decay=decay)


def prepare_amp(level: str, network: nn.Layer) -> str | None:
    """Make a network ready for mixed precision.

    Args:
        level: `train.amp` of the config.
        network: Its outputs become float32, because Paddle takes the loss outside of mixed precision.

    Returns:
        What `paddle.Model.prepare` takes as `amp_configs`; None on a CPU, where Paddle's mixed precision does nothing.
    """
    if level == "O0" or paddle.get_device() == "cpu":
        return None
    network.register_forward_post_hook(lambda layer, inputs, outputs: outputs.astype("float32"))
    return level


def describe_device(config: Config, processes: Processes) -> str:
    """What a run computes on, in a few words."""
    device = paddle.get_device()
    # Paddle uses one thread, whatever the cores, unless this variable says more before it is imported.
    threads = int(os.environ.get("OMP_NUM_THREADS") or 1)
    parts = [
        f"{processes.count} process{'es' * (processes.count > 1)} on {device}",
        f"{threads} thread{'s' * (threads > 1)}",
        f"{config.data.workers} loader process{'es' * (config.data.workers != 1)}",
    ]
    text = ", each ".join(parts[:2]) + " and " + parts[2] if processes.count > 1 else ", ".join(parts)
    if device == "cpu":
        text += f", {describe_kernels()}"
    if config.train.amp != "O0":
        text += f", train.amp {config.train.amp}" + (" (which does nothing on a CPU)" if device == "cpu" else "")
    return text
