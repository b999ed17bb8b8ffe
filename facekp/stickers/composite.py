"""Alpha compositing: the Porter-Duff "over" operator with blend modes of the W3C Compositing specification."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

#: Blend mode.
Blend = Literal["normal", "multiply", "screen"]

#: Blend mode -> weights v, w, u. With backdrop c and the premultiplied colour s and alpha a of the patch (all 0..1), an
#: opaque image becomes c (1 - v a - w s) + u s: normal is c (1 - a) + s, multiply c (1 - a + s), screen c (1 - s) + s.
_BLENDS: dict[Blend, tuple[int, int, int]] = {"normal": (1, 0, 1), "multiply": (1, -1, 0), "screen": (0, 1, 1)}


def composite(
    image: np.ndarray, patch: np.ndarray, origin: tuple[int, int], blend: Blend = "normal", opacity: float = 1.0
) -> None:
    """Composite a patch over an image, in place; only the patch's rectangle is changed.

    Args:
        image: (H, W, 3) BGR or (H, W, 4) BGRA with straight alpha, uint8.
        patch: (h, w, 4) float32, premultiplied BGRA, 0..255, entirely inside the image.
        origin: x, y of the patch's first pixel in the image.
        blend: Blend mode.
        opacity: Opacity of the patch, 0..1.

    Raises:
        ValueError: `blend` is not a known blend mode.

    Example:
        >>> image = np.full((2, 2, 3), 200, np.uint8)
        >>> composite(image, np.full((1, 1, 4), 100, np.float32), (1, 0))  # 100 of 255, premultiplied
        >>> image[0].tolist()
        [[200, 200, 200], [222, 222, 222]]
    """
    if blend not in _BLENDS:
        raise ValueError(f"no blend mode {blend!r}; take {', '.join(_BLENDS)}")
    v, w, u = _BLENDS[blend]
    x, y = origin
    region = image[y : y + patch.shape[0], x : x + patch.shape[1]]
    # Expanded to three channels each: numpy's broadcasting over such a short axis is slow.
    colour = cv2.cvtColor(patch, cv2.COLOR_BGRA2BGR)
    alpha = cv2.cvtColor(cv2.extractChannel(patch, 3), cv2.COLOR_GRAY2BGR)
    kept = cv2.addWeighted(alpha, -v * opacity / 255, colour, -w * opacity / 255, 1.0)
    added = colour * np.float32(u * opacity)
    if image.shape[2] == 3:
        region[:] = cv2.add(cv2.multiply(region, kept, dtype=cv2.CV_32F), added, dtype=cv2.CV_8U)
        return
    below = region[..., :3].astype(np.float32)
    alpha *= np.float32(opacity / 255)
    backdrop = region[..., 3:].astype(np.float32) / 255
    total = alpha + backdrop - alpha * backdrop
    mixed = backdrop * (below * kept + added) + (1 - backdrop) * opacity * colour
    mixed = np.where(total > 0, mixed / np.maximum(total, 1e-6), below)  # invisible pixels keep their values
    region[..., :3] = np.clip(mixed + 0.5, 0, 255)  # the cast to uint8 truncates
    region[..., 3:] = np.clip(total[..., :1] * 255 + 0.5, 0, 255)
