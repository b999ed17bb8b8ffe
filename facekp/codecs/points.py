"""Codecs of points: pixels of the crop <-> what the network predicts.

Training, evaluation and inference use the same pair of `encode` and `decode`; it is kept with the weights.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar, Union

import numpy as np
from pydantic import TypeAdapter, ValidationError

from facekp.errors import UserError

A = TypeVar("A")


@dataclass(frozen=True)
class LabelStatistics:
    """What a training set says about its labels; codecs are made from it.

    Attributes:
        mean: Of all coordinates of the raw labels, x and y together.
        std: Standard deviation of the same.
        size: Side of the crop in pixels.
        mean_points: K pairs x, y, the mean face in fractions of the crop's side.
    """

    mean: float
    std: float
    size: int
    mean_points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class StandardCodec:
    """The document's: (pixels - mean) / std, one mean and one std for all coordinates.

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
            raise ValueError("mean and std are finite, and std is positive")

    @classmethod
    def fit(cls, labels: LabelStatistics) -> StandardCodec:
        """The codec of a training set."""
        return cls(labels.mean, labels.std)

    def encode(self, points: np.ndarray) -> np.ndarray:
        """(..., K, 2) pixels of the crop -> (..., 2K) float32."""
        return ((points - self.mean) / self.std).reshape(*points.shape[:-2], -1).astype(np.float32)

    def decode(self, predicted: np.ndarray) -> np.ndarray:
        """(..., 2K) -> (..., K, 2) float32 pixels of the crop."""
        return (_pairs(predicted) * self.std + self.mean).astype(np.float32)


@dataclass(frozen=True)
class UnitCodec:
    """Fractions of the crop's side.

    Example:
        >>> UnitCodec(size=200).encode(np.array([[150.0, 50.0]])).tolist()
        [0.75, 0.25]
    """

    size: int

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError("size is positive")

    @classmethod
    def fit(cls, labels: LabelStatistics) -> UnitCodec:
        """The codec of a training set."""
        return cls(labels.size)

    def encode(self, points: np.ndarray) -> np.ndarray:
        """(..., K, 2) pixels of the crop -> (..., 2K) float32."""
        return (points / self.size).reshape(*points.shape[:-2], -1).astype(np.float32)

    def decode(self, predicted: np.ndarray) -> np.ndarray:
        """(..., 2K) -> (..., K, 2) float32 pixels of the crop."""
        return (_pairs(predicted) * self.size).astype(np.float32)


@dataclass(frozen=True)
class MeanFaceCodec:
    """The distance from the mean face, in percent of the crop's side.

    A network that predicts zeros draws the mean face, and an error of 1 is an error of one percent of the
    crop: a size at which SmoothL1 and Wing losses change their slope.

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
            raise ValueError("size is positive, and mean_points are finite")

    @classmethod
    def fit(cls, labels: LabelStatistics) -> MeanFaceCodec:
        """The codec of a training set."""
        return cls(labels.size, labels.mean_points)

    def encode(self, points: np.ndarray) -> np.ndarray:
        """(..., K, 2) pixels of the crop -> (..., 2K) float32."""
        offset = (points / self.size - np.asarray(self.mean_points)) * 100
        return offset.reshape(*points.shape[:-2], -1).astype(np.float32)

    def decode(self, predicted: np.ndarray) -> np.ndarray:
        """(..., 2K) -> (..., K, 2) float32 pixels of the crop."""
        fraction = _pairs(predicted) / 100 + np.asarray(self.mean_points)
        return (fraction * self.size).astype(np.float32)


def split_outputs(outputs: A, num_points: int) -> tuple[A, A | None]:
    """Split what a network of points predicts; the one place that knows where the score stands.

    Args:
        outputs: (N, 2K) array or tensor, or (N, 2K + 1) with the logit of a score behind the points.
        num_points: K.

    Returns:
        (N, 2K) for a codec, and (N,) logits of the score; None if the network predicts none.

    Example:
        >>> points, logits = split_outputs(np.zeros((3, 137), np.float32), 68)
        >>> points.shape, logits.shape
        ((3, 136), (3,))
    """
    count = 2 * num_points
    predicted: Any = outputs
    return predicted[:, :count], predicted[:, count] if predicted.shape[1] > count else None


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Logits -> 0 to 1, without overflow."""
    return 1 / (1 + np.exp(-np.clip(logits, -30, 30)))


Codec = Union[StandardCodec, UnitCodec, MeanFaceCodec]

#: Name in a config and in weights -> codec.
CODECS: dict[str, type[Codec]] = {
    "standard": StandardCodec,
    "unit": UnitCodec,
    "mean_face": MeanFaceCodec,
}


def codec_to_dict(codec: Codec) -> dict[str, Any]:
    """Describe a codec in plain JSON values, for the weights' file."""
    name = next(name for name, kind in CODECS.items() if isinstance(codec, kind))
    return {"type": name, **asdict(codec)}


def codec_from_dict(described: dict[str, Any]) -> Codec:
    """Build the codec that `codec_to_dict` described.

    Raises:
        UserError: Not a description of a codec.

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


def _pairs(predicted: np.ndarray) -> np.ndarray:
    shape = np.shape(predicted)
    return np.asarray(predicted).reshape(*shape[:-1], shape[-1] // 2, 2)  # of no face too
