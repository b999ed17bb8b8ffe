"""Label statistics of a training set; stored with the weights."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from facekp.data.dataset import LandmarkDataset
from facekp.data.shape import roll
from facekp.errors import UserError
from facekp.landmarks import PointSchema
from facekp.vision import geometry


@dataclass(frozen=True)
class CropStatistics:
    """Position and size of the faces in the crops of a data set, in fractions of the crop's side.

    Attributes:
        mean_points: (K, 2) mean face.
        centre: Mean centre of the faces' boxes, x and y.
        side: Mean of the boxes' longer sides.
    """

    mean_points: np.ndarray
    centre: tuple[float, float]
    side: float


def crop_statistics(dataset: LandmarkDataset, size: int, max_samples: int = 500) -> CropStatistics:
    """Compute the statistics of the crops of `dataset`, which has no codec.

    Inference needs them: it places the crop so that the box of a detected face lies where it did in training.

    Args:
        dataset: Data set with the validation transforms, so that nothing is random.
        size: Side of its crops in pixels.
        max_samples: Maximum number of samples to use, evenly spread.

    Returns:
        The statistics.

    Example:
        >>> from facekp.data.drawn import DrawnFacesDataset
        >>> found = crop_statistics(DrawnFacesDataset(20, size=100), size=100)
        >>> found.mean_points.shape, 0.35 < found.side < 0.65
        ((68, 2), True)
    """
    step = max(1, -(-len(dataset) // max_samples))
    points = []
    for index in range(0, len(dataset), step):
        points.append(dataset[index][1] / size)
    boxes = np.stack([dataset.schema.face_box(face) for face in points])
    centre = (boxes[:, :2] + boxes[:, 2:]).mean(0) / 2
    side = float((boxes[:, 2:] - boxes[:, :2]).max(1).mean())
    mean = np.array([np.nanmean(column, 0) if np.isfinite(column).any() else (np.nan, np.nan)
                     for column in np.swapaxes(points, 0, 1)])  # fmt: skip
    return CropStatistics(dataset.schema.completed(mean), (float(centre[0]), float(centre[1])), side)


def label_mean_std(points: np.ndarray) -> tuple[float, float]:
    """Return the mean and standard deviation of all known coordinates, x and y together, as in the document.

    Example:
        >>> label_mean_std(np.array([[[0.0, 2.0]]]))
        (1.0, 1.0)
    """
    values = np.asarray(points, np.float64)
    return float(np.nanmean(values)), float(np.nanstd(values))


def with_mean_face(schema: PointSchema, points: np.ndarray, max_faces: int = 1000) -> PointSchema:
    """Return a schema with the mean face of a training set, if it has none.

    The faces are aligned (rotated, scaled and shifted) by their known points; the mean is made symmetric, and upright
    by its mirror pairs.

    Args:
        schema: Schema of the points.
        points: (N, K, 2) points of the training set; NaN where missing.
        max_faces: Maximum number of faces to use, evenly spread.

    Raises:
        UserError: A point is labelled in no face, or most faces are upside down.

    Example:
        >>> from facekp.landmarks import parse_schema
        >>> ears = parse_schema({"name": "ears", "points": ["left_ear", "right_ear", "chin"]}, "an example")
        >>> with_mean_face(ears, np.array([[[10, 20], [30, 20], [20.0, 40]]])).mean_face
        ((0.0, 0.0), (1.0, 0.0), (0.5, 1.0))
    """
    never = ~np.isfinite(points).all(-1).any(0)
    if never.any():
        name = schema.points[int(never.argmax())]
        raise UserError(f"no face of the training has a label for the point {name}; remove it from the schema "
                        f"{schema.name}, or add such faces")  # fmt: skip
    if float(np.median(np.abs(roll(schema, points)))) > 90:
        left, right = (schema.points[i] for i in schema.mirror_pairs[0])
        raise UserError(f"by the mirror pairs of the schema {schema.name} most faces are upside down: left and right "
                        "are the viewer's, and a pair has the point on the left of the image first; if the images "
                        f"are upright, list mirror_pairs as [{right}, {left}]")  # fmt: skip
    if schema.mean_face is not None:
        return schema
    known = np.isfinite(points).all(-1)
    order = np.argsort(-known.sum(1), kind="stable")  # the most complete faces first
    chosen = order[:: max(1, -(-len(order) // max_faces))]
    faces, known = points[chosen].astype(np.float64), known[chosen]
    mean = faces[0] - np.nanmean(faces[0], 0)
    for _ in range(3):
        aligned = [_aligned(face, mean, seen) for face, seen in zip(faces, known)]
        total = np.nansum(aligned, 0)
        count = np.isfinite(aligned).all(-1).sum(0)[:, None]
        mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    mean = mean - np.nanmean(mean, 0)
    mean = geometry.apply(geometry.rotation(-float(roll(schema, mean[None])[0])), mean)  # mirror pairs become level
    mirrored = (mean * [-1, 1])[schema.flip_order]
    mean = np.nanmean([mean, mirrored], 0) if schema.mirror_pairs else mean
    box = schema.face_box(mean)
    wide, high = (float(side) for side in box[2:] - box[:2])
    mean = (mean - box[:2]) / max(wide, high / 10, 1e-9)  # no schema extends beyond ten of its widths
    return replace(schema, mean_face=tuple((round(float(x), 5), round(float(y), 5)) for x, y in mean))


def _aligned(face: np.ndarray, mean: np.ndarray, known: np.ndarray) -> np.ndarray:
    both = known & np.isfinite(mean).all(-1)
    if both.sum() < 2 or not np.ptp(face[both], axis=0).any():
        return np.full_like(face, np.nan)
    return geometry.apply(geometry.similarity(face[both], mean[both]), face)
