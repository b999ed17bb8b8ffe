"""A head that predicts every coordinate as the mean of a distribution over bins."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import paddle
from paddle import Tensor, nn
from paddle.nn import functional as F  # noqa: N812 (the field's name for it)

from facekp.codecs.points import PER_POINT, OutputLayout, bin_places

#: Number of channels that a feature map is reduced to first, so that the next layer stays small.
SQUEEZED = 128


def squeeze(channels: int) -> tuple[nn.Layer | None, int]:
    """Return a layer that reduces a feature map to `SQUEEZED` channels, if it has more, and the resulting number."""
    if channels <= SQUEEZED:
        return None, channels
    conv = nn.Conv2D(channels, SQUEEZED, 1, bias_attr=False)
    return nn.Sequential(conv, nn.BatchNorm2D(SQUEEZED), nn.ReLU()), SQUEEZED


class SimCCHead(nn.Layer):
    """A distribution over bins for each point's x and y; its mean is the coordinate, in the unit of `PercentCodec`.

    After Li et al., "SimCC: a Simple Coordinate Classification Perspective for Human Pose Estimation" (2022):
    classification locates a coordinate more finely than the feature map. Each point gets two channels of the map; one
    linear layer, shared by all points, turns them into features, a linear layer across points mixes these, and another
    shared one predicts the two distributions. All of it is a few matrix products.

    In training mode it returns a pair: the predictions, and the logits (N, 2K, bins) in the order of the coordinates,
    for the loss `simcc`.

    Args:
        channels: Number of channels of the feature map.
        layout: Layout of the outputs.
        map_size: Side length of the feature map.
        features: Number of features of each point.
        bins: Number of bins of each coordinate; they extend beyond the crop, see `facekp.codecs.points.bin_places`.

    Example:
        >>> head = SimCCHead(32, OutputLayout(5, score=True, sigma=True), map_size=7)
        >>> predicted, logits = head(paddle.zeros([2, 32, 7, 7]))
        >>> list(predicted.shape), list(logits.shape)
        ([2, 16], [2, 10, 256])
        >>> _ = head.eval()
        >>> list(head(paddle.zeros([2, 32, 7, 7])).shape)
        [2, 16]
    """

    codecs: ClassVar[tuple[str, ...]] = ("percent",)
    gives_logits: ClassVar[bool] = True

    def __init__(
        self, channels: int, layout: OutputLayout, map_size: int, features: int = 192, bins: int = 256
    ) -> None:
        super().__init__()
        if min(map_size, features, bins - 1) < 1:
            raise ValueError("map_size and features are at least 1, and bins at least 2")
        points = layout.num_points
        self.layout, self.map_size = layout, map_size
        self.squeeze, channels = squeeze(channels)
        self.conv = nn.Conv2D(channels, 2 * points, 5, padding=2)
        self.embed = nn.Linear(2 * map_size**2, features)
        self.norm_points, self.norm_features = nn.LayerNorm(features), nn.LayerNorm(features)
        self.mix_points = nn.Linear(points, points)
        self.mix_features = nn.Linear(features, features)
        self.spread = nn.Linear(features, 2 * bins)
        self.register_buffer("places", paddle.to_tensor(bin_places(bins).astype(np.float32)), persistable=False)
        self.score = nn.Linear(channels + features, 1) if layout.score else None
        # Sigma and visibility of each point, with weights of its own.
        extras = len(set(PER_POINT) & set(layout.names))
        self.say = self.create_parameter([points, features, extras]) if extras else None
        self.say_bias = self.create_parameter([points * extras], is_bias=True) if extras else None

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Map (N, channels, map_size, map_size) to (N, layout.width), and (N, 2K, bins) logits in training mode."""
        if list(x.shape[2:]) != [self.map_size] * 2:
            raise ValueError(
                f"the head simcc sees a map of {x.shape[2]}x{x.shape[3]}; set network.map_size to its side"
            )
        if self.squeeze is not None:
            x = self.squeeze(x)
        points = self.layout.num_points
        features = F.relu(self.embed(self.conv(x).reshape([-1, points, 2 * self.map_size**2])))  # (N, K, features)
        features = features + self.mix_points(self.norm_points(features).transpose([0, 2, 1])).transpose([0, 2, 1])
        features = features + F.relu(self.mix_features(self.norm_features(features)))
        logits = self.spread(features).reshape([-1, 2 * points, len(self.places)])
        outputs = [paddle.matmul(F.softmax(logits, axis=-1), self.places)]
        if self.score is not None:
            outputs.append(self.score(paddle.concat([x.mean(axis=[2, 3]), features.mean(axis=1)], axis=-1)))
        if self.say is not None:
            per_point = paddle.matmul(features.transpose([1, 0, 2]), self.say)  # (K, N, extras)
            outputs.append(per_point.transpose([1, 2, 0]).flatten(1) + self.say_bias)
        predicted = paddle.concat(outputs, axis=-1)
        return (predicted, logits) if self.training else predicted
