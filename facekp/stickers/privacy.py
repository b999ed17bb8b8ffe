"""Faces made unrecognisable."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np

from facekp.inference.faces import Faces
from facekp.inference.tracking import Landmarks, Tracker, Tracks
from facekp.landmarks import face_outline

#: How many cells a face is wide: all that is left of it, whatever its size. With more, detectors still see a face.
CELLS = {"blur": 1, "mosaic": 2}
METHODS = (*CELLS, "box")

#: Grey of a box; how many pixels across a cell are enough for its mean; into how many rows a blur is divided.
_BOX, _SAMPLES, _SHADES = 40, 12, 64

#: How much larger than the face the hidden region is, and how much it grows in a second in which no detector saw it.
_MARGIN, _GROWTH, _LARGEST = 0.35, 0.6, 1.0

#: How much larger than the face a box is that holds the forehead, on whichever side that is.
_FOREHEAD = 0.5


class Hider:
    """Hides faces. What is hidden cannot be brought back: a few cells of mean colour are left, or nothing.

    It fails closed: a face that a tracker no longer finds stays hidden where it was last seen and where it may have
    gone, in a growing region, until the track is forgotten. Scores do not matter.

    Args:
        method: "blur", "mosaic" or "box".

    Attributes:
        empty: The frames without any face, as (number, seconds); so far.

    Example:
        >>> from facekp.landmarks import MEAN_FACE
        >>> photo = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
        >>> faces = Faces.from_arrays([MEAN_FACE * 100 + 50], [[50, 50, 150, 147]], [1.0])
        >>> Hider("box").apply(photo, faces)[100, 100].tolist()
        [40, 40, 40]
    """

    def __init__(self, method: str = "blur") -> None:
        if method not in METHODS:
            raise ValueError(f"no way to hide a face is called {method!r}; take {', '.join(METHODS)}")
        self.method = method
        self.empty: list[tuple[int, float]] = []
        self._frames = 0

    def apply(self, image: np.ndarray, faces: Faces, seconds: float = 0.0) -> np.ndarray:
        """Hide the faces of an image.

        Args:
            image: (H, W, 3) BGR or (H, W, 4) BGRA, uint8.
            faces: As the landmarker or a tracker returns them.
            seconds: When it is shown, for `empty`.

        Returns:
            A new image, shape and dtype of `image`.
        """
        if not len(faces):
            self.empty.append((self._frames, seconds))
        self._frames += 1
        colours = image[..., :3].copy()
        for rank in range(len(faces)):
            for region in self._regions(faces, rank):
                self._hide(colours, region)
        return colours if image.shape[2] == 3 else np.dstack([colours, image[..., 3:]])

    def _regions(self, faces: Faces, rank: int) -> list[np.ndarray]:
        """Boxes (4,) that cover a face, and where it was last seen for sure."""
        box = faces.boxes[rank].astype(np.float64)
        if not math.isfinite(box.sum()):
            return []
        if math.isfinite(faces.pose.yaw[rank]):  # the forehead, too
            outline = face_outline(faces.whole[rank], faces.pose.of(rank))
            box = np.concatenate([np.minimum(box[:2], outline.min(0)), np.maximum(box[2:], outline.max(0))])
        else:
            box = _grown(box, _FOREHEAD)
        if not isinstance(faces, Tracks) or not faces.memory:
            return [_grown(box, _MARGIN)]
        memory: dict[Any, np.ndarray] = faces.memory[rank]
        unseen = float(faces.unseen[rank])
        if unseen <= 0 or self not in memory:
            memory[self] = box
        margin = min(_MARGIN + _GROWTH * unseen, _LARGEST)
        return [_grown(box, margin), _grown(memory[self], margin)] if unseen > 0 else [_grown(box, margin)]

    def _hide(self, image: np.ndarray, box: np.ndarray) -> None:
        """Hide one box of a BGR image, in place."""
        left, top, right, bottom = box.tolist()
        x0, y0 = max(math.floor(left), 0), max(math.floor(top), 0)
        x1, y1 = min(math.ceil(right) + 1, image.shape[1]), min(math.ceil(bottom) + 1, image.shape[0])
        width, height = x1 - x0, y1 - y0
        if width <= 0 or height <= 0:
            return
        view = image[y0:y1, x0:x1]
        if self.method == "box":
            view[:] = _BOX
            return
        cell = max(max(right - left, bottom - top) / (1 + 2 * _MARGIN) / CELLS[self.method], 1.0)
        columns, rows = max(round(width / cell), 1), max(round(height / cell), 1)
        some = cv2.resize(view, (columns * _SAMPLES, rows * _SAMPLES), interpolation=cv2.INTER_NEAREST)
        cells = cv2.resize(some, (columns, rows), interpolation=cv2.INTER_AREA)
        # Few rows are made as wide as the box, then repeated down it, which is cheap.
        if self.method == "mosaic":
            strip = cv2.resize(cells, (width, rows), interpolation=cv2.INTER_NEAREST)
        else:
            strip = cv2.resize(cells, (width, min(height, _SHADES)), interpolation=cv2.INTER_LINEAR)
        view[:] = strip[np.arange(height) * len(strip) // height]


def careful_tracker(landmarker: Landmarks) -> Tracker:
    """A tracker that looks for all faces in every frame, and forgets late.

    Who comes into the image is hidden in the first frame. A face that leaves it is lost, not forgotten: half of it may
    still be visible.
    """
    return Tracker(landmarker, detect_every=1, retry_every=1, full_every=1, hold=1.5, fade=0.5, keep_leaving=True)


def _grown(box: np.ndarray, margin: float) -> np.ndarray:
    """A box, larger by a share of itself about its middle."""
    more = (box[2:] - box[:2]) * (margin / 2)
    return np.concatenate([box[:2] - more, box[2:] + more])
