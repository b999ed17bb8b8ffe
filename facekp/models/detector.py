"""A small anchor-free face detector: each cell of three grids predicts a score and the distances to a face's edges."""

from __future__ import annotations

import math
from collections.abc import Sequence

import paddle
from paddle import Tensor, nn
from paddle.nn import functional as F  # noqa: N812

from facekp.codecs.boxes import STRIDES
from facekp.models.plain import Block

#: Score of a cell before training; nearly all cells show no face (Lin et al., "Focal Loss", 2017).
PRIOR = 0.01

#: Maximum distance that a cell predicts, in strides, as the exponent of e: 20 strides of up to 32 pixels.
LARGEST = 3.0


class PlainDetector(nn.Layer):
    """Residual blocks of plain 3x3 convolutions, a feature pyramid, and one head for its three levels.

    Plain convolutions, because depthwise ones gain little on a CPU; anchor-free like FCOS (Tian et al., 2019), whose
    centre score is merged with the score here, as in generalized focal loss (Li et al., 2020).

    Args:
        in_channels: Number of channels of the image.
        channels: Numbers of channels after the stem's two convolutions and at strides 8, 16 and 32.
        width: Number of channels of the pyramid and the head.
        blocks: Numbers of residual blocks at strides 8, 16 and 32.

    Example:
        >>> import paddle
        >>> list(PlainDetector()(paddle.zeros([1, 3, 64, 96])).shape)  # 8 x 12 cells, 4 x 6 and 2 x 3
        [1, 126, 5]
    """

    def __init__(
        self,
        in_channels: int = 3,
        channels: Sequence[int] = (16, 32, 48, 64, 80),
        width: int = 48,
        blocks: Sequence[int] = (1, 2, 2),
    ) -> None:
        super().__init__()
        if len(channels) != 5 or len(blocks) != 3 or min(*channels, *blocks, width) < 1:
            raise ValueError("channels are five positive numbers, blocks three, and width is positive")
        self.stem = nn.Sequential(_conv(in_channels, channels[0], 3, 2), _conv(channels[0], channels[1], 3, 2))
        self.stages = nn.LayerList(
            nn.Sequential(Block(before, after, 2), *(Block(after, after, 1) for _ in range(count - 1)))
            for before, after, count in zip(channels[1:], channels[2:], blocks)
        )
        self.laterals = nn.LayerList(nn.Conv2D(c, width, 1) for c in channels[2:])
        start = nn.initializer.Assign([-math.log((1 - PRIOR) / PRIOR), 0.0, 0.0, 0.0, 0.0])
        last = nn.Conv2D(width, 5, 1, bias_attr=paddle.ParamAttr(initializer=start))
        self.head = nn.Sequential(_conv(width, width, 3), last)

    def forward(self, x: Tensor) -> Tensor:
        """Predict the cells of images whose sides are multiples of 32 pixels.

        Args:
            x: (N, in_channels, H, W) images.

        Returns:
            (N, cells, 5), in the order of `codecs.boxes.BoxCodec`: the logit of the score, and the distances
            from the cell's centre to the left, top, right and bottom edges of the face's box, in pixels.
        """
        x = self.stem(x)
        levels = []
        for stage in self.stages:
            x = stage(x)
            levels.append(x)
        levels = [lateral(level) for lateral, level in zip(self.laterals, levels)]
        for fine in (1, 0):
            size = paddle.shape(levels[fine])[2:]  # paddle2onnx cannot convert a scale_factor
            levels[fine] = levels[fine] + F.interpolate(levels[fine + 1], size=size, mode="nearest")
        return paddle.concat([self._cells(level, stride) for level, stride in zip(levels, STRIDES)], 1)

    def _cells(self, level: Tensor, stride: int) -> Tensor:
        outputs = self.head(F.relu(level)).flatten(2).transpose([0, 2, 1])
        reach = paddle.exp(paddle.clip(outputs[:, :, 1:], -LARGEST, LARGEST)) * stride
        return paddle.concat([outputs[:, :, :1], reach], 2)


def _conv(in_channels: int, channels: int, kernel: int, stride: int = 1) -> nn.Layer:
    return nn.Sequential(
        nn.Conv2D(in_channels, channels, kernel, stride=stride, padding=kernel // 2, bias_attr=False),
        nn.BatchNorm2D(channels),
        nn.ReLU(),
    )
