"""An average head in three dimensions, and how it must be turned to look like a face's points."""

from __future__ import annotations

import numpy as np

from facekp.landmarks.schema import IBUG68

#: The mean face of 68 points; its box is 1 wide, its top left corner the origin.
MEAN_FACE = IBUG68.mean_points

#: The points that the skull carries: neither jaw nor mouth moves them.
RIGID = list(range(17, 48))

#: How far each of `RIGID` lies before the ears, in units of `MEAN_FACE`: a rough average of adult heads.
RIGID_DEPTH = np.array(
    [
        0.20, 0.27, 0.32, 0.35, 0.37, 0.37, 0.35, 0.32, 0.27, 0.20,  # brows
        0.37, 0.43, 0.50, 0.56, 0.42, 0.45, 0.47, 0.45, 0.42,  # nose
        0.26, 0.29, 0.30, 0.29, 0.30, 0.28, 0.29, 0.30, 0.29, 0.26, 0.28, 0.30,  # eyes
    ]
)  # fmt: skip

#: Places of the head that carry no landmarks: x, y, depth in units of `MEAN_FACE`.
HEAD_PLACES = {
    "forehead": (0.50, -0.23, 0.32),
    "above_eyes": (0.50, -0.275, 0.29),  # one eye distance above the eyes, in their plane
    "crown": (0.50, -0.54, -0.10),
    "head_centre": (0.50, -0.05, -0.10),  # inside the skull, below the crown
    "left_temple": (0.01, -0.05, 0.00),
    "right_temple": (0.99, -0.05, 0.00),
}

#: The middle of the eyes, the origin of `head_camera`.
EYES_MIDDLE = np.array([*MEAN_FACE[36:48].mean(0), 0.29])
_RIGID_SHAPE = np.hstack([MEAN_FACE[RIGID], RIGID_DEPTH[:, None]])
_SOLVE_HEAD = np.linalg.pinv(_RIGID_SHAPE - _RIGID_SHAPE.mean(0)).T


def head_camera(points: np.ndarray) -> np.ndarray:
    """How an average head must be turned and scaled to look like these points (scaled orthography).

    Args:
        points: (68, 2) pixels of the picture.

    Returns:
        (2, 3) float64: from x, y, depth relative to the eyes' middle to pixels relative to it.

    Example:
        >>> (abs(head_camera(MEAN_FACE * 100)) / 100).round(3).tolist()
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    """
    rigid = np.asarray(points, np.float64)[RIGID]
    loose = (rigid - rigid.mean(0)).T @ _SOLVE_HEAD  # any affine camera; the nearest true one follows
    u, size, vt = np.linalg.svd(loose, full_matrices=False)
    return size.mean() * u @ vt
