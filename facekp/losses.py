"""Losses by the name that a config gives them. Those of points take (predicted, label), both (N, 2K), and average."""

from __future__ import annotations

import math
from typing import Callable

import numpy as np
import paddle
from paddle import Tensor, nn
from paddle.nn import functional as F  # noqa: N812 (the field's name for it)

from facekp.boxes import STRIDES, cell_centres

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


class ScoredLoss(nn.Layer):
    """A loss of the points, and of a score that says how far to trust them.

    The network predicts 2K + 1 numbers; the last is the logit of the score, whose target is
    exp(-(e / POOR_ERROR)^2) with the mean error e of the face's points, and 0 where the label is NaN: no face.

    Args:
        points: The loss of the points, from `LOSSES`; percent of the crop.
        weight: Of the score's cross-entropy beside it.
    """

    def __init__(self, points: nn.Layer, weight: float = 0.5) -> None:
        super().__init__()
        self.points, self.weight = points, weight

    def forward(self, predicted: Tensor, label: Tensor) -> Tensor:
        """(N, 2K + 1), (N, 2K) -> scalar."""
        points, logit = predicted[:, :-1], predicted[:, -1]
        is_face = paddle.isfinite(label[:, :1])
        label = paddle.where(is_face.expand_as(label), label, points.detach())  # no face: no error, no gradient
        face = is_face[:, 0].astype(points.dtype)
        error = (points.detach() - label).reshape([len(label), -1, 2]).norm(axis=-1).mean(axis=-1)
        target = face * paddle.exp(-((error / POOR_ERROR) ** 2))
        # The points' loss averages over all samples; count the faces alone.
        loss = self.points(points, label) * (len(face) / face.sum().clip(min=1.0))
        return loss + self.weight * F.binary_cross_entropy_with_logits(logit, target)


class BoxLoss(nn.Layer):
    """What a face detector learns: quality focal loss for the scores, GIoU for the boxes.

    A cell near the middle of a face whose size suits its grid predicts that face; the target of its score is the
    intersection over union of its box with the face's, so that the score of a face says how well its box sits (Li et
    al., "Generalized Focal Loss", 2020; here no gradient flows through the factor that focuses). Cells around it are
    left alone, all others show no face. The boxes' loss is that of Rezatofighi et al., "Generalized IoU", 2019.

    Args:
        size: Side of the pictures in pixels.
        box_weight: Of the boxes beside the scores.
    """

    #: Smallest and largest longer side of the faces of each grid, in pixels; they overlap on purpose.
    RANGES = ((0.0, 48.0), (32.0, 128.0), (96.0, 1e9))
    #: How far from the middle of a face, in its sides, cells predict it, and how far they are left alone.
    NEAR, AROUND = 0.22, 0.4

    def __init__(self, size: int, box_weight: float = 2.0) -> None:
        super().__init__()
        centres, strides = cell_centres(size, size)
        self.box_weight = box_weight
        self.centres, self.strides = paddle.to_tensor(centres), paddle.to_tensor(strides)
        least, most = np.array(self.RANGES, np.float32)[[STRIDES.index(int(s)) for s in strides]].T
        self.least, self.most = paddle.to_tensor(least), paddle.to_tensor(most)

    def forward(self, predicted: Tensor, label: Tensor) -> Tensor:
        """(N, cells, 5) as `models.detector` predicts, (N, faces, 5) as `data.pictures` says -> scalar."""
        with paddle.no_grad():
            face, trust, counts = self._assign(label)
        logit, reach = predicted[:, :, 0], predicted[:, :, 1:]
        box = paddle.concat([self.centres - reach[:, :, :2], self.centres + reach[:, :, 2:]], 2)
        overlap, giou = _overlaps(box, face)
        score = F.sigmoid(logit)
        target = overlap.detach() * (trust > 0).astype("float32")
        focus = (target - score.detach()) ** 2
        scores = F.binary_cross_entropy_with_logits(logit, target, reduction="none") * focus * counts
        sure = (trust == 1).astype("float32")  # a box that nobody checked says where, not how far
        total = trust.sum().clip(min=1.0)
        return (scores.sum() + self.box_weight * (sure * (1 - giou)).sum()) / total

    def _assign(self, label: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """For each cell, (N, cells): the box of its face (4 more), the trust in it or 0, and what its score counts."""
        faces = (label[:, :, 2] > label[:, :, 0]).astype("int32").sum(1).max()
        label = label[:, : max(int(faces), 1)]  # the rest of the rows is empty
        corner0, corner1, trust = label[:, None, :, :2], label[:, None, :, 2:4], label[:, None, :, 4]
        sides = (corner1 - corner0).clip(min=1e-3)
        longer = sides.max(-1)
        off = (self.centres[None, :, None] - (corner0 + corner1) / 2).abs()
        inside = (off <= sides / 2).all(-1)
        # At least the cell in whose square the middle lies.
        near = (off <= paddle.maximum(self.NEAR * sides, self.strides[None, :, None, None] * 0.5)).all(-1)
        around = (off <= paddle.maximum(self.AROUND * sides, self.strides[None, :, None, None] * 0.9)).all(-1)
        least, most = self.least[None, :, None], self.most[None, :, None]
        fits = (longer >= least) & (longer < most)
        nearly = (longer >= least / 1.5) & (longer < most * 1.5)
        real = trust > 0
        ignored = (inside & (trust == 0) & (longer > 1)) | (around & nearly & real)
        matched = near & fits & real
        # Of several faces the smallest: the others have cells elsewhere.
        smallest = paddle.where(matched, longer.expand_as(matched), paddle.full_like(longer, 1e9)).argmin(-1)
        is_face = matched.any(-1)
        rows = paddle.take_along_axis(label, smallest[:, :, None], 1)
        found = paddle.where(is_face, rows[:, :, 4], paddle.zeros_like(rows[:, :, 4]))
        counts = paddle.where(is_face, found, 1 - ignored.any(-1).astype("float32"))
        return rows[:, :, :4], found, counts


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


#: Name -> loss layer of the points.
LOSSES: dict[str, Callable[[], nn.Layer]] = {
    "smooth_l1": nn.SmoothL1Loss,
    "l1": nn.L1Loss,
    "l2": nn.MSELoss,
    "wing": WingLoss,
}


#: Name -> loss layer of face boxes, called with the side of the pictures.
BOX_LOSSES: dict[str, Callable[[int], nn.Layer]] = {"focal_giou": BoxLoss}


def build_loss(name: str, scored: bool = False) -> nn.Layer:
    """The loss of points of a config; `scored` if the network predicts a score beside them."""
    points = LOSSES[name]()
    return ScoredLoss(points) if scored else points
