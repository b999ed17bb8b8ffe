"""Errors of landmarks: NME, failure rate, area under the curve; and the faces that a detector misses.

A landmark metric receives the network's output and the label, computes one error per face on the device, and averages
over all faces, regardless of the batches. NME is that of 300-W: the mean distance of the points, divided by the
distance of the schema's normalising pair, the outer eye corners of 68 points. Points whose label is NaN are ignored.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable

import numpy as np
import paddle
from paddle import Tensor
from paddle.metric import Metric
from paddle.nn import functional as F  # noqa: N812

from facekp import registry
from facekp.codecs.boxes import BoxCodec
from facekp.codecs.points import Codec, OutputLayout
from facekp.landmarks import IBUG68, PointSchema
from facekp.registry import Spec
from facekp.vision import boxes


def point_errors(predicted: np.ndarray, truth: np.ndarray, schema: PointSchema = IBUG68) -> np.ndarray:
    """Return the error of every point, divided by the normalising distance of the truth.

    Args:
        predicted: (N, K, 2) predicted points.
        truth: (N, K, 2) true points, in the same unit.
        schema: Schema of the points.

    Returns:
        (N, K); its mean over the last axis is each face's NME. NaN where the truth is.

    Example:
        >>> truth = np.zeros((1, 68, 2)); truth[0, 45, 0] = 10
        >>> point_errors(truth + [0, 1], truth).mean().round(6).item()
        0.1
    """
    return np.linalg.norm(predicted - truth, axis=-1) / schema.unit(truth)[:, None]


class NME(Metric):
    """Normalised mean error, averaged over all faces; a fraction: 0.05 is 5 %.

    Args:
        codec: Codec of the labels. None: they are points, or points shifted and scaled as a whole (such as
            those of `StandardCodec`), which does not change the NME.
        schema: Schema of the points.
        name: Name of the metric in logs.

    Example:
        >>> truth = paddle.zeros([1, 68, 2]); truth[0, 45, 0] = 10.0
        >>> metric = NME()
        >>> _ = metric.update(metric.compute(truth + 1.0, truth))
        >>> round(metric.accumulate(), 6)
        0.141421
    """

    def __init__(self, codec: Codec | None = None, schema: PointSchema = IBUG68, name: str = "nme") -> None:
        super().__init__()
        self._codec, self._schema, self._name = codec, schema, name
        self.reset()

    def name(self) -> str:
        """The metric's name in logs."""
        return self._name

    @property
    def count(self) -> int:
        """Faces so far."""
        return self._count

    def reset(self) -> None:
        """Discard all faces."""
        self._total, self._count = 0.0, 0

    def compute(self, predicted: Tensor, *rest: Tensor) -> Tensor:
        """Compute the errors of the faces of a batch, (M,).

        Args:
            predicted: (N, 2K) or (N, K, 2); outputs after the points are ignored.
            *rest: Further outputs of a network in training mode, and last the label, (N, 2K) or (N, K, 2);
                visibility after it is ignored. Samples whose label is all NaN show no face and do not count, nor do
                faces whose normalising pair is NaN.
        """
        label = rest[-1]
        if predicted.ndim == 2:
            layout = OutputLayout(self._schema.num_points)
            predicted, label = layout.split(predicted).points, layout.split(label.flatten(1)).points
        unit = self._unit(label)
        faces = paddle.isfinite(unit)
        predicted, label, unit = predicted[faces], label[faces], unit[faces]
        if self._codec is None:
            count = label.shape[0]
            p, t = (x.astype("float32").reshape([count, -1, 2]) for x in (predicted, label))
        else:
            p, t = (paddle.to_tensor(self._codec.decode(x.numpy())) for x in (predicted, label))
        return self._of_faces(paddle.nanmean((p - t).norm(axis=-1), axis=-1), unit)

    def _unit(self, label: Tensor) -> Tensor:
        """Return the normalising distance of each face, (N,); NaN where it is unknown."""
        points = label.numpy()
        points = np.where(np.isinf(points), np.nan, points)  # a face with unknown points
        points = points.reshape(len(points), -1, 2) if self._codec is None else self._codec.decode(points)
        return paddle.to_tensor(self._schema.unit(points).astype(np.float32))

    def update(self, errors: Any) -> float:
        """Add the errors of a batch, (N,), and return the mean so far."""
        values = self._per_face(np.asarray(errors, np.float64).reshape(-1))
        self._total += float(values.sum())
        self._count += len(values)
        return self.accumulate()

    def accumulate(self) -> float:
        """Return the mean over all faces so far; NaN before the first."""
        return self._total / self._count if self._count else float("nan")

    def _of_faces(self, distance: Tensor, unit: Tensor) -> Tensor:
        return distance / unit

    def _per_face(self, errors: np.ndarray) -> np.ndarray:
        return errors


class MeanDistance(NME):
    """Mean Euclidean distance of the points in pixels of the crop.

    Args:
        codec: See `NME`; required here, to decode pixels.
        schema: See `NME`.
    """

    def __init__(self, codec: Codec, schema: PointSchema = IBUG68) -> None:
        super().__init__(codec, schema, "distance_px")

    def _of_faces(self, distance: Tensor, unit: Tensor) -> Tensor:
        return distance


def _checked(threshold: float) -> float:
    if not 0 < threshold < 1:
        raise ValueError(f"threshold is a fraction between 0 and 1, 0.08 for 8 %, not {threshold:g}")
    return threshold


class FailureRate(NME):
    """Fraction of the faces whose error is greater than `threshold`.

    Args:
        threshold: Error as a fraction; 0.08 is 8 %.
        codec: See `NME`.
        schema: See `NME`.
    """

    def __init__(self, threshold: float, codec: Codec | None = None, schema: PointSchema = IBUG68) -> None:
        super().__init__(codec, schema, f"failure_{threshold * 100:g}")
        self.threshold = _checked(threshold)

    def _per_face(self, errors: np.ndarray) -> np.ndarray:
        return ~(errors <= self.threshold)  # NaN is a failure


class AUC(NME):
    """Area under the cumulative error curve from 0 to `threshold`, divided by `threshold`; 1 is perfect.

    The curve is a step function with a step at every face's error, so the area is exactly the mean of
    max(0, 1 - error / threshold).

    Args:
        threshold: Error as a fraction; 0.08 is 8 %.
        codec: See `NME`.
        schema: See `NME`.
    """

    #: Such a metric cannot select the best weights.
    higher_is_better = True

    def __init__(self, threshold: float, codec: Codec | None = None, schema: PointSchema = IBUG68) -> None:
        super().__init__(codec, schema, f"auc_{threshold * 100:g}")
        self.threshold = _checked(threshold)

    def _per_face(self, errors: np.ndarray) -> np.ndarray:
        return np.where(errors < self.threshold, 1 - errors / self.threshold, 0.0)  # NaN adds nothing


class DocumentNME(NME):
    """The number that the reference document prints, for comparison only; it is not an NME.

    The sum is reset at every batch but divided by the number of all faces so far, so the final value is the sum
    over the last batch divided by the number of all faces.
    """

    def __init__(self, codec: Codec | None = None, schema: PointSchema = IBUG68) -> None:
        super().__init__(codec, schema, "document_nme")

    def update(self, errors: Any) -> float:
        """Add the faces of a batch as the document does."""
        self._total = 0.0
        return super().update(errors)


class MissedFaces(Metric):
    """Fraction of the faces that a detector misses at 0.1 false positives per image.

    A face is found if a box whose intersection over union with it is at least 0.5 scores above the threshold; the
    threshold is the lowest at which at most a tenth of the images have a false positive. Boxes on faces that are
    ignored or not fully trusted count neither way, nor do boxes with an overlap between 0.4 and 0.5.

    Args:
        size: Side length of the images in pixels.
        false_share: Maximum fraction of images with a false positive.
    """

    #: Number of highest-scoring cells that are evaluated in an image.
    _CANDIDATES = 64
    #: Number of bins in which scores are counted, so that `accumulate` costs the same after every batch.
    _BINS = 1 << 14

    def __init__(self, size: int, false_share: float = 0.1) -> None:
        super().__init__()
        self._codec, self.false_share = BoxCodec(size, size), false_share
        self.reset()

    def name(self) -> str:
        """The metric's name in logs."""
        return "missed"

    @property
    def count(self) -> int:
        """Faces so far."""
        return int(self._found.sum())

    def reset(self) -> None:
        """Discard all images."""
        self._found, self._false = np.zeros((2, self._BINS + 1), np.int64)

    def compute(self, predicted: Tensor, label: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
        """Compute the best score of each face, (N, faces), -1 where none counts; and of false positives, (N,).

        Args:
            predicted: (N, cells, 5) outputs of `models.detector` for square images.
            label: (N, faces, 5) labels of `data.composed`.
        """
        scores, order = F.sigmoid(predicted[:, :, 0]).topk(self._CANDIDATES, 1)
        chosen = paddle.take_along_axis(predicted, order[:, :, None], 1).numpy()
        box = self._codec.decode(chosen, order.numpy())[:, :, None]
        faces, trust, score = label.numpy()[:, None, :, :4], label.numpy()[:, :, 4], scores.numpy()
        overlap = boxes.iou(box, faces)
        found = np.where(trust == 1, ((overlap >= 0.5) * score[:, :, None]).max(1), -1)
        ignored = (overlap >= 0.4) | ((boxes.part_inside(box, faces) > 0.5) & (trust < 1)[:, None])
        false = (~ignored.any(2) * score).max(1)
        return paddle.to_tensor(found.astype(np.float32)), paddle.to_tensor(false.astype(np.float32))

    def update(self, found: Any, false: Any) -> float:
        """Add a batch, and return the value so far."""
        found, false = np.asarray(found), np.asarray(false)
        for scores, counts in ((found[found >= 0], self._found), (false, self._false)):
            counts += np.bincount((scores * self._BINS).round().astype(int).ravel(), minlength=self._BINS + 1)
        return self.accumulate()

    def accumulate(self) -> float:
        """Return the value over all images so far; NaN before the first face."""
        if not self.count:
            return float("nan")
        images = int(self._false.sum())
        allowed = min(int(images * self.false_share), images - 1)
        # The bin of the highest-scoring false positive that exceeds the allowed number.
        threshold = self._BINS - int((self._false[::-1].cumsum() > allowed).argmax())
        return float(self._found[: threshold + 1].sum() / self.count)


#: Name in a config -> metric of points, which also receives the `codec` and the `schema`.
METRICS: dict[str, Callable[..., Metric]] = {
    "nme": NME,
    "failure_rate": FailureRate,
    "auc": AUC,
    "mean_distance": MeanDistance,
    "document_nme": DocumentNME,
}

#: Name in a config -> metric of face boxes, which also receives the `size` of the images.
BOX_METRICS: dict[str, Callable[..., Metric]] = {"missed": MissedFaces}

#: Metrics of training and evaluation if a config names none; the first one selects the best weights.
DEFAULT_METRICS: list[Spec] = [
    "nme",
    {"type": "failure_rate", "threshold": 0.08},
    {"type": "failure_rate", "threshold": 0.1},
    {"type": "auc", "threshold": 0.08},
    "mean_distance",
]
DEFAULT_BOX_METRICS: list[Spec] = ["missed"]


def build_metrics(specs: Sequence[Spec], codec: Codec, schema: PointSchema) -> list[Metric]:
    """Build the metrics of points that a config names."""
    return [registry.build(METRICS, spec, "metric", codec=codec, schema=schema) for spec in specs]
