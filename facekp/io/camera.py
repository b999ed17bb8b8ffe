"""Physical and virtual cameras: the newest frame in, frames at a constant rate out."""

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
except ImportError:  # the error of `VirtualCamera` says how to install it
    pyvirtualcam = None

#: Waits for the next frame and returns it, BGR uint8; None: the camera stopped.
Read = Callable[[], Optional[np.ndarray]]


class Newest:
    """Reads a camera in a separate thread and keeps only the newest frame, so that the consumer does not fall behind.

    Args:
        read: Function that waits for the next frame.

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
        self._condition = threading.Condition()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Newest:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._condition:
            self._stopped = True
        self._thread.join()

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield the newest frame, each only once, until the camera stops."""
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._image is not None or self._stopped)
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
            except Exception as raised:  # raised again where the frames are consumed
                image, error = None, raised
            with self._condition:
                if image is None or self._stopped:
                    self._stopped, self._error = True, error
                    self._condition.notify_all()
                    return
                self._image = image
                self._condition.notify_all()


def camera_frames(index: int) -> Iterator[tuple[np.ndarray, float]]:
    """Yield the newest frames of a webcam, BGR uint8, each with its time in seconds since the start.

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
        raise UserError(f"camera {index}: cannot be read; connect it, close other programs that use it, or try another")
    finally:
        camera.release()


class VirtualCamera:
    """Virtual camera for other programs, by pyvirtualcam and the driver that it needs.

    Args:
        size: Width and height of the frames; frames of other sizes are resized.
        fps: Frame rate in frames per second.

    Raises:
        UserError: pyvirtualcam or the driver is missing.
    """

    def __init__(self, size: tuple[int, int], fps: float = 30.0) -> None:
        if pyvirtualcam is None:
            raise missing("pyvirtualcam", "--virtual-camera")
        self._size = size
        try:
            self._camera: Any = pyvirtualcam.Camera(*size, fps, fmt=pyvirtualcam.PixelFormat.BGR)
        except (RuntimeError, ValueError) as error:
            raise UserError(
                f"--virtual-camera: its driver is missing ({' '.join(str(error).split())[:120]}); Linux: sudo modprobe "
                "v4l2loopback; Windows, macOS: install OBS Studio and start its virtual camera once"
            ) from error

    @property
    def device(self) -> str:
        """Name of the camera in other programs."""
        return str(self._camera.device)

    def send(self, image: np.ndarray) -> None:
        """Send a frame, BGR uint8, and wait until the next one is due."""
        if image.shape[1::-1] != self._size:
            image = cv2.resize(image, self._size, interpolation=cv2.INTER_AREA)
        self._camera.send(np.ascontiguousarray(image))
        self._camera.sleep_until_next_frame()

    def close(self) -> None:
        """Close the camera; other programs no longer see it."""
        self._camera.close()
