"""Details of an epoch's validation beyond its metrics: errors by group, worst samples, confusion matrix of the score.

A review receives the batches that validation computes anyway, so that no sample passes through the network twice.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np
import paddle

from facekp.codecs.points import OutputDecoder
from facekp.evaluation.landmarks import Predictions, by_region, by_yaw
from facekp.landmarks import PointSchema
from facekp.metrics import MissedFaces

#: Group -> name -> fraction: `{"region": {"eyes": 0.05}}`.
Groups = dict[str, dict[str, float]]

#: Minimum score that is classified as a face.
THRESHOLD = 0.5

#: Lower limits of the ranges of face widths by which a detector is evaluated, in pixels of the network's input.
WIDTHS = (0, 20, 40, 80, 160)


class Scores(NamedTuple):
    """Scores of a network, 0 to 1.

    Attributes:
        faces: (N,) float, scores of faces.
        others: (M,) float, scores of samples without a face; for a detector, the highest false score of each image.
    """

    faces: np.ndarray
    others: np.ndarray

    def confusion(self) -> np.ndarray:
        """Return the confusion matrix, (2, 2) int: rows are faces and others, columns classified as face and not.

        Example:
            >>> Scores(np.array([0.9, 0.8, 0.1]), np.array([0.6, 0.2])).confusion().tolist()
            [[2, 1], [1, 1]]
        """
        taken = [(scores >= THRESHOLD).sum() for scores in self]
        return np.array([[count, len(scores) - count] for count, scores in zip(taken, self)], int)

    def rates(self) -> dict[str, float]:
        """Return the fractions of faces missed and of others classified as faces; an empty group is omitted."""
        (_, missed), (false, _) = self.confusion()
        named = (("faces_missed", missed, self.faces), ("no_faces_taken", false, self.others))
        return {name: float(count / len(scores)) for name, count, scores in named if len(scores)}


class Review(ABC):
    """Collects the samples of one validation run, in the order of the data set."""

    #: Name of the error, for the captions of the worst samples.
    unit: str

    def __init__(self) -> None:
        self.clear()

    @abstractmethod
    def clear(self) -> None:
        """Discard all samples."""

    @abstractmethod
    def add(self, predicted: np.ndarray, label: np.ndarray) -> None:
        """Add a batch: the network's outputs and the labels."""

    @abstractmethod
    def errors(self) -> np.ndarray:
        """Return the error of each sample, (N,); NaN where it is unknown."""

    @abstractmethod
    def groups(self) -> Groups:
        """Return the error of each group of points or faces; empty groups are omitted."""

    @abstractmethod
    def scores(self) -> Scores | None:
        """Return the scores; None if the network predicts none, or if all samples show a face."""

    def worst(self, count: int = 16) -> list[tuple[int, str]]:
        """Return the worst samples, worst first: index and caption."""
        errors = self.errors()
        order = np.argsort(-errors, kind="stable")[: min(count, int(np.isfinite(errors).sum()))]  # NaN sorts last
        return [(int(i), f"{self.unit} {errors[i] * 100:.1f} %") for i in order]


class PointsReview(Review):
    """Review of points: NME by region and by yaw. Samples whose label is all NaN show no face.

    Args:
        decoder: Decodes the labels and the network's outputs.
        schema: Schema of the points.

    Example:
        >>> from facekp.codecs.points import OutputLayout, UnitCodec
        >>> from facekp.landmarks import IBUG68
        >>> review = PointsReview(OutputDecoder(OutputLayout(68), UnitCodec(100), 100), IBUG68)
        >>> face = IBUG68.mean_points[None] * 50
        >>> review.add(UnitCodec(100).encode(face + 1), UnitCodec(100).encode(face))
        >>> review.worst(), list(review.groups()["yaw"])
        ([(0, 'NME 4.7 %')], ['0-15'])
    """

    unit = "NME"

    def __init__(self, decoder: OutputDecoder, schema: PointSchema) -> None:
        self.decoder, self.schema = decoder, schema
        super().__init__()

    def clear(self) -> None:
        """See `Review`."""
        self._predicted: list[np.ndarray] = []
        self._truth: list[np.ndarray] = []
        self._scores: list[np.ndarray] = []

    def add(self, predicted: np.ndarray, label: np.ndarray) -> None:
        """See `Review`: outputs (N, layout.width), labels (N, 2K) or (N, 3K)."""
        outputs = self.decoder(predicted)
        self._predicted.append(outputs.points)
        self._truth.append(self.decoder.label_points(label))
        if outputs.score is not None:
            self._scores.append(outputs.score)

    @property
    def _predictions(self) -> Predictions:
        return Predictions(np.concatenate(self._predicted), np.concatenate(self._truth))

    def errors(self) -> np.ndarray:
        """See `Review`."""
        return self._predictions.errors(self.schema)

    def groups(self) -> Groups:
        """See `Review`."""
        predictions = self._predictions
        regions = {name: error for name, error in by_region(predictions, self.schema).items() if error is not None}
        return {"region": regions, "yaw": by_yaw(predictions, self.schema)}

    def scores(self) -> Scores | None:
        """See `Review`."""
        face = np.isfinite(np.concatenate(self._truth)).any((1, 2))
        if not self._scores or face.all():
            return None
        scores = np.concatenate(self._scores)
        return Scores(scores[face], scores[~face])


class BoxesReview(Review):
    """Review of face boxes: the fraction of the faces that score below `THRESHOLD`, by width.

    The error of a sample is that of its worst score: the distance of a face's score from 1, or of a false box's score
    from 0.

    Args:
        size: Side length of the network's input in pixels.
    """

    unit = "off by"

    def __init__(self, size: int) -> None:
        self.size, self._metric = size, MissedFaces(size)
        super().__init__()

    def clear(self) -> None:
        """See `Review`."""
        self._found: list[np.ndarray] = []
        self._false: list[np.ndarray] = []
        self._widths: list[np.ndarray] = []

    def add(self, predicted: np.ndarray, label: np.ndarray) -> None:
        """See `Review`: outputs (N, cells, 5), labels (N, faces, 5)."""
        found, false = self._metric.compute(paddle.to_tensor(predicted), paddle.to_tensor(label))
        self._found.append(found.numpy())
        self._false.append(false.numpy())
        self._widths.append(label[:, :, 2] - label[:, :, 0])

    def errors(self) -> np.ndarray:
        """See `Review`."""
        found = np.concatenate(self._found)
        missed = np.where(found >= 0, 1 - found, 0).max(1, initial=0)
        return np.maximum(missed, np.concatenate(self._false))

    def groups(self) -> Groups:
        """See `Review`."""
        found, width = np.concatenate(self._found), np.concatenate(self._widths)
        table = {}
        for low, high in zip(WIDTHS, (*WIDTHS[1:], np.inf)):
            chosen = (found >= 0) & (width >= low) & (width < high)
            if chosen.any():
                name = f"{low}-{high} px" if np.isfinite(high) else f"{low} px up"
                table[name] = float((found[chosen] < THRESHOLD).mean())
        return {"width": table}

    def scores(self) -> Scores | None:
        """See `Review`."""
        found = np.concatenate(self._found)
        return Scores(found[found >= 0], np.concatenate(self._false))
