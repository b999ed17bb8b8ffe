"""Networks and the registries of their names.

A network of points maps (N, C, H, W) float32 to (N, 2 * num_points) float32, in the units of its codec; a face
detector maps it to (N, cells, 5), see `detector`.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any, Callable

from paddle import nn

from facekp.errors import UserError
from facekp.models.backbones import BACKBONES, Backbone
from facekp.models.detector import PlainDetector
from facekp.models.plain import PlainResNet
from facekp.models.sam_googlenet import Inception, SAMGoogLeNetBN, SpatialAttention

__all__ = ["DETECTORS", "NETWORKS", "Backbone", "Inception", "PlainDetector", "PlainResNet", "SAMGoogLeNetBN",
           "SpatialAttention", "build_network"]  # fmt: skip


#: Name in a config -> what builds it, networks of points.
NETWORKS: dict[str, Callable[..., nn.Layer]] = {
    "sam_googlenet_bn": SAMGoogLeNetBN,
    "plain_resnet": PlainResNet,
    **{name: functools.partial(Backbone, name) for name in BACKBONES},
}


#: The same, face detectors.
DETECTORS: dict[str, Callable[..., nn.Layer]] = {"plain_detector": PlainDetector}


def build_network(name: str, num_points: int = 68, **options: Any) -> nn.Layer:
    """Build a network by name, with random weights.

    Args:
        name: A key of `NETWORKS` or `DETECTORS`.
        num_points: Points to predict; detectors know none.
        **options: Further arguments of that network.

    Returns:
        The network, in training mode.

    Raises:
        UserError: Unknown name or option; the message lists the valid ones.

    Example:
        >>> import paddle
        >>> list(build_network("sam_googlenet_bn", num_points=5)(paddle.zeros([1, 3, 96, 96])).shape)
        [1, 10]
    """
    known = {**NETWORKS, **DETECTORS}
    if name not in known:
        raise UserError(f"unknown network {name!r}; known are {', '.join(known)}")
    if name in NETWORKS:
        known[name] = functools.partial(known[name], num_points=num_points)
    valid = [p for p in inspect.signature(known[name]).parameters if p != "num_points"]
    unknown = sorted(set(options) - set(valid))
    if unknown:
        raise UserError(f"network {name}: unknown option {unknown[0]!r}; known are {', '.join(valid) or 'none'}")
    try:
        return known[name](**options)
    except (IndexError, TypeError, ValueError) as error:
        raise UserError(f"network {name}: an option has a wrong value ({error})") from error
