"""Affine transforms as 2x3 matrices: build, compose, invert, apply to points and to images.

A matrix maps (x, y, 1) of the source to (x, y) of the target, pixels to pixels, as `cv2.warpAffine` takes
it; the centre of the top left pixel is (0, 0). Image transforms compose their matrices first and resample
once.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

#: Maximum side length in pixels of images that OpenCV can warp.
_LARGEST = 32766


def translation(dx: float, dy: float) -> np.ndarray:
    """Return the matrix of a translation by (dx, dy) pixels."""
    return np.array([[1, 0, dx], [0, 1, dy]], np.float64)


def scaling(sx: float, sy: float | None = None) -> np.ndarray:
    """Return the matrix of a scaling about the origin; `sy` defaults to `sx`."""
    return np.array([[sx, 0, 0], [0, sx if sy is None else sy, 0]], np.float64)


def rotation(degrees: float, centre: Sequence[float] = (0.0, 0.0)) -> np.ndarray:
    """Return the matrix of a rotation by `degrees` about `centre`; positive is clockwise on the screen (y points down).

    Example:
        >>> apply(rotation(90), np.array([[1.0, 0.0]])).round(6).tolist()
        [[0.0, 1.0]]
    """
    a = np.deg2rad(degrees)
    about_origin = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0]])
    return compose(translation(-centre[0], -centre[1]), about_origin, translation(*centre))


def mirror(width: float) -> np.ndarray:
    """Return the matrix that flips an image `width` pixels wide horizontally."""
    return np.array([[-1, 0, width - 1], [0, 1, 0]], np.float64)


def scaled_size(size: Sequence[int], scale: float) -> tuple[int, int]:
    """Return the (width, height) of a scaled image, at least one pixel each.

    Example:
        >>> scaled_size((640, 480), 0.5), scaled_size((1000, 1), 0.1)
        ((320, 240), (100, 1))
    """
    width, height = size
    return max(1, round(width * scale)), max(1, round(height * scale))


def resizing(source: Sequence[int], target: Sequence[int]) -> np.ndarray:
    """Return the matrix of `cv2.resize` from `source` to `target`, both (width, height).

    `cv2.resize` aligns the edges of the images, not the centres of their first pixels, hence the half pixels.
    """
    sx, sy = target[0] / source[0], target[1] / source[1]
    return compose(translation(0.5, 0.5), scaling(sx, sy), translation(-0.5, -0.5))


def compose(*matrices: np.ndarray) -> np.ndarray:
    """Return the product of `matrices`, which are applied from first to last.

    Example:
        >>> apply(compose(translation(1, 0), scaling(2)), np.array([[0.0, 0.0]])).tolist()
        [[2.0, 0.0]]
    """
    result = np.eye(2, 3)
    for matrix in matrices:
        result = matrix[:, :2] @ result
        result[:, 2] += matrix[:, 2]
    return result


def invert(matrix: np.ndarray) -> np.ndarray:
    """Return the inverse of `matrix`. Raises `numpy.linalg.LinAlgError` if it is singular."""
    return np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]


def apply(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Transform points: (..., 2) in, (..., 2) out, in the floating dtype of `points`."""
    points = np.asarray(points)
    dtype = points.dtype if points.dtype.kind == "f" else np.float64
    return (points @ matrix[:, :2].T + matrix[:, 2]).astype(dtype, copy=False)


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the similarity (rotation, scale, shift; no reflection) that maps points to points, exact for two pairs.

    With more pairs it is the least-squares fit of Umeyama (1991).

    Args:
        source: (N, 2), N >= 2.
        target: (N, 2).

    Returns:
        (2, 3) float64.

    Raises:
        ValueError: All source points coincide.

    Example:
        >>> m = similarity(np.array([[0, 0], [1, 0]]), np.array([[5, 5], [5, 7]]))
        >>> apply(m, np.array([[0.0, 1.0]])).round(6).tolist()
        [[3.0, 5.0]]
    """
    z = np.asarray(source, np.float64) @ [1, 1j]
    w = np.asarray(target, np.float64) @ [1, 1j]
    dz, dw = z - z.mean(), w - w.mean()
    norm = (np.abs(dz) ** 2).sum()
    if norm == 0:
        raise ValueError("a similarity needs two different source points")
    a = (dz.conj() * dw).sum() / norm
    b = w.mean() - a * z.mean()
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def affine(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the affine transform that maps points to points: exact for three pairs, least squares for more.

    Args:
        source: (N, 2), N >= 3, not all on one line.
        target: (N, 2).

    Returns:
        (2, 3) float64.

    Raises:
        ValueError: The source points lie on one line.
    """
    source = np.asarray(source, np.float64)
    homogeneous = np.hstack([source, np.ones((len(source), 1))])
    solution, _, rank, _ = np.linalg.lstsq(homogeneous, np.asarray(target, np.float64), rcond=None)
    if rank < 3:
        raise ValueError("an affine map needs three source points that are not on one line")
    return solution.T


def bounding_box(points: np.ndarray) -> np.ndarray:
    """Return the bounding box of points: (..., K, 2) in, (..., 4) out as x0, y0, x1, y1."""
    return np.concatenate([points.min(-2), points.max(-2)], -1)


def square_crop(box: Sequence[float], margin: float, size: int) -> np.ndarray:
    """Return the matrix from an image to the square crop for the network.

    The square is centred on the box; its side is the box's longer side, expanded by the fraction `margin` at each end.
    The shorter side of the box may be zero, as around points on one line.

    Args:
        box: x0, y0, x1, y1 in pixels.
        margin: 0.2 adds a fifth of the box's longer side on each of the four sides.
        size: Side length of the crop in pixels.

    Returns:
        (2, 3) float64.

    Raises:
        ValueError: The box is empty.

    Example:
        >>> apply(square_crop([10, 10, 30, 30], 0.5, 40), np.array([[20.0, 20.0]])).tolist()
        [[19.5, 19.5]]
    """
    x0, y0, x1, y1 = (float(v) for v in box)
    side = max(x1 - x0, y1 - y0) * (1 + 2 * margin)
    if not (side > 0 and x1 >= x0 and y1 >= y0):
        raise ValueError(f"the box {x0:g}, {y0:g}, {x1:g}, {y1:g} is empty; it must be x0, y0, x1, y1")
    centre = (size - 1) / 2
    return compose(translation(-(x0 + x1) / 2, -(y0 + y1) / 2), scaling(size / side), translation(centre, centre))


def warp(image: np.ndarray, matrix: np.ndarray, size: tuple[int, int], border: str = "constant") -> np.ndarray:
    """Warp an image with a single resampling.

    If the matrix shrinks by a factor of two or more, the image is first averaged down by an integer factor, so
    that fine detail does not alias as with plain bilinear sampling.

    Args:
        image: (H, W) or (H, W, C), uint8 or float32.
        matrix: (2, 3), source to target.
        size: (width, height) of the target.
        border: Pixels outside the source: "constant" (black) or "replicate".

    Returns:
        (height, width) or (height, width, C), the dtype of `image`.
    """
    flags = {"constant": cv2.BORDER_CONSTANT, "replicate": cv2.BORDER_REPLICATE}[border]
    shrink = int(1 / max(np.sqrt(abs(np.linalg.det(matrix[:, :2]))), 1e-9) + 1e-6)
    if shrink >= 2 or max(image.shape[:2]) > _LARGEST:
        image, (left, top) = _part_under(image, matrix, size, reach=2 * max(shrink, 1))
        height, width = image.shape[:2]
        small = (max(width // max(shrink, 1), 1), max(height // max(shrink, 1), 1))
        matrix = compose(invert(resizing((width, height), small)), translation(left, top), matrix)
        image = image if small == (width, height) else cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    return cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=flags)


def _part_under(
    image: np.ndarray, matrix: np.ndarray, size: tuple[int, int], reach: int
) -> tuple[np.ndarray, tuple[int, int]]:
    """Return the part of an image that a warp reads, so that the rest need not be shrunk, and its top left corner."""
    height, width = image.shape[:2]
    corners = np.array([[0, 0], [size[0], 0], [0, size[1]], size], np.float64)
    x0, y0, x1, y1 = bounding_box(apply(invert(matrix), corners))
    left, top = (int(np.clip(v - reach, 0, most - 1)) for v, most in ((x0, width), (y0, height)))
    right, bottom = (int(np.clip(v + reach, low + 1, most)) for v, low, most in ((x1, left, width), (y1, top, height)))
    return image[top:bottom, left:right], (left, top)
