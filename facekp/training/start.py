"""Preparations before the first step: seeds, initial weights, checks, the device."""

from __future__ import annotations

import os
import random

import numpy as np
import paddle
from paddle import Tensor, nn

from facekp.errors import UserError
from facekp.io.safetensors import read_safetensors
from facekp.models.backbones import BACKBONES, Backbone
from facekp.models.weights import set_state
from facekp.processor import describe_kernels
from facekp.tasks import Task
from facekp.training.config import Config
from facekp.training.processes import Processes


def seed_everything(seed: int) -> None:
    """Seed Paddle, Python and NumPy, for the initial weights and all other sampling before the first step."""
    paddle.seed(seed)
    random.seed(seed)
    np.random.seed(seed)


def check_network(network: nn.Layer, task: Task, image: np.ndarray, label: np.ndarray) -> None:
    """Pass one sample through the network before the first step.

    Args:
        network: Any network.
        task: Task that compares the output with the label.
        image: (C, H, W) output of the transforms.
        label: Output of the codec.

    Raises:
        UserError: The network cannot process such images, or its output does not fit the label.
    """
    network.eval()
    try:
        with paddle.no_grad():
            predicted = network(paddle.to_tensor(image[None]))
    except (ValueError, RuntimeError, OSError) as error:  # errors of Paddle's kernels
        reason = str(error).strip().splitlines()[-1]
        raise UserError(
            f"the network cannot take images of the shape {image.shape} that data.pixels makes ({reason}); "
            "let network.in_channels and the channels that data.pixels makes agree"
        ) from error
    network.train()
    task.check_output(predicted.numpy(), label)


def load_pretrained(network: nn.Layer, source: bool | str) -> None:
    """Load pretrained weights into a network.

    Args:
        network: Any network of facekp.
        source: The config's `pretrained`: True loads Paddle's ImageNet weights; a path loads all weights of the file
            that fit, where only the head may differ; False loads none.

    Raises:
        UserError: There are no such weights, or they belong to another network.
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


def prepare_amp(level: str, network: nn.Layer) -> str | None:
    """Prepare a network for mixed precision.

    Args:
        level: `train.amp` of the config.
        network: Network whose outputs become float32, because Paddle computes the loss outside of mixed precision.

    Returns:
        Argument `amp_configs` of `paddle.Model.prepare`; None on a CPU, where Paddle's mixed precision has no effect.
    """
    if level == "O0" or paddle.get_device() == "cpu":
        return None
    network.register_forward_post_hook(lambda layer, inputs, outputs: _as_float32(outputs))
    return level


def _as_float32(outputs: Tensor | tuple[Tensor, ...]) -> Tensor | tuple[Tensor, ...]:
    if isinstance(outputs, (tuple, list)):  # a network in training mode may return more than its predictions
        return tuple(output.astype("float32") for output in outputs)
    return outputs.astype("float32")


def describe_device(config: Config, processes: Processes) -> str:
    """Return a short description of the device, threads and processes of a run."""
    device = paddle.get_device()
    # Paddle uses one thread, regardless of the cores, unless this variable is set before it is imported.
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
