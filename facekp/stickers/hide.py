"""Clipping by the face outline: it hides the roots of ears and the loops of a mask, and confines a blush."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

#: Fractional bits of polygon coordinates in cv2: units of 1/16 pixel.
_SHIFT = 4


def cut(patch: np.ndarray, origin: tuple[int, int], outline: np.ndarray, keep: Literal["outside", "inside"]) -> None:
    """Keep the part of a patch outside or inside a polygon, in place, with an antialiased edge.

    Args:
        patch: (h, w, 4) float32, premultiplied.
        origin: x, y of the patch's first pixel in the photo.
        outline: (K, 2) polygon in pixels of the photo.
        keep: Part to keep.

    Example:
        >>> from facekp.landmarks import MEAN_FACE, face_outline
        >>> patch = np.ones((100, 100, 4), np.float32)
        >>> cut(patch, (0, 0), face_outline(MEAN_FACE * 100), "outside")
        >>> float(patch[40, 50, 3]), float(patch[99, 0, 3])
        (0.0, 1.0)
    """
    inside = 255 * (keep == "inside")
    shown = np.full(patch.shape[:2], 255 - inside, np.uint8)
    fill(shown, outline - origin, inside)
    cv2.multiply(patch, cv2.merge([shown] * 4), patch, 1 / 255, cv2.CV_32F)


def fill(mask: np.ndarray, outline: np.ndarray, value: int) -> None:
    """Fill a polygon (K, 2) in a mask (H, W) uint8, in place, with an antialiased edge."""
    corners = np.clip(np.round(outline * 2**_SHIFT), -(2**28), 2**28).astype(np.int32)
    cv2.fillPoly(mask, [corners], value, cv2.LINE_AA, _SHIFT)
