"""Codecs of points: pixels of the crop <-> the network's outputs.

Training, evaluation and inference use the same pair of `encode` and `decode`; it is stored with the weights. Decoding
is affine in every coordinate, as `facekp.inference.export.DecodedNetwork` requires.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple, Union

import numpy as np
from pydantic import TypeAdapter, ValidationError

from facekp.errors import UserError


@dataclass(frozen=True)
class LabelStatistics:
    """Statistics of a training set's labels, from which codecs are built.

    Attributes:
        mean: Mean of all coordinates of the raw labels, x and y together.
        std: Standard deviation of the same coordinates.
        size: Side of the crop in pixels.
        mean_points: K pairs (x, y), the mean face in fractions of the crop's side.
    """

    mean: float
    std: float
    size: int
    mean_points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class StandardCodec:
    """Codec of the reference document: (pixels - mean) / std, with one mean and one std for all coordinates.

    The document takes both from the labels of the whole, unresized images (104.4725 and 43.1730 on the
    Udacity training CSV) and applies them to points of the resized crop.

    Example:
        >>> codec = StandardCodec(mean=100.0, std=50.0)
        >>> codec.encode(np.array([[150.0, 50.0]])).tolist()
        [1.0, -1.0]
        >>> codec.decode(np.array([1.0, -1.0])).tolist()
        [[150.0, 50.0]]
    """

    mean: float
    std: float

    def __post_init__(self) -> None:
        if not (np.isfinite([self.mean, self.std]).all() and self.std > 0):
            raise ValueError("mean and std must be finite, and std positive")

    @classmethod
    def fit(cls, labels: LabelStatistics) -> StandardCodec:
        """Build the codec for a training set."""
        return cls(labels.mean, labels.std)

    def encode(self, points: np.ndarray) -> np.ndarray:
        """Encode (..., K, 2) pixels of the crop as (..., 2K) float32."""
        return ((points - self.mean) / self.std).reshape(*points.shape[:-2], -1).astype(np.float32)

    def decode(self, predicted: np.ndarray) -> np.ndarray:
        """Decode (..., 2K) to (..., K, 2) float32 pixels of the crop."""
        return (_pairs(predicted) * self.std + self.mean).astype(np.float32)


@dataclass(frozen=True)
class UnitCodec:
    """Codec of points in fractions of the crop's side.

    Example:
        >>> UnitCodec(size=200).encode(np.array([[150.0, 50.0]])).tolist()
        [0.75, 0.25]
    """

    size: int

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError("size must be positive")

    @classmethod
    def fit(cls, labels: LabelStatistics) -> UnitCodec:
        """Build the codec for a training set."""
        return cls(labels.size)

    def encode(self, points: np.ndarray) -> np.ndarray:
        """Encode (..., K, 2) pixels of the crop as (..., 2K) float32."""
        return (points / self.size).reshape(*points.shape[:-2], -1).astype(np.float32)

    def decode(self, predicted: np.ndarray) -> np.ndarray:
        """Decode (..., 2K) to (..., K, 2) float32 pixels of the crop."""
        return (_pairs(predicted) * self.size).astype(np.float32)


@dataclass(frozen=True)
class MeanFaceCodec:
    """Codec of offsets from the mean face, in percent of the crop's side.

    A network that predicts zeros yields the mean face, and an error of 1 is an error of one percent of the
    crop: a size at which the SmoothL1 and Wing losses change their slope.

    Args:
        size: Side of the crop in pixels.
        mean_points: K pairs (x, y), the mean face in fractions of the crop's side.

    Example:
        >>> codec = MeanFaceCodec(size=200, mean_points=((0.5, 0.5),))
        >>> codec.encode(np.array([[104.0, 98.0]])).tolist()
        [2.0, -1.0]
        >>> codec.decode(np.array([2.0, -1.0])).tolist()
        [[104.0, 98.0]]
    """

    size: int
    mean_points: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        if self.size < 1 or not np.isfinite(np.array(self.mean_points)).all():
            raise ValueError("size must be positive, and mean_points finite")

    @classmethod
    def fit(cls, labels: LabelStatistics) -> MeanFaceCodec:
        """Build the codec for a training set."""
        return cls(labels.size, labels.mean_points)

    def encode(self, points: np.ndarray) -> np.ndarray:
        """Encode (..., K, 2) pixels of the crop as (..., 2K) float32."""
        offset = (points / self.size - np.asarray(self.mean_points)) * 100
        return offset.reshape(*points.shape[:-2], -1).astype(np.float32)

    def decode(self, predicted: np.ndarray) -> np.ndarray:
        """Decode (..., 2K) to (..., K, 2) float32 pixels of the crop."""
        fraction = _pairs(predicted) / 100 + np.asarray(self.mean_points)
        return (fraction * self.size).astype(np.float32)


@dataclass(frozen=True)
class PercentCodec:
    """Codec of points in percent of the crop's side, relative to the centre of the crop.

    It has the unit of `MeanFaceCodec` without the mean face: for heads that place points in the crop themselves.

    Args:
        size: Side of the crop in pixels.

    Example:
        >>> codec = PercentCodec(size=200)
        >>> codec.encode(np.array([[104.0, 98.0]])).tolist()
        [2.0, -1.0]
        >>> codec.decode(np.array([2.0, -1.0])).tolist()
        [[104.0, 98.0]]
    """

    size: int

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError("size must be positive")

    @classmethod
    def fit(cls, labels: LabelStatistics) -> PercentCodec:
        """Build the codec for a training set."""
        return cls(labels.size)

    def encode(self, points: np.ndarray) -> np.ndarray:
        """Encode (..., K, 2) pixels of the crop as (..., 2K) float32."""
        return ((points / self.size - 0.5) * 100).reshape(*points.shape[:-2], -1).astype(np.float32)

    def decode(self, predicted: np.ndarray) -> np.ndarray:
        """Decode (..., 2K) to (..., K, 2) float32 pixels of the crop."""
        return ((_pairs(predicted) / 100 + 0.5) * self.size).astype(np.float32)


#: Optional outputs with one number for each point; a field of `Outputs` and of `OutputLayout` each.
PER_POINT = ("sigma", "visibility")


class Outputs(NamedTuple):
    """Outputs of a network of points: as predicted (`OutputLayout.split`), or decoded (`PointsRecipe.decode`).

    Attributes:
        points: (N, 2K) in the codec's unit; decoded, (N, K, 2) in pixels of the crop.
        score: (N,) confidence of the face, a logit; decoded, 0 to 1. None if the network does not predict it.
        sigma: (N, K) logarithm of the expected distance between a point and the truth, in percent of the crop;
            decoded, that distance in pixels of the crop. None as above.
        visibility: (N, K) whether a point is visible, not hidden by the head or another object, a logit; decoded, 0 to
            1. None as above.
    """

    points: Any
    score: Any = None
    sigma: Any = None
    visibility: Any = None

    def take(self, indices: Any) -> Outputs:
        """Return the outputs of some of the N faces.

        Example:
            >>> Outputs(np.zeros((2, 4)), score=np.zeros(2)).take(np.array([1])).score.shape
            (1,)
        """
        return Outputs(*(None if field is None else field[indices] for field in self))


@dataclass(frozen=True)
class OutputLayout:
    """Layout of the values that a network of points predicts: the points, then its optional outputs.

    Attributes:
        num_points: Number of points, K.
        score: Whether there is a score, one logit for each face.
        sigma: Whether there is a sigma, one number for each point.
        visibility: Whether there is a visibility, one logit for each point.

    Example:
        >>> layout = OutputLayout(68, score=True, sigma=True)
        >>> layout.width, layout.names
        (205, ('points', 'score', 'sigma'))
        >>> outputs = layout.split(np.zeros((3, 205), np.float32))
        >>> outputs.points.shape, outputs.score.shape, outputs.sigma.shape, outputs.visibility
        ((3, 136), (3,), (3, 68), None)
    """

    num_points: int
    score: bool = False
    sigma: bool = False
    visibility: bool = False

    @classmethod
    def of(cls, network: Mapping[str, Any], num_points: int) -> OutputLayout:
        """Return the layout for the `network` of a config or a recipe."""
        return cls(num_points, *(bool(network.get(name)) for name in ("score", *PER_POINT)))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the outputs, in order; exported networks use them, too."""
        return tuple(name for name in Outputs._fields if name == "points" or getattr(self, name))

    @property
    def width(self) -> int:
        """Number of values that the network predicts for each face."""
        return sum(self._widths.values())

    @property
    def _widths(self) -> dict[str, int]:
        each = {"points": 2 * self.num_points, "score": 1, **dict.fromkeys(PER_POINT, self.num_points)}
        return {name: each[name] for name in self.names}

    def split(self, outputs: Any) -> Outputs:
        """Split (N, width), an array or a tensor, into the outputs; further columns are ignored."""
        start, parts = 0, {}
        for name, width in self._widths.items():
            part = outputs[:, start : start + width]
            parts[name] = part[:, 0] if name == "score" else part
            start += width
        return Outputs(**parts)

    def named(self, arrays: Sequence[np.ndarray]) -> Outputs:
        """Combine the separate outputs of an exported network."""
        return Outputs(**dict(zip(self.names, arrays)))


#: How far a distribution over bins extends beyond the crop on every side, in percent of the crop's side.
BINS_BEYOND = 10.0


def bin_places(count: int) -> np.ndarray:
    """Return the centres of the bins of each coordinate in heads such as `simcc`, in the unit of `PercentCodec`.

    Example:
        >>> bin_places(4).tolist()
        [-45.0, -15.0, 15.0, 45.0]
    """
    return ((np.arange(count) + 0.5) / count - 0.5) * (100 + 2 * BINS_BEYOND)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Map logits to the range 0 to 1, without overflow."""
    return 1 / (1 + np.exp(-np.clip(logits, -30, 30)))


Codec = Union[StandardCodec, UnitCodec, MeanFaceCodec, PercentCodec]

#: Name in configs and weights -> codec.
CODECS: dict[str, type[Codec]] = {
    "standard": StandardCodec,
    "unit": UnitCodec,
    "mean_face": MeanFaceCodec,
    "percent": PercentCodec,
}


def codec_to_dict(codec: Codec) -> dict[str, Any]:
    """Describe a codec in plain JSON values, for the file of weights."""
    name = next(name for name, kind in CODECS.items() if isinstance(codec, kind))
    return {"type": name, **asdict(codec)}


def codec_from_dict(described: dict[str, Any]) -> Codec:
    """Build the codec that `codec_to_dict` described.

    Raises:
        UserError: It is not the description of a codec.

    Example:
        >>> codec_from_dict({"type": "standard", "mean": 1.0, "std": 2.0})
        StandardCodec(mean=1.0, std=2.0)
    """
    try:
        values = dict(described)
        kind = CODECS[values.pop("type")]
        if not values.keys() <= {each.name for each in fields(kind)}:
            raise ValueError("unknown key")
        return TypeAdapter(kind).validate_python(values)
    except (KeyError, TypeError, ValidationError, ValueError) as error:
        raise UserError(f"unknown codec {str(described)[:80]}; the weights are of another version") from error


@dataclass(frozen=True)
class OutputDecoder:
    """Decodes the values that a network of points predicts, and the labels that it is trained on.

    Args:
        layout: Layout of the predicted values.
        codec: Codec of the points.
        size: Side of the crop in pixels.

    Example:
        >>> decode = OutputDecoder(OutputLayout(2, score=True), UnitCodec(100), size=100)
        >>> outputs = decode(np.array([[0.5, 0.5, 0.25, 0.0, 0.0]]))
        >>> outputs.points.tolist(), outputs.score.tolist()
        ([[[50.0, 50.0], [25.0, 0.0]]], [0.5])
    """

    layout: OutputLayout
    codec: Codec
    size: int

    def __call__(self, outputs: np.ndarray) -> Outputs:
        """Decode predicted values, (N, layout.width); see `Outputs`."""
        parts = self.layout.split(outputs)
        return Outputs(
            self.codec.decode(parts.points),
            None if parts.score is None else sigmoid(parts.score),
            None if parts.sigma is None else np.exp(parts.sigma) * np.float32(self.size / 100),
            None if parts.visibility is None else sigmoid(parts.visibility),
        )

    def label_points(self, label: np.ndarray) -> np.ndarray:
        """Return the points, (N, K, 2) in pixels of the crop, of labels (N, 2K or more), which begin with them."""
        return self.codec.decode(label[:, : 2 * self.layout.num_points])


def _pairs(predicted: np.ndarray) -> np.ndarray:
    shape = np.shape(predicted)
    return np.asarray(predicted).reshape(*shape[:-1], shape[-1] // 2, 2)  # also for zero faces
