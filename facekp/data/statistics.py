"""What a training set says about its labels; kept with the weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facekp.data.dataset import LandmarkDataset


@dataclass(frozen=True)
class CropStatistics:
    """How faces lie in the crops of a data set; all lengths are fractions of the crop's side.

    Attributes:
        mean_points: (K, 2) mean face.
        centre: Mean centre of the faces' boxes, x and y.
        side: Mean of the boxes' longer sides.
    """

    mean_points: np.ndarray
    centre: tuple[float, float]
    side: float


def crop_statistics(dataset: LandmarkDataset, size: int, most: int = 500) -> CropStatistics:
    """Measure the crops that `dataset` makes (its codec is not applied).

    Inference needs it: there the crop is laid so that the box of a found face lies where training had it.

    Args:
        dataset: With the transforms of validation, so that nothing is random.
        size: Side of its crops in pixels.
        most: Look at no more than so many samples, evenly spread.

    Returns:
        The statistics.

    Example:
        >>> from facekp.data.drawn import DrawnFacesDataset
        >>> found = crop_statistics(DrawnFacesDataset(20, size=100), size=100)
        >>> found.mean_points.shape, 0.35 < found.side < 0.65
        ((68, 2), True)
    """
    step = max(1, -(-len(dataset) // most))
    points = []
    for index in range(0, len(dataset), step):
        points.append(dataset[index][1] / size)
    boxes = np.stack([dataset.schema.face_box(face) for face in points])
    centre = (boxes[:, :2] + boxes[:, 2:]).mean(0) / 2
    side = float((boxes[:, 2:] - boxes[:, :2]).max(1).mean())
    return CropStatistics(np.nanmean(points, 0), (float(centre[0]), float(centre[1])), side)


def label_mean_std(points: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation over all known coordinates, x and y together, as the document has them.

    Example:
        >>> label_mean_std(np.array([[[0.0, 2.0]]]))
        (1.0, 1.0)
    """
    values = np.asarray(points, np.float64)
    return float(np.nanmean(values)), float(np.nanstd(values))
