"""Facial expressions, each as a number from 0 to 1."""

from __future__ import annotations

import functools
from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Callable

import numpy as np

from facekp.landmarks.pose import from_the_front

#: Maximum yaw in degrees for learning the neutral face; heads that are turned further are unreliable.
_MAX_YAW = 25


@dataclass(frozen=True, eq=False)
class Signal:
    """Definition of one expression.

    Attributes:
        measure: Function from frontal faces, (N, 68, 2) in units of the mean face, to measured values, (N,).
        neutral: Measured value of a neutral face, the signal's 0.
        full: Measured value of the complete expression, the signal's 1.
    """

    measure: Callable[[np.ndarray], np.ndarray]
    neutral: float
    full: float


def _gap(upper: Sequence[int], lower: Sequence[int]) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that measures how far the mean of `lower` lies below that of `upper`."""
    weights = np.zeros((68, 2))
    weights[list(lower), 1] += 1 / len(lower)
    weights[list(upper), 1] -= 1 / len(upper)
    return lambda face: face.reshape(-1, weights.size) @ weights.ravel()


def _eye(top: list[int], bottom: list[int], left: int, right: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that measures the height of an eye over its width."""
    gap = _gap(top, bottom)
    return lambda face: gap(face) / np.maximum(face[:, right, 0] - face[:, left, 0], 0.05)


def _lip_width(face: np.ndarray) -> np.ndarray:
    return face[:, 54, 0] - face[:, 48, 0]


_corners_up = _gap([48, 54], [51, 57])


def _smile(face: np.ndarray) -> np.ndarray:
    """Return the width of the lips plus the height of their corners above their middle."""
    return _lip_width(face) + _corners_up(face)


#: Name -> signal. A new signal is one entry. "Left" is the viewer's left.
SIGNALS: dict[str, Signal] = {
    "mouth_open": Signal(_gap([61, 62, 63], [65, 66, 67]), 0.02, 0.12),
    "mouth_wide": Signal(_smile, 0.37, 0.52),
    "lips_round": Signal(_lip_width, 0.34, 0.26),
    "left_eye_closed": Signal(_eye([37, 38], [40, 41], 36, 39), 0.28, 0.16),
    "right_eye_closed": Signal(_eye([43, 44], [46, 47], 42, 45), 0.28, 0.16),
    "brows_up": Signal(_gap(range(17, 27), [36, 39, 42, 45]), 0.14, 0.20),
    "left_brow_up": Signal(_gap(range(17, 22), [36, 39]), 0.14, 0.20),
    "right_brow_up": Signal(_gap(range(22, 27), [42, 45]), 0.14, 0.20),
}


def measure(points: np.ndarray, camera: np.ndarray) -> np.ndarray:
    """Return the measured values of all signals, before scaling.

    Args:
        points: (N, 68, 2) points in pixels.
        camera: (N, 3, 4) cameras of the poses.

    Returns:
        (N, S) float64 in the order of `SIGNALS`; NaN where the camera is NaN.
    """
    face = from_the_front(points, camera)
    return np.array([signal.measure(face) for signal in SIGNALS.values()]).T


def scaled(measured: np.ndarray, rest: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Scale measured values to signals.

    Args:
        measured: (N, S) values, see `measure`.
        rest: (N, S) values of the same people's neutral faces; None: those of the average person.

    Returns:
        Name -> (N,) float64, 0..1; NaN where `measured` is NaN.

    Example:
        >>> full = np.array([[signal.full for signal in SIGNALS.values()]])
        >>> float(scaled(full)["mouth_open"][0])
        1.0
    """
    neutral, span = _limits(tuple(SIGNALS.values()))
    values = (measured - (neutral if rest is None else rest)) / span
    return dict(zip(SIGNALS, np.minimum(np.maximum(values, 0), 1).T))


@functools.lru_cache(maxsize=1)
def _limits(signals: tuple[Signal, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return `neutral` and `full - neutral` of all signals."""
    neutral, full = np.array([(signal.neutral, signal.full) for signal in signals]).T
    return neutral, full - neutral


class Neutral:
    """Neutral face of a person, learned from the first frames.

    Measured values are collected for `seconds`; their median is the person's own neutral. It starts from the average
    person's and never deviates by more than half a signal. Frames of turned heads are ignored.

    Args:
        seconds: Duration of learning.

    Attributes:
        values: (S,) float64, measured values of the neutral face, in the order of `SIGNALS`.

    Example:
        >>> own = Neutral(seconds=1.0)
        >>> average = np.array([signal.neutral for signal in SIGNALS.values()])
        >>> for frame in range(60):
        ...     own.learn(average + 0.01, yaw=0.0, seconds=frame / 30)
        >>> bool(np.allclose(own.values, average + 0.01))
        True
    """

    def __init__(self, seconds: float = 3.0) -> None:
        self.seconds = seconds
        self._average, self._span = _limits(tuple(SIGNALS.values()))
        self._seen: list[list[float]] = [[] for _ in SIGNALS]  # each sorted
        self._start: float | None = None
        self.values = self._average

    def learn(self, measured: np.ndarray, yaw: float, seconds: float) -> None:
        """Add the measured values of a frame, (S,), with the head's yaw in degrees and the frame's time."""
        if self._start is None or seconds < self._start:  # a video may restart
            self._start = seconds
        elapsed = seconds - self._start
        if elapsed <= self.seconds and abs(yaw) < _MAX_YAW and np.isfinite(measured).all():
            for seen, value in zip(self._seen, measured.tolist()):
                insort(seen, value)
            low, high = (len(self._seen[0]) - 1) // 2, len(self._seen[0]) // 2
            median = np.array([(seen[low] + seen[high]) / 2 for seen in self._seen])
            trust = min(2 * elapsed / max(self.seconds, 1e-6), 1.0)
            shift = np.minimum(np.maximum((median - self._average) / self._span, -0.5), 0.5)
            self.values = self._average + trust * shift * self._span
