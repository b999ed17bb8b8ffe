"""Make-up: colour on the parts of a face that its points enclose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Callable, ClassVar, Optional

import cv2
import numpy as np

from facekp.stickers.hide import fill
from facekp.stickers.triggers import Trigger
from facekp.stickers.wearer import Wearer

#: Half the height of a brow, of the width of the face from the front.
_BROW = 0.021

#: How soft the edge is, of the same.
_SOFT = 0.0073

#: From 68 points and the width of the face from the front to outlines, all in pixels.
Region = Callable[[np.ndarray, float], list[np.ndarray]]


def _lips(points: np.ndarray, width: float) -> list[np.ndarray]:
    """The outer outline, and the inner one, which stays free."""
    return [points[48:60], points[60:68]]


def _brow(indices: Sequence[int]) -> Region:
    def outline(points: np.ndarray, width: float) -> list[np.ndarray]:
        line = points[list(indices)]
        along = line[-1] - line[0]
        up = np.array([along[1], -along[0]]) / max(float(np.linalg.norm(along)), 1e-6)
        half = _BROW * width * np.array([[0.3], [0.8], [1], [1], [0.8]])
        return [np.vstack([line + half * up, (line - half * up)[::-1]])]

    return outline


#: Name -> its outlines; what lies within an even number of them stays free. A new one is one entry.
REGIONS: dict[str, Region] = {
    "lips": _lips,
    "left_brow": _brow(range(17, 22)),
    "right_brow": _brow(range(26, 21, -1)),
}


@dataclass(frozen=True, eq=False)
class Paint:
    """Colour on a region: hue and saturation are the colour's, light and shade stay the face's.

    Attributes:
        name: What messages call it.
        region: One of `REGIONS`.
        colour: Blue, green, red, 0..255.
        opacity: 0..1.
        order: Lower layers are drawn first.
        trigger: When it is shown; None: always.
        max_faces: How many faces wear it at most, the largest first.
        places, whole, length: It is tied to all points, and has no frames; see `facekp.stickers.sticker.Worn`.
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
        """Draw it on one face, in place; see `facekp.stickers.sticker.Worn`."""
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
        # Half way from the face's lightness to the colour's, its light and shade in proportion.
        wanted = light * (0.5 + 0.5 * own / max(mean, 1.0))
        painted = np.clip(np.array(self.colour, np.float32) + (wanted - own), 0, 255)
        share *= np.float32(self.opacity * visible)
        region[:] = np.round(region + share * (painted - region))


def _rounded(outline: np.ndarray, rounds: int = 2) -> np.ndarray:
    """Cut the corners of a polygon (Chaikin, 1974)."""
    for _ in range(rounds):
        following = np.roll(outline, -1, axis=0)
        outline = np.stack([0.75 * outline + 0.25 * following, 0.25 * outline + 0.75 * following], 1).reshape(-1, 2)
    return outline
