"""From a BGR crop to what the network takes: arithmetic on arrays, without Paddle.

Training wraps these functions as transforms (`facekp.data.transforms`); inference calls them as they are, so that
an exported network runs where Paddle is not even installed.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Callable

import cv2
import numpy as np

from facekp.errors import UserError


def gray_normalize(image: np.ndarray, channels: int = 3) -> np.ndarray:
    """Grey, from 0 to 1, the same in each of `channels` channels: (H, W, 3) uint8 -> (H, W, channels) float32.

    Example:
        >>> gray_normalize(np.full((1, 1, 3), 255, np.uint8), channels=2).tolist()
        [[[1.0, 1.0]]]
    """
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.float32) / 255
    return np.repeat(grey[..., None], channels, axis=2)


#: Mean and standard deviation of ImageNet's pictures, red, green, blue, from 0 to 1.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def imagenet_normalize(image: np.ndarray) -> np.ndarray:
    """As networks that learned on ImageNet saw it: (H, W, 3) uint8 BGR -> (H, W, 3) float32 RGB, about -2 to 2.

    Example:
        >>> [round(float(v), 2) for v in imagenet_normalize(np.full((1, 1, 3), 255, np.uint8))[0, 0]]
        [2.25, 2.43, 2.64]
    """
    rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.float32) / 255
    return (rgb - np.asarray(IMAGENET_MEAN, np.float32)) / np.asarray(IMAGENET_STD, np.float32)


def to_chw(image: np.ndarray) -> np.ndarray:
    """(H, W, C) -> (C, H, W), contiguous, as the network takes it."""
    return np.ascontiguousarray(image.transpose(2, 0, 1))


#: Name in a recipe -> function of a picture.
PIXELS: dict[str, Callable[..., np.ndarray]] = {
    "GrayNormalize": gray_normalize,
    "ImageNetNormalize": imagenet_normalize,
    "ToCHW": to_chw,
}


def build_pixels(specs: Sequence[Mapping[str, Any]]) -> Callable[[np.ndarray], np.ndarray]:
    """Chain what a recipe's `pixels` lists; transforms that only training knows bring Paddle with them.

    Args:
        specs: Each names a `type` of `PIXELS`, or of `facekp.data.transforms.TRANSFORMS`, and its options.

    Returns:
        Call it with a BGR uint8 crop (H, W, 3).

    Raises:
        UserError: Unknown type or option.

    Example:
        >>> build_pixels([{"type": "GrayNormalize", "channels": 1}, {"type": "ToCHW"}])(
        ...     np.zeros((4, 5, 3), np.uint8)
        ... ).shape
        (1, 4, 5)
    """
    if not {spec.get("type") for spec in specs} <= PIXELS.keys():
        from facekp.data.transforms import build_transforms

        transform = build_transforms(specs)
        return lambda image: transform((image, np.zeros((0, 2), np.float32)))[0]
    steps = []
    for spec in specs:
        options = dict(spec)
        name = options.pop("type")
        valid = list(inspect.signature(PIXELS[name]).parameters)[1:]
        for option in set(options) - set(valid):
            raise UserError(f"transform {name}: unknown option {option!r}; known are {', '.join(valid) or 'none'}")
        steps.append(partial(PIXELS[name], **options))

    def apply(image: np.ndarray) -> np.ndarray:
        for step in steps:
            image = step(image)
        return image

    return apply
