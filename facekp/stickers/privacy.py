"""Faces made unrecognisable."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from facekp.inference.faces import Faces
from facekp.inference.tracking import Landmarks, Tracker, Tracks
from facekp.landmarks import face_outline

#: How many cells a face is wide: all that is left of it, whatever its size. With more, detectors still see a face.
CELLS = {"blur": 1.5, "mosaic": 3}
METHODS = (*CELLS, "box")

#: Grey of a box.
_BOX = 40

#: How much larger than the face the hidden region is, and how much it grows in a second in which no detector saw it.
_MARGIN, _GROWTH, _LARGEST = 0.25, 0.6, 1.0


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
        result = image.copy()
        for rank in range(len(faces)):
            for region in self._regions(faces, rank):
                self._hide(result, region)
        return result

    def _regions(self, faces: Faces, rank: int) -> list[np.ndarray]:
        """Convex polygons (K, 2) that cover a face, and where it was last seen for sure."""
        x0, y0, x1, y1 = faces.boxes[rank].astype(np.float64)
        region = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
        if np.isfinite(faces.pose.yaw[rank]):
            around = face_outline(faces.whole[rank], faces.pose.of(rank))
            # Where a turned head's outline is guessed too narrow, its box is not.
            region = np.vstack([around, (region - region.mean(0)) * 0.8 + region.mean(0)])
        if not np.isfinite(region).all():
            return []
        if not isinstance(faces, Tracks) or not faces.memory:
            return [_grown(region, _MARGIN)]
        memory: dict[Any, np.ndarray] = faces.memory[rank]
        unseen = float(faces.unseen[rank])
        if unseen <= 0 or self not in memory:
            memory[self] = region
        margin = min(_MARGIN + _GROWTH * unseen, _LARGEST)
        return [_grown(region, margin), _grown(memory[self], margin)] if unseen > 0 else [_grown(region, margin)]

    def _hide(self, image: np.ndarray, region: np.ndarray) -> None:
        """Hide one polygon, in place."""
        size = np.array(image.shape[1::-1])
        x0, y0 = np.clip(np.floor(region.min(0)), 0, size).astype(int)
        x1, y1 = np.clip(np.ceil(region.max(0)) + 1, 0, size).astype(int)
        if x1 <= x0 or y1 <= y0:
            return
        mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
        corners = np.clip(np.round(cv2.convexHull(np.float32(region - (x0, y0)))), -(2**20), 2**20)
        cv2.fillConvexPoly(mask, corners.astype(np.int32), 255)
        view = image[y0:y1, x0:x1, :3]
        if self.method == "box":
            hidden = np.full(view.shape, _BOX, np.uint8)
        else:
            cell = max(float(np.ptp(region, 0).max()) / (1 + 2 * _MARGIN) / CELLS[self.method], 1.0)
            few = (max(round((x1 - x0) / cell), 1), max(round((y1 - y0) / cell), 1))
            way = cv2.INTER_NEAREST if self.method == "mosaic" else cv2.INTER_LINEAR
            step = max(int(cell) // 24, 1)  # so many pixels of a cell are enough for its mean
            small = cv2.resize(view[::step, ::step], few, interpolation=cv2.INTER_AREA)
            hidden = cv2.resize(small, mask.shape[::-1], interpolation=way)
        view[:] = cv2.copyTo(hidden, mask, np.ascontiguousarray(view))


def careful_tracker(landmarker: Landmarks) -> Tracker:
    """A tracker that looks for faces in every third frame, in every frame while one is lost, and forgets late.

    A face that leaves the image is lost, not forgotten: half of it may still be visible.
    """
    return Tracker(landmarker, detect_every=3, retry_every=1, hold=1.5, fade=0.5, keep_leaving=True)


def _grown(region: np.ndarray, margin: float) -> np.ndarray:
    """A polygon, larger by a share of itself about its middle."""
    middle = (region.min(0) + region.max(0)) / 2
    return (region - middle) * (1 + margin) + middle
