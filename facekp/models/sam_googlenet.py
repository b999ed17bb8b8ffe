"""SAM-GoogLeNet-BN: the reference document's network.

GoogLeNet (Szegedy et al., "Going Deeper with Convolutions", 2015) with the spatial attention of CBAM (Woo et al., 2018)
after each of its first four modules, and batch norm after each pooling.
"""

from __future__ import annotations

import functools

import paddle
from paddle import Tensor, nn
from paddle.nn import functional as F  # noqa: N812 (the field's name for it)

from facekp.codecs.points import OutputLayout
from facekp.models.fast import MaxPool2D, add_bias, sum_channels, weigh
from facekp.models.heads import HEADS, build_head
from facekp.registry import Spec, type_name


class _BiasedConv(nn.Conv2D):
    """A convolution whose bias is added, and learns, faster on a CPU."""

    def __init__(self, in_channels: int, channels: int, kernel: int, stride: int = 1, padding: int = 0) -> None:
        super().__init__(in_channels, channels, kernel, stride, padding)
        self.stride, self.padding = stride, padding

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return nn.Conv2D.forward(self, x)  # super() without names cannot be exported by Paddle 2.6
        return add_bias(F.conv2d(x, self.weight, None, self.stride, self.padding), self.bias)


def _conv(in_channels: int, channels: int, kernel: int, stride: int = 1, norm: bool = False) -> nn.Layer:
    """A convolution that keeps the size (but for its stride), with a bias, or with batch norm in its place."""
    options = {"stride": stride, "padding": kernel // 2}
    if not norm:
        return _BiasedConv(in_channels, channels, kernel, **options)
    conv = nn.Conv2D(in_channels, channels, kernel, bias_attr=False, **options)
    return nn.Sequential(conv, nn.BatchNorm2D(channels))


class Inception(nn.Layer):
    """Four branches side by side, joined along the channels: 1x1, 1x1-3x3, 1x1-5x5, pool-1x1.

    Args:
        in_channels: Channels that come in.
        c1: Channels of the 1x1 branch.
        c3: (reduced, out) channels of the 3x3 branch.
        c5: (reduced, out) channels of the 5x5 branch.
        pool: Channels of the pooling branch.
        norm: Batch norm after every convolution, in place of its bias.
        inner_relu: ReLU between the reducing 1x1 and the 3x3 or 5x5 behind it, as GoogLeNet has it; the document has
            one at the end of each branch only.

    Example:
        >>> list(Inception(192, 64, (96, 128), (16, 32), 32)(paddle.zeros([1, 192, 8, 8])).shape)
        [1, 256, 8, 8]
    """

    def __init__(
        self,
        in_channels: int,
        c1: int,
        c3: tuple[int, int],
        c5: tuple[int, int],
        pool: int,
        norm: bool = False,
        inner_relu: bool = False,
    ) -> None:
        super().__init__()
        self.inner_relu = inner_relu
        self.branch1 = _conv(in_channels, c1, 1, norm=norm)
        self.branch3_reduce = _conv(in_channels, c3[0], 1, norm=norm)
        self.branch3 = _conv(c3[0], c3[1], 3, norm=norm)
        self.branch5_reduce = _conv(in_channels, c5[0], 1, norm=norm)
        self.branch5 = _conv(c5[0], c5[1], 5, norm=norm)
        self.pool = MaxPool2D(3, 1, 1)
        self.branch_pool = _conv(in_channels, pool, 1, norm=norm)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, c1 + c3[1] + c5[1] + pool, H, W)."""
        branches = [
            self.branch1(x),
            self.branch3(self._between(self.branch3_reduce(x))),
            self.branch5(self._between(self.branch5_reduce(x))),
            self.branch_pool(self.pool(x)),
        ]
        return F.relu(paddle.concat(branches, axis=1))

    def _between(self, x: Tensor) -> Tensor:
        return F.relu(x) if self.inner_relu else x


class SpatialAttention(nn.Layer):
    """Weight every place of a feature map by a 7x7 convolution over its channels' mean and maximum.

    Args:
        pooling: "max", as CBAM's paper has it; "cbam", as its authors' code has it, with batch norm behind the
            convolution: what goes into the sigmoid stays near 0, whatever the scale of the features, so it cannot
            close for good; or "argmax", as the reference document has it: the index of the strongest channel, which
            carries no gradient and no meaningful order.

    Raises:
        ValueError: Another pooling.

    Example:
        >>> list(SpatialAttention("cbam")(paddle.ones([2, 8, 5, 5])).shape)
        [2, 8, 5, 5]
    """

    def __init__(self, pooling: str = "max") -> None:
        super().__init__()
        if pooling not in ("max", "cbam", "argmax"):
            raise ValueError(f"attention must be max, cbam or argmax, not {pooling}")
        self.pooling = pooling
        self.conv = _conv(2, 1, 7, norm=True) if pooling == "cbam" else nn.Conv2D(2, 1, 7, padding=3)
        self.sigmoid = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        if self.pooling == "argmax":
            strongest = paddle.argmax(x, axis=1, keepdim=True).astype(x.dtype)
        elif self.training:
            # paddle.max over the channels takes half a minute backwards on a CPU; maxout is the same number.
            strongest = F.maxout(x, groups=x.shape[1], axis=1)
        else:
            strongest = paddle.max(x, axis=1, keepdim=True)  # as fast forwards, and ONNX knows it
        mean = sum_channels(x, 1 / x.shape[1]) if self.training else paddle.mean(x, axis=1, keepdim=True)
        weights = self.sigmoid(self.conv(paddle.concat([mean, strongest], axis=1)))
        return weigh(x, weights) if self.training else x * weights


class SAMGoogLeNetBN(nn.Layer):
    """The document's network: 6,578,884 parameters, running statistics included, at 68 points.

    As it is built by default, it differs from the document's in one thing: `attention` is "max" in place of "argmax".

    Args:
        num_points: Points to predict.
        in_channels: Channels of the image.
        attention: "max", "cbam" or "argmax", see `SpatialAttention`.
        norm: "module", as the document has it: batch norm behind the pooling of each of the five modules. "layer":
            after every convolution, as in Ioffe and Szegedy, "Batch Normalization" (2015), and no biases; it learns
            faster and takes less time a step.
        inner_relu: See `Inception`. None: with `norm` "layer" only.
        dropout: Share of the pooled features that training sets to zero.
        head: "mean", as the document has it, or "map", "soft_argmax" or "simcc", which keep space and get the last map
            unpooled; see `heads`.
        score: See `facekp.codecs.points.OutputLayout`; so `sigma` and `visibility`.
        map_size: Side of the map that the head "map" or "simcc" sees.
        last_stride: Of the last pooling before the last module; with 1 the last map is twice as fine: 8 x 8 of an
            image of 128 pixels.

    Example:
        >>> network = SAMGoogLeNetBN(num_points=68)
        >>> list(network(paddle.zeros([2, 3, 96, 96])).shape)
        [2, 136]
    """

    def __init__(
        self,
        num_points: int = 68,
        in_channels: int = 3,
        attention: str = "max",
        norm: str = "module",
        inner_relu: bool | None = None,
        dropout: float = 0.2,
        head: Spec = "mean",
        score: bool = False,
        sigma: bool = False,
        visibility: bool = False,
        map_size: int = 4,
        last_stride: int = 2,
    ) -> None:
        super().__init__()
        if last_stride not in (1, 2):
            raise ValueError(f"last_stride must be 1 or 2, not {last_stride}")
        if norm not in ("module", "layer"):
            raise ValueError(f"norm must be module or layer, not {norm}")
        each = norm == "layer"
        inception = functools.partial(Inception, norm=each, inner_relu=each if inner_relu is None else inner_relu)
        self.module1 = nn.Sequential(_conv(in_channels, 64, 7, stride=2, norm=each), nn.ReLU())
        self.module2 = nn.Sequential(_conv(64, 64, 1, norm=each), nn.ReLU(), _conv(64, 192, 3, norm=each), nn.ReLU())
        self.module3 = nn.Sequential(
            inception(192, 64, (96, 128), (16, 32), 32),
            inception(256, 128, (128, 192), (32, 96), 64),
        )
        self.module4 = nn.Sequential(
            inception(480, 192, (96, 208), (16, 48), 64),
            inception(512, 160, (112, 224), (24, 64), 64),
            inception(512, 128, (128, 256), (24, 64), 64),
            inception(512, 112, (144, 288), (32, 64), 64),
            inception(528, 256, (160, 320), (32, 128), 128),
        )
        self.module5 = nn.Sequential(
            inception(832, 256, (160, 320), (32, 128), 128),
            inception(832, 384, (192, 384), (48, 128), 128),
        )
        self.attentions = nn.LayerList([SpatialAttention(attention) for _ in range(4)])
        pools = [MaxPool2D(3, stride, 1) for stride in (2, 2, 2, last_stride)]
        averages = getattr(HEADS.get(str(type_name(head))), "averages", False)
        pools.append(nn.AdaptiveAvgPool2D(1) if averages else nn.Identity())
        self.pools = nn.LayerList(pools)
        channels = (64, 192, 480, 832, 1024)
        self.pool_norms = nn.LayerList([nn.Identity() if each else nn.BatchNorm2D(c) for c in channels])
        self.dropout = nn.Dropout(dropout)
        self.head = build_head(head, 1024, OutputLayout(num_points, score, sigma, visibility), map_size)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """(N, in_channels, H, W), H and W from 96 up -> (N, outputs), x0, y0, x1, y1, ...; what the head makes."""
        modules = (self.module1, self.module2, self.module3, self.module4, self.module5)
        attentions = (*self.attentions, nn.Identity())
        for module, attention, pool, norm in zip(modules, attentions, self.pools, self.pool_norms):
            x = norm(pool(attention(module(x))))
        return self.head(self.dropout(x))
