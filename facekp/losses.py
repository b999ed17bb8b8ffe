"""Losses by their names in a config.

Losses of points take (predicted, label), both (N, 2K), and average; `PointsLoss` wraps them and omits unknown points.
A loss that also uses logits has a method `of_logits`, and one in percent of the crop lists the matching keys of
`facekp.codecs.points.CODECS` in `codecs`.
"""

from __future__ import annotations

import math
from typing import Callable, ClassVar

import paddle
from paddle import Tensor, nn
from paddle.nn import functional as F  # noqa: N812 (the field's name for it)

from facekp import registry
from facekp.codecs.boxes import BoxCodec
from facekp.codecs.points import OutputLayout, bin_places
from facekp.registry import Spec

#: Mean error of a face's points, in percent of the crop, at which the score's target has fallen from 1 to 0.37.
POOR_ERROR = 8.0

#: Range to which the logarithm of a point's sigma, in percent of the crop, is clipped.
SIGMAS = (-3.0, 4.0)


class WingLoss(nn.Layer):
    """Wing loss: logarithmic for small errors, so that their gradient stays large (Feng et al., "Wing Loss", 2018).

    Args:
        width: Error beyond which the loss is linear; the paper's 10 pixels of 256 are 4 percent of the crop.
        curvature: The paper's epsilon, 2 pixels: 0.8 percent.

    Example:
        >>> loss = WingLoss()
        >>> float(loss(paddle.zeros([1, 4]), paddle.zeros([1, 4])))
        0.0
    """

    codecs: ClassVar[tuple[str, ...]] = ("mean_face", "percent")

    def __init__(self, width: float = 4.0, curvature: float = 0.8) -> None:
        super().__init__()
        self.width, self.curvature = width, curvature
        self.offset = width - width * math.log(1 + width / curvature)

    def forward(self, predicted: Tensor, label: Tensor) -> Tensor:
        """Compute the loss: (N, 2K), (N, 2K) -> scalar."""
        error = (predicted - label).abs()
        near = self.width * paddle.log(1 + error / self.curvature)
        return paddle.where(error < self.width, near, error - self.offset).mean()


class SimCCLoss(nn.Layer):
    """Loss of the head `simcc`: cross-entropy of its distributions, and half of SmoothL1 of their means.

    The target distribution of a coordinate is a Gaussian around the label (Li et al., "SimCC", 2022). Where a network
    returns no logits, in evaluation, the loss is that of the means only.

    Args:
        deviation: Standard deviation of the Gaussian in percent of the crop; 1.8 are two pixels of 112.
        mean_weight: Weight of the means' SmoothL1.

    Raises:
        ValueError: `deviation` is not positive, or `mean_weight` is negative.
    """

    codecs: ClassVar[tuple[str, ...]] = ("percent",)

    def __init__(self, deviation: float = 1.8, mean_weight: float = 0.5) -> None:
        super().__init__()
        if not (deviation > 0 and mean_weight >= 0):
            raise ValueError("deviation must be positive, and mean_weight not negative")
        self.deviation, self.mean_weight = deviation, mean_weight

    def forward(self, predicted: Tensor, label: Tensor) -> Tensor:
        """Compute the loss: (N, 2K), (N, 2K) -> scalar."""
        return self.mean_weight * F.smooth_l1_loss(predicted, label)

    def of_logits(self, logits: Tensor, label: Tensor) -> Tensor:
        """Compute the cross-entropy of each coordinate: (N, 2K, bins), (N, 2K) -> (N, 2K)."""
        unit = self.deviation * math.sqrt(2)
        places = paddle.to_tensor((bin_places(logits.shape[-1]) / unit).astype("float32"))
        # A softmax sums to one even for a label beyond the bins.
        target = F.softmax(-((label / unit).unsqueeze(-1) - places).square(), axis=-1)
        return F.cross_entropy(logits, target, soft_label=True, reduction="none").squeeze(-1)


class PointsLoss(nn.Layer):
    """Loss of the known points, and of the network's other outputs.

    A coordinate whose label is NaN is unknown: no error, no gradient. A sample that is all NaN shows no face; one
    that is infinite shows a face with unknown points. The score's target is exp(-(e / POOR_ERROR)^2) with the mean
    error e of the face's points, 1 where they are unknown, and 0 where there is no face.
    A point's sigma is the scale of an exponential distribution of its distance from the truth. Its loss is the negative
    log-likelihood, as that of the Laplace distribution in Kendall and Gal, "What uncertainties do we need", 2017; no
    gradient flows through the distance, so that uncertain points are trained as much as certain ones. Visibility is
    trained by cross-entropy where the label has it.

    Args:
        points: Loss of the points, from `LOSSES`; for the other outputs the labels must be in percent of the crop.
        layout: Layout of the outputs; None: points, of as many coordinates as labels have, and perhaps a score.
        score_weight: Weight of the score's cross-entropy.
        sigma_weight: Weight of the sigmas' negative log-likelihood.
        visibility_weight: Weight of the visibilities' cross-entropy.

    Example:
        >>> loss, label = PointsLoss(nn.L1Loss()), paddle.to_tensor([[1.0, float("nan")]])
        >>> float(loss(paddle.zeros([1, 2]), label))
        1.0
    """

    def __init__(
        self,
        points: nn.Layer,
        layout: OutputLayout | None = None,
        score_weight: float = 0.5,
        sigma_weight: float = 0.1,
        visibility_weight: float = 0.5,
    ) -> None:
        super().__init__()
        self.points, self.layout = points, layout
        self.score_weight, self.sigma_weight, self.visibility_weight = score_weight, sigma_weight, visibility_weight

    def forward(self, predicted: Tensor, *rest: Tensor) -> Tensor:
        """Compute the loss of a batch.

        Args:
            predicted: (N, layout.width) outputs of the network.
            *rest: The label, (N, 2K), or (N, 3K) with the points' visibility, 0, 1 or NaN (unknown), after the
                coordinates; and before it the logits (N, 2K, bins) that some heads return in training mode.

        Returns:
            A scalar.
        """
        *logits, label = rest
        layout = self._layout(predicted, label)
        outputs = layout.split(predicted)
        label, visible = label[:, : 2 * layout.num_points], label[:, 2 * layout.num_points :]
        known, unknown_face = paddle.isfinite(label), paddle.isinf(label)
        label = paddle.where(known, label, outputs.points.detach())
        counts = known.astype(label.dtype)
        # The loss averages over all coordinates; rescale it to the known ones.
        loss = self.points(outputs.points, label) * (label.size / counts.sum().clip(min=1.0))
        if logits:
            loss = loss + _mean_of(self.points.of_logits(logits[0], label), counts)
        distance = (outputs.points.detach() - label).reshape([len(label), -1, 2]).norm(axis=-1)  # (N, K)
        if outputs.score is not None:
            face = (known | unknown_face).any(axis=1).astype(label.dtype)
            error = distance.sum(axis=-1) / (counts.sum(axis=1) / 2).clip(min=1.0)
            target = face * paddle.exp(-((error / POOR_ERROR) ** 2))
            loss = loss + self.score_weight * F.binary_cross_entropy_with_logits(outputs.score, target)
        if outputs.sigma is not None:
            sigma = outputs.sigma.clip(*SIGMAS)
            known_points = counts.reshape([len(label), -1, 2]).min(axis=-1)
            loss = loss + self.sigma_weight * _mean_of(sigma + distance * paddle.exp(-sigma), known_points)
        if outputs.visibility is not None and visible.shape[1]:
            labelled = paddle.isfinite(visible)
            target = paddle.where(labelled, visible, paddle.zeros_like(visible))
            each = F.binary_cross_entropy_with_logits(outputs.visibility, target, reduction="none")
            loss = loss + self.visibility_weight * _mean_of(each, labelled.astype(label.dtype))
        return loss

    def _layout(self, predicted: Tensor, label: Tensor) -> OutputLayout:
        if self.layout is not None:
            return self.layout
        return OutputLayout(label.shape[1] // 2, score=predicted.shape[1] > label.shape[1])


def _mean_of(values: Tensor, counts: Tensor) -> Tensor:
    """Return the mean of the values that count, 0 if none does; both arguments have one shape."""
    return (values * counts).sum() / counts.sum().clip(min=1.0)


class BoxLoss(nn.Layer):
    """Loss of a face detector: quality focal loss for the scores, GIoU for the boxes.

    `BoxCodec.encode` assigns faces to cells. The target of a cell's score is the intersection over union of its box
    with that of its face, so that the score of a face measures how well its box fits (Li et al., "Generalized Focal
    Loss", 2020; here no gradient flows through the focusing factor). The boxes' loss is that of Rezatofighi et al.,
    "Generalized IoU", 2019.

    Args:
        size: Side length of the images in pixels.
        box_weight: Weight of the boxes' loss relative to that of the scores.
    """

    def __init__(self, size: int, box_weight: float = 2.0) -> None:
        super().__init__()
        self.codec, self.box_weight = BoxCodec(size, size), box_weight

    def forward(self, predicted: Tensor, label: Tensor) -> Tensor:
        """Compute the loss: (N, cells, 5) of `models.detector`, (N, faces, 5) of `data.composed` -> scalar."""
        with paddle.no_grad():
            targets = self.codec.encode(label)
        logit = predicted[:, :, 0]
        overlap, giou = _overlaps(self.codec.decode(predicted), targets.box)
        score = F.sigmoid(logit)
        target = overlap.detach() * (targets.trust > 0).astype("float32")
        focus = (target - score.detach()) ** 2
        scores = F.binary_cross_entropy_with_logits(logit, target, reduction="none") * focus * targets.counts
        checked = (targets.trust == 1).astype("float32")  # unchecked boxes only train the score
        total = targets.trust.sum().clip(min=1.0)
        return (scores.sum() + self.box_weight * (checked * (1 - giou)).sum()) / total


def _overlaps(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return intersection over union and generalized IoU of boxes, (..., 4) each."""

    def area(low: Tensor, high: Tensor) -> Tensor:
        sides = (high - low).clip(min=0)
        return sides[..., 0] * sides[..., 1]  # the gradient of prod() is NaN at 0

    (low_a, high_a), (low_b, high_b) = ((x[..., :2], x[..., 2:]) for x in (a, b))
    inner = area(paddle.maximum(low_a, low_b), paddle.minimum(high_a, high_b))
    outer = area(paddle.minimum(low_a, low_b), paddle.maximum(high_a, high_b)).clip(min=1e-6)
    union = (area(low_a, high_a) + area(low_b, high_b) - inner).clip(min=1e-6)
    return inner / union, inner / union - (outer - union) / outer


def smooth_l1(delta: float = 1.0) -> nn.Layer:
    """Smooth L1: quadratic below `delta`, linear beyond (Girshick, "Fast R-CNN", 2015).

    Raises:
        ValueError: `delta` is not positive.
    """
    if not delta > 0:
        raise ValueError("delta must be positive")
    return nn.SmoothL1Loss(delta=delta)


def l1() -> nn.Layer:
    """Mean absolute error."""
    return nn.L1Loss()


def l2() -> nn.Layer:
    """Mean squared error."""
    return nn.MSELoss()


#: Name in a config -> loss of the points.
LOSSES: dict[str, Callable[..., nn.Layer]] = {
    "smooth_l1": smooth_l1,
    "l1": l1,
    "l2": l2,
    "wing": WingLoss,
    "simcc": SimCCLoss,
}

#: Name in a config -> loss of face boxes, which also receives the `size` of the images.
BOX_LOSSES: dict[str, Callable[..., nn.Layer]] = {"focal_giou": BoxLoss}


def build_loss(spec: Spec, layout: OutputLayout | None = None) -> nn.Layer:
    """Build the loss of points that a config names, wrapped in `PointsLoss`.

    Args:
        spec: A key of `LOSSES`, or a mapping with the key as `type` and options.
        layout: See `PointsLoss`.

    Example:
        >>> build_loss({"type": "wing", "width": 3}).points.width
        3
    """
    return PointsLoss(registry.build(LOSSES, spec, "loss"), layout)


def build_box_loss(spec: Spec, size: int) -> nn.Layer:
    """Build the loss of face boxes that a config names, for square images of `size` pixels."""
    return registry.build(BOX_LOSSES, spec, "loss", size=size)
