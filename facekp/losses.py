"""Losses by the name that a config gives them.

Those of points take (predicted, label), both (N, 2K), and average; `PointsLoss` around them omits unknown points.
"""

from __future__ import annotations

import math
from typing import Callable

import paddle
from paddle import Tensor, nn
from paddle.nn import functional as F  # noqa: N812 (the field's name for it)

from facekp import registry
from facekp.codecs.boxes import BoxCodec
from facekp.codecs.points import split_outputs
from facekp.registry import Spec

#: A score's target falls with the mean error of a face's points: 1 at zero, 0.37 at this many percent of the crop.
POOR_ERROR = 8.0


class WingLoss(nn.Layer):
    """Logarithmic for small errors, so that they still pull (Feng et al., "Wing Loss", 2018).

    Args:
        width: Errors beyond it count linearly; the paper's 10 pixels of 256 are 4 percent of the crop.
        curvature: The paper's epsilon, 2 pixels: 0.8 percent.

    Example:
        >>> loss = WingLoss()
        >>> float(loss(paddle.zeros([1, 4]), paddle.zeros([1, 4])))
        0.0
    """

    def __init__(self, width: float = 4.0, curvature: float = 0.8) -> None:
        super().__init__()
        self.width, self.curvature = width, curvature
        self.offset = width - width * math.log(1 + width / curvature)

    def forward(self, predicted: Tensor, label: Tensor) -> Tensor:
        """(N, 2K), (N, 2K) -> scalar."""
        error = (predicted - label).abs()
        near = self.width * paddle.log(1 + error / self.curvature)
        return paddle.where(error < self.width, near, error - self.offset).mean()


class PointsLoss(nn.Layer):
    """A loss of the points that are known, and of a score that says how far to trust them, if the network gives one.

    A coordinate whose label is NaN is not known: no error, no gradient. A sample that is all NaN shows no face. The
    score's target is exp(-(e / POOR_ERROR)^2) with the mean error e of the face's points, and 0 where there is no face.

    Args:
        points: The loss of the points, from `LOSSES`; for a score the labels must be in percent of the crop.
        score_weight: Of the score's cross-entropy beside it.

    Example:
        >>> loss, label = PointsLoss(nn.L1Loss()), paddle.to_tensor([[1.0, float("nan")]])
        >>> float(loss(paddle.zeros([1, 2]), label))
        1.0
    """

    def __init__(self, points: nn.Layer, score_weight: float = 0.5) -> None:
        super().__init__()
        self.points, self.score_weight = points, score_weight

    def forward(self, predicted: Tensor, label: Tensor) -> Tensor:
        """(N, 2K) or (N, 2K + 1), (N, 2K) -> scalar."""
        points, logit = split_outputs(predicted, label.shape[1] // 2)
        known = paddle.isfinite(label)
        label = paddle.where(known, label, points.detach())
        count = known.astype(points.dtype).sum()
        # The loss averages over all coordinates; count the known ones alone.
        loss = self.points(points, label) * (label.size / count.clip(min=1.0))
        if logit is None:
            return loss
        face = known.any(axis=1).astype(points.dtype)
        error = (points.detach() - label).reshape([len(label), -1, 2]).norm(axis=-1).sum(axis=-1)
        error = error / (known.astype(points.dtype).sum(axis=1) / 2).clip(min=1.0)
        target = face * paddle.exp(-((error / POOR_ERROR) ** 2))
        return loss + self.score_weight * F.binary_cross_entropy_with_logits(logit, target)


class BoxLoss(nn.Layer):
    """What a face detector learns: quality focal loss for the scores, GIoU for the boxes.

    Which cell learns which face is said by `BoxCodec.encode`. The target of a cell's score is the intersection over
    union of its box with its face's, so that the score of a face says how well its box sits (Li et al., "Generalized
    Focal Loss", 2020; here no gradient flows through the factor that focuses). The boxes' loss is that of Rezatofighi
    et al., "Generalized IoU", 2019.

    Args:
        size: Side of the images in pixels.
        box_weight: Of the boxes beside the scores.
    """

    def __init__(self, size: int, box_weight: float = 2.0) -> None:
        super().__init__()
        self.codec, self.box_weight = BoxCodec(size, size), box_weight

    def forward(self, predicted: Tensor, label: Tensor) -> Tensor:
        """(N, cells, 5) as `models.detector` predicts, (N, faces, 5) as `data.composed` makes it -> scalar."""
        with paddle.no_grad():
            targets = self.codec.encode(label)
        logit = predicted[:, :, 0]
        overlap, giou = _overlaps(self.codec.decode(predicted), targets.box)
        score = F.sigmoid(logit)
        target = overlap.detach() * (targets.trust > 0).astype("float32")
        focus = (target - score.detach()) ** 2
        scores = F.binary_cross_entropy_with_logits(logit, target, reduction="none") * focus * targets.counts
        sure = (targets.trust == 1).astype("float32")  # a box that nobody checked says where, not how far
        total = targets.trust.sum().clip(min=1.0)
        return (scores.sum() + self.box_weight * (sure * (1 - giou)).sum()) / total


def _overlaps(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Intersection over union and generalized IoU of boxes, (..., 4) each."""

    def area(low: Tensor, high: Tensor) -> Tensor:
        sides = (high - low).clip(min=0)
        return sides[..., 0] * sides[..., 1]  # the gradient of prod() is NaN at 0

    (low_a, high_a), (low_b, high_b) = ((x[..., :2], x[..., 2:]) for x in (a, b))
    inner = area(paddle.maximum(low_a, low_b), paddle.minimum(high_a, high_b))
    outer = area(paddle.minimum(low_a, low_b), paddle.maximum(high_a, high_b)).clip(min=1e-6)
    union = (area(low_a, high_a) + area(low_b, high_b) - inner).clip(min=1e-6)
    return inner / union, inner / union - (outer - union) / outer


def smooth_l1(delta: float = 1.0) -> nn.Layer:
    """Squares below `delta`, straight beyond (Girshick, "Fast R-CNN", 2015)."""
    if not delta > 0:
        raise ValueError("delta is positive")
    return nn.SmoothL1Loss(delta=delta)


def l1() -> nn.Layer:
    """Mean absolute error."""
    return nn.L1Loss()


def l2() -> nn.Layer:
    """Mean squared error."""
    return nn.MSELoss()


#: Name in a config -> loss of the points.
LOSSES: dict[str, Callable[..., nn.Layer]] = {"smooth_l1": smooth_l1, "l1": l1, "l2": l2, "wing": WingLoss}

#: The same, of face boxes; they also get the `size` of the images.
BOX_LOSSES: dict[str, Callable[..., nn.Layer]] = {"focal_giou": BoxLoss}


def build_loss(spec: Spec) -> nn.Layer:
    """The loss of points that a config names, with `PointsLoss` around it.

    Example:
        >>> build_loss({"type": "wing", "width": 3}).points.width
        3
    """
    return PointsLoss(registry.build(LOSSES, spec, "loss"))


def build_box_loss(spec: Spec, size: int) -> nn.Layer:
    """The loss of face boxes that a config names, for square images of `size` pixels."""
    return registry.build(BOX_LOSSES, spec, "loss", size=size)
