"""Photos of turned heads, rendered from photos of less turned ones.

The mean shape of a head is estimated from the labels alone: many faces in different views, stacked into one matrix of
rank three (Tomasi and Kanade, "Shape and motion from image streams under orthography", 1992; weak perspective, made
Euclidean by least squares). A photo is mapped to a mesh of its own points with the depths of that shape, turned, and
rendered again; the points are transformed with it, as in Zhu et al., "Face alignment across large poses" (2016), who
use a model of scanned heads.

Coordinates are in pixels of the image: x to the right, y down, and z away from the viewer.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import cv2
import numpy as np
from paddle.vision.transforms import BaseTransform

from facekp.errors import UserError
from facekp.landmarks import IBUG68
from facekp.landmarks.pose import rotation
from facekp.vision import geometry, piecewise

#: Maximum yaw of a head after and before it is turned, in degrees; heads beyond the second are not turned.
MAX_YAW, MAX_OWN_YAW = 82.0, 40.0

#: Up to this yaw in degrees, all points of a face are assumed to be seen.
FRONTAL = 20.0

_EARS, _NOSE, _CHIN, _BROWS = (0, 16), 30, 8, slice(17, 27)
#: Small offsets of the points, for the triangulation only: the points of closed lips coincide.
_JITTER = np.random.default_rng(0).uniform(-0.02, 0.02, (256, 2))


@dataclass(frozen=True)
class Pose:
    """Pose of a head in its image: a point X of the shape is projected to `affine @ X + middle`.

    Attributes:
        rotation: (3, 3) rotation from the shape's axes to the image's.
        affine: (2, 3) least-squares fit to the face's own points.
        scale: Pixels per unit of the shape.
        middle: (2,) mean of the face's points.
    """

    rotation: np.ndarray
    affine: np.ndarray
    scale: float
    middle: np.ndarray

    @property
    def yaw(self) -> float:
        """Yaw in degrees; positive if the head looks to the right of the image."""
        return float(np.degrees(np.arctan2(-self.rotation[0, 2], self.rotation[2, 2])))


@dataclass(frozen=True)
class HeadShape:
    """Mean three-dimensional shape of the 68 points.

    Attributes:
        points: (68, 3), symmetric, with mean zero; the ends of the jaw are one unit apart.
    """

    points: np.ndarray

    @classmethod
    def learn(cls, faces: np.ndarray) -> HeadShape:
        """Estimate the shape that fits labelled faces best.

        Args:
            faces: (M, 68, 2) in pixels of any image; faces with unknown points are ignored.

        Raises:
            UserError: The faces are too few, or do not show heads from several sides.
        """
        faces = np.asarray(faces, np.float64)
        faces = faces[np.isfinite(faces).all((1, 2))]
        if len(faces) < 8:
            raise UserError(f"data.turned: {len(faces)} faces do not show the shape of a head; give more")
        upright = np.stack([geometry.apply(geometry.similarity(f, IBUG68.mean_points), f) for f in faces])
        upright = np.concatenate([upright, (upright * [-1, 1])[:, IBUG68.flip_order]])
        upright -= upright.mean(1, keepdims=True)
        rows = upright.transpose(0, 2, 1)  # (F, 2, 68)
        stacked = rows.reshape(-1, IBUG68.num_points)
        basis = np.linalg.eigh(stacked.T @ stacked)[1][:, -3:]  # (68, 3)
        motion = rows @ basis  # (F, 2, 3)
        metric = np.linalg.cholesky(_metric(motion))
        shape = basis @ np.linalg.inv(metric).T
        # Axes: the frontal view of the shape is the mean face.
        mean = upright.mean(0)
        u, _, v = np.linalg.svd(np.linalg.lstsq(shape, mean, rcond=None)[0].T, full_matrices=False)
        across, down = u @ v
        shape = shape @ np.stack([across, down, np.cross(across, down)]).T
        if shape[_NOSE, 2] > shape[list(_EARS), 2].mean():
            shape[:, 2] *= -1
        shape = (shape + (shape * [-1, 1, 1])[IBUG68.flip_order]) / 2
        shape -= shape.mean(0)
        return cls(shape / np.linalg.norm(shape[_EARS[1]] - shape[_EARS[0]]))

    def pose(self, face: np.ndarray) -> Pose:
        """Estimate the pose of a face, (68, 2), in its image."""
        middle = face.mean(0)
        affine = np.linalg.lstsq(self.points, face - middle, rcond=None)[0].T
        u, lengths, v = np.linalg.svd(affine, full_matrices=False)
        across, down = u @ v
        return Pose(np.stack([across, down, np.cross(across, down)]), affine, float(lengths.mean()), middle)

    @property
    def surroundings(self) -> np.ndarray:
        """(M, 3) five points of the forehead, and a ring around the head, with its sides behind the ears."""
        shape = self.points
        ear, brow, chin = shape[list(_EARS)].mean(0)[2], shape[_BROWS].mean(0), shape[_CHIN]
        angles = np.radians([150, 120, 90, 60, 30])
        x = 0.5 * np.cos(angles)
        forehead = np.stack([x, brow[1] - 0.12 - 0.36 * np.sin(angles), brow[2] + 0.1 + 1.1 * x**2], 1)
        angles = np.radians(np.arange(0, 360, 22.5))
        top, bottom = brow[1] - 0.75, chin[1] + 0.3
        side, high = np.cos(angles), np.sin(angles)
        ring = np.stack([0.7 * side, (top + bottom) / 2 + (bottom - top) / 2 * high, np.full(16, ear)], 1)
        ring[:, 2] += 0.4 * np.where(high > 0.3, 0.25, 1.0)  # the back of the head; the neck is thinner
        return np.concatenate([forehead, ring])


def _metric(motion: np.ndarray) -> np.ndarray:
    """Return the symmetric (3, 3) metric in which both rows of each motion, (F, 2, 3), are orthogonal and equally long.

    Raises:
        UserError: There is no such metric.
    """

    def products(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        (ax, ay, az), (bx, by, bz) = a.T, b.T
        return np.stack([ax * bx, ay * by, az * bz, ax * by + ay * bx, ax * bz + az * bx, ay * bz + az * by], 1)

    x, y = motion[:, 0], motion[:, 1]
    constraints = np.concatenate([products(x, x) - products(y, y), products(x, y)])
    length = (products(x, x) + products(y, y)).sum(0)  # in total: two per motion, 2 F
    system = np.concatenate([constraints, length[None]])
    goal = np.zeros(len(system))
    goal[-1] = 2 * len(motion)
    a, b, c, d, e, f = np.linalg.lstsq(system, goal, rcond=None)[0]
    found = np.array([[a, d, e], [d, b, f], [e, f, c]])
    if np.linalg.eigvalsh(found)[0] <= 0:
        raise UserError("data.turned: the faces do not show heads from several sides; give more, or remove data.turned")
    return found


@dataclass(frozen=True)
class Turned:
    """Rendering of a turned head.

    Attributes:
        image: (H, W, 3) uint8.
        points: (68, 2) float32 points in the new image, including hidden ones.
        visible: (68,) float32, 1 where a point is seen, 0 where the head hides it or it is outside the image.
    """

    image: np.ndarray
    points: np.ndarray
    visible: np.ndarray


def turn_head(image: np.ndarray, face: np.ndarray, shape: HeadShape, yaw: float, pitch: float = 0.0) -> Turned:
    """Render a head as it would look turned.

    Args:
        image: (H, W, 3) uint8.
        face: (68, 2) points of the head.
        shape: Head shape, from `HeadShape.learn`.
        yaw: Angle in degrees about the head's own axis, positive to the right of the image.
        pitch: Angle of the nod in degrees, applied before the yaw, positive up.

    Returns:
        The image, of the same size, with a stretched background, and the points.
    """
    pose = shape.pose(face)
    around = shape.surroundings
    flat = np.concatenate([face, around @ pose.affine.T + pose.middle])
    depth = np.concatenate([shape.points, around]) @ pose.rotation[2] * pose.scale
    edge = _edge(image, flat)
    mesh = np.concatenate([flat, edge])

    flip = np.diag([1, 1, -1])  # `rotation` is for depths towards the viewer
    turn = flip @ rotation(yaw, pitch) @ flip
    axis = shape.points[list(_EARS)].mean(0) + np.array([0, 0, 0.15])  # a point on a head's axis of rotation
    centre = np.append(pose.affine @ axis + pose.middle, pose.rotation[2] @ axis * pose.scale)
    moved = (np.column_stack([flat, depth]) - centre) @ (pose.rotation @ turn @ pose.rotation.T).T + centre
    count = len(face)  # keep the centre of the face's box, or the face would leave a narrow image
    moved[:, :2] += (geometry.bounding_box(face) - geometry.bounding_box(moved[:count, :2])).reshape(2, 2).mean(0)
    target = np.concatenate([moved[:, :2], edge])
    far = np.concatenate([moved[:, 2], np.full(len(edge), 1e3 * pose.scale)])

    triangles = _triangles(mesh)
    back = _signed_area(mesh[triangles]) * _signed_area(target[triangles]) <= 0
    triangles = triangles[~back]  # the mesh has no hole: triangles seen from behind are hidden by others
    triangles = triangles[np.argsort(-far[triangles].mean(1), kind="stable")]
    height, width = image.shape[:2]
    painted = piecewise.paint(np.clip(target[triangles], -4 * width, 5 * width), (width, height))
    maps = piecewise.triangle_maps(target[triangles], mesh[triangles])
    x, y = piecewise.sample_positions(painted, maps, np.eye(2, 3))
    drawn = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return Turned(drawn, target[:count].astype(np.float32), _visible(painted, triangles, target[:count]))


def _visible(painted: np.ndarray, triangles: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return whether one of a point's own triangles is painted at the point or at an adjacent pixel."""
    height, width = painted.shape
    corners = np.concatenate([np.full((1, 3), -1), triangles])
    places = np.round(points).astype(int)[:, None] + np.array([[x, y] for y in (-1, 0, 1) for x in (-1, 0, 1)])
    inside = ((places >= 0) & (places < [width, height])).all(-1)
    x, y = np.clip(places, 0, [width - 1, height - 1]).transpose(2, 0, 1)
    own = (corners[painted[y, x]] == np.arange(len(points))[:, None, None]).any(-1)
    return (own & inside).any(1).astype(np.float32)


def _edge(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return sixteen fixed points around the image and all its points."""
    height, width = image.shape[:2]
    low, high = np.minimum(points.min(0), 0) - 8, np.maximum(points.max(0), [width, height]) + 8
    shares = np.linspace(0, 1, 5)[:-1]
    sides = [np.stack([shares, 0 * shares], 1), np.stack([1 + 0 * shares, shares], 1)]
    return np.concatenate([*sides, *(1 - side for side in sides)]) * (high - low) + low


def _triangles(points: np.ndarray) -> np.ndarray:
    """Return the Delaunay triangulation, (T, 3) indices."""
    jittered = (points + _JITTER[: len(points)]).astype(np.float32)
    low, high = np.floor(jittered.min(0)) - 1, np.ceil(jittered.max(0)) + 2
    mesh = cv2.Subdiv2D((*low.astype(int).tolist(), *(high - low).astype(int).tolist()))
    mesh.insert(jittered.tolist())
    index = {(x, y): number for number, (x, y) in enumerate(jittered.tolist())}
    found = mesh.getTriangleList().reshape(-1, 3, 2).tolist()
    triangles = [[index.get((x, y), -1) for x, y in corners] for corners in found]
    return np.array([corners for corners in triangles if min(corners) >= 0])  # the others have outer vertices


def _signed_area(triangles: np.ndarray) -> np.ndarray:
    (ax, ay), (bx, by) = ((triangles[:, k] - triangles[:, 0]).T for k in (1, 2))
    return ax * by - ay * bx


class TurnHead(BaseTransform):
    """Turns random heads and marks which points are seen: (image, coords) -> (image, coords, visible).

    A head is turned to the side that it looks to already, by a random angle. In heads that are not turned, all points
    are assumed to be seen if the head looks to the front; otherwise this is unknown (NaN). The input may also be
    (image, coords, visible); points marked as hidden stay hidden.

    Args:
        shape: Head shape, from `HeadShape.learn`.
        every: One in `every` heads is turned, at random.
        yaw: Minimum and maximum yaw in degrees.
        pitch: Minimum and maximum change of the pitch in degrees, positive up.
    """

    def __init__(
        self,
        shape: HeadShape,
        every: float = 2,
        yaw: tuple[float, float] = (15.0, 60.0),
        pitch: tuple[float, float] = (-15.0, 12.0),
    ) -> None:
        super().__init__(keys=("image", "coords"))
        self.shape, self.every, self.yaw, self.pitch = shape, every, yaw, pitch

    def __call__(self, inputs: tuple[np.ndarray, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Turn the head, or leave it unchanged."""
        image, face = inputs[:2]
        marked = inputs[2] if len(inputs) > 2 else np.full(len(face), np.nan, np.float32)
        # The same number of random values for every face, turned or not.
        chosen, side, yaw, pitch = (
            random.random() < 1 / self.every,
            random.choice((-1, 1)),
            *(random.uniform(*angles) for angles in (self.yaw, self.pitch)),
        )
        if not np.isfinite(face).all():
            return image, face, marked
        own = self.shape.pose(face).yaw
        if not chosen or abs(own) > MAX_OWN_YAW:
            return image, face, np.where((marked == 0) | (abs(own) > FRONTAL), marked, np.float32(1))
        if abs(own) > 5:
            side = 1 if own > 0 else -1
        turned = turn_head(image, face, self.shape, side * min(yaw, MAX_YAW - abs(own)), pitch)
        return turned.image, turned.points, np.where(marked == 0, marked, turned.visible)
