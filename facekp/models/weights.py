"""Weights in a file: a network's arrays with its recipe, and no executable code (safetensors)."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import paddle
from paddle import nn

from facekp.errors import UserError
from facekp.io.safetensors import read_safetensors, write_safetensors
from facekp.models.networks import DETECTORS, NETWORKS, build_network
from facekp.recipes import AnyRecipe, BoxesRecipe, PointsRecipe, R, describe, of_kind, parse_recipe
from facekp.registry import check_name


def save_weights(path: str | os.PathLike[str], network: nn.Layer, recipe: AnyRecipe, half: bool = False) -> None:
    """Write a network's parameters and running statistics with its recipe.

    Args:
        path: The file, by convention `.safetensors`.
        network: Network whose state is written.
        recipe: Recipe to store with it.
        half: Store in half precision: half the size; `load_weights` returns float32 again.
    """
    arrays = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    if half:
        arrays = {name: array.astype(np.float16) for name, array in arrays.items()}
    write_safetensors(path, arrays, describe(recipe))


def load_weights(path: str | os.PathLike[str]) -> tuple[nn.Layer, PointsRecipe]:
    """Load a landmark network that `save_weights` wrote.

    Args:
        path: The file.

    Returns:
        The network, in evaluation mode, and its recipe.

    Raises:
        UserError: The file is missing, damaged, of another program, or does not fit its own recipe; or it holds a
            detector.
    """
    return _load(path, PointsRecipe)


def load_detector_weights(path: str | os.PathLike[str]) -> tuple[nn.Layer, BoxesRecipe]:
    """Load a face detector that `save_weights` wrote; see `load_weights`."""
    return _load(path, BoxesRecipe)


def load_any_weights(path: str | os.PathLike[str]) -> tuple[nn.Layer, AnyRecipe]:
    """Load a landmark network or a face detector; see `load_weights`."""
    arrays, metadata = read_safetensors(path)
    recipe = parse_recipe(metadata, path)
    return _filled(recipe, arrays, path), recipe


def _load(path: str | os.PathLike[str], kind: type[R]) -> tuple[nn.Layer, R]:
    arrays, metadata = read_safetensors(path)
    recipe = of_kind(parse_recipe(metadata, path), kind, path)
    return _filled(recipe, arrays, path), recipe


def _filled(recipe: AnyRecipe, arrays: dict[str, np.ndarray], path: str | os.PathLike[str]) -> nn.Layer:
    try:
        check_name(NETWORKS if isinstance(recipe, PointsRecipe) else DETECTORS, recipe.network, "network")
    except UserError as error:
        raise UserError(f"{path}: {error}; register your own before it is loaded, see CONTRIBUTING.md") from error
    try:
        _check_options(recipe.network_arguments())
        with paddle.LazyGuard():  # no memory until the shapes in the file are known to match
            network = build_network(**recipe.network_arguments())
    except UserError as error:
        raise UserError(f"{path}: its description is damaged ({error}); fetch or train the weights again") from error
    check_state(network, arrays, path)
    for parameter in network.parameters():
        parameter.initialize()
    set_state(network, arrays, path)
    network.eval()
    return network


#: Maximum value and maximum number of entries of a network option, and maximum number of blocks in a stage.
MAX_OPTION, MAX_ENTRIES, MAX_BLOCKS = 1 << 16, 64, 64


def _check_options(options: Any, key: str = "network", depth: int = 0) -> None:
    """Check untrusted options, before a network with a million layers is built.

    Raises:
        UserError: An option exceeds these limits.
    """
    if isinstance(options, (dict, list, tuple)):
        if depth > 4 or len(options) > MAX_ENTRIES:
            raise UserError(f"{key}: is nested too deeply or has more than {MAX_ENTRIES} entries")
        entries = options.items() if isinstance(options, dict) else ((None, value) for value in options)
        for name, value in entries:
            _check_options(value, key if name is None else str(name)[:40], depth + 1)
    elif isinstance(options, (int, float)) and not abs(options) <= (MAX_BLOCKS if key == "blocks" else MAX_OPTION):
        raise UserError(f"{key}: {str(options)[:20]} is too large")


def check_state(network: nn.Layer, arrays: dict[str, np.ndarray], source: str | os.PathLike[str]) -> None:
    """Check that arrays match the state of a network.

    Raises:
        UserError: Names or shapes differ from those of the network.
    """
    own = network.state_dict()
    for name in sorted(set(own) ^ set(arrays)):
        raise UserError(f"{source}: weights of another network: {name[:80]} is only in one of the two")
    for name, tensor in own.items():
        if tuple(tensor.shape) != arrays[name].shape:
            raise UserError(
                f"{source}: weights of another network: {name} has the shape {arrays[name].shape}, "
                f"not {tuple(tensor.shape)}"
            )


def set_state(network: nn.Layer, arrays: dict[str, np.ndarray], source: str | os.PathLike[str]) -> None:
    """Load arrays into a network; names and shapes must match exactly.

    Raises:
        UserError: The arrays belong to another network.
    """
    check_state(network, arrays, source)
    network.set_state_dict({k: paddle.to_tensor(v.astype(np.float32)) for k, v in arrays.items()})
