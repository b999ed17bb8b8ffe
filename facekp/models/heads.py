"""Heads that predict numbers from the last feature map, by global average pooling or with spatial information.

A head that predicts in percent of the crop lists the matching keys of `facekp.codecs.points.CODECS` in `codecs`. One
that also returns logits in training has `gives_logits`, for losses with `of_logits`. One that needs only the mean of
the map has `averages`.
"""

from __future__ import annotations

from typing import Callable, ClassVar

import paddle
from paddle import Tensor, nn
from paddle.nn import functional as F  # noqa: N812 (the field's name for it)

from facekp import registry
from facekp.codecs.points import OutputLayout
from facekp.models.simcc import SimCCHead, squeeze
from facekp.registry import Spec


class MeanHead(nn.Sequential):
    """Global average pooling, then a hidden layer, as in GoogLeNet and the reference document.

    Args:
        channels: Number of channels of the feature map.
        outputs: Number of outputs.
    """

    averages: ClassVar[bool] = True

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__(nn.Linear(channels, 512), nn.ReLU(), nn.Linear(512, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Predict the outputs: (N, channels, H, W) -> (N, outputs)."""
        return super().forward(x.mean(axis=[2, 3]))


class MapHead(nn.Layer):
    """Flattened map and a linear layer: positions of features determine the landmarks.

    Args:
        channels: Number of channels of the feature map.
        outputs: Number of outputs.
        map_size: Side length that the map is pooled to.
    """

    def __init__(self, channels: int, outputs: int, map_size: int = 4) -> None:
        super().__init__()
        self.squeeze, channels = squeeze(channels)
        self.pool = nn.AdaptiveAvgPool2D(map_size)
        self.linear = nn.Linear(channels * map_size**2, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Predict the outputs: (N, channels, H, W) -> (N, outputs)."""
        if self.squeeze is not None:
            x = self.squeeze(x)
        return self.linear(self.pool(x).flatten(1))


class SoftArgmaxHead(nn.Layer):
    """Soft-argmax: mean position under a heat map for each point (Sun et al., "Integral human pose regression", 2018).

    Positions are in percent of the crop, the unit of `MeanFaceCodec`, relative to a learned origin for each point.

    Args:
        channels: Number of channels of the feature map.
        layout: Layout of the outputs; all but the points are predicted from the map's mean.
    """

    codecs: ClassVar[tuple[str, ...]] = ("mean_face", "percent")

    def __init__(self, channels: int, layout: OutputLayout) -> None:
        super().__init__()
        points, rest = layout.num_points, layout.width - 2 * layout.num_points
        self.heat = nn.Conv2D(channels, points, 1)
        self.origin = self.create_parameter([points * 2], is_bias=True)
        self.rest = nn.Linear(channels, rest) if rest else None

    def forward(self, x: Tensor) -> Tensor:
        """Predict the outputs: (N, channels, H, W) -> (N, outputs)."""
        height, width = x.shape[2:]
        weights = F.softmax(self.heat(x).flatten(2), axis=-1)  # (N, points, H * W)
        down, across = ((paddle.arange(side, dtype=x.dtype) + 0.5) * (100 / side) - 50 for side in (height, width))
        grid = paddle.stack([across.tile([height]), down.repeat_interleave(width)], axis=-1)
        positions = paddle.matmul(weights, grid).flatten(1) + self.origin
        return positions if self.rest is None else paddle.concat([positions, self.rest(x.mean(axis=[2, 3]))], axis=-1)


#: Name in a config -> head; each is built from the channels of the feature map, the outputs, and its own options.
HEADS: dict[str, Callable[..., nn.Layer]] = {
    "mean": MeanHead,
    "map": MapHead,
    "soft_argmax": SoftArgmaxHead,
    "simcc": SimCCHead,
}


def build_head(head: Spec, channels: int, layout: OutputLayout, map_size: int = 4) -> nn.Layer:
    """Build a head by name.

    Args:
        head: A key of `HEADS`, or a mapping with the key as `type` and options.
        channels: Number of channels of the feature map.
        layout: Layout of the outputs.
        map_size: See `MapHead` and `SimCCHead`; the others do not use it.

    Raises:
        UserError: Unknown name or option; the message lists the valid ones.

    Example:
        >>> list(build_head("map", 256, OutputLayout(68, score=True))(paddle.zeros([2, 256, 7, 7])).shape)
        [2, 137]
    """
    return registry.build(
        HEADS, head, "head", channels=channels, layout=layout, outputs=layout.width, map_size=map_size
    )
