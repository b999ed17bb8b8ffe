"""Make-up: colour on regions of a face that its points outline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Callable, ClassVar, Optional

import cv2
import numpy as np

from facekp.stickers.hide import fill
from facekp.stickers.triggers import Trigger
from facekp.stickers.wearer import Wearer

#: Half the height of a brow, as a fraction of the width of the face seen from the front.
_BROW = 0.021

#: Standard deviation of the blur of the edge, as a fraction of the same width.
_SOFT = 0.0073

#: Returns outlines, given 68 points and the width of the face seen from the front, all in pixels.
Region = Callable[[np.ndarray, float], list[np.ndarray]]


def _lips(points: np.ndarray, width: float) -> list[np.ndarray]:
    """Return the outer outline, and the inner one, whose area is not painted."""
    return [points[48:60], points[60:68]]


def _brow(indices: Sequence[int]) -> Region:
    def outline(points: np.ndarray, width: float) -> list[np.ndarray]:
        line = points[list(indices)]
        along = line[-1] - line[0]
        up = np.array([along[1], -along[0]]) / max(float(np.linalg.norm(along)), 1e-6)
        half = _BROW * width * np.array([[0.3], [0.8], [1], [1], [0.8]])
        return [np.vstack([line + half * up, (line - half * up)[::-1]])]

    return outline


#: Name -> function that returns the outline and, optionally, that of a hole in it. A new region is one entry.
REGIONS: dict[str, Region] = {
    "lips": _lips,
    "left_brow": _brow(range(17, 22)),
    "right_brow": _brow(range(26, 21, -1)),
}


@dataclass(frozen=True, eq=False)
class Paint:
    """Colour on a region: hue and saturation come from the colour, light and shade from the face.

    Attributes:
        name: Name in messages.
        region: Key of `REGIONS`.
        colour: Blue, green, red, 0..255.
        opacity: Opacity, 0..1.
        order: Position in the drawing order; lower values are drawn first.
        trigger: Condition for showing it; None: always shown.
        max_faces: Maximum number of faces that wear it, the largest first.
        places, whole, length: Constants: it needs all points, and has no frames; see `facekp.stickers.sticker.Worn`.
    """

    name: str
    region: str
    colour: tuple[int, int, int]
    opacity: float = 0.6
    order: int = 0
    trigger: Optional[Trigger] = None
    max_faces: int = 100

    places: ClassVar[tuple[str, ...]] = ()
    whole: ClassVar[bool] = True
    length: ClassVar[float] = 0.0

    def put(self, image: np.ndarray, wearer: Wearer, visible: float, seconds: float) -> None:
        """Draw the make-up on one face, in place; see `facekp.stickers.sticker.Worn`."""
        if not np.isfinite(wearer.width):
            return
        outlines = [_rounded(outline) for outline in REGIONS[self.region](wearer.points, wearer.width)]
        soft = max(_SOFT * wearer.width, 0.5)
        around = np.vstack(outlines)
        size = np.array(image.shape[1::-1])
        x0, y0 = np.clip(np.floor(around.min(0) - 3 * soft), 0, size).astype(int)
        x1, y1 = np.clip(np.ceil(around.max(0) + 3 * soft) + 1, 0, size).astype(int)
        if x1 <= x0 or y1 <= y0:
            return
        mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
        for value, outline in zip((255, 0), outlines):
            fill(mask, outline - (x0, y0), value)
        share = cv2.GaussianBlur(mask, (0, 0), soft).astype(np.float32)[..., None] / 255
        region = image[y0:y1, x0:x1, :3]
        light = cv2.cvtColor(np.ascontiguousarray(region), cv2.COLOR_BGR2GRAY).astype(np.float32)[..., None]
        own = float(np.dot(self.colour, (0.114, 0.587, 0.299)))
        mean = float((light * share).sum() / max(float(share.sum()), 1e-6))
        # Lightness halfway between those of the face and the colour, with the face's light and shade in proportion.
        wanted = light * (0.5 + 0.5 * own / max(mean, 1.0))
        painted = np.clip(np.array(self.colour, np.float32) + (wanted - own), 0, 255)
        share *= np.float32(self.opacity * visible)
        region[:] = np.round(region + share * (painted - region))


def _rounded(outline: np.ndarray, rounds: int = 2) -> np.ndarray:
    """Round a polygon by cutting its corners (Chaikin, 1974)."""
    for _ in range(rounds):
        following = np.roll(outline, -1, axis=0)
        outline = np.stack([0.75 * outline + 0.25 * following, 0.25 * outline + 0.75 * following], 1).reshape(-1, 2)
    return outline
