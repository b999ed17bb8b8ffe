"""Cameras, real and virtual: the newest frame in, steady frames out."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any, Callable, Optional

import cv2
import numpy as np

from facekp.errors import UserError
from facekp.extras import missing

try:
    import pyvirtualcam
except ImportError:  # `VirtualCamera` says how to install it
    pyvirtualcam = None

#: Gives the next frame, BGR uint8, as soon as there is one; None: the camera stopped.
Read = Callable[[], Optional[np.ndarray]]


class Newest:
    """Reads a camera in a thread of its own and keeps the newest frame only, so that nobody falls behind it.

    Args:
        read: Waits for the next frame.

    Example:
        >>> images = iter([np.zeros((2, 2, 3), np.uint8), None])
        >>> with Newest(lambda: next(images)) as frames:
        ...     [image.shape for image in frames]
        [(2, 2, 3)]
    """

    def __init__(self, read: Read) -> None:
        self._read = read
        self._image: np.ndarray | None = None
        self._error: BaseException | None = None
        self._stopped = False
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Newest:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._news:
            self._stopped = True
        self._thread.join()

    def __iter__(self) -> Iterator[np.ndarray]:
        """The newest frame, each once, until the camera stops."""
        while True:
            with self._news:
                self._news.wait_for(lambda: self._image is not None or self._stopped)
                image, self._image = self._image, None
            if image is None:
                if self._error is not None:
                    raise self._error
                return
            yield image

    def _run(self) -> None:
        error: BaseException | None = None
        while True:
            try:
                image = self._read()
            except Exception as raised:  # told where the frames are asked for
                image, error = None, raised
            with self._news:
                if image is None or self._stopped:
                    self._stopped, self._error = True, error
                    self._news.notify_all()
                    return
                self._image = image
                self._news.notify_all()


def camera_frames(index: int) -> Iterator[tuple[np.ndarray, float]]:
    """The newest frames of a webcam, BGR uint8, each with its time in seconds since the start.

    Raises:
        UserError: There is no such camera, or it stopped.
    """
    camera = cv2.VideoCapture(index)

    def read() -> np.ndarray | None:
        good, image = camera.read()
        return image if good else None

    try:
        start = time.monotonic()
        if camera.isOpened():
            with Newest(read) as frames:
                for image in frames:
                    yield image, time.monotonic() - start
        raise UserError(f"camera {index}: cannot be read; connect it, close who else uses it, or try another")
    finally:
        camera.release()


class VirtualCamera:
    """A camera that other programs see; through pyvirtualcam, with the driver that it needs.

    Args:
        size: Width and height of its frames; others are scaled to them.
        fps: Frames a second that it shows.

    Raises:
        UserError: pyvirtualcam is missing, or no driver is there.
    """

    def __init__(self, size: tuple[int, int], fps: float = 30.0) -> None:
        if pyvirtualcam is None:
            raise missing("pyvirtualcam", "--virtual-camera")
        self._size = size
        try:
            self._camera: Any = pyvirtualcam.Camera(*size, fps, fmt=pyvirtualcam.PixelFormat.BGR)
        except (RuntimeError, ValueError) as error:
            raise UserError(
                f"--virtual-camera: no driver for it ({' '.join(str(error).split())[:120]}); Linux: sudo modprobe "
                "v4l2loopback; Windows, macOS: install OBS Studio and start its virtual camera once"
            ) from error

    @property
    def device(self) -> str:
        """What other programs call it."""
        return str(self._camera.device)

    def send(self, image: np.ndarray) -> None:
        """Show a frame, BGR uint8, and wait until the next one is due."""
        if image.shape[1::-1] != self._size:
            image = cv2.resize(image, self._size, interpolation=cv2.INTER_AREA)
        self._camera.send(np.ascontiguousarray(image))
        self._camera.sleep_until_next_frame()

    def close(self) -> None:
        """Take it away from other programs."""
        self._camera.close()
