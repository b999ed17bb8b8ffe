"""Face boxes: x0, y0, x1, y1 in pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from facekp.errors import UserError

#: Intersection over union above which two boxes count as the same face.
SAME_FACE = 0.4

#: Part of a face: minimum fraction of its box inside the face's box, and maximum area as a fraction of the face's box.
PART_INSIDE, PART_AREA = 0.7, 0.35


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the intersection over union of boxes, (..., 4) each; the leading axes are broadcast.

    Example:
        >>> iou(np.array([0, 0, 2, 2.0]), np.array([[0, 0, 2, 2], [1, 0, 3, 2.0]])).round(3).tolist()
        [1.0, 0.333]
    """
    overlap = _overlap(a, b)
    return overlap / np.maximum(area(a) + area(b) - overlap, 1e-9)


def part_inside(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the fraction of `a` that lies inside `b`, (..., 4) each; the leading axes are broadcast."""
    return _overlap(a, b) / np.maximum(area(a), 1e-9)


def is_part(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return whether `a` is a part of the face `b`, such as nose and mouth, (..., 4) each; leading axes are broadcast.

    Example:
        >>> is_part(np.array([[2, 2, 6, 6], [2, 2, 9, 9], [8, 8, 12, 12]]), np.array([0, 0, 10, 10])).tolist()
        [True, False, False]
    """
    return (part_inside(a, b) > PART_INSIDE) & (area(a) < PART_AREA * area(b))


def area(boxes: np.ndarray) -> np.ndarray:
    """Return the areas of boxes (..., 4) in square pixels; 0 for empty boxes."""
    return np.clip(boxes[..., 2:] - boxes[..., :2], 0, None).prod(-1)


def _overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    corners = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    return np.clip(corners, 0, None).prod(-1)


def suppress_overlaps(boxes: np.ndarray, scores: np.ndarray, max_iou: float) -> np.ndarray:
    """Keep the highest-scoring box of each cluster (non-maximum suppression).

    Args:
        boxes: (N, 4).
        scores: (N,).
        max_iou: Maximum intersection over union of two chosen boxes.

    Returns:
        Indices of the chosen boxes, highest score first.

    Example:
        >>> boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [50, 0, 60, 10.0]])
        >>> suppress_overlaps(boxes, np.array([0.5, 0.9, 0.4]), max_iou=0.3).tolist()
        [1, 2]
    """
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable"):
        if not kept or iou(boxes[i], boxes[kept]).max() <= max_iou:
            kept.append(int(i))
    return np.array(kept, np.intp)


def best_boxes(boxes: np.ndarray, scores: np.ndarray, max_iou: float = SAME_FACE) -> tuple[np.ndarray, np.ndarray]:
    """Return the boxes and scores that `suppress_overlaps` keeps, highest score first."""
    kept = suppress_overlaps(boxes, scores, max_iou)
    return boxes[kept], scores[kept]


def as_boxes(boxes: Sequence[Sequence[float]] | np.ndarray) -> np.ndarray:
    """Validate boxes from a caller and convert them to (N, 4) float32.

    Raises:
        UserError: The boxes are not numbers or have another shape.
    """
    try:
        found = np.asarray(boxes, np.float32)
    except (TypeError, ValueError) as error:
        raise UserError(f"boxes are numbers, (N, 4) as x0, y0, x1, y1 ({error})") from error
    if found.size == 0:
        return np.zeros((0, 4), np.float32)
    if found.ndim != 2 or found.shape[1] != 4:
        raise UserError(f"boxes have the shape (N, 4), each x0, y0, x1, y1, not {found.shape}")
    return found
