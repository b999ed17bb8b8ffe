"""A plain residual network: small and fast to train on a CPU."""

from __future__ import annotations

from collections.abc import Sequence

from paddle import Tensor, nn
from paddle.nn import functional as F  # noqa: N812

from facekp.codecs.points import OutputLayout
from facekp.models.heads import build_head
from facekp.registry import Spec


class Block(nn.Layer):
    """Residual block: 3x3 - BN - ReLU - 3x3 - BN, plus the input (pooled and projected where the shape changes)."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2D(in_channels, channels, 3, stride=stride, padding=1, bias_attr=False),
            nn.BatchNorm2D(channels),
            nn.ReLU(),
            nn.Conv2D(channels, channels, 3, padding=1, bias_attr=False),
            nn.BatchNorm2D(channels),
        )
        self.shortcut = None
        if stride != 1 or in_channels != channels:
            self.shortcut = nn.Sequential(
                nn.AvgPool2D(stride, ceil_mode=True),
                nn.Conv2D(in_channels, channels, 1, bias_attr=False),
                nn.BatchNorm2D(channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block: (N, in_channels, H, W) -> (N, channels, H / stride, W / stride)."""
        return F.relu(self.body(x) + (x if self.shortcut is None else self.shortcut(x)))


class PlainResNet(nn.Layer):
    """Residual blocks of plain 3x3 convolutions, and a head that keeps spatial information.

    Depthwise layers gain little on a CPU; plain ones run at its full speed.

    Args:
        num_points: Number of points to predict.
        in_channels: Number of channels of the image.
        channels: Numbers of channels of the stem and the stages; the stem and each stage halve the map.
        blocks: Number of residual blocks in each stage.
        head: See `heads`.
        map_size: Side length of the map that the head "map" or "simcc" receives.
        last_stride: Stride of the last stage; with 1 it does not halve the map: 7 x 7 for an image of 112 pixels.
        score: See `facekp.codecs.points.OutputLayout`; likewise `sigma` and `visibility`.

    Example:
        >>> import paddle
        >>> list(PlainResNet(68, channels=(8, 16))(paddle.zeros([2, 3, 96, 96])).shape)
        [2, 136]
    """

    def __init__(
        self,
        num_points: int = 68,
        in_channels: int = 3,
        channels: Sequence[int] = (32, 64, 96, 128, 128),
        blocks: int = 1,
        head: Spec = "map",
        map_size: int = 4,
        score: bool = False,
        sigma: bool = False,
        visibility: bool = False,
        last_stride: int = 2,
    ) -> None:
        super().__init__()
        if last_stride not in (1, 2):
            raise ValueError(f"last_stride must be 1 or 2, not {last_stride}")
        if min(blocks, map_size, len(channels) - 1) < 1:
            raise ValueError("blocks and map_size are at least 1, and channels names a stem and a stage")
        self.stem = nn.Sequential(
            nn.Conv2D(in_channels, channels[0], 3, stride=2, padding=1, bias_attr=False),
            nn.BatchNorm2D(channels[0]),
            nn.ReLU(),
        )
        stages = []
        for number, (before, after) in enumerate(zip(channels, channels[1:]), start=2):
            stages.append(Block(before, after, stride=last_stride if number == len(channels) else 2))
            stages.extend(Block(after, after, stride=1) for _ in range(blocks - 1))
        self.stages = nn.Sequential(*stages)
        self.head = build_head(head, channels[-1], OutputLayout(num_points, score, sigma, visibility), map_size)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Return the outputs of the head for (N, in_channels, H, W): (N, outputs), beginning with x0, y0, x1, y1."""
        return self.head(self.stages(self.stem(x)))
