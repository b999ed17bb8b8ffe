"""What an epoch's validation says beyond its metrics: errors by group, the worst samples, the confusion of the score.

A review is fed the batches that validation computes anyway, so that nothing passes through the network twice.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np
import paddle

from facekp.codecs.points import Codec, OutputLayout, sigmoid
from facekp.evaluation.landmarks import Predictions, by_region, by_yaw
from facekp.landmarks import PointSchema
from facekp.metrics import MissedFaces

#: Group -> name -> a fraction: `{"region": {"eyes": 0.05}}`.
Groups = dict[str, dict[str, float]]

#: From this score on a network is taken to say "a face".
THRESHOLD = 0.5

#: Widths of face boxes in pixels of the network's input, between which a detector is judged.
WIDTHS = (0, 20, 40, 80, 160)


class Scores(NamedTuple):
    """What a network's score said, 0 to 1.

    Attributes:
        faces: (N,) float, of faces.
        others: (M,) float, of what shows no face; of a detector the best one of each image.
    """

    faces: np.ndarray
    others: np.ndarray

    def confusion(self) -> np.ndarray:
        """(2, 2) int: rows are faces and others, columns what was taken for a face and what was not.

        Example:
            >>> Scores(np.array([0.9, 0.8, 0.1]), np.array([0.6, 0.2])).confusion().tolist()
            [[2, 1], [1, 1]]
        """
        taken = [(scores >= THRESHOLD).sum() for scores in self]
        return np.array([[count, len(scores) - count] for count, scores in zip(taken, self)], int)

    def rates(self) -> dict[str, float]:
        """The share of the faces that were missed, and of the others that were taken for one; none of neither."""
        (_, missed), (false, _) = self.confusion()
        named = (("faces_missed", missed, self.faces), ("no_faces_taken", false, self.others))
        return {name: float(count / len(scores)) for name, count, scores in named if len(scores)}


class Review(ABC):
    """Collects the samples of one validation, in the data set's order."""

    #: What the worst samples are called: what `errors` says of them.
    unit: str

    def __init__(self) -> None:
        self.clear()

    @abstractmethod
    def clear(self) -> None:
        """Forget all samples."""

    @abstractmethod
    def add(self, predicted: np.ndarray, label: np.ndarray) -> None:
        """Add a batch: what the network predicts, and the labels."""

    @abstractmethod
    def errors(self) -> np.ndarray:
        """(N,) how bad each sample is; NaN where it is not known."""

    @abstractmethod
    def groups(self) -> Groups:
        """The error of each group of points or faces; empty groups are omitted."""

    @abstractmethod
    def scores(self) -> Scores | None:
        """What the score said; None of a network that has none, or where nothing without a face was shown."""

    def worst(self, count: int = 16) -> list[tuple[int, str]]:
        """The worst samples, the worst one first: index, and what to write under it."""
        errors = self.errors()
        order = np.argsort(-errors, kind="stable")[: min(count, int(np.isfinite(errors).sum()))]  # NaN sorts last
        return [(int(i), f"{self.unit} {errors[i] * 100:.1f} %") for i in order]


class PointsReview(Review):
    """Of points: NME by region and by yaw. Samples whose label is all NaN show no face.

    Args:
        codec: Of the labels and of the network.
        schema: What the points are.
        layout: What the network predicts.

    Example:
        >>> from facekp.codecs.points import UnitCodec
        >>> from facekp.landmarks import IBUG68
        >>> review = PointsReview(UnitCodec(100), IBUG68, OutputLayout(68))
        >>> face = IBUG68.mean_points[None] * 50
        >>> review.add(UnitCodec(100).encode(face + 1), UnitCodec(100).encode(face))
        >>> review.worst(), list(review.groups()["yaw"])
        ([(0, 'NME 4.7 %')], ['0-15'])
    """

    unit = "NME"

    def __init__(self, codec: Codec, schema: PointSchema, layout: OutputLayout) -> None:
        self.codec, self.schema, self.layout = codec, schema, layout
        super().__init__()

    def clear(self) -> None:
        """See `Review`."""
        self._predicted: list[np.ndarray] = []
        self._truth: list[np.ndarray] = []
        self._scores: list[np.ndarray] = []

    def add(self, predicted: np.ndarray, label: np.ndarray) -> None:
        """See `Review`: (N, layout.width), (N, 2K) or (N, 3K)."""
        said = self.layout.split(predicted)
        self._predicted.append(self.codec.decode(said.points))
        self._truth.append(self.codec.decode(OutputLayout(self.schema.num_points).split(label).points))
        if said.score is not None:
            self._scores.append(sigmoid(said.score))

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
    """Of face boxes: the share of the faces that score below `THRESHOLD`, by their width.

    A sample is as bad as its worst mistake: how far the score of one of its faces is from 1, or that of a box that is
    no face from 0.

    Args:
        size: Side of the network's input in pixels.
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
        """See `Review`: (N, cells, 5), (N, faces, 5)."""
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
