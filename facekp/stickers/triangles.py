"""Piecewise affine warp of an image of a whole face onto another, by the triangles between all their points."""

from __future__ import annotations

import functools

import cv2
import numpy as np

from facekp.landmarks import MEAN_FACE, Pose, face_outline
from facekp.stickers.texture import Texture
from facekp.vision import geometry, piecewise

#: Width of the soft edge, as a fraction of the face width.
_SOFT = 0.04

_INNER_LIPS = frozenset(range(60, 68))


def mesh_points(points: np.ndarray, pose: Pose | None = None) -> np.ndarray:
    """Return the 68 points and 16 around the forehead.

    Args:
        points: (68, 2) points in pixels.
        pose: Pose of this face, N = 1; None: estimated from the points.

    Returns:
        (84, 2) float64.

    Example:
        >>> mesh_points(MEAN_FACE * 100).shape
        (84, 2)
    """
    return np.vstack([points, face_outline(points, pose)[17:]])


@functools.lru_cache(maxsize=1)
def triangles() -> np.ndarray:
    """Return the Delaunay triangles of the mean face without the open mouth, as (T, 3) indices into `mesh_points`.

    Example:
        >>> triangles().shape[1], int(triangles().max())
        (3, 83)
    """
    mean = mesh_points(MEAN_FACE).astype(np.float32)
    plane = cv2.Subdiv2D((-2, -2, 5, 5))
    for point in mean:
        plane.insert(point.tolist())
    corners = plane.getTriangleList().reshape(-1, 3, 1, 2)
    corners = corners[(np.abs(corners) < 2).all((1, 2, 3))]  # without the outer vertices that Subdiv2D adds
    found = np.linalg.norm(corners - mean, axis=-1).argmin(-1)
    return np.array([each for each in found if not _INNER_LIPS.issuperset(each.tolist())])


class Triangles:
    """Warp that is affine in every triangle; triangles that face away from the viewer are not drawn.

    Args:
        source: (84, 2) `mesh_points` in pixels of the sticker.
        target: (84, 2) the same points in pixels of the photo.
    """

    def __init__(self, source: np.ndarray, target: np.ndarray) -> None:
        chosen = triangles()
        source_sides, target_sides = (_sides(points[chosen]) for points in (source, target))
        chosen = chosen[np.linalg.det(source_sides) * np.linalg.det(target_sides) > 1e-9]
        self._target = target
        self._corners = target[chosen]
        self._back = piecewise.triangle_maps(self._corners, source[chosen])  # from the photo to the sticker
        self._scale = float(np.sqrt(abs(np.linalg.det(geometry.affine(source, target)[:, :2]))))

    def draw(self, texture: Texture, canvas: tuple[int, int]) -> tuple[np.ndarray, tuple[int, int]] | None:
        """Resample the part of the sticker on a canvas of (width, height); return None if there is none."""
        low = np.clip(np.floor(self._target.min(0)), 0, canvas).astype(int)
        high = np.clip(np.ceil(self._target.max(0)) + 1, 0, canvas).astype(int)
        width, height = (int(v) for v in high - low)
        if width < 1 or height < 1 or not len(self._corners):
            return None
        # Only the edge of the triangles is soft, not that of the canvas: rasterise them with a margin around it.
        soft = max(int(_SOFT * np.ptp(self._target[:17, 0])), 1)
        start = np.clip(np.floor(self._target.min(0)), low - soft, low).astype(int)
        end = np.clip(np.ceil(self._target.max(0)) + 1, high, high + soft).astype(int)
        owner = piecewise.paint(self._corners, end - start, start)
        (left, top), (right, bottom) = low - start, high - start
        share = _soft_edge(owner > 0, soft)[top:bottom, left:right]
        owner = owner[top:bottom, left:right]
        level, from_level = texture.level(self._scale)
        to_level = geometry.invert(from_level)
        back = to_level[:, :2] @ self._back
        back[..., 2] += to_level[:, 2]
        nowhere = np.array([[0, 0, -1e6], [0, 0, -1e6]])
        x, y = piecewise.sample_positions(owner, back, nowhere, low)
        patch = cv2.remap(level, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        patch *= share[..., None]
        return patch, (int(low[0]), int(low[1]))


def _soft_edge(inside: np.ndarray, width: int) -> np.ndarray:
    """Return a mask (h, w) float32, 1 inside and falling to 0 over `width` pixels at the edge."""
    framed = cv2.copyMakeBorder(inside.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    return np.minimum(cv2.distanceTransform(framed, cv2.DIST_L2, 3)[1:-1, 1:-1] / width, 1)


def _sides(corners: np.ndarray) -> np.ndarray:
    """Return the two sides (T, 2, 2) from the first corner of triangles (T, 3, 2)."""
    return corners[:, 1:] - corners[:, :1]


def match_colours(patch: np.ndarray, below: np.ndarray) -> None:
    """Match a patch to the colours below, in place: mean and spread in CIELAB (Reinhard and others, 2001).

    Args:
        patch: (h, w, 4) float32, premultiplied BGRA 0..255.
        below: (h, w, 3) uint8, BGR, the part of the image that the patch covers.

    Example:
        >>> patch = np.full((4, 4, 4), 255, np.float32)
        >>> match_colours(patch, np.full((4, 4, 3), (20, 60, 120), np.uint8))
        >>> patch[0, 0].round().tolist()
        [20.0, 60.0, 120.0, 255.0]
    """
    alpha = patch[..., 3:]
    solid = alpha[..., 0] > 127
    if not solid.any():
        return
    colour = cv2.cvtColor(patch[..., :3] / np.maximum(alpha, 1), cv2.COLOR_BGR2LAB)
    ground = cv2.cvtColor(below.astype(np.float32) / 255, cv2.COLOR_BGR2LAB)
    spread = np.clip(ground[solid].std(0) / np.maximum(colour[solid].std(0), 1e-3), 0.5, 2)
    matched = (colour - colour[solid].mean(0)) * spread + ground[solid].mean(0)
    patch[..., :3] = np.clip(cv2.cvtColor(matched.astype(np.float32), cv2.COLOR_LAB2BGR), 0, 1) * alpha
