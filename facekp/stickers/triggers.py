"""Triggers: layers that are shown while the face makes an expression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: What the frames do while a trigger is on, see `Trigger.mode`.
Mode = Literal["while", "burst"]

#: Minimum time between two changes of a trigger in seconds; faster changes are noise.
STEADY = 0.15


@dataclass(frozen=True)
class Trigger:
    """Condition that shows a layer when the face makes an expression.

    Attributes:
        signal: Name of one of `facekp.landmarks.SIGNALS`.
        on: Value of the signal from which the layer is shown.
        off: Value of the signal at or below which the layer is hidden again; at most `on`.
        hold_ms: Minimum time for which the layer is shown, in milliseconds.
        mode: "while": the frames repeat for as long as the trigger is on. "burst": they play once, regardless of
            the signal, which must fall to `off` before they can play again.
    """

    signal: str
    on: float = 0.5
    off: float = 0.35
    hold_ms: float = 0.0
    mode: Mode = "while"

    def at_once(self, value: float, length: float) -> float | None:
        """Evaluate the trigger for a single image, which has no history: the middle of a burst, else the beginning.

        Args:
            value: Value of the signal.
            length: Total duration of the frames in seconds.

        Returns:
            Position within the frames in seconds; None if the layer is not shown.
        """
        if not value >= self.on:
            return None
        return length / 2 if self.mode == "burst" else 0.0


class Switch:
    """State of a trigger for one layer on one face.

    Example:
        >>> smile, switch = Trigger("mouth_wide", on=0.5, off=0.3), Switch()
        >>> [switch(smile, value, second, 1.0) for second, value in ((0.0, 0.2), (1.0, 0.6), (2.0, 0.4), (3.0, 0.3))]
        [None, 0.0, 1.0, None]
    """

    def __init__(self) -> None:
        self._on, self._changed = False, float("-inf")

    def __call__(self, trigger: Trigger, value: float, seconds: float, length: float) -> float | None:
        """Update the state with the signal of the next frame.

        Args:
            trigger: The trigger, always the same.
            value: Value of its signal; NaN counts as no signal.
            seconds: Time of the frame in seconds.
            length: Total duration of the layer's frames in seconds.

        Returns:
            Seconds since the trigger fired; None if the layer is not shown.
        """
        since, hold = seconds - self._changed, trigger.hold_ms / 1000
        burst = trigger.mode == "burst"
        if burst:
            hold = length = max(length, hold)
        if self._on and not value > trigger.off:
            change = since >= max(STEADY, hold)
        else:
            change = not self._on and value >= trigger.on and since >= STEADY
        if change:
            self._on, self._changed, since = not self._on, seconds, 0.0
        return since if self._on and not (burst and since >= length) else None
