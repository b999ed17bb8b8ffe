"""Errors of landmarks: NME, failure rate, area under the curve; and the faces that a detector misses.

A metric of landmarks receives the network's output and the label, computes one error per face on the device, and
averages over all faces, however they were batched. NME as in 300-W: the mean distance of the points over the distance
of the outer eye corners (of five points: of the eyes' centres).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
from paddle import Tensor
from paddle.metric import Metric
from paddle.nn import functional as F  # noqa: N812

from facekp import boxes
from facekp.boxes import STRIDES, cell_centres
from facekp.codec import Codec
from facekp.landmarks import EYE_PAIRS, eye_distance


def point_errors(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Error of every point, over the eye distance of the truth.

    Args:
        predicted: (N, K, 2).
        truth: (N, K, 2), in the same unit.

    Returns:
        (N, K); its mean over the last axis is each face's NME.

    Example:
        >>> truth = np.zeros((1, 68, 2)); truth[0, 45, 0] = 10
        >>> point_errors(truth + [0, 1], truth).mean().round(6).item()
        0.1
    """
    return np.linalg.norm(predicted - truth, axis=-1) / eye_distance(truth)[:, None]


class NME(Metric):
    """Normalised mean error, the mean over all faces; a fraction: 0.05 is 5 %.

    Args:
        codec: The codec of the labels. None: they are points, or points moved and scaled as a whole (such as
            those of `StandardCodec`), which changes nothing.
        name: The metric's name in logs.

    Example:
        >>> truth = paddle.zeros([1, 68, 2]); truth[0, 45, 0] = 10.0
        >>> metric = NME()
        >>> _ = metric.update(metric.compute(truth + 1.0, truth))
        >>> round(metric.accumulate(), 6)
        0.141421
    """

    def __init__(self, codec: Codec | None = None, name: str = "nme") -> None:
        super().__init__()
        self._codec, self._name = codec, name
        self.reset()

    def name(self) -> str:
        """The metric's name in logs."""
        return self._name

    @property
    def count(self) -> int:
        """Faces so far."""
        return self._count

    def reset(self) -> None:
        """Forget all faces."""
        self._total, self._count = 0.0, 0

    def compute(self, predicted: Tensor, label: Tensor, *_: Any) -> Tensor:
        """Errors of the faces of a batch, (M,).

        Args:
            predicted: (N, 2K) or (N, K, 2); a score behind the points, (N, 2K + 1), is ignored.
            label: (N, 2K) or (N, K, 2); samples whose label is NaN show no face and do not count.
        """
        faces = paddle.isfinite(label).flatten(1).all(axis=1)
        predicted, label = predicted[:, : label.shape[1]][faces], label[faces]
        if self._codec is None:
            count = label.shape[0]
            p, t = (x.astype("float32").reshape([count, -1, 2]) for x in (predicted, label))
        else:
            p, t = (paddle.to_tensor(self._codec.decode(x.numpy())) for x in (predicted, label))
        left, right = EYE_PAIRS[t.shape[1]]
        return self._of_faces((p - t).norm(axis=-1).mean(axis=-1), (t[:, left] - t[:, right]).norm(axis=-1))

    def update(self, errors: Any) -> float:
        """Add the faces of a batch, (N,); returns the mean so far."""
        values = self._per_face(np.asarray(errors, np.float64).reshape(-1))
        self._total += float(values.sum())
        self._count += len(values)
        return self.accumulate()

    def accumulate(self) -> float:
        """The mean over all faces so far; NaN before the first."""
        return self._total / self._count if self._count else float("nan")

    def _of_faces(self, distance: Tensor, unit: Tensor) -> Tensor:
        return distance / unit

    def _per_face(self, errors: np.ndarray) -> np.ndarray:
        return errors


class MeanDistance(NME):
    """Mean Euclidean distance of the points in pixels of the crop.

    Args:
        codec: See `NME`; here it must be given, because it knows the pixels.
    """

    def __init__(self, codec: Codec) -> None:
        super().__init__(codec, "distance_px")

    def _of_faces(self, distance: Tensor, unit: Tensor) -> Tensor:
        return distance


class FailureRate(NME):
    """The part of the faces whose error is greater than `threshold`.

    Args:
        threshold: 0.08 is 8 %.
        codec: See `NME`.
    """

    def __init__(self, threshold: float, codec: Codec | None = None) -> None:
        super().__init__(codec, f"failure_{threshold * 100:g}")
        self.threshold = threshold

    def _per_face(self, errors: np.ndarray) -> np.ndarray:
        return ~(errors <= self.threshold)  # a NaN is a failure


class AUC(NME):
    """Area under the cumulative error curve from 0 to `threshold`, over `threshold`; 1 is perfect.

    The curve is a staircase with a step at every face's error, so the area is exactly the mean of
    max(0, 1 - error / threshold).

    Args:
        threshold: 0.08 is 8 %.
        codec: See `NME`.
    """

    def __init__(self, threshold: float, codec: Codec | None = None) -> None:
        super().__init__(codec, f"auc_{threshold * 100:g}")
        self.threshold = threshold

    def _per_face(self, errors: np.ndarray) -> np.ndarray:
        return np.where(errors < self.threshold, 1 - errors / self.threshold, 0.0)  # a NaN adds nothing


class DocumentNME(NME):
    """The number that the reference document prints, for comparison only; it is not an NME.

    It forgets its sum at every batch but divides by all faces so far, so what remains at the end is the sum
    over the last batch over the number of all faces.
    """

    def __init__(self, codec: Codec | None = None) -> None:
        super().__init__(codec, "document_nme")

    def update(self, errors: Any) -> float:
        """Add the faces of a batch as the document does."""
        self._total = 0.0
        return super().update(errors)


def build_metrics(codec: Codec | None = None) -> list[NME]:
    """All metrics that training and evaluation report, `nme` first; `MeanDistance` if the codec is known."""
    return [
        NME(codec),
        FailureRate(0.08, codec),
        FailureRate(0.10, codec),
        AUC(0.08, codec),
        *([MeanDistance(codec)] if codec is not None else []),
        DocumentNME(codec),
    ]


class MissedFaces(Metric):
    """The part of the faces that a detector misses when one picture in ten shows it a false one.

    A face is found if a box whose intersection over union with it is at least 0.5 scores above the bar; the bar is the
    lowest at which at most a tenth of the pictures have a box that is no face. Boxes on faces that are ignored or not
    wholly trusted count neither way, nor do boxes between 0.4 and 0.5.

    Args:
        false_share: Of the pictures that may have a false face.
    """

    #: Cells of a picture that are looked at, the best ones.
    _CANDIDATES = 64

    def __init__(self, false_share: float = 0.1) -> None:
        super().__init__()
        self.false_share = false_share
        self.reset()

    def name(self) -> str:
        """The metric's name in logs."""
        return "missed"

    @property
    def count(self) -> int:
        """Faces so far."""
        return sum(map(len, self._found))

    def reset(self) -> None:
        """Forget all pictures."""
        self._found: list[np.ndarray] = []
        self._false: list[np.ndarray] = []

    def compute(self, predicted: Tensor, label: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
        """The best score of each face, (N, faces), -1 for what is no face; of what is none, (N,).

        Args:
            predicted: (N, cells, 5) of square pictures, as `models.detector` predicts.
            label: (N, faces, 5) as `data.pictures` says.
        """
        size = STRIDES[0] * round((predicted.shape[1] / sum((STRIDES[0] / s) ** 2 for s in STRIDES)) ** 0.5)
        scores, order = F.sigmoid(predicted[:, :, 0]).topk(self._CANDIDATES, 1)
        reach = paddle.take_along_axis(predicted, order[:, :, None], 1).numpy()[:, :, 1:]
        centres = cell_centres(size, size)[0][order.numpy()]
        box = np.concatenate([centres - reach[..., :2], centres + reach[..., 2:]], -1)[:, :, None]
        faces, trust, score = label.numpy()[:, None, :, :4], label.numpy()[:, :, 4], scores.numpy()
        overlap = boxes.iou(box, faces)
        found = np.where(trust == 1, ((overlap >= 0.5) * score[:, :, None]).max(1), -1)
        excused = (overlap >= 0.4) | ((boxes.part_inside(box, faces) > 0.5) & (trust < 1)[:, None])
        false = (~excused.any(2) * score).max(1)
        return paddle.to_tensor(found.astype(np.float32)), paddle.to_tensor(false.astype(np.float32))

    def update(self, found: Any, false: Any) -> float:
        """Add a batch."""
        self._found.append(found[found >= 0])
        self._false.append(np.asarray(false))
        return self.accumulate()

    def accumulate(self) -> float:
        """Over all pictures so far; NaN before the first face."""
        found = np.concatenate([*self._found, np.zeros(0)])
        if not len(found):
            return float("nan")
        false = np.sort(np.concatenate(self._false))[::-1]
        bar = false[min(int(len(false) * self.false_share), len(false) - 1)]
        return float((found <= bar).mean())
