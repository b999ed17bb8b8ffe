"""What the face hides: the roots of ears, the far side of a hat's brim, the loops of a mask."""

from __future__ import annotations

import cv2
import numpy as np

from facekp.landmarks import face_outline

#: cv2 takes polygons in 1/16 pixel.
_SHIFT = 4


def hide_behind_face(patch: np.ndarray, origin: tuple[int, int], points: np.ndarray) -> None:
    """Clear a patch where the face lies before it, in place, with a smooth edge.

    Args:
        patch: (h, w, 4) float32, premultiplied.
        origin: x, y of the patch's first pixel in the photo.
        points: (68, 2) of the face, pixels of the photo.

    Example:
        >>> from facekp.landmarks import MEAN_FACE
        >>> patch = np.ones((100, 100, 4), np.float32)
        >>> hide_behind_face(patch, (0, 0), MEAN_FACE * 100)
        >>> float(patch[40, 50, 3]), float(patch[99, 0, 3])
        (0.0, 1.0)
    """
    outline = (face_outline(points) - origin) * 2**_SHIFT
    outline = np.clip(np.round(outline), -(2**28), 2**28).astype(np.int32)
    shown = np.full(patch.shape[:2], 255, np.uint8)
    cv2.fillPoly(shown, [outline], 0, cv2.LINE_AA, _SHIFT)
    cv2.multiply(patch, cv2.merge([shown] * 4), patch, 1 / 255, cv2.CV_32F)
