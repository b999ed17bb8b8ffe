"""MediaPipe's face detector, if it is installed; its boxes are converted to boxes around the 68 points."""

from __future__ import annotations

import cv2
import numpy as np

from facekp.errors import UserError
from facekp.vision.boxes import best_boxes


class MediaPipeDetector:
    """MediaPipe's two BlazeFace models (Bazarevsky et al., 2019), which come with its package; needs no model file.

    One is made for faces within two metres, the other for faces within five. Both run on every image.

    MediaPipe writes a few lines to stderr when a detector is built; it has no option to silence them
    (github.com/google-ai-edge/mediapipe/issues/5737).

    Args:
        min_score: Minimum score of a face. MediaPipe itself drops those below 0.5.

    Raises:
        UserError: MediaPipe is missing, or is version 0.10.30 or later, whose package has no detector.

    Example:
        >>> from contextlib import suppress
        >>> with suppress(UserError):  # where MediaPipe is missing
        ...     boxes, scores = MediaPipeDetector()(np.zeros((80, 80, 3), np.uint8))
        ...     assert boxes.shape == (0, 4) and scores.shape == (0,)
    """

    # The landmarks' box in the box of the near and of the far model, in fractions of its sides: medians over 141 and
    # 143 faces in 150 photos of 300-W.
    _PLACES = np.array([[0.025, 0.10, 0.955, 1.01], [0.065, 0.155, 0.94, 1.015]])

    def __init__(self, min_score: float = 0.5) -> None:
        try:
            from mediapipe import solutions
        except ImportError as error:
            reason = str(error).partition("\n")[0]
            raise UserError(f'MediaPipe\'s detector: {reason}; pip install "mediapipe==0.10.21"') from error
        self._models = [
            solutions.face_detection.FaceDetection(min_detection_confidence=min_score, model_selection=model)
            for model in range(len(self._PLACES))
        ]

    def __call__(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `facekp.inference.landmarker.Detector`."""
        height, width = image.shape[:2]
        rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        found, found_scores = [], []
        for model, place in zip(self._models, self._PLACES):
            for face in model.process(rgb).detections or []:
                box = face.location_data.relative_bounding_box
                corner, sides = np.array([box.xmin, box.ymin] * 2), np.array([box.width, box.height] * 2)
                found.append((corner + sides * place) * (width, height, width, height))
                found_scores.append(face.score[0])
        boxes, scores = np.array(found, np.float32).reshape(-1, 4), np.array(found_scores, np.float32)
        return best_boxes(boxes, scores)
