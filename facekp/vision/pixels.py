"""Conversion of a BGR crop to the input of the network: arithmetic on arrays, without Paddle.

Training wraps these functions as transforms (`facekp.data.transforms`); inference calls them directly, so that an
exported network runs without Paddle installed.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Sequence
from typing import Callable

import cv2
import numpy as np

from facekp import registry
from facekp.errors import UserError
from facekp.registry import Spec


def gray_normalize(image: np.ndarray, channels: int = 3) -> np.ndarray:
    """Convert to grey, 0 to 1, repeated in `channels` channels: (H, W, 3) uint8 -> (H, W, channels) float32.

    Example:
        >>> gray_normalize(np.full((1, 1, 3), 255, np.uint8), channels=2).tolist()
        [[[1.0, 1.0]]]
    """
    if type(channels) is not int or not 1 <= channels <= 16:
        raise ValueError("channels is a whole number from 1 to 16")
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.float32) / 255
    return np.repeat(grey[..., None], channels, axis=2)


#: Mean and standard deviation of ImageNet's images in red, green and blue, from 0 to 1.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def imagenet_normalize(image: np.ndarray) -> np.ndarray:
    """Normalise as for training on ImageNet: (H, W, 3) uint8 BGR -> (H, W, 3) float32 RGB, about -2 to 2.

    Example:
        >>> [round(float(v), 2) for v in imagenet_normalize(np.full((1, 1, 3), 255, np.uint8))[0, 0]]
        [2.25, 2.43, 2.64]
    """
    planes = np.empty((3, *image.shape[:2]), np.float32)  # in the layout of ToCHW, which then makes no copy
    blue, green, red = cv2.split(image)
    for plane, table, normalised in zip((red, green, blue), _imagenet_tables(), planes):
        cv2.LUT(plane, table, normalised)
    return planes.transpose(1, 2, 0)


@functools.cache
def _imagenet_tables() -> np.ndarray:
    """Return lookup tables of red, green and blue, (3, 256) float32. A lookup is faster than arithmetic."""
    values = np.arange(256, dtype=np.float32)[:, None] / 255
    tables = (values - np.asarray(IMAGENET_MEAN, np.float32)) / np.asarray(IMAGENET_STD, np.float32)
    return np.ascontiguousarray(tables.T)


def to_chw(image: np.ndarray) -> np.ndarray:
    """Transpose (H, W, C) to (C, H, W), contiguous, as the network expects it."""
    return np.ascontiguousarray(image.transpose(2, 0, 1))


#: Name in a recipe -> function of an image.
PIXELS: dict[str, Callable[..., np.ndarray]] = {
    "GrayNormalize": gray_normalize,
    "ImageNetNormalize": imagenet_normalize,
    "ToCHW": to_chw,
}


def build_pixels(specs: Sequence[Spec]) -> Callable[[np.ndarray], np.ndarray]:
    """Chain the steps of a recipe's `pixels`.

    Args:
        specs: Steps, each with a `type` of `PIXELS` and its options.

    Returns:
        A function of a BGR uint8 crop (H, W, 3).

    Raises:
        UserError: Unknown type or option, or a wrong value.

    Example:
        >>> build_pixels([{"type": "GrayNormalize", "channels": 1}, {"type": "ToCHW"}])(
        ...     np.zeros((4, 5, 3), np.uint8)
        ... ).shape
        (1, 4, 5)
    """
    steps = []
    for spec in specs:
        name = registry.check_name(PIXELS, spec, "pixel step")
        valid = list(inspect.signature(PIXELS[name]).parameters)[1:]  # the first one is the image
        steps.append(functools.partial(PIXELS[name], **registry.options_in(spec, valid, f"pixel step {name}")))

    def apply(image: np.ndarray) -> np.ndarray:
        for step in steps:
            image = step(image)
        return image

    try:
        apply(np.zeros((1, 1, 3), np.uint8))
    except (TypeError, ValueError, cv2.error) as error:
        raise UserError(f"pixels: the steps do not fit together ({' '.join(str(error).split())[:200]})") from error
    return apply
