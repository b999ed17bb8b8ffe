"""SAM-GoogLeNet-BN, the network of the reference document.

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
    """Convolution whose bias is added and trained faster on a CPU."""

    def __init__(self, in_channels: int, channels: int, kernel: int, stride: int = 1, padding: int = 0) -> None:
        super().__init__(in_channels, channels, kernel, stride, padding)
        self.stride, self.padding = stride, padding

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return nn.Conv2D.forward(self, x)  # super() without arguments cannot be exported by Paddle 2.6
        return add_bias(F.conv2d(x, self.weight, None, self.stride, self.padding), self.bias)


def _conv(in_channels: int, channels: int, kernel: int, stride: int = 1, norm: bool = False) -> nn.Layer:
    """Build a size-preserving convolution (except for its stride), with a bias or with batch norm in its place."""
    options = {"stride": stride, "padding": kernel // 2}
    if not norm:
        return _BiasedConv(in_channels, channels, kernel, **options)
    conv = nn.Conv2D(in_channels, channels, kernel, bias_attr=False, **options)
    return nn.Sequential(conv, nn.BatchNorm2D(channels))


class Inception(nn.Layer):
    """Four parallel branches, concatenated along the channels: 1x1, 1x1-3x3, 1x1-5x5, pool-1x1.

    Args:
        in_channels: Number of input channels.
        c1: Number of channels of the 1x1 branch.
        c3: Numbers of (reduced, output) channels of the 3x3 branch.
        c5: Numbers of (reduced, output) channels of the 5x5 branch.
        pool: Number of channels of the pooling branch.
        norm: Use batch norm after every convolution, in place of its bias.
        inner_relu: Use a ReLU between the reducing 1x1 and the following 3x3 or 5x5, as in GoogLeNet; the document has
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
        """Apply the module: (N, in_channels, H, W) -> (N, c1 + c3[1] + c5[1] + pool, H, W)."""
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
    """Weights every position of a feature map by a 7x7 convolution over its channels' mean and maximum.

    Args:
        pooling: "max", as in the CBAM paper; "cbam", as in its authors' code, with batch norm after the convolution:
            the input of the sigmoid stays near 0 at any scale of the features, so the sigmoid cannot saturate
            permanently; or "argmax", as in the reference document: the index of the strongest channel, which has no
            gradient and no meaningful order.

    Raises:
        ValueError: Unknown pooling.

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
        """Weight a feature map, (N, C, H, W); the shape does not change."""
        if self.pooling == "argmax":
            strongest = paddle.argmax(x, axis=1, keepdim=True).astype(x.dtype)
        elif self.training:
            # The gradient of paddle.max over the channels takes half a minute on a CPU; maxout has the same value.
            strongest = F.maxout(x, groups=x.shape[1], axis=1)
        else:
            strongest = paddle.max(x, axis=1, keepdim=True)  # as fast in the forward pass, and supported by ONNX
        mean = sum_channels(x, 1 / x.shape[1]) if self.training else paddle.mean(x, axis=1, keepdim=True)
        weights = self.sigmoid(self.conv(paddle.concat([mean, strongest], axis=1)))
        return weigh(x, weights) if self.training else x * weights


class SAMGoogLeNetBN(nn.Layer):
    """The document's network, with 6,578,884 parameters for 68 points, running statistics included.

    By default it differs from the document's network in one respect: `attention` is "max" in place of "argmax".

    Args:
        num_points: Number of points to predict.
        in_channels: Number of channels of the image.
        attention: "max", "cbam" or "argmax", see `SpatialAttention`.
        norm: "module", as in the document: batch norm after the pooling of each of the five modules. "layer":
            after every convolution, as in Ioffe and Szegedy, "Batch Normalization" (2015), and no biases; it converges
            faster and takes less time per step.
        inner_relu: See `Inception`. None: with `norm` "layer" only.
        dropout: Fraction of the pooled features that is set to zero in training.
        head: "mean", as in the document, or "map", "soft_argmax" or "simcc", which keep spatial information and get the
            last map unpooled; see `heads`.
        score: See `facekp.codecs.points.OutputLayout`; likewise `sigma` and `visibility`.
        map_size: Side length of the map that the head "map" or "simcc" receives.
        last_stride: Stride of the last pooling before the last module; with 1 the last map is twice as fine: 8 x 8 for
            an image of 128 pixels.

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
        """Return the outputs of the head, (N, outputs), for (N, in_channels, H, W) with H and W of at least 96."""
        modules = (self.module1, self.module2, self.module3, self.module4, self.module5)
        attentions = (*self.attentions, nn.Identity())
        for module, attention, pool, norm in zip(modules, attentions, self.pools, self.pool_norms):
            x = norm(pool(attention(module(x))))
        return self.head(self.dropout(x))
