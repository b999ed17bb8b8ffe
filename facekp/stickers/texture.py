"""Sticker images as mipmaps, to be drawn at any size."""

from __future__ import annotations

import struct

import cv2
import numpy as np

#: Maximum side length of an image in pixels; a larger one would cost memory without visible benefit.
MAX_SIDE = 4096


class Texture:
    """Mipmap of a premultiplied BGRA image, cropped to its visible part, with half the size at each level.

    The levels avoid aliasing when an image is scaled down: every level is the average of 2x2 pixels of the previous
    one, and drawing uses the level nearest to the target size. They are computed on first use.

    Args:
        image: (H, W, 4) uint8, BGRA with straight (not premultiplied) alpha.

    Raises:
        ValueError: The image has another shape or dtype.

    Example:
        >>> dot = np.zeros((64, 64, 4), np.uint8)
        >>> dot[10:20, 30:40] = 255
        >>> texture = Texture(dot)
        >>> texture.box, texture.level(0.4)[0].shape
        ((30, 10, 40, 20), (5, 5, 4))
    """

    def __init__(self, image: np.ndarray) -> None:
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 4:
            raise ValueError(f"a texture needs (H, W, 4) uint8, not {image.shape} {image.dtype}")
        self.size = (image.shape[1], image.shape[0])
        x, y, width, height = cv2.boundingRect(np.ascontiguousarray(image[..., 3]))
        #: x0, y0, x1, y1 of the visible part, in pixels of `image`.
        self.box = (x, y, x + width, y + height)
        visible = image[y : y + height, x : x + width].astype(np.float32)
        visible[..., :3] *= visible[..., 3:] / 255
        self._levels = [visible]

    @property
    def empty(self) -> bool:
        """Whether no part of the image is visible."""
        return self._levels[0].size == 0

    def level(self, scale: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the level to draw from when a pixel of the image becomes `scale` pixels of the target.

        Returns:
            The level, (h, w, 4) float32 premultiplied 0..255, and the (2, 3) matrix from its pixels to those of
            the original image.
        """
        top = self._levels[0]
        deepest = int(np.log2(max(min(top.shape[:2]), 1)))
        index = int(np.clip(np.round(-np.log2(max(scale, 1e-6))), 0, deepest))
        levels = self._levels
        while len(levels) <= index:
            above = levels[-1]
            even = np.pad(above, ((0, above.shape[0] % 2), (0, above.shape[1] % 2), (0, 0)))
            half = (even.shape[1] // 2, even.shape[0] // 2)
            levels = [*levels, cv2.resize(even, half, interpolation=cv2.INTER_AREA)]
        self._levels = levels  # one assignment: other threads use it, too
        step = 2.0**index
        shift = (step - 1) / 2  # the centre of the first pixel of this level
        return levels[index], np.array([[step, 0, shift + self.box[0]], [0, step, shift + self.box[1]]])


def png_size(data: bytes) -> tuple[int, int]:
    """Return the width and height of a PNG according to its header.

    Raises:
        ValueError: The data is not a PNG, or too large; worded as a message to the user.
    """
    if data[:8] != b"\x89PNG\r\n\x1a\n" or len(data) < 33:
        raise ValueError("not a PNG; save it as one")
    width, height = struct.unpack(">II", data[16:24])
    if max(width, height) > MAX_SIDE:
        raise ValueError(f"{width}x{height} pixels are too many; shrink it to at most {MAX_SIDE} per side")
    return width, height


def decode_png(data: bytes) -> np.ndarray:
    """Decode a PNG with transparency.

    Args:
        data: Content of the file.

    Returns:
        (H, W, 4) uint8, BGRA, straight alpha.

    Raises:
        ValueError: The PNG is damaged, too large or without transparency; worded as a message to the user.
    """
    png_size(data)  # an image that would fill the memory is never decoded
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise ValueError("a damaged PNG; export it again")
    if image.ndim != 3 or image.shape[2] != 4:
        raise ValueError("has no transparency; export it as a PNG with an alpha channel")
    return np.round(image / 257).astype(np.uint8) if image.dtype == np.uint16 else image
