"""Placement of stickers on a face: warps from sticker pixels to photo pixels, fitted to pairs of anchors."""

from __future__ import annotations

from typing import Literal, Union

import cv2
import numpy as np

from facekp.stickers.texture import Texture
from facekp.stickers.triangles import Triangles
from facekp.vision import geometry

#: Type of a warp.
Fit = Literal["similarity", "affine", "mesh", "face"]

#: Rendered part of a sticker, (h, w, 4) float32 premultiplied BGRA 0..255, and x, y of its first pixel in the photo.
Patch = tuple[np.ndarray, tuple[int, int]]

#: Number of grid points along the longer side of an inverse spline map, at least 4 pixels apart; linear in between.
_KNOTS = 20


class Warp:
    """Affine map from pixels of the sticker to pixels of the photo.

    Args:
        matrix: (2, 3) matrix of the map.
    """

    def __init__(self, matrix: np.ndarray) -> None:
        self.matrix = matrix

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Map points (N, 2) from the sticker to the photo."""
        return geometry.apply(self.matrix, points)

    def draw(self, texture: Texture, canvas: tuple[int, int]) -> Patch | None:
        """Resample the part of the sticker on a canvas of (width, height); return None if there is none."""
        scale = np.sqrt(abs(np.linalg.det(self.matrix[:, :2])))
        level, from_level = texture.level(float(scale))
        matrix = geometry.compose(from_level, self.matrix)
        height, width = level.shape[:2]
        box = _clipped_box(geometry.apply(matrix, _frame(width, height)), canvas)
        if box is None or abs(np.linalg.det(matrix[:, :2])) < 1e-6:
            return None
        x0, y0, x1, y1 = box
        matrix = geometry.compose(matrix, geometry.translation(-x0, -y0))
        # When enlarging, linear interpolation makes the pixel grid visible; cubic does not.
        flags = cv2.INTER_CUBIC if scale > 1.5 else cv2.INTER_LINEAR
        patch = cv2.warpAffine(level, matrix, (x1 - x0, y1 - y0), flags=flags)
        return (_clamped(patch) if flags == cv2.INTER_CUBIC else patch), (x0, y0)


class Bend:
    """Thin-plate spline (Bookstein, 1989): exact at every anchor, with minimum bending energy between them.

    Args:
        source: (K, 2) anchors in pixels of the sticker, K >= 4.
        target: (K, 2) the same anchors in pixels of the photo.
    """

    def __init__(self, source: np.ndarray, target: np.ndarray) -> None:
        self.scale = np.sqrt(abs(np.linalg.det(geometry.affine(source, target)[:, :2])))
        self._forth = _Spline(source, target)
        self._back = _Spline(target, source)

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Map points (N, 2) from the sticker to the photo."""
        return self._forth(points)

    def draw(self, texture: Texture, canvas: tuple[int, int]) -> Patch | None:
        """Resample the part of the sticker on a canvas of (width, height); return None if there is none."""
        x0, y0, x1, y1 = texture.box
        # With a border of one pixel, into which interpolation extends.
        grid = np.stack(np.meshgrid(np.linspace(x0 - 1, x1, 9), np.linspace(y0 - 1, y1, 9)), -1).reshape(-1, 2)
        mapped = self(grid)
        box = _clipped_box(mapped, canvas)
        if box is None:
            return None
        level, from_level = texture.level(float(self.scale))
        x0, y0, x1, y1 = box
        # Cells of `step` pixels with a knot at the centre of each, the same for every visible part of the sticker; one
        # extra cell on every side, as interpolation ends at the outermost knots.
        start = np.floor(mapped.min(0)).astype(int)
        step = max(int(np.ceil(np.ptp(mapped, 0).max() / _KNOTS)), 4)
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


def fit(kind: Fit, source: np.ndarray, target: np.ndarray) -> Placement | None:
    """Fit a warp that maps anchors of a sticker to places of a face.

    Args:
        kind: Type of the warp.
        source: (K, 2) anchors in pixels of the sticker.
        target: (K, 2) places in pixels of the photo, finite.

    Returns:
        The placement; None if the face is too small or too foreshortened to draw on.

    Raises:
        ValueError: The sticker's own anchors coincide or are collinear.

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
    except np.linalg.LinAlgError:  # two places of the face coincide
        return None


class _Spline:
    """Thin-plate spline fitted to pairs of points."""

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
    """Return the corners of an image with a border of one pixel, into which interpolation extends."""
    return np.array([[-1.0, -1.0], [width, -1.0], [width, height], [-1.0, height]])


def _clipped_box(points: np.ndarray, canvas: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """Return the bounding box x0, y0, x1, y1 of points (N, 2) in whole pixels, clipped to the canvas; None if empty."""
    x0, y0 = np.clip(np.floor(points.min(0)), 0, canvas).astype(int)
    x1, y1 = np.clip(np.ceil(points.max(0)) + 1, 0, canvas).astype(int)
    return (int(x0), int(y0), int(x1), int(y1)) if x1 > x0 and y1 > y0 else None


def _clamped(patch: np.ndarray) -> np.ndarray:
    """Undo the overshoot of cubic interpolation: limit alpha to 0..255, and colours to alpha."""
    alpha = patch[..., 3:]
    patch *= 255 / np.maximum(alpha, 255)  # the colour overshoots with the alpha: keep their ratio
    np.maximum(patch, 0, out=patch)
    np.minimum(patch, alpha, out=patch)
    return patch
