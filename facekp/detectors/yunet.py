"""OpenCV's YuNet with a model file of the user; its boxes are converted to boxes around the 68 points."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from facekp.errors import UserError
from facekp.vision import geometry
from facekp.vision.boxes import best_boxes

#: Number of values that YuNet returns per face: x, y, width, height, the x and y of five points, and the score.
YUNET_COLUMNS = 15


def landmark_boxes(faces: np.ndarray) -> np.ndarray:
    """Convert the faces that YuNet returns to boxes around the 68 points.

    YuNet was trained on the boxes of WIDER FACE, from the forehead to the chin and from cheek to cheek. Its left, right
    and lower sides are kept. The upper one is moved down to the brows, which lie above the higher of the two eyes by
    `BROWS` times the distance from that eye to the chin; if YuNet places the eyes outside the upper half of its box,
    the brows are clipped to that half.

    Args:
        faces: (N, 15), as `cv2.FaceDetectorYN.detect` returns them.

    Returns:
        (N, 4) float32 as x0, y0, x1, y1.

    Example:
        >>> eyes_nose_mouth = [40, 40, 80, 40, 60, 60, 45, 80, 75, 80]
        >>> landmark_boxes(np.float32([[20, 0, 80, 100, *eyes_nose_mouth, 0.9]])).astype(int).tolist()
        [[20, 27, 100, 100]]
    """
    x, y, width, height = faces[:, :4].T
    eye = np.minimum(faces[:, 5], faces[:, 7])
    brows = np.clip(eye - BROWS * (y + height - eye), y, y + height / 2)
    return np.stack([x, brows, x + width, y + height], 1).astype(np.float32)


#: How far the landmarks' box extends above the higher eye, as a fraction of the distance from that eye to the chin: the
#: median over the labels of 300-W's training photos. That YuNet's other three sides match those of the landmarks
#: follows from WIDER FACE's rules; it was not measured, because facekp has no YuNet file.
BROWS = 0.21


class YuNetDetector:
    """YuNet (Wu, Peng and Yu, 2023) in OpenCV, with a model file of your own.

    The file is, for example, `face_detection_yunet_2023mar.onnx` from the OpenCV zoo.

    YuNet was trained on faces of 10 to 300 pixels. Images are therefore searched at 640 pixels and again at 320, the
    second time for the faces that fill them.

    Args:
        model: Path of the ONNX file.
        min_score: Minimum score of a face.

    Raises:
        UserError: The file is missing or is not a YuNet model, or this OpenCV cannot run it.

    Example:
        >>> YuNetDetector("yunet.onnx")
        Traceback (most recent call last):
            ...
        facekp.errors.UserError: yunet.onnx: no such file; YuNet's comes from github.com/opencv/opencv_zoo
    """

    _SIDES = (640, 320)

    def __init__(self, model: str | os.PathLike[str], min_score: float = 0.6) -> None:
        if not hasattr(cv2, "FaceDetectorYN"):
            raise UserError('this OpenCV has no FaceDetectorYN; pip install "opencv-python>=4.8,<5"')
        if not Path(model).is_file():
            raise UserError(f"{model}: no such file; YuNet's comes from github.com/opencv/opencv_zoo")
        try:
            with _quiet_opencv():
                self._network = cv2.FaceDetectorYN.create(str(model), "", (64, 64), min_score)
                self._network.detect(np.zeros((64, 64, 3), np.uint8))  # other networks load, but give other outputs
        except cv2.error as error:
            raise UserError(
                f"{model}: not a YuNet model that OpenCV {cv2.__version__} can run; "
                "take face_detection_yunet_2023mar.onnx from github.com/opencv/opencv_zoo"
            ) from error

    def __call__(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `facekp.inference.landmarker.Detector`."""
        longest = max(image.shape[:2])
        # An image that is no larger than the last side is searched once, at its own size.
        sides = sorted({min(side, longest) for side in self._SIDES}, reverse=True)
        faces = np.concatenate([self._search(image, side / longest) for side in sides])
        boxes, scores = landmark_boxes(faces), np.clip(faces[:, -1], 0, 1)
        return best_boxes(boxes, scores)

    def _search(self, image: np.ndarray, scale: float) -> np.ndarray:
        """Search the image at another scale; return the faces in pixels of the image."""
        height, width = image.shape[:2]
        size = geometry.scaled_size((width, height), scale)
        if size != (width, height):
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        self._network.setInputSize(size)
        found = self._network.detect(image)[1]
        if found is None:
            return np.zeros((0, YUNET_COLUMNS), np.float32)
        stretch = np.ones(YUNET_COLUMNS, np.float32)  # the score is not scaled
        stretch[0:-1:2], stretch[1:-1:2] = width / size[0], height / size[1]
        return found * stretch


@contextmanager
def _quiet_opencv() -> Iterator[None]:
    """Suppress OpenCV's own log lines about an exception that is reported as a `UserError`."""
    logging = cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging  # it has moved between 4.11 and 4.14
    level = logging.getLogLevel()
    logging.setLogLevel(0)
    try:
        yield
    finally:
        logging.setLogLevel(level)
