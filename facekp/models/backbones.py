"""Networks of `paddle.vision.models` with our head in place of their classifier."""

from __future__ import annotations

from typing import Any, Callable

import requests
from paddle import Tensor, nn
from paddle.vision import models as vision

from facekp.codecs.points import OutputLayout
from facekp.errors import UserError
from facekp.models.heads import build_head
from facekp.registry import Spec


class Backbone(nn.Layer):
    """Feature extractor of a classifier with a head that predicts points.

    Images have three channels, as in ImageNet.

    Args:
        name: A key of `BACKBONES`.
        num_points: Number of points to predict.
        head: See `heads`.
        score: See `facekp.codecs.points.OutputLayout`; likewise `sigma` and `visibility`.
        map_size: Side length of the map that the head "map" or "simcc" receives.

    Example:
        >>> import paddle
        >>> list(Backbone("mobilenet_v2", num_points=5)(paddle.zeros([1, 3, 96, 96])).shape)
        [1, 10]
    """

    def __init__(
        self,
        name: str,
        num_points: int = 68,
        head: Spec = "mean",
        score: bool = False,
        sigma: bool = False,
        visibility: bool = False,
        map_size: int = 4,
    ) -> None:
        super().__init__()
        self.name = name
        self.body, channels = self._build_body(), BACKBONES[name][1]
        self.head = build_head(head, channels, OutputLayout(num_points, score, sigma, visibility), map_size)

    def _build_body(self, **options: Any) -> nn.Layer:
        build = BACKBONES[self.name][0]
        if build is not vision.alexnet:  # it has no pool to omit
            options["with_pool"] = False
        return build(num_classes=0, **options)

    def load_imagenet(self) -> None:
        """Load the weights that Paddle trained on ImageNet; they are downloaded once and kept in Paddle's cache.

        Raises:
            UserError: The weights cannot be downloaded.
        """
        try:
            trained = self._build_body(pretrained=True)
        except (RuntimeError, OSError, requests.RequestException) as error:
            raise UserError(
                f"pretrained: Paddle's ImageNet weights of {self.name} cannot be downloaded ({error}); connect to the "
                "internet, give the path of weights, or omit pretrained"
            ) from error
        self.body.set_state_dict(trained.state_dict())

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Return the outputs of the head for (N, 3, H, W): (N, outputs), beginning with x0, y0, x1, y1."""
        return self.head(self.body(x))


#: Name in a config -> Paddle's constructor, and the number of channels of its last feature map.
BACKBONES: dict[str, tuple[Callable[..., nn.Layer], int]] = {
    "resnet18": (vision.resnet18, 512),
    "resnet50": (vision.resnet50, 2048),
    "mobilenet_v2": (vision.mobilenet_v2, 1280),
    "mobilenet_v3_small": (vision.mobilenet_v3_small, 576),
    "mobilenet_v3_large": (vision.mobilenet_v3_large, 960),
    "alexnet": (vision.alexnet, 256),
    "vgg16": (vision.vgg16, 512),
}
