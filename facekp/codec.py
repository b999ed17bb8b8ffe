"""Codecs: pixels of the crop <-> what the network predicts.

Training, evaluation and inference use the same pair of `encode` and `decode`; it is kept with the weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Union

import numpy as np

from facekp.errors import UserError


@dataclass(frozen=True)
class StandardCodec:
    """The document's: (pixels - mean) / std, one mean and one std for all coordinates.

    The document takes both from the labels of the whole, unresized pictures (104.4725 and 43.1730 on the
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

    def encode(self, points: np.ndarray) -> np.ndarray:
        """(..., K, 2) pixels of the crop -> (..., 2K) float32."""
        return ((points - self.mean) / self.std).reshape(*points.shape[:-2], -1).astype(np.float32)

    def decode(self, predicted: np.ndarray) -> np.ndarray:
        """(..., 2K) -> (..., K, 2) float32 pixels of the crop."""
        return (_pairs(predicted) * self.std + self.mean).astype(np.float32)


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

    def encode(self, points: np.ndarray) -> np.ndarray:
        """(..., K, 2) pixels of the crop -> (..., 2K) float32."""
        offset = (points / self.size - np.asarray(self.mean_points)) * 100
        return offset.reshape(*points.shape[:-2], -1).astype(np.float32)

    def decode(self, predicted: np.ndarray) -> np.ndarray:
        """(..., 2K) -> (..., K, 2) float32 pixels of the crop."""
        fraction = _pairs(predicted) / 100 + np.asarray(self.mean_points)
        return (fraction * self.size).astype(np.float32)


def split_score(predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Tell a network's points from its score.

    Args:
        predicted: (N, 2K), or (N, 2K + 1) with the logit of a score behind the points.

    Returns:
        (N, 2K) for a codec, and (N,) scores from 0 to 1; None if the network gives none.

    Example:
        >>> points, scores = split_score(np.zeros((3, 137), np.float32))
        >>> points.shape, scores.tolist()
        ((3, 136), [0.5, 0.5, 0.5])
    """
    if predicted.shape[-1] % 2 == 0:
        return predicted, None
    logits = np.clip(predicted[:, -1], -30, 30)
    return predicted[:, :-1], 1 / (1 + np.exp(-logits))


Codec = Union[StandardCodec, MeanFaceCodec]

_CODECS: dict[str, type[StandardCodec] | type[MeanFaceCodec]] = {
    "standard": StandardCodec,
    "mean_face": MeanFaceCodec,
}


def codec_to_dict(codec: Codec) -> dict[str, Any]:
    """Describe a codec in plain JSON values, for the weights' file."""
    name = next(name for name, kind in _CODECS.items() if isinstance(codec, kind))
    return {"type": name, **vars(codec)}


def codec_from_dict(described: dict[str, Any]) -> Codec:
    """Build the codec that `codec_to_dict` described.

    Raises:
        UserError: Not a description of a codec.

    Example:
        >>> codec_from_dict({"type": "standard", "mean": 1.0, "std": 2.0})
        StandardCodec(mean=1.0, std=2.0)
    """
    values = dict(described)
    try:
        kind = _CODECS[values.pop("type")]
        if "mean_points" in values:
            values["mean_points"] = tuple((float(x), float(y)) for x, y in values["mean_points"])
        return kind(**values)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"unknown codec {described!r}; the weights are of another version") from error


def _pairs(predicted: np.ndarray) -> np.ndarray:
    shape = np.shape(predicted)
    return np.asarray(predicted).reshape(*shape[:-1], shape[-1] // 2, 2)  # of no face too
