"""Piecewise affine warps: every polygon of a mesh samples the source image by an affine map of its own."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np


def triangle_maps(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the affine maps from triangles to other triangles.

    Args:
        source: (T, 3, 2) corners; no triangle has the area 0.
        target: (T, 3, 2) corners.

    Returns:
        (T, 2, 3) float64, matrices as in `facekp.vision.geometry`.

    Example:
        >>> corners = np.array([[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]])
        >>> triangle_maps(corners, corners * 2 + 1)[0].round(9).tolist()
        [[2.0, 0.0, 1.0], [0.0, 2.0, 1.0]]
    """
    sides, target_sides = (corners[:, 1:] - corners[:, :1] for corners in (source, target))
    linear = (np.linalg.inv(sides) @ target_sides).transpose(0, 2, 1)
    shift = target[:, 0] - (linear @ source[:, 0, :, None])[..., 0]
    return np.concatenate([linear, shift[..., None]], axis=2)


def paint(polygons: np.ndarray, size: Sequence[int], start: Sequence[int] = (0, 0)) -> np.ndarray:
    """Rasterise convex polygons; later ones cover earlier ones.

    Args:
        polygons: (T, M, 2) corners in pixels.
        size: Width and height of the result in pixels.
        start: Position of its first pixel.

    Returns:
        (height, width) int32: 1 + index of the polygon at each pixel, 0 where there is none.

    Example:
        >>> paint(np.array([[[1, 0], [2, 0], [2, 1], [1, 1]]]), (4, 2)).tolist()
        [[0, 1, 1, 0], [0, 1, 1, 0]]
    """
    width, height = size
    owner = np.zeros((height, width), np.int32)
    for number, corners in enumerate(np.round((polygons - np.asarray(start)) * 16).astype(np.int32), 1):
        cv2.fillConvexPoly(owner, corners, number, cv2.LINE_8, 4)
    return owner


def sample_positions(
    owner: np.ndarray, maps: np.ndarray, outside: np.ndarray, start: Sequence[int] = (0, 0)
) -> tuple[np.ndarray, np.ndarray]:
    """Return the position in the source image that each pixel samples, for `cv2.remap`.

    Args:
        owner: (H, W) result of `paint`.
        maps: (T, 2, 3) maps from the painted polygons to the source image.
        outside: (2, 3) map for pixels without a polygon.
        start: Position of the first pixel, as for `paint`.

    Returns:
        x and y, (H, W) float32 each.

    Example:
        >>> owner = paint(np.array([[[0, 0], [0, 1], [0, 1], [0, 0]]]), (2, 2))
        >>> x, y = sample_positions(owner, np.array([[[1, 0, 5], [0, 1, 5]]]), np.eye(2, 3))
        >>> x[0].tolist(), y[0].tolist()
        ([5.0, 1.0], [5.0, 0.0])
    """
    height, width = owner.shape
    coefficients = np.concatenate([outside[None], maps]).astype(np.float32)
    x, y = (np.arange(n, dtype=np.float32) + float(first) for n, first in zip((width, height), start))
    positions = []
    for a, b, c in coefficients.transpose(1, 2, 0).copy():  # plane by plane: faster than all six numbers at once
        position = np.take(a, owner)
        position *= x
        down = np.take(b, owner)
        down *= y[:, None]
        position += down
        position += np.take(c, owner)
        positions.append(position)
    return positions[0], positions[1]
