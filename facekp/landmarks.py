"""What the 68 points are, and the five: regions, flip order, eye corners, edges to draw, named anchors.

The 68 are iBUG's, as used by 300-W (Sagonas et al., "300 Faces in-the-Wild Challenge", 2016). The five are the centres
of the eyes, the tip of the nose and the corners of the mouth, in this order (Sun et al., "Deep convolutional network
cascade for facial point detection", 2013).
"Left" and "right" are the viewer's: the left eye is the one on the left of the picture.
This is the only place that holds such numbers.
"""

from __future__ import annotations

import numpy as np

from facekp import geometry

NUM_POINTS = 68

#: Region -> indices of its points.
REGIONS: dict[str, list[int]] = {
    "jaw": list(range(0, 17)),
    "brows": list(range(17, 27)),
    "nose": list(range(27, 36)),
    "eyes": list(range(36, 48)),
    "mouth": list(range(48, 68)),
}

LEFT_EYE = list(range(36, 42))
RIGHT_EYE = list(range(42, 48))

#: `points[FLIP_ORDER]` after mirroring the picture puts every point back under its own index.
FLIP_ORDER = np.array(
    [
        *range(16, -1, -1),  # jaw
        *range(26, 16, -1),  # brows
        *range(27, 31), *range(35, 30, -1),  # nose: the ridge stays, the base is swapped
        *range(45, 41, -1), 47, 46,  # left eye <- right eye
        *range(39, 35, -1), 41, 40,  # right eye <- left eye
        *range(54, 47, -1), *range(59, 54, -1),  # outer lips
        *range(64, 59, -1), *range(67, 64, -1),  # inner lips
    ]
)  # fmt: skip

#: Number of points -> `FLIP_ORDER` of such faces.
FLIP_ORDERS = {68: FLIP_ORDER, 5: np.array([1, 0, 2, 4, 3])}

#: Number of points -> the left and the right eye's points.
EYES: dict[int, tuple[list[int], list[int]]] = {68: (LEFT_EYE, RIGHT_EYE), 5: ([0], [1])}

#: Number of points -> the two points whose distance every error is divided by: the outer eye corners of 68, the eyes'
#: centres of five.
EYE_PAIRS = {68: (36, 45), 5: (0, 1)}

#: Curves to draw: (indices, closed).
CURVES: list[tuple[list[int], bool]] = [
    (list(range(0, 17)), False),
    (list(range(17, 22)), False),
    (list(range(22, 27)), False),
    (list(range(27, 31)), False),
    (list(range(31, 36)), False),
    (LEFT_EYE, True),
    (RIGHT_EYE, True),
    (list(range(48, 60)), True),
    (list(range(60, 68)), True),
]

#: The mean face: 2,012 hand-labelled faces of 300-W's training set, aligned by Procrustes analysis and made
#: symmetric. Units: the width of the points' bounding box is 1; its top left corner is the origin.
MEAN_FACE = np.array(
    [
        (0.000, 0.174), (0.004, 0.306), (0.019, 0.437), (0.046, 0.565),
        (0.098, 0.684), (0.176, 0.788), (0.272, 0.875), (0.379, 0.945),
        (0.500, 0.965), (0.621, 0.945), (0.728, 0.875), (0.824, 0.788),
        (0.902, 0.684), (0.954, 0.565), (0.981, 0.437), (0.996, 0.306),
        (1.000, 0.174), (0.097, 0.070), (0.159, 0.016), (0.244, 0.000),
        (0.333, 0.012), (0.417, 0.045), (0.583, 0.045), (0.667, 0.012),
        (0.756, 0.000), (0.841, 0.016), (0.903, 0.070), (0.500, 0.150),
        (0.500, 0.236), (0.500, 0.321), (0.500, 0.409), (0.400, 0.467),
        (0.448, 0.485), (0.500, 0.501), (0.552, 0.485), (0.600, 0.467),
        (0.197, 0.163), (0.250, 0.132), (0.315, 0.133), (0.370, 0.175),
        (0.310, 0.187), (0.246, 0.186), (0.630, 0.175), (0.685, 0.133),
        (0.750, 0.132), (0.803, 0.163), (0.754, 0.186), (0.690, 0.187),
        (0.308, 0.630), (0.378, 0.599), (0.450, 0.584), (0.500, 0.596),
        (0.550, 0.584), (0.622, 0.599), (0.692, 0.630), (0.624, 0.698),
        (0.554, 0.728), (0.500, 0.733), (0.446, 0.728), (0.376, 0.698),
        (0.338, 0.633), (0.450, 0.627), (0.500, 0.632), (0.550, 0.627),
        (0.662, 0.633), (0.551, 0.663), (0.500, 0.669), (0.449, 0.663),
    ],
    np.float32,
)  # fmt: skip


#: The five points of the mean face.
MEAN_FIVE = np.stack(
    [MEAN_FACE[LEFT_EYE].mean(0), MEAN_FACE[RIGHT_EYE].mean(0), MEAN_FACE[30], MEAN_FACE[48], MEAN_FACE[54]]
)


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

_EYES_MIDDLE = np.array([*MEAN_FACE[LEFT_EYE + RIGHT_EYE].mean(0), 0.29])
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


def anchors(points: np.ndarray) -> dict[str, np.ndarray]:
    """Name places of a face, some of them extrapolated beyond the 68 points.

    The forehead, the crown and other places without landmarks are those of an average head that is turned
    like this one; an opening mouth does not move them.

    Args:
        points: (68, 2) pixels of the picture.

    Returns:
        Name -> (2,) float64 pixels.

    Raises:
        ValueError: `points` does not have the shape (68, 2).

    Example:
        >>> places = anchors(MEAN_FACE * 100)
        >>> [round(float(v)) for v in places["brow_centre"]], bool(places["crown"][1] < 0)
        ([50, 4], True)
    """
    p = np.asarray(points, np.float64)
    if p.shape != (NUM_POINTS, 2):
        raise ValueError(f"anchors need points of shape (68, 2), not {p.shape}")
    eyes, camera = p[LEFT_EYE + RIGHT_EYE].mean(0), head_camera(p)
    return {
        **{name: eyes + camera @ (place - _EYES_MIDDLE) for name, place in HEAD_PLACES.items()},
        "left_eye": p[LEFT_EYE].mean(0),
        "right_eye": p[RIGHT_EYE].mean(0),
        "left_eye_outer": p[36],
        "right_eye_outer": p[45],
        "brow_centre": p[[21, 22]].mean(0),
        "left_brow": p[17:22].mean(0),
        "right_brow": p[22:27].mean(0),
        "nose_bridge": p[27],
        "nose_tip": p[30],
        "nose_base": p[33],
        "left_cheek": p[[2, 31, 48]].mean(0),
        "right_cheek": p[[14, 35, 54]].mean(0),
        "mouth_left": p[48],
        "mouth_right": p[54],
        "mouth": p[48:60].mean(0),
        "mouth_top": p[51],
        "mouth_bottom": p[57],
        "left_ear": p[0],
        "right_ear": p[16],
        "left_jaw": p[4],
        "right_jaw": p[12],
        "chin": p[8],
    }


def face_outline(points: np.ndarray) -> np.ndarray:
    """Polygon around a face's skin: the jaw, closed by a half ellipse over the forehead.

    Args:
        points: (68, 2) pixels of the picture.

    Returns:
        (33, 2) float64.

    Example:
        >>> outline = face_outline(MEAN_FACE * 100)
        >>> outline.shape, bool(outline[:, 1].min() < -20)
        ((33, 2), True)
    """
    p = np.asarray(points, np.float64)
    middle, half, up = (p[0] + p[16]) / 2, (p[16] - p[0]) / 2, anchors(p)["forehead"] - (p[0] + p[16]) / 2
    angle = np.linspace(0, np.pi, 18)[1:-1, None]
    return np.vstack([p[:17], middle + np.cos(angle) * half + np.sin(angle) * up])


def eye_distance(points: np.ndarray) -> np.ndarray:
    """The unit of NME: the distance between the outer eye corners of 68 points, or between the eyes of five.

    Args:
        points: (..., 68, 2) or (..., 5, 2).

    Returns:
        (...) in the unit of `points`.

    Example:
        >>> round(float(eye_distance(MEAN_FACE * 100)), 1)
        60.6
    """
    left, right = EYE_PAIRS[points.shape[-2]]
    return np.linalg.norm(points[..., left, :] - points[..., right, :], axis=-1)


def face_box(points: np.ndarray) -> np.ndarray:
    """The face's box: around 68 points, or around where they would be if there are only five.

    Args:
        points: (68, 2) or (5, 2).

    Returns:
        (4,) x0, y0, x1, y1.

    Example:
        >>> box = face_box(MEAN_FIVE * 100)
        >>> bool(abs(box - geometry.bounding_box(MEAN_FACE * 100)).max() < 1e-3)
        True
    """
    if len(points) == len(MEAN_FIVE):
        points = geometry.apply(geometry.similarity(MEAN_FIVE, points), MEAN_FACE)
    return geometry.bounding_box(points)


def mouth_openness(points: np.ndarray) -> float:
    """Gap between the inner lips over their width: about 0 when shut, above 0.3 when open.

    Example:
        >>> 0 < mouth_openness(MEAN_FACE) < 0.15
        True
    """
    gap = np.linalg.norm(points[[61, 62, 63]] - points[[67, 66, 65]], axis=-1).mean()
    return float(gap / max(np.linalg.norm(points[60] - points[64]), 1e-6))
