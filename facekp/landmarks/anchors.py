"""Named positions on a face, for stickers: computed from its points or extrapolated from them."""

from __future__ import annotations

import functools

import numpy as np

from facekp.landmarks.head import HEAD_PLACES
from facekp.landmarks.pose import Pose, complete_far_side, head_pose
from facekp.landmarks.schema import IBUG68, PointSchema


def anchors(points: np.ndarray, schema: PointSchema = IBUG68, pose: Pose | None = None) -> dict[str, np.ndarray]:
    """Return the anchors of a face, some of them extrapolated beyond its points.

    The forehead, the crown and other anchors without landmarks are those of an average head in the same pose; an
    opening mouth does not move them. On the far side of a turned head, the anchors mirror those of the near side.
    Both need points that can be converted to the 68.

    Args:
        points: (K, 2) points in pixels of the image.
        schema: Schema of the points.
        pose: Pose of this face, N = 1; None: estimated from the points.

    Returns:
        Name -> (2,) float64 pixels.

    Raises:
        ValueError: `points` does not have the shape (K, 2).

    Example:
        >>> from facekp.landmarks import MEAN_FACE
        >>> places = anchors(MEAN_FACE * 100)
        >>> [round(float(v)) for v in places["brow_centre"]], bool(places["crown"][1] < 0)
        ([50, 4], True)
    """
    p = np.asarray(points, np.float64)
    if p.shape != (schema.num_points, 2):
        raise ValueError(f"anchors of {schema.name} need points of shape ({schema.num_points}, 2), not {p.shape}")
    whole = schema.converted(p, IBUG68.name)
    if whole is None:
        return _means(p, schema)
    pose = head_pose(whole[None]) if pose is None else pose
    seen, places = _means(whole, IBUG68), _means(complete_far_side(whole, pose), IBUG68)
    camera = pose.camera[0, :2]
    head = dict(zip(HEAD_PLACES, np.array([*HEAD_PLACES.values()]) @ camera[:, :3].T + camera[:, 3]))
    own = {} if schema.name == IBUG68.name else _means(p, schema)
    for name in own.keys() & places.keys():  # the far-side correction of the 68 points
        own[name] = own[name] + (places[name] - seen[name])
    return {**head, **places, **own}


def _means(points: np.ndarray, schema: PointSchema) -> dict[str, np.ndarray]:
    return dict(zip(schema.anchors, _weights(schema) @ points))


@functools.lru_cache
def _weights(schema: PointSchema) -> np.ndarray:
    """Return the weight of each point in each anchor, (A, K)."""
    weights = np.zeros((len(schema.anchors), schema.num_points))
    for row, indices in zip(weights, schema.anchors.values()):
        np.add.at(row, list(indices), 1 / len(indices))
    return weights


@functools.lru_cache
def anchor_names(schema: PointSchema = IBUG68) -> frozenset[str]:
    """Return the names of all anchors that `anchors` computes.

    Example:
        >>> "crown" in anchor_names(), "elbow" in anchor_names()
        (True, False)
    """
    if schema.conversion(IBUG68) is not None:
        return frozenset({*HEAD_PLACES, *IBUG68.anchors, *schema.anchors})
    return frozenset(schema.anchors)


#: (16, 2): cosine and sine along a half ellipse, without its ends.
_ARC = np.array([(np.cos(angle), np.sin(angle)) for angle in np.linspace(0, np.pi, 18)[1:-1]])


def face_outline(points: np.ndarray, pose: Pose | None = None) -> np.ndarray:
    """Return a polygon around the skin of a face: the jaw, closed by a half ellipse over the forehead.

    Args:
        points: (68, 2) points in pixels of the image.
        pose: Pose of this face, N = 1; None: estimated from the points.

    Returns:
        (33, 2) float64.

    Example:
        >>> from facekp.landmarks import MEAN_FACE
        >>> outline = face_outline(MEAN_FACE * 100)
        >>> outline.shape, bool(outline[:, 1].min() < -20)
        ((33, 2), True)
    """
    p = np.asarray(points, np.float64)
    pose = head_pose(p[None]) if pose is None else pose
    middle, half = (p[0] + p[16]) / 2, (p[16] - p[0]) / 2
    up = (pose.camera[0] @ (*HEAD_PLACES["forehead"], 1))[:2] - middle
    return np.concatenate([p[:17], _ARC @ (half, up) + middle])
