"""Losses by the name that a config gives them. All take (predicted, label), both (N, 2K), and average over both."""

from __future__ import annotations

import math
from typing import Callable

import paddle
from paddle import Tensor, nn
from paddle.nn import functional as F  # noqa: N812 (the field's name for it)

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


#: Name -> loss layer of the points.
LOSSES: dict[str, Callable[[], nn.Layer]] = {
    "smooth_l1": nn.SmoothL1Loss,
    "l1": nn.L1Loss,
    "l2": nn.MSELoss,
    "wing": WingLoss,
}


def build_loss(name: str, scored: bool = False) -> nn.Layer:
    """The loss of a config; `scored` if the network predicts a score beside the points."""
    points = LOSSES[name]()
    return ScoredLoss(points) if scored else points
