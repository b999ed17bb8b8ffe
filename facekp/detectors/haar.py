"""OpenCV's Haar cascades as a face detector."""

from __future__ import annotations

import cv2
import numpy as np

from facekp.errors import UserError
from facekp.vision import geometry
from facekp.vision.boxes import best_boxes

#: Intersection over union above which two results of a cascade are the same face.
_SAME_FACE = 0.3


class HaarDetector:
    """OpenCV's Haar cascades (Viola and Jones, 2001), which come with opencv-python.

    Frontal faces are searched for first; if there are none, profiles; if there are none, frontal faces in the image
    rotated by 30 degrees to either side. Easy to install, but prone to false detections: prefer your own boxes where
    you have better ones.

    Args:
        longest_side: Longest side in pixels to which larger images are reduced.
        min_face: Size of the smallest face to search for, as a fraction of the image's shorter side.

    Example:
        >>> boxes, scores = HaarDetector()(np.zeros((80, 80, 3), np.uint8))
        >>> boxes.shape, scores.shape
        ((0, 4), (0,))
    """

    # The landmarks' box in the cascade's square, in fractions of its side: medians over 150 photos of 300-W.
    _FRONTAL = np.array([0.07, 0.23, 0.93, 1.075])
    _PROFILE = np.array([0.05, 0.28, 0.79, 1.04])

    def __init__(self, longest_side: int = 800, min_face: float = 0.06) -> None:
        if not hasattr(cv2, "CascadeClassifier"):
            raise UserError('this OpenCV has no Haar cascades; pip install "opencv-python>=4.8,<5"')
        # alt2 finds nearly as many faces as the default cascade, with a quarter of its false detections.
        self._frontal, self._profile = (
            cv2.CascadeClassifier(cv2.data.haarcascades + f"haarcascade_{name}.xml")
            for name in ("frontalface_alt2", "profileface")
        )
        self._longest_side, self._min_face = longest_side, min_face

    def __call__(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `facekp.inference.landmarker.Detector`."""
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        height, width = grey.shape
        scale = min(1.0, self._longest_side / max(height, width))
        if scale < 1:
            size = geometry.scaled_size((width, height), scale)
            grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        boxes, scores = self._upright(grey)
        if not len(boxes):
            boxes, scores = self._rotated(grey)
        return (boxes / scale).astype(np.float32), scores.astype(np.float32)

    def _upright(self, grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        for search in (self._search, self._search_thoroughly):
            boxes, scores = search(self._frontal, grey, self._FRONTAL)
            if len(boxes):
                return boxes, scores
        one, one_scores = self._search(self._profile, grey, self._PROFILE)
        other, other_scores = self._search(self._profile, cv2.flip(grey, 1), self._PROFILE)
        other[:, [0, 2]] = grey.shape[1] - other[:, [2, 0]]  # back into the unmirrored image
        return best_boxes(np.concatenate([one, other]), np.concatenate([one_scores, other_scores]), _SAME_FACE)

    def _rotated(self, grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        height, width = grey.shape
        side = int(np.hypot(height, width))
        found, found_scores = [], []
        for angle in (-30, 30):
            matrix = geometry.compose(
                geometry.rotation(angle, (width / 2, height / 2)),
                geometry.translation((side - width) / 2, (side - height) / 2),
            )
            boxes, scores = self._search(self._frontal, geometry.warp(grey, matrix, (side, side)), self._FRONTAL)
            centres = geometry.apply(geometry.invert(matrix), (boxes[:, :2] + boxes[:, 2:]) / 2)
            half = (boxes[:, 2:] - boxes[:, :2]) / 2
            found.append(np.concatenate([centres - half, centres + half], 1))
            found_scores.append(scores)
        return best_boxes(np.concatenate(found), np.concatenate(found_scores), _SAME_FACE)

    def _search(
        self, cascade: cv2.CascadeClassifier, grey: np.ndarray, place: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Search in coarse steps, then in fine ones around the results: half the time of fine steps alone."""
        least = self._least(grey)
        found, votes = [], []
        for x, y, side, _ in cascade.detectMultiScale2(grey, 1.25, 1, minSize=(least, least))[0]:
            reach = int(0.4 * side)
            left, top = max(x - reach, 0), max(y - reach, 0)
            part = grey[top : y + side + reach, left : x + side + reach]
            smallest, largest = max(least, int(0.7 * side)), int(1.45 * side)
            squares, agreed = cascade.detectMultiScale2(
                part, 1.1, 4, minSize=(smallest, smallest), maxSize=(largest, largest)
            )
            found += [(left + x, top + y, side) for x, y, side, _ in squares]
            votes += list(agreed)
        return _boxes(found, votes, place)

    def _search_thoroughly(
        self, cascade: cv2.CascadeClassifier, grey: np.ndarray, place: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Search the whole image in fine steps."""
        least = self._least(grey)
        squares, votes = cascade.detectMultiScale2(grey, 1.1, 4, minSize=(least, least))
        return _boxes([(x, y, side) for x, y, side, _ in squares], list(votes), place)

    def _least(self, grey: np.ndarray) -> int:
        return max(24, round(self._min_face * min(grey.shape)))


def _boxes(squares: list[tuple[int, int, int]], votes: list[float], place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the landmarks' boxes for a cascade's squares, and scores computed from the votes for each."""
    if not squares:
        return np.zeros((0, 4)), np.zeros(0)
    places = np.array(squares, np.float64)
    # A cascade gives no probability; the number of neighbouring windows that agreed is the best substitute.
    scores = 1 - np.exp(-np.array(votes, np.float64).reshape(-1) / 4)
    return best_boxes(places[:, [0, 1, 0, 1]] + places[:, 2:] * place, scores, _SAME_FACE)
