"""Face boxes and the grids of cells that predict them; x0, y0, x1, y1 in pixels."""

from __future__ import annotations

import numpy as np

#: Sides in pixels of the cells of the three grids.
STRIDES = (8, 16, 32)


def cell_centres(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Where the cells of a picture lie, row by row, the finest grid first.

    Args:
        height: Of the picture, a whole number of 32 pixels.
        width: As well.

    Returns:
        Their centres, (cells, 2) float32 as x, y, and the stride of each, (cells,) float32.

    Example:
        >>> centres, strides = cell_centres(32, 64)
        >>> len(centres), centres[0].tolist(), strides[-1].tolist()
        (42, [3.5, 3.5], 32.0)
    """
    centres, strides = [], []
    for stride in STRIDES:
        x, y = np.meshgrid(np.arange(width // stride), np.arange(height // stride))
        # The centre of the top left pixel is (0, 0), so the picture begins half a pixel before.
        centres.append((np.stack([x, y], -1).reshape(-1, 2) + 0.5) * stride - 0.5)
        strides.append(np.full(x.size, stride))
    return np.concatenate(centres).astype(np.float32), np.concatenate(strides).astype(np.float32)


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes, (..., 4) each; the leading axes are broadcast.

    Example:
        >>> iou(np.array([0, 0, 2, 2.0]), np.array([[0, 0, 2, 2], [1, 0, 3, 2.0]])).round(3).tolist()
        [1.0, 0.333]
    """
    overlap = _overlap(a, b)
    return overlap / np.maximum(area(a) + area(b) - overlap, 1e-9)


def part_inside(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Which part of `a` lies inside of `b`, (..., 4) each; the leading axes are broadcast."""
    return _overlap(a, b) / np.maximum(area(a), 1e-9)


def area(boxes: np.ndarray) -> np.ndarray:
    """Of boxes (..., 4), in square pixels; 0 if a box is turned inside out."""
    return np.clip(boxes[..., 2:] - boxes[..., :2], 0, None).prod(-1)


def _overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    corners = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    return np.clip(corners, 0, None).prod(-1)


#: Boxes that share more than this part of their union are taken for the same face.
SAME_FACE = 0.4

#: Cells of a picture that are looked at, the best ones; a face has several.
MOST_CANDIDATES = 500


def choose_boxes(
    outputs: np.ndarray, height: int, width: int, least_score: float = 0.4
) -> tuple[np.ndarray, np.ndarray]:
    """The faces that a detector's cells agree on.

    Args:
        outputs: (cells, 5) of one picture: logit of the score, reach to the left, up, right and down.
        height: Of the picture as the network saw it.
        width: As well.
        least_score: Cells with lower scores are left out.

    Returns:
        Boxes, (N, 4) float32, and scores, (N,) float32, the best first.

    Example:
        >>> outputs = np.tile(np.float32([-9, 4, 4, 4, 4]), (21, 1))
        >>> outputs[5, 0] = 2.0
        >>> choose_boxes(outputs, 32, 32)[0].tolist()
        [[7.5, 7.5, 15.5, 15.5]]
    """
    scores = 1 / (1 + np.exp(-outputs[:, 0]))
    chosen = np.flatnonzero(scores >= least_score)
    chosen = chosen[np.argsort(-scores[chosen], kind="stable")[:MOST_CANDIDATES]]
    centres = cell_centres(height, width)[0][chosen]
    found = np.concatenate([centres - outputs[chosen, 1:3], centres + outputs[chosen, 3:]], 1)
    kept = suppress_overlaps(found, scores[chosen], SAME_FACE)
    return found[kept], scores[chosen][kept]


def suppress_overlaps(boxes: np.ndarray, scores: np.ndarray, most: float) -> np.ndarray:
    """Choose the best-scored box of each heap (non-maximum suppression).

    Args:
        boxes: (N, 4).
        scores: (N,).
        most: Largest intersection over union that two chosen boxes may have.

    Returns:
        Indices of the chosen boxes, best first.

    Example:
        >>> boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [50, 0, 60, 10.0]])
        >>> suppress_overlaps(boxes, np.array([0.5, 0.9, 0.4]), most=0.3).tolist()
        [1, 2]
    """
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable"):
        if not kept or iou(boxes[i], boxes[kept]).max() <= most:
            kept.append(int(i))
    return np.array(kept, np.intp)
