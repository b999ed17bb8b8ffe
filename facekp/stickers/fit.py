"""Where a sticker lies on the face: from pairs of anchors to pixels of the photo."""

from __future__ import annotations

from typing import Union

import cv2
import numpy as np

from facekp.stickers.texture import Texture
from facekp.stickers.triangles import Triangles
from facekp.vision import geometry

#: A patch of sticker, (h, w, 4) float32 premultiplied BGRA 0..255, and the x, y of its first pixel in the photo.
Patch = tuple[np.ndarray, tuple[int, int]]

#: The bent map is computed at so many places along its longer side, at most at every fourth pixel, and interpolated.
_KNOTS = 20


class Warp:
    """A matrix from pixels of the sticker to pixels of the photo.

    Args:
        matrix: (2, 3).
    """

    def __init__(self, matrix: np.ndarray) -> None:
        self.matrix = matrix

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Carry points (N, 2) of the sticker to the photo."""
        return geometry.apply(self.matrix, points)

    def draw(self, texture: Texture, canvas: tuple[int, int]) -> Patch | None:
        """Resample the sticker where it meets a canvas of (width, height); None if it does not."""
        scale = np.sqrt(abs(np.linalg.det(self.matrix[:, :2])))
        level, from_level = texture.level(float(scale))
        matrix = geometry.compose(from_level, self.matrix)
        height, width = level.shape[:2]
        box = _meet(geometry.apply(matrix, _frame(width, height)), canvas)
        if box is None or abs(np.linalg.det(matrix[:, :2])) < 1e-6:
            return None
        x0, y0, x1, y1 = box
        matrix = geometry.compose(matrix, geometry.translation(-x0, -y0))
        # Beyond its own size linear interpolation shows the pixels' grid; cubic does not.
        flags = cv2.INTER_CUBIC if scale > 1.5 else cv2.INTER_LINEAR
        patch = cv2.warpAffine(level, matrix, (x1 - x0, y1 - y0), flags=flags)
        return (_legal(patch) if flags == cv2.INTER_CUBIC else patch), (x0, y0)


class Bend:
    """A thin-plate spline (Bookstein, 1989): exact at every anchor, as little bent as can be between them.

    Args:
        source: (K, 2) anchors in pixels of the sticker, K >= 4.
        target: (K, 2) the same anchors in the photo.
    """

    def __init__(self, source: np.ndarray, target: np.ndarray) -> None:
        self.scale = np.sqrt(abs(np.linalg.det(geometry.affine(source, target)[:, :2])))
        self._forth = _Spline(source, target)
        self._back = _Spline(target, source)

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Carry points (N, 2) of the sticker to the photo."""
        return self._forth(points)

    def draw(self, texture: Texture, canvas: tuple[int, int]) -> Patch | None:
        """Resample the sticker where it meets a canvas of (width, height); None if it does not."""
        x0, y0, x1, y1 = texture.box
        # From the pixel before on: interpolation reaches into it.
        grid = np.stack(np.meshgrid(np.linspace(x0 - 1, x1, 9), np.linspace(y0 - 1, y1, 9)), -1).reshape(-1, 2)
        there = self(grid)
        box = _meet(there, canvas)
        if box is None:
            return None
        level, from_level = texture.level(float(self.scale))
        x0, y0, x1, y1 = box
        # Cells of `step` pixels with a knot in the middle of each, alike whatever part of the sticker the canvas shows;
        # a cell more on every side, as interpolation ends at the outermost knots.
        start = np.floor(there.min(0)).astype(int)
        step = max(int(np.ceil(np.ptp(there, 0).max() / _KNOTS)), 4)
        first = (np.array([x0, y0]) - start) // step - 1
        columns, rows = -((start - (x1, y1)) // step) - first + 1
        origin = start + first * step
        knots = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), -1) * step + origin + (step - 1) / 2
        coarse = geometry.apply(geometry.invert(from_level), self._back(knots.reshape(-1, 2)))
        coarse = coarse.reshape(rows, columns, 2).astype(np.float32)
        fine = cv2.resize(coarse, (int(columns) * step, int(rows) * step), interpolation=cv2.INTER_LINEAR)
        left, top = (int(v) for v in (x0, y0) - origin)
        fine = fine[top : top + y1 - y0, left : left + x1 - x0]
        return cv2.remap(level, fine, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT), (x0, y0)


Placement = Union[Warp, Bend, Triangles]


def fit(kind: str, source: np.ndarray, target: np.ndarray) -> Placement | None:
    """Tie anchors of a sticker to places of a face.

    Args:
        kind: "similarity", "affine", "mesh" or "face".
        source: (K, 2) in pixels of the sticker.
        target: (K, 2) in pixels of the photo, finite.

    Returns:
        The placement; None if the face is so small or so squeezed that there is nothing to draw.

    Raises:
        ValueError: The sticker's own anchors coincide or lie on one line.

    Example:
        >>> warp = fit("similarity", np.array([[0, 0], [10, 0]]), np.array([[5, 5], [25, 5]]))
        >>> warp(np.array([[5.0, 5.0]])).round(6).tolist()
        [[15.0, 15.0]]
    """
    solve = geometry.similarity if kind == "similarity" else geometry.affine
    matrix = solve(source, target)
    if np.linalg.svd(matrix[:, :2])[1].min() < 1e-3:
        return None
    if kind in ("similarity", "affine"):
        return Warp(matrix)
    try:
        return Triangles(source, target) if kind == "face" else Bend(source, target)
    except np.linalg.LinAlgError:  # two places of the face fell into one
        return None


class _Spline:
    """Thin-plate spline through pairs of points."""

    def __init__(self, source: np.ndarray, target: np.ndarray) -> None:
        self._centre, self._unit = source.mean(0), max(float(np.ptp(source, 0).max()), 1e-9)
        self._nodes = (source - self._centre) / self._unit
        k = len(source)
        system = np.zeros((k + 3, k + 3))
        system[:k, :k] = self._kernel(self._nodes)
        system[:k, k:] = np.hstack([np.ones((k, 1)), self._nodes])
        system[k:, :k] = system[:k, k:].T
        self._weights = np.linalg.solve(system, np.vstack([target, np.zeros((3, 2))]))

    def _kernel(self, points: np.ndarray) -> np.ndarray:
        square = ((points[:, None] - self._nodes) ** 2).sum(-1)
        return square * np.log(np.maximum(square, 1e-12))

    def __call__(self, points: np.ndarray) -> np.ndarray:
        points = (points - self._centre) / self._unit
        basis = np.hstack([self._kernel(points), np.ones((len(points), 1)), points])
        return basis @ self._weights


def _frame(width: int, height: int) -> np.ndarray:
    """Corners of an image and the one pixel around it into which interpolation reaches."""
    return np.array([[-1.0, -1.0], [width, -1.0], [width, height], [-1.0, height]])


def _meet(points: np.ndarray, canvas: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """Whole pixels x0, y0, x1, y1 of the canvas that points (N, 2) surround."""
    x0, y0 = np.clip(np.floor(points.min(0)), 0, canvas).astype(int)
    x1, y1 = np.clip(np.ceil(points.max(0)) + 1, 0, canvas).astype(int)
    return (int(x0), int(y0), int(x1), int(y1)) if x1 > x0 and y1 > y0 else None


def _legal(patch: np.ndarray) -> np.ndarray:
    """Undo the overshoot of cubic interpolation: alpha within 0..255, no colour above alpha."""
    alpha = patch[..., 3:]
    patch *= 255 / np.maximum(alpha, 255)  # the colour overshoots with the alpha: keep their ratio
    np.maximum(patch, 0, out=patch)
    np.minimum(patch, alpha, out=patch)
    return patch
