"""The face that wears a sticker, and what layers ask of it."""

from __future__ import annotations

import functools

import numpy as np

from facekp.inference.faces import Faces
from facekp.inference.tracking import Tracks
from facekp.landmarks import MEAN_FACE, Pose, anchors, face_outline
from facekp.landmarks.head import HEAD_POINTS
from facekp.stickers.triangles import mesh_points
from facekp.stickers.triggers import Switch, Trigger

#: The middle of the face from the brows down, and how wide its far half stays at least, of its width from the front.
_MIDDLE = [27, 28, 29, 30, 33, 51, 57, 8]
_LEAST_WIDTH = 0.3


@functools.lru_cache(maxsize=1)
def _mean_places() -> dict[str, np.ndarray]:
    return anchors(MEAN_FACE)


class Wearer:
    """One of several faces. What nobody asks for is not worked out.

    Args:
        faces: All faces of the image.
        rank: Which one; 0 is the largest.
    """

    def __init__(self, faces: Faces, rank: int) -> None:
        self._faces, self.rank = faces, rank

    @functools.cached_property
    def points(self) -> np.ndarray:
        """(68, 2) float64 pixels in iBUG order; NaN if the face's points do not convert to them."""
        return self._faces.whole[self.rank].astype(np.float64)

    @property
    def complete(self) -> bool:
        """Whether `points` are known."""
        return bool(np.isfinite(self.points[0, 0]))

    @functools.cached_property
    def pose(self) -> Pose:
        """How the head is turned, N = 1."""
        return self._faces.pose.of(self.rank)

    @property
    def width(self) -> float:
        """Pixels that the average face is wide when seen from the front by this face's camera, however it is turned."""
        return float(np.linalg.norm(self.pose.camera[0, 0, :3]))

    @functools.cached_property
    def anchors(self) -> dict[str, np.ndarray]:
        """Place of the face -> pixels."""
        return anchors(self._faces.points[self.rank], self._faces.schema, self.pose)

    @functools.cached_property
    def outline(self) -> np.ndarray:
        """(33, 2) polygon around the skin."""
        return face_outline(self.points, self.pose)

    def target(self, places: tuple[str, ...], fit: str) -> np.ndarray:
        """(K, 2) what a layer is tied to: `places`, or the mesh of the whole face if `fit` is "face"."""
        if fit == "face":
            return mesh_points(self.points, self.pose)
        target = np.array([self.anchors[name] for name in places])
        return self._unfolded(places, target) if fit == "mesh" and self.complete else target

    def _unfolded(self, places: tuple[str, ...], target: np.ndarray) -> np.ndarray:
        """Keep places of the far side from passing behind the face's middle: a bent image cannot be folded."""
        yaw, roll = float(self.pose.yaw[0]), np.radians(float(self.pose.roll[0]))
        along = np.array([np.cos(roll), np.sin(roll)]) * np.sign(yaw)  # towards the far side
        camera = self.pose.camera[0, :2]
        middle = (HEAD_POINTS[_MIDDLE] @ camera[:, :3].T + camera[:, 3]) @ along
        mean = np.array([_mean_places()[name] for name in places])
        beyond = np.sign(yaw) * (mean[:, 0] - 0.5)
        least = np.interp(mean[:, 1], MEAN_FACE[_MIDDLE, 1], middle)
        least += _LEAST_WIDTH * beyond * self.width
        short = np.where(beyond > 0.02, np.maximum(least - target @ along, 0), 0)
        return target + short[:, None] * along

    def shown_for(self, layer: object, trigger: Trigger, seconds: float, length: float) -> float | None:
        """How long a layer's trigger has been on; None: it is off.

        A face that is followed through a video remembers it; a face of a photo has no before.

        Args:
            layer: Whose trigger it is.
            trigger: The trigger.
            seconds: When the image is shown.
            length: Of the layer's frames, in seconds.
        """
        value = float(self._faces.signals[trigger.signal][self.rank])
        if not isinstance(self._faces, Tracks) or not self._faces.memory:
            return trigger.at_once(value, length)
        switch: Switch = self._faces.memory[self.rank].setdefault(layer, Switch())
        return switch(trigger, value, seconds, length)

    def facing(self, side: str, hidden_from: float, fade: float = 15.0) -> float:
        """How visible a side of the head is: 1, and less over the last `fade` degrees before it is hidden.

        Args:
            side: "left", "right" (the viewer's) or "none": always visible.
            hidden_from: Degrees of yaw away from the viewer.
            fade: Degrees.
        """
        yaw = float(self.pose.yaw[0]) if side != "none" else np.nan
        if not np.isfinite(yaw):
            return 1.0
        return float(np.clip((hidden_from - (yaw if side == "right" else -yaw)) / fade, 0, 1))
