"""Head pose: the average head fitted to the points of a face."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from facekp.landmarks.head import DEPTH, EYES_MIDDLE, HEAD_POINTS, MEAN_FACE
from facekp.landmarks.schema import IBUG68

#: Points that move with the skull, and the weight of each: brows and lids move with the expression.
RIGID = np.arange(17, 48)
_TRUST = np.array([0.3] * 10 + [1.0] * 9 + [1, 0.5, 0.5, 1, 0.5, 0.5] * 2)
_TRUST /= _TRUST.sum()
_SHAPE = HEAD_POINTS[RIGID] - _TRUST @ HEAD_POINTS[RIGID]
_WEIGHTED = _TRUST[:, None] * _SHAPE
_LOOSE = np.linalg.inv(_SHAPE.T @ _WEIGHTED)
_SPREAD: list[list[float]] = (_SHAPE.T @ _WEIGHTED).tolist()
_TRACE = float(np.trace(_SPREAD))

Row = Sequence[float]
_UNKNOWN = [math.nan] * 9

#: Depth and 1 of each point, (68, 2).
_DEEP = np.column_stack([DEPTH, np.ones(68)])

#: Regularisation towards the mean face where the camera hardly shows a face: the far side of a turned head.
_RIDGE = 0.02

#: Range of yaw in degrees over which the points of the far side gradually lose weight.
_FAR = (25.0, 55.0)


@dataclass(frozen=True, eq=False)
class Pose:
    """Head poses of N faces.

    The head is rotated about its ear axis (pitch), then about the vertical axis (yaw), then in the image plane (roll),
    so that rotating the image changes only the roll.

    Attributes:
        yaw: (N,) float64, degrees; positive: the nose points to the right of the image.
        pitch: (N,) float64, degrees; positive: the face looks up. Zero is the pitch of the mean face.
        roll: (N,) float64, degrees; positive: clockwise in the image.
        camera: (N, 3, 4) float64: from x, y, depth, 1 of the average head (`HEAD_POINTS`) to x, y, 1 in pixels. Its
            last row is 0, 0, 0, 1: a weak perspective camera, equally far from all parts of a head.
    """

    yaw: np.ndarray
    pitch: np.ndarray
    roll: np.ndarray
    camera: np.ndarray

    def of(self, face: int) -> Pose:
        """Return the pose of one face, N = 1."""
        own = slice(face, face + 1)
        return Pose(self.yaw[own], self.pitch[own], self.roll[own], self.camera[own])


def head_pose(points: np.ndarray) -> Pose:
    """Estimate the poses of heads from their points.

    Brows, nose and eyes are fitted, with more weight on points that move less; mouth and jaw move too freely.

    Args:
        points: (N, 68, 2) points in pixels of the image.

    Returns:
        The poses; NaN for faces whose points are not finite, coincide or lie on a line.

    Example:
        >>> from facekp.landmarks import MEAN_FACE
        >>> pose = head_pose(MEAN_FACE[None] * 100)
        >>> [bool(abs(angle[0]) < 0.1) for angle in (pose.yaw, pose.pitch, pose.roll)], pose.camera.shape
        ([True, True, True], (1, 3, 4))
    """
    found = np.asarray(points, np.float64)
    cross = found[:, RIGID[0] : RIGID[-1] + 1].transpose(0, 2, 1) @ _WEIGHTED  # all that the fit needs
    known = np.isfinite(found.sum((1, 2))).tolist()
    fits = [_fit(*sums) if good else _UNKNOWN for *sums, good in zip(cross.tolist(), (cross @ _LOOSE).tolist(), known)]
    numbers = np.array(fits).reshape(-1, 9)
    flat = numbers[:, 3:].reshape(-1, 2, 3)
    camera = np.zeros((len(found), 3, 4))
    camera[:, :2, :3], camera[:, 2, 3] = flat, 1
    camera[:, :2, 3] = found[:, 36:48].sum(1) / 12 - flat @ EYES_MIDDLE  # stickers stay on the eyes
    camera[np.isnan(numbers[:, 0])] = np.nan
    yaw, pitch, roll = numbers[:, :3].T
    return Pose(yaw, pitch, roll, camera)


def from_the_front(points: np.ndarray, camera: np.ndarray) -> np.ndarray:
    """Transform faces to the frontal view: yaw, pitch, roll and size are removed.

    Args:
        points: (N, 68, 2) points in pixels.
        camera: (N, 3, 4) cameras, see `facekp.landmarks.Pose`.

    Returns:
        (N, 68, 2) float64 in units of the mean face.

    Example:
        >>> points = MEAN_FACE[None] * 100 + 7
        >>> bool(np.abs(from_the_front(points, head_pose(points).camera) - MEAN_FACE).max() < 0.01)
        True
    """
    linear, flat, deep_and_shift = camera[:, :2, :3], camera[:, :2, :2], camera[:, :2, 2:]
    ridge = _RIDGE * np.einsum("nij,nij->n", linear, linear)[:, None, None] / 2
    seen = points - _DEEP @ deep_and_shift.transpose(0, 2, 1)
    # The least-squares solution of flat @ face = seen, regularised towards the mean face.
    return (seen @ flat + ridge * MEAN_FACE) @ np.linalg.inv(flat.transpose(0, 2, 1) @ flat + ridge * np.eye(2))


def complete_far_side(points: np.ndarray, pose: Pose) -> np.ndarray:
    """Replace the hidden side of a turned head by the mirror image of its visible side, seen by the same camera.

    Args:
        points: (68, 2) points in pixels.
        pose: Pose of this face, N = 1.

    Returns:
        (68, 2); the points are unchanged if the head is hardly turned.

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
    projected = np.hstack([mirrored, DEPTH[:, None]]) @ pose.camera[0, :2, :3].T + pose.camera[0, :2, 3]
    far = np.clip(np.sign(yaw) * (MEAN_FACE[:, :1] - 0.5) / 0.1, 0, 1) * min(turned, 1.0)
    return points + far * (projected - points)


def rotation(yaw: float, pitch: float = 0.0, roll: float = 0.0) -> np.ndarray:
    """Return the rotation matrix of a pose: first pitch, then yaw, then roll, in degrees; see `Pose` for the signs.

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


def _fit(cross: list[list[float]], loose: list[list[float]]) -> list[float]:
    """Return yaw, pitch, roll and the six numbers of a camera without its shift; NaN if the points lie on a line.

    Uses plain numbers: for one face, the overhead of NumPy calls is ten times the computation.

    Args:
        cross: (2, 3) weighted sums of points times head points.
        loose: (2, 3) best-fitting affine camera.
    """
    a, b, scale = _nearest_rotation(*loose)
    if not scale > 0:
        return _UNKNOWN
    (a, b, c), growth = _step(a, b, cross, scale)
    scale *= growth
    yaw, pitch, roll = math.asin(max(-1.0, min(-c[0], 1.0))), math.atan2(c[1], c[2]), math.atan2(b[0], a[0])
    return [*map(math.degrees, (yaw, pitch, roll)), *(scale * value for value in (*a, *b))]


def _nearest_rotation(a: Row, b: Row) -> tuple[Row, Row, float]:
    """Return the first two rows of the rotation nearest to an affine camera A, and its scale; 0 if there is none.

    By polar decomposition, the rows are those of G^-1/2 A, where G = A A'. By the Cayley-Hamilton theorem, the square
    root of a 2x2 matrix is (G + r) / t, with r the square root of its determinant and t the trace of the root.
    """
    aa, ab, bb = _dot(a, a), _dot(a, b), _dot(b, b)
    r = math.sqrt(max(aa * bb - ab * ab, 0))
    t = math.sqrt(aa + bb + 2 * r)
    if not r > 1e-6 * t * t:  # for points on a line, rounding leaves up to about 1e-8
        return a, b, 0.0
    own, other = (bb + r) / (r * t), (aa + r) / (r * t)
    mixed = -ab / (r * t)
    return (
        [own * x + mixed * y for x, y in zip(a, b)],
        [mixed * x + other * y for x, y in zip(a, b)],
        t / 2,
    )


def _step(a: Row, b: Row, cross: Sequence[Row], scale: float) -> tuple[tuple[Row, Row, Row], float]:
    """Take one Gauss-Newton step on rotation and scale; more steps change nothing.

    The unknowns are a rotation vector x, y, z and the growth g. With B = ((-xz, -yz), (-yz, xz)) the system is
    zz (x, y) + B (z, g) = right and B (x, y) + flat (z, g) = below, where B B is a number.

    Returns:
        The rows of the rotation, and the factor by which the scale changes.
    """
    (cross_a, cross_b), c = cross, _cross(a, b)
    deep = [_dot(row, c) for row in _SPREAD]
    xz, yz, zz = _dot(a, deep), _dot(b, deep), _dot(c, deep)
    flat = _TRACE - zz
    right_x, right_y = yz - _dot(cross_b, c) / scale, _dot(cross_a, c) / scale - xz
    below_z = (_dot(cross_b, a) - _dot(cross_a, b)) / scale
    below_g = (_dot(cross_a, a) + _dot(cross_b, b)) / scale - flat
    damping = 1e-3 * flat
    zz, flat = zz + damping, flat + damping
    size = zz * flat - xz * xz - yz * yz
    z = (zz * below_z + xz * right_x + yz * right_y) / size
    growth = (zz * below_g + yz * right_x - xz * right_y) / size
    x, y = (right_x + xz * z + yz * growth) / zz, (right_y + yz * z - xz * growth) / zz
    # Cayley transform: a rotation by the vector x, y, z, up to third-order terms.
    half = [x / 2, y / 2, z / 2]
    share = 2 / (1 + _dot(half, half))
    columns = []
    for column in zip(a, b, c):
        once = _cross(half, column)
        twice = _cross(half, once)
        columns.append([old + share * (u + v) for old, u, v in zip(column, once, twice)])
    first, second, third = map(list, zip(*columns))
    return (first, second, third), math.exp(max(-1.0, min(growth, 1.0)))


def _dot(a: Row, b: Row) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _cross(a: Row, b: Row) -> Row:
    return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
