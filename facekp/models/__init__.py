"""Networks and the registry of their names.

Every network maps (N, C, H, W) float32 to (N, 2 * num_points) float32, in the units of its codec.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any, Callable

from paddle import nn

from facekp.errors import UserError
from facekp.models.backbones import BACKBONES, Backbone
from facekp.models.plain import PlainResNet
from facekp.models.sam_googlenet import Inception, SAMGoogLeNetBN, SpatialAttention

__all__ = ["NETWORKS", "Backbone", "Inception", "PlainResNet", "SAMGoogLeNetBN", "SpatialAttention", "build_network"]


#: Name in a config -> what builds it.
NETWORKS: dict[str, Callable[..., nn.Layer]] = {
    "sam_googlenet_bn": SAMGoogLeNetBN,
    "plain_resnet": PlainResNet,
    **{name: functools.partial(Backbone, name) for name in BACKBONES},
}


def build_network(name: str, num_points: int = 68, **options: Any) -> nn.Layer:
    """Build a network by name, with random weights.

    Args:
        name: A key of `NETWORKS`.
        num_points: Points to predict.
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
    if name not in NETWORKS:
        raise UserError(f"unknown network {name!r}; known are {', '.join(NETWORKS)}")
    valid = [p for p in inspect.signature(NETWORKS[name]).parameters if p != "num_points"]
    unknown = sorted(set(options) - set(valid))
    if unknown:
        raise UserError(f"network {name}: unknown option {unknown[0]!r}; known are {', '.join(valid) or 'none'}")
    try:
        return NETWORKS[name](num_points=num_points, **options)
    except (IndexError, TypeError, ValueError) as error:
        raise UserError(f"network {name}: an option has a wrong value ({error})") from error
