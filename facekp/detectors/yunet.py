"""OpenCV's YuNet with a model file of the user's; its boxes become boxes around the 68 points."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from facekp.errors import UserError
from facekp.vision.boxes import SAME_FACE, suppress_overlaps

#: YuNet gives of each face x, y, width, height, the x and y of five points, and the score.
YUNET_COLUMNS = 15


def landmark_boxes(faces: np.ndarray) -> np.ndarray:
    """Boxes around the 68 points, from the faces that YuNet gives.

    YuNet learned the boxes of WIDER FACE, from the forehead to the chin and from cheek to cheek. Its left, right and
    lower sides are taken as they are. The upper one moves down to the brows, which lie above the higher of its two
    eyes by `BROWS` of the way from that eye to the chin; where it puts the eyes outside the upper half of its box,
    the brows stay inside that half.

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


#: How far the landmarks' box reaches above the higher eye, in parts of the way from that eye to the chin: the median
#: over the labels of 300-W's training photos. That YuNet's other three sides are those of the landmarks is what WIDER
#: FACE's rules say; it was not measured, for facekp has no YuNet file.
BROWS = 0.21


class YuNetDetector:
    """YuNet (Wu, Peng and Yu, 2023) as OpenCV runs it, with a model file that you have.

    The file is `face_detection_yunet_2023mar.onnx` of the OpenCV zoo, for example.

    It learned faces of 10 to 300 pixels. So images are searched at 640 pixels and once more at 320, the second time
    for the faces that fill them.

    Args:
        model: The ONNX file.
        least_score: Faces with lower scores are omitted.

    Raises:
        UserError: The file is missing or no YuNet, or this OpenCV cannot run one.

    Example:
        >>> YuNetDetector("yunet.onnx")
        Traceback (most recent call last):
            ...
        facekp.errors.UserError: yunet.onnx: no such file; YuNet's comes from github.com/opencv/opencv_zoo
    """

    _SIDES = (640, 320)

    def __init__(self, model: str | os.PathLike[str], least_score: float = 0.6) -> None:
        if not hasattr(cv2, "FaceDetectorYN"):
            raise UserError('this OpenCV has no FaceDetectorYN; pip install "opencv-python>=4.8,<5"')
        if not Path(model).is_file():
            raise UserError(f"{model}: no such file; YuNet's comes from github.com/opencv/opencv_zoo")
        try:
            with _quiet_opencv():
                self._network = cv2.FaceDetectorYN.create(str(model), "", (64, 64), least_score)
                self._network.detect(np.zeros((64, 64, 3), np.uint8))  # other networks load, but give other outputs
        except cv2.error as error:
            raise UserError(
                f"{model}: no YuNet that OpenCV {cv2.__version__} can run; "
                "take face_detection_yunet_2023mar.onnx from github.com/opencv/opencv_zoo"
            ) from error

    def __call__(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `facekp.inference.landmarker.Detector`."""
        longest = max(image.shape[:2])
        # An image that is no larger than the last side is looked at once, as it is.
        sides = sorted({min(side, longest) for side in self._SIDES}, reverse=True)
        faces = np.concatenate([self._search(image, side / longest) for side in sides])
        boxes, scores = landmark_boxes(faces), np.clip(faces[:, -1], 0, 1)
        kept = suppress_overlaps(boxes, scores, SAME_FACE)
        return boxes[kept], scores[kept]

    def _search(self, image: np.ndarray, scale: float) -> np.ndarray:
        """Faces of the image at another scale, in pixels of the image."""
        height, width = image.shape[:2]
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        if size != (width, height):
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        self._network.setInputSize(size)
        found = self._network.detect(image)[1]
        if found is None:
            return np.zeros((0, YUNET_COLUMNS), np.float32)
        stretch = np.ones(YUNET_COLUMNS, np.float32)  # the score stays
        stretch[0:-1:2], stretch[1:-1:2] = width / size[0], height / size[1]
        return found * stretch


@contextmanager
def _quiet_opencv() -> Iterator[None]:
    """Without OpenCV's own lines about an exception that is told in words that help."""
    logging = cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging  # it has moved between 4.11 and 4.14
    level = logging.getLogLevel()
    logging.setLogLevel(0)
    try:
        yield
    finally:
        logging.setLogLevel(level)
