"""The face that wears a sticker, with the geometry that layers need."""

from __future__ import annotations

import functools
from typing import Literal

import numpy as np

from facekp.inference.faces import Faces
from facekp.inference.tracking import Tracks
from facekp.landmarks import MEAN_FACE, Pose, anchors, face_outline
from facekp.landmarks.head import HEAD_POINTS
from facekp.stickers.fit import Fit
from facekp.stickers.triangles import mesh_points
from facekp.stickers.triggers import Switch, Trigger

#: Side of the head, as the viewer sees it.
Side = Literal["none", "left", "right"]

#: Midline of the face from the brows down, and minimum width of its far half, as a fraction of that from the front.
_MIDDLE = [27, 28, 29, 30, 33, 51, 57, 8]
_MIN_WIDTH = 0.3


@functools.lru_cache(maxsize=1)
def _mean_places() -> dict[str, np.ndarray]:
    return anchors(MEAN_FACE)


class Wearer:
    """One of several faces, whose properties are computed on first use.

    Args:
        faces: All faces of the image.
        rank: Index of the face; 0 is the largest.
    """

    def __init__(self, faces: Faces, rank: int) -> None:
        self._faces, self.rank = faces, rank

    @functools.cached_property
    def points(self) -> np.ndarray:
        """Points (68, 2) float64 in pixels, in iBUG order; NaN if the face's points do not convert to them."""
        return self._faces.whole[self.rank].astype(np.float64)

    @property
    def complete(self) -> bool:
        """Whether `points` are known."""
        return bool(np.isfinite(self.points[0, 0]))

    @functools.cached_property
    def pose(self) -> Pose:
        """Head pose, N = 1."""
        return self._faces.pose.of(self.rank)

    @property
    def width(self) -> float:
        """Width in pixels of the average face seen from the front by this face's camera, at any head pose."""
        return float(np.linalg.norm(self.pose.camera[0, 0, :3]))

    @functools.cached_property
    def anchors(self) -> dict[str, np.ndarray]:
        """Name of a place of the face -> (2,) pixels."""
        return anchors(self._faces.points[self.rank], self._faces.schema, self.pose)

    @functools.cached_property
    def outline(self) -> np.ndarray:
        """Polygon (33, 2) around the skin, in pixels."""
        return face_outline(self.points, self.pose)

    def target(self, places: tuple[str, ...], fit: Fit) -> np.ndarray:
        """Return the positions (K, 2) to fit a layer to: `places`, or the mesh of the whole face if `fit` is "face"."""
        if fit == "face":
            return mesh_points(self.points, self.pose)
        target = np.array([self.anchors[name] for name in places])
        return self._unfolded(places, target) if fit == "mesh" and self.complete else target

    def _unfolded(self, places: tuple[str, ...], target: np.ndarray) -> np.ndarray:
        """Keep places of the far side from passing behind the midline of the face: a warped image cannot fold."""
        yaw, roll = float(self.pose.yaw[0]), np.radians(float(self.pose.roll[0]))
        along = np.array([np.cos(roll), np.sin(roll)]) * np.sign(yaw)  # towards the far side
        camera = self.pose.camera[0, :2]
        middle = (HEAD_POINTS[_MIDDLE] @ camera[:, :3].T + camera[:, 3]) @ along
        mean = np.array([_mean_places()[name] for name in places])
        beyond = np.sign(yaw) * (mean[:, 0] - 0.5)
        limit = np.interp(mean[:, 1], MEAN_FACE[_MIDDLE, 1], middle)
        limit += _MIN_WIDTH * beyond * self.width
        short = np.where(beyond > 0.02, np.maximum(limit - target @ along, 0), 0)
        return target + short[:, None] * along

    def shown_for(self, layer: object, trigger: Trigger, seconds: float, length: float) -> float | None:
        """Return how long a layer's trigger has been on, in seconds; None if it is off.

        A face that is tracked through a video keeps the state; a face of a photo has no history.

        Args:
            layer: Layer that the trigger belongs to.
            trigger: The trigger.
            seconds: Time of the image in seconds.
            length: Total duration of the layer's frames in seconds.
        """
        value = float(self._faces.signals[trigger.signal][self.rank])
        if not isinstance(self._faces, Tracks) or not self._faces.memory:
            return trigger.at_once(value, length)
        switch: Switch = self._faces.memory[self.rank].setdefault(layer, Switch())
        return switch(trigger, value, seconds, length)

    def facing(self, side: Side, hidden_from: float, fade: float = 15.0) -> float:
        """Return the visibility of a side of the head: 1, fading to 0 over the last `fade` degrees before it is hidden.

        Args:
            side: Side of the head, "left", "right" (the viewer's) or "none", which is always visible.
            hidden_from: Degrees of yaw away from the viewer from which the side is hidden.
            fade: Width of the transition in degrees.
        """
        yaw = float(self.pose.yaw[0]) if side != "none" else np.nan
        if not np.isfinite(yaw):
            return 1.0
        return float(np.clip((hidden_from - (yaw if side == "right" else -yaw)) / fade, 0, 1))
