"""Effects on the frames of a live camera."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Callable

import numpy as np

from facekp.errors import UserError
from facekp.inference.tracking import Tracker
from facekp.io.camera import VirtualCamera
from facekp.io.video import recording
from facekp.stickers.files import Effect, Show


def run_live(
    frames: Iterable[tuple[np.ndarray, float]],
    effect: Effect,
    tracker: Tracker,
    show: Show | None = None,
    virtual_fps: float | None = None,
    record: Path | None = None,
) -> None:
    """Apply an effect to frames and send them to a window, a virtual camera, a file, or several of these.

    It ends at Ctrl-C, a key press in the window, or when the camera stops; the recording is playable in each case.

    Args:
        frames: BGR uint8 images, each with its time in seconds.
        effect: Effect to apply.
        tracker: Finds the faces.
        show: Shows the results in a window; None: no window.
        virtual_fps: Frame rate of the virtual camera; None: no virtual camera.
        record: Video file to write; None: no recording.

    Raises:
        UserError: See `VirtualCamera`, `recording` and `camera_frames`.
    """
    outputs: list[Callable[[np.ndarray, float], object]] = []
    began, stopped = False, None
    with ExitStack() as stack:
        if record is not None:
            outputs.append(stack.enter_context(recording(record)))
        camera: VirtualCamera | None = None
        try:
            for image, seconds in frames:
                if virtual_fps is not None and camera is None:
                    camera = VirtualCamera((image.shape[1], image.shape[0]), virtual_fps)
                    stack.callback(camera.close)
                    print(f"virtual camera: {camera.device}; Ctrl-C ends it", file=sys.stderr)
                began = True
                result = effect.apply(image, tracker(image, seconds), seconds)
                for output in outputs:
                    output(result, seconds)
                if camera is not None:
                    camera.send(result)
                if show is not None and show(result, 1):
                    return
        except KeyboardInterrupt:
            return
        except UserError as error:
            if not began:
                raise
            stopped = error  # raised after the recording is closed, so that it is kept
    if stopped is not None:
        raise stopped
