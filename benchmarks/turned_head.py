"""Photo of a face, mapped to the average head and turned: heads of known angles."""

from __future__ import annotations

import cv2
import numpy as np

from facekp.landmarks import MEAN_FACE, head_pose
from facekp.landmarks.head import DEPTH, HEAD_PLACES
from facekp.landmarks.pose import rotation
from facekp.vision import piecewise

#: Centre of the rotation, and ellipsoid of the skull around the face (centre, semi-axes), in units of the mean face.
_PIVOT = np.array([0.5, 0.15, -0.1])
_SKULL, _AXES = np.array([0.5, 0.1, -0.25]), np.array([0.62, 0.85, 0.62])
_CELLS = 90


class TurnedHead:
    """Photo whose face can be turned.

    Args:
        image: (H, W, 3) BGR uint8; a face that looks straight ahead works best.
        points: (68, 2) points of the face.
    """

    def __init__(self, image: np.ndarray, points: np.ndarray) -> None:
        self.image, self.points = image, points
        pose = head_pose(points[None])
        self.angles = float(pose.yaw[0]), float(pose.pitch[0]), float(pose.roll[0])
        self._camera = pose.camera[0, :2]
        self._scale = float(np.linalg.norm(self._camera[0, :3]))
        side = np.linspace(-0.75, 1.75, _CELLS)
        x, y = np.meshgrid(side, side - 0.35)
        self._grid = np.stack([x, y, _depth(x, y)], -1)
        self._seen = self._grid @ self._camera[:, :3].T + self._camera[:, 3]

    def turn(self, yaw: float, pitch: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        """Turn the head further by `yaw` and `pitch` degrees.

        Returns:
            The image, as large as the photo, and the 68 points in it, (68, 2).
        """
        own = rotation(*self.angles)
        change = own.T @ rotation(self.angles[0] + yaw, self.angles[1] + pitch, self.angles[2])
        image = cv2.GaussianBlur(self.image, (0, 0), self._scale / 12)
        # In the coordinates of the head, so that the photo's camera stays valid.
        moved = (self._grid - _PIVOT) @ change.T + _PIVOT
        projected = moved @ self._camera[:, :3].T + self._camera[:, 3]
        depth = (moved - _PIVOT) @ own[2]
        quads = [projected[:-1, :-1], projected[:-1, 1:], projected[1:, 1:], projected[1:, :-1]]
        corners = np.stack(quads, 2).reshape(-1, 4, 2)
        solid = np.isfinite(corners).all((1, 2))
        order = np.argsort(np.nan_to_num(depth[:-1, :-1].reshape(-1), nan=-9))
        sources = np.stack([self._seen[:-1, :-1], self._seen[:-1, 1:], self._seen[1:, :-1]], 2).reshape(-1, 3, 2)
        targets = corners[:, [0, 1, 3]]
        sides = targets[:, 1:] - targets[:, :1]
        solid &= np.abs(sides[:, 0, 0] * sides[:, 1, 1] - sides[:, 0, 1] * sides[:, 1, 0]) > 1e-6
        chosen = order[solid[order]]
        owner = piecewise.paint(corners[chosen], image.shape[1::-1])
        maps = piecewise.triangle_maps(targets[chosen], sources[chosen])
        x, y = piecewise.sample_positions(owner, maps, np.zeros((2, 3)))
        head = cv2.remap(self.image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        alpha = cv2.GaussianBlur((owner > 0).astype(np.float32), (0, 0), 1.0)[..., None]
        points = (np.hstack([MEAN_FACE, DEPTH[:, None]]) - _PIVOT) @ change.T + _PIVOT
        off = self.points - (np.hstack([MEAN_FACE, DEPTH[:, None]]) @ self._camera[:, :3].T + self._camera[:, 3])
        points = points @ self._camera[:, :3].T + self._camera[:, 3] + off * np.cos(np.radians(yaw))
        return np.round(image + alpha * (head.astype(np.float32) - image)).astype(np.uint8), points


def _depth(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the depth of the head towards the viewer: that of the points in the face, else of a skull; NaN outside."""
    unit = np.stack([x, y], -1)[..., :] - _SKULL[:2]
    inside = 1 - ((unit / _AXES[:2]) ** 2).sum(-1)
    skull = np.where(inside > 0, _SKULL[2] + _AXES[2] * np.sqrt(np.maximum(inside, 0)), np.nan)
    forehead = np.array([[*HEAD_PLACES["forehead"]], [0.25, -0.15, 0.25], [0.75, -0.15, 0.25]])
    known = np.vstack([np.hstack([MEAN_FACE, DEPTH[:, None]]), forehead])
    extra = known[:, 2] - (_SKULL[2] + _AXES[2] * np.sqrt(np.maximum(
        1 - (((known[:, :2] - _SKULL[:2]) / _AXES[:2]) ** 2).sum(-1), 0)))  # fmt: skip
    distance = ((np.stack([x, y], -1)[..., None, :] - known[:, :2]) ** 2).sum(-1)
    weight = np.exp(-distance / (2 * 0.05**2)) + 1e-9
    faded = np.exp(-distance.min(-1) / (2 * 0.12**2))
    return skull + faded * (weight * extra).sum(-1) / weight.sum(-1)
