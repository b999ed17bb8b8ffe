"""How a head is turned: the average head, laid under the points of a face."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facekp.landmarks.head import DEPTH, EYES_MIDDLE, HEAD_POINTS, MEAN_FACE
from facekp.landmarks.schema import IBUG68

#: The points that the skull carries, and how far each may be trusted when the face moves: brows rise, lids close.
RIGID = np.arange(17, 48)
_TRUST = np.array([0.3] * 10 + [1.0] * 9 + [1, 0.5, 0.5, 1, 0.5, 0.5] * 2)
_TRUST /= _TRUST.sum()
_SHAPE = HEAD_POINTS[RIGID] - _TRUST @ HEAD_POINTS[RIGID]
_WEIGHTED = _TRUST[:, None] * _SHAPE
_SPREAD = _SHAPE.T @ _WEIGHTED
_LOOSE = np.linalg.inv(_SPREAD)

#: How strongly a face is drawn to the mean face where the camera hardly shows it: the far side of a turned head.
_DRAW = 0.02

#: From the first to the second yaw, in degrees, the points of the far side are less and less believed.
_FAR = (25.0, 55.0)


@dataclass(frozen=True)
class Pose:
    """How the heads of N faces are turned.

    The head is turned about its ear axis (pitch), then about the upright axis (yaw), then in the image (roll), so that
    a turned image changes the roll alone.

    Attributes:
        yaw: (N,) float64, degrees; positive: the nose points to the right of the image.
        pitch: (N,) float64, degrees; positive: the face looks up. Zero is the mean face's.
        roll: (N,) float64, degrees; positive: clockwise in the image.
        camera: (N, 3, 4) float64: from x, y, depth, 1 of the average head (`HEAD_POINTS`) to x, y, 1 in pixels. Its
            last row is 0, 0, 0, 1: all of a head is seen from equally far away.
    """

    yaw: np.ndarray
    pitch: np.ndarray
    roll: np.ndarray
    camera: np.ndarray

    def of(self, face: int) -> Pose:
        """That of one face, N = 1."""
        own = slice(face, face + 1)
        return Pose(self.yaw[own], self.pitch[own], self.roll[own], self.camera[own])


def head_pose(points: np.ndarray) -> Pose:
    """Find how heads are turned, from their points.

    Brows, nose and eyes are fitted, what moves less with more weight; mouth and jaw move too freely.

    Args:
        points: (N, 68, 2) pixels of the image.

    Returns:
        The poses; NaN for faces whose points are not finite or coincide.

    Example:
        >>> from facekp.landmarks import MEAN_FACE
        >>> pose = head_pose(MEAN_FACE[None] * 100)
        >>> [bool(abs(angle[0]) < 0.1) for angle in (pose.yaw, pose.pitch, pose.roll)], pose.camera.shape
        ([True, True, True], (1, 3, 4))
    """
    found = np.asarray(points, np.float64)
    good = np.isfinite(found).all((1, 2)) & (np.ptp(found[:, RIGID], 1).max(-1) > 1e-6)
    camera = np.full((len(found), 3, 4), np.nan)
    turn = np.full((len(found), 3, 3), np.nan)
    if good.any():
        turn[good], camera[good] = _fit(found[good])
    yaw = np.degrees(np.arcsin(np.clip(-turn[:, 2, 0], -1, 1)))
    pitch = np.degrees(np.arctan2(turn[:, 2, 1], turn[:, 2, 2]))
    roll = np.degrees(np.arctan2(turn[:, 1, 0], turn[:, 0, 0]))
    return Pose(yaw, pitch, roll, camera)


def from_the_front(points: np.ndarray, camera: np.ndarray) -> np.ndarray:
    """Faces as they would look from the front: yaw, pitch, roll and size are taken out.

    Args:
        points: (N, 68, 2) pixels.
        camera: (N, 3, 4), see `facekp.landmarks.Pose`.

    Returns:
        (N, 68, 2) float64 in units of the mean face.

    Example:
        >>> points = MEAN_FACE[None] * 100 + 7
        >>> bool(np.abs(from_the_front(points, head_pose(points).camera) - MEAN_FACE).max() < 0.01)
        True
    """
    flat, deep, shift = camera[:, :2, :2], camera[:, :2, 2], camera[:, :2, 3]
    draw = _DRAW * (camera[:, :2, :3] ** 2).sum((1, 2))[:, None, None] / 2
    seen = points - shift[:, None] - DEPTH[:, None] * deep[:, None]
    # The least squares solution of flat @ face = seen, drawn to the mean face.
    return (seen @ flat + draw * MEAN_FACE) @ np.linalg.inv(flat.transpose(0, 2, 1) @ flat + draw * np.eye(2))


def complete_far_side(points: np.ndarray, pose: Pose) -> np.ndarray:
    """Replace what a turned head hides by the mirror image of what it shows, seen by the same camera.

    Args:
        points: (68, 2) pixels.
        pose: Of this face, N = 1.

    Returns:
        (68, 2); the points as they are if the head is hardly turned.

    Example:
        >>> turned = HEAD_POINTS @ [[0.5, 0.0], [0.0, 1.0], [0.87, 0.0]] * 100  # by 60 degrees
        >>> moved = turned.copy()
        >>> moved[16] += 30  # the far ear, guessed wrongly
        >>> bool(np.abs(complete_far_side(moved, head_pose(moved[None])) - turned).max() < 5)
        True
    """
    yaw = float(pose.yaw[0])
    turned = (abs(yaw) - _FAR[0]) / (_FAR[1] - _FAR[0])
    if not turned > 0:  # NaN, too
        return points
    mirrored = from_the_front(points[None], pose.camera)[0][IBUG68.flip_order] * (-1, 1) + (1, 0)
    there = np.hstack([mirrored, DEPTH[:, None]]) @ pose.camera[0, :2, :3].T + pose.camera[0, :2, 3]
    far = np.clip(np.sign(yaw) * (MEAN_FACE[:, :1] - 0.5) / 0.1, 0, 1) * min(turned, 1.0)
    return points + far * (there - points)


def rotation(yaw: float, pitch: float = 0.0, roll: float = 0.0) -> np.ndarray:
    """The rotation of a pose: first pitch, then yaw, then roll, in degrees; see `Pose` for the signs.

    Returns:
        (3, 3) float64, for x, y, depth.

    Example:
        >>> nose = rotation(yaw=30) @ (0, 0, 1)
        >>> nose.round(2).tolist()
        [0.5, 0.0, 0.87]
    """
    (sy, sp, sr), (cy, cp, cr) = (f(np.radians([yaw, pitch, roll])) for f in (np.sin, np.cos))
    about_ears = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    upright = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    in_image = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return in_image @ upright @ about_ears


def _fit(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotations (N, 3, 3) and cameras (N, 3, 4)."""
    cross = points[:, RIGID].transpose(0, 2, 1) @ _WEIGHTED  # all that the fit needs to know
    turn, scale = _step(*_nearest_turn(cross @ _LOOSE), cross)
    flat = scale[:, None, None] * turn[:, :2]
    camera = np.zeros((len(points), 3, 4))
    camera[:, :2, :3], camera[:, 2, 3] = flat, 1
    camera[:, :2, 3] = points[:, 36:48].sum(1) / 12 - flat @ EYES_MIDDLE  # what is worn keeps to the eyes
    return turn, camera


def _nearest_turn(loose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rotations and scales nearest to affine cameras (N, 2, 3)."""
    u, size, vt = np.linalg.svd(loose, full_matrices=False)
    return _with_depth(u @ vt), size.sum(-1) / 2


def _with_depth(rows: np.ndarray) -> np.ndarray:
    """Rotations (N, 3, 3) from their first two rows."""
    (a, b, c), (d, e, f) = rows.transpose(1, 2, 0)
    return np.concatenate([rows, np.array([b * f - c * e, c * d - a * f, a * e - b * d]).T[:, None]], 1)


def _step(turn: np.ndarray, scale: np.ndarray, cross: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One Gauss-Newton step on rotation and scale; more change nothing. The sums over the points are small matrices."""
    back = turn.transpose(0, 2, 1)
    m = turn @ _SPREAD @ back
    b = cross @ back / scale[:, None, None] - m[:, :2]
    xz, yz, zz, flat = m[:, 0, 2], m[:, 1, 2], m[:, 2, 2], m[:, 0, 0] + m[:, 1, 1]
    zero = np.zeros_like(zz)
    system = np.array([[zz, zero, -xz, -yz], [zero, zz, -yz, xz], [-xz, -yz, flat, zero], [-yz, xz, zero, flat]])
    right = np.array([[-b[:, 1, 2], b[:, 0, 2], b[:, 1, 0] - b[:, 0, 1], b[:, 0, 0] + b[:, 1, 1]]])
    damped = system.transpose(2, 0, 1) + 1e-3 * flat[:, None, None] * np.eye(4)
    x, y, z, grow = np.linalg.solve(damped, right.transpose(2, 1, 0))[..., 0].T
    small = np.array([[zero, -z, y], [z, zero, -x], [-y, x, zero]]).transpose(2, 0, 1) / 2
    # Cayley's map: a rotation by the vector x, y, z, up to terms of the third order.
    change = np.linalg.solve(np.eye(3) - small, np.eye(3) + small)
    return change @ turn, scale * np.exp(np.clip(grow, -1, 1))
