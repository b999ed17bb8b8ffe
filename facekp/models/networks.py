"""The registry of networks.

A landmark network maps (N, C, H, W) float32 to (N, 2 * num_points) float32, in the units of its codec, followed by any
further outputs (`facekp.codecs.points.OutputLayout`); a face detector maps it to (N, cells, 5), see
`facekp.codecs.boxes`. In training mode a network may return a pair, its predictions and values for its loss only.
"""

from __future__ import annotations

import functools
from typing import Any, Callable

from paddle import nn

from facekp import registry
from facekp.models.backbones import BACKBONES, Backbone
from facekp.models.detector import PlainDetector
from facekp.models.plain import PlainResNet
from facekp.models.sam_googlenet import SAMGoogLeNetBN

#: Name in a config -> constructor of a landmark network.
NETWORKS: dict[str, Callable[..., nn.Layer]] = {
    "sam_googlenet_bn": SAMGoogLeNetBN,
    "plain_resnet": PlainResNet,
    **{name: functools.partial(Backbone, name) for name in BACKBONES},
}

#: Name in a config -> constructor of a face detector.
DETECTORS: dict[str, Callable[..., nn.Layer]] = {"plain_detector": PlainDetector}


def build_network(type: str, num_points: int = 68, **options: Any) -> nn.Layer:
    """Build a network by name, with random weights.

    Args:
        type: A key of `NETWORKS` or `DETECTORS`.
        num_points: Number of points to predict; detectors ignore it.
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
    return registry.build({**NETWORKS, **DETECTORS}, {"type": type, **options}, "network", num_points=num_points)
