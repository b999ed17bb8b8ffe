"""Anonymisation of faces."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np

from facekp.inference.faces import Faces
from facekp.inference.tracking import Landmarks, Tracker, Tracks
from facekp.landmarks import face_outline

#: Number of cells across a face of any size: all that is left of it. With more cells, detectors still find a face.
CELLS = {"blur": 1, "mosaic": 2}
METHODS = (*CELLS, "box")

#: Grey level of a box; samples across a cell for its mean; maximum number of rows that are computed for a blur.
_BOX, _SAMPLES, _SHADES = 40, 12, 64

#: Enlargement of the hidden region relative to the face: initial, added per second without detection, and maximum.
_MARGIN, _GROWTH, _LARGEST = 0.35, 0.6, 1.0

#: Enlargement of a box relative to the face, so that it includes the forehead even if the head pose is unknown.
_FOREHEAD = 0.5


class Hider:
    """Effect that hides faces irreversibly: a few cells of mean colour are left, or nothing.

    It fails closed: a face that a tracker no longer finds stays hidden where it was last seen and where it may have
    moved, in a growing region, until the track is deleted. Scores are ignored.

    Args:
        method: How faces are hidden, "blur", "mosaic" or "box".

    Attributes:
        empty: Frames without any face so far, as (number, seconds).

    Raises:
        ValueError: Unknown method.

    Example:
        >>> from facekp.landmarks import MEAN_FACE
        >>> photo = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
        >>> faces = Faces.from_arrays([MEAN_FACE * 100 + 50], [[50, 50, 150, 147]], [1.0])
        >>> Hider("box").apply(photo, faces)[100, 100].tolist()
        [40, 40, 40]
    """

    def __init__(self, method: str = "blur") -> None:
        if method not in METHODS:
            raise ValueError(f"unknown method {method!r}; known are {', '.join(METHODS)}")
        self.method = method
        self.empty: list[tuple[int, float]] = []
        self._frames = 0

    def apply(self, image: np.ndarray, faces: Faces, seconds: float = 0.0) -> np.ndarray:
        """Hide the faces of an image.

        Args:
            image: (H, W, 3) BGR or (H, W, 4) BGRA, uint8.
            faces: Faces as returned by the landmarker or a tracker.
            seconds: Time of the image in seconds, for `empty`.

        Returns:
            A new image with the shape and dtype of `image`.
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
        """Return boxes (4,) that cover a face and, if it is unseen, its last confirmed position."""
        box = faces.boxes[rank].astype(np.float64)
        if not math.isfinite(box.sum()):
            return []
        if math.isfinite(faces.pose.yaw[rank]):  # include the forehead
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
        samples = cv2.resize(view, (columns * _SAMPLES, rows * _SAMPLES), interpolation=cv2.INTER_NEAREST)
        cells = cv2.resize(samples, (columns, rows), interpolation=cv2.INTER_AREA)
        # A few rows are resized to the width of the box, then repeated vertically, which is cheap.
        if self.method == "mosaic":
            strip = cv2.resize(cells, (width, rows), interpolation=cv2.INTER_NEAREST)
        else:
            strip = cv2.resize(cells, (width, min(height, _SHADES)), interpolation=cv2.INTER_LINEAR)
        view[:] = strip[np.arange(height) * len(strip) // height]


def careful_tracker(landmarker: Landmarks) -> Tracker:
    """Return a tracker that detects all faces in every frame and keeps lost faces for longer.

    A person who enters the image is hidden from the first frame. A face that leaves it is kept as lost: half of it may
    still be visible.
    """
    return Tracker(landmarker, detect_every=1, retry_every=1, full_every=1, hold=1.5, fade=0.5, keep_leaving=True)


def _grown(box: np.ndarray, margin: float) -> np.ndarray:
    """Return a box enlarged about its centre by a fraction of its size."""
    more = (box[2:] - box[:2]) * (margin / 2)
    return np.concatenate([box[:2] - more, box[2:] + more])
