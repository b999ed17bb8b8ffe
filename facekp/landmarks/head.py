"""Three-dimensional model of an average head."""

from __future__ import annotations

import numpy as np

from facekp.landmarks.schema import IBUG68

#: Mean face of 68 points; its box is 1 wide, with its top left corner at the origin.
MEAN_FACE = IBUG68.mean_points

# The left half; the right half mirrors it. Brows, nose, eyes and mouth: the depths that best explain the side views of
# 2,012 hand-labelled faces of 300-W's training set (least squares). The jaw: rounded values of average adults, because
# its labelled points slide along the visible edge when a head turns.
_JAW = (-0.18, -0.16, -0.13, -0.08, 0.00, 0.09, 0.19, 0.27)
_BROW = (0.21, 0.27, 0.32, 0.37, 0.39)
_NOSE = (0.40, 0.44, 0.50, 0.55)
_LIPS_OUTER, _LIPS_INNER = (0.29, 0.36, 0.41), (0.32, 0.39)

#: Depth of each of the 68 points, in front of the ears, in units of `MEAN_FACE`.
DEPTH = np.array([
    *_JAW, 0.31, *_JAW[::-1], *_BROW, *_BROW[::-1], *_NOSE, 0.41, 0.44, 0.46, 0.44, 0.41,
    0.25, 0.27, 0.28, 0.28, 0.28, 0.27, 0.28, 0.28, 0.27, 0.25, 0.27, 0.28,
    *_LIPS_OUTER, 0.42, *_LIPS_OUTER[::-1], 0.36, 0.39, 0.40, 0.39, 0.36,
    *_LIPS_INNER, 0.41, *_LIPS_INNER[::-1], 0.39, 0.40, 0.39,
])  # fmt: skip

#: Points of the average head: x, y, depth in units of `MEAN_FACE`.
HEAD_POINTS = np.hstack([MEAN_FACE, DEPTH[:, None]])

#: Places of the head without landmarks: x, y, depth in units of `MEAN_FACE`.
HEAD_PLACES = {
    "forehead": (0.50, -0.23, 0.32),
    "above_eyes": (0.50, -0.275, 0.29),  # one eye distance above the eyes, in their plane
    "crown": (0.50, -0.54, -0.10),
    "head_centre": (0.50, -0.05, -0.10),  # inside the skull, below the crown
    "left_temple": (0.01, -0.05, 0.00),
    "right_temple": (0.99, -0.05, 0.00),
}

#: Midpoint between the eyes.
EYES_MIDDLE = HEAD_POINTS[36:48].mean(0)
