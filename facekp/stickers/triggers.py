"""When a layer is shown: what the face must do for it."""

from __future__ import annotations

from dataclasses import dataclass

#: No trigger changes its mind sooner, in seconds: what flickers is noise.
STEADY = 0.15


@dataclass(frozen=True)
class Trigger:
    """Shows a layer when the face does something.

    Attributes:
        signal: Name of one of `facekp.landmarks.SIGNALS`.
        on: From this value on the layer is shown,
        off: until the signal is no longer above this one; at most `on`.
        hold_ms: Shown for at least so long, in milliseconds.
        mode: "while": the frames repeat for as long as the trigger is on. "burst": they play once, whatever the face
            does meanwhile; the signal must fall to `off` before they can play again.
    """

    signal: str
    on: float = 0.5
    off: float = 0.35
    hold_ms: float = 0.0
    mode: str = "while"

    def at_once(self, value: float, length: float) -> float | None:
        """The same for a single image, which has no before: the middle of a burst, the beginning otherwise.

        Args:
            value: Of the signal.
            length: Of all frames, in seconds.

        Returns:
            Seconds into the frames; None: not shown.
        """
        if not value >= self.on:
            return None
        return length / 2 if self.mode == "burst" else 0.0


class Switch:
    """A trigger's state, for one layer on one face.

    Example:
        >>> smile, switch = Trigger("mouth_wide", on=0.5, off=0.3), Switch()
        >>> [switch(smile, value, second, 1.0) for second, value in ((0.0, 0.2), (1.0, 0.6), (2.0, 0.4), (3.0, 0.3))]
        [None, 0.0, 1.0, None]
    """

    def __init__(self) -> None:
        self._on, self._changed = False, float("-inf")

    def __call__(self, trigger: Trigger, value: float, seconds: float, length: float) -> float | None:
        """Take the signal of the next frame.

        Args:
            trigger: The trigger, always the same.
            value: Of its signal; NaN counts as nothing.
            seconds: When the frame is shown.
            length: Of all the layer's frames, in seconds.

        Returns:
            Seconds since the trigger fired; None: the layer is not shown.
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
