"""Window that shows images, if there is a display."""

from __future__ import annotations

import os
import sys

import cv2
import numpy as np

from facekp.errors import UserError


def need_display() -> None:
    """Check that there is a display: without one, OpenCV terminates the program.

    Raises:
        UserError: There is no display.
    """
    if sys.platform.startswith("linux") and not {"DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ):
        raise UserError("no display to open a window on; omit --preview, and give --camera a --virtual-camera")


def show(image: np.ndarray, wait: int) -> bool:
    """Show an image.

    Args:
        image: BGR or BGRA, uint8.
        wait: Time to wait for a key in milliseconds; 0 waits until a key is pressed.

    Returns:
        Whether a key was pressed.

    Raises:
        UserError: There is no display, or the installed OpenCV cannot open windows.
    """
    need_display()
    try:
        cv2.imshow("facekp", image)
        return cv2.waitKey(wait) != -1
    except cv2.error as error:
        raise UserError("this OpenCV cannot open windows; install opencv-python, not opencv-python-headless") from error
