"""Finding faces: a detector takes a BGR picture and returns boxes around where the 68 points will be."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Callable, Protocol

import cv2
import numpy as np

from facekp.boxes import SAME_FACE, choose_boxes, suppress_overlaps
from facekp.errors import UserError
from facekp.inference.backends import SHIPPED_DETECTOR, Backend, load_backend
from facekp.inference.faces import Faces
from facekp.inference.haar import HaarDetector
from facekp.weights import DetectorRecipe

#: Boxes with a lower score are left out. Low, because the points that are found in a box have their say as well.
LEAST_SCORE = 0.3


class Detector(Protocol):
    """Anything that can be called so."""

    def __call__(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Find faces.

        Args:
            image: BGR uint8 (H, W, 3).

        Returns:
            Boxes, (N, 4) float32 as x0, y0, x1, y1 around the landmarks, and scores, (N,) float32, 0 to 1.
        """


class FaceDetector:
    """Our own detector, which `configs/face_detector.yml` trains.

    Every picture is searched at the same sizes, small ones enlarged: a face of 20 pixels in a small picture is as good
    as one of 80 in a large one. The smaller look sees large faces as large as training showed them; where both see
    one, the better-scored box stays.

    Args:
        backend: Runs the network.
        recipe: How it was trained.
        longest_sides: Of the picture as the network sees it, in pixels, one look for each.
        least_score: Boxes with lower scores are left out.

    Example:
        >>> boxes, scores = load_detector()(np.zeros((80, 80, 3), np.uint8))
        >>> boxes.shape, scores.shape
        ((0, 4), (0,))
    """

    #: Pictures are enlarged by no more than this.
    MOST_ENLARGED = 4.0
    #: The network halves its picture so often that its sides are whole numbers of so many pixels.
    _WHOLE = 32

    def __init__(
        self,
        backend: Backend,
        recipe: DetectorRecipe,
        longest_sides: Sequence[int] = (640, 320),
        least_score: float = LEAST_SCORE,
    ) -> None:
        self.backend, self.recipe = backend, recipe
        self.longest_sides, self.least_score = tuple(longest_sides), least_score
        self._pixels = recipe.build_pixels()

    def __call__(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Detector`."""
        most = self.MOST_ENLARGED * max(image.shape[:2])
        looks = [self._look(image, side) for side in sorted({min(side, most) for side in self.longest_sides})]
        boxes, scores = (np.concatenate(parts) for parts in zip(*looks))
        kept = suppress_overlaps(boxes, scores, SAME_FACE)
        return boxes[kept], scores[kept]

    def _look(self, image: np.ndarray, longest_side: float) -> tuple[np.ndarray, np.ndarray]:
        height, width = image.shape[:2]
        scale = longest_side / max(height, width)
        high, wide = max(1, round(height * scale)), max(1, round(width * scale))
        small = cv2.resize(image, (wide, high), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        padded = np.zeros((-(-high // self._WHOLE) * self._WHOLE, -(-wide // self._WHOLE) * self._WHOLE, 3), np.uint8)
        padded[:high, :wide] = small
        outputs, _ = self.backend(self._pixels(padded)[None])
        boxes, scores = choose_boxes(outputs[0], padded.shape[0], padded.shape[1], self.least_score)
        shrunk = np.array([wide / width, high / height] * 2, np.float32)
        return (boxes + 0.5) / shrunk - 0.5, scores


class FacesOf:
    """What a landmarker finds, as a detector: the boxes around the points, and the scores of detector and points.

    Args:
        landmarker: Called with a picture.
    """

    def __init__(self, landmarker: Callable[[np.ndarray], Faces]) -> None:
        self.landmarker = landmarker

    def __call__(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Detector`."""
        faces = self.landmarker(image)
        return faces.boxes, faces.scores


def load_detector(
    source: str | os.PathLike[str] | None = None, backend: str | None = None, threads: int | None = None
) -> Detector:
    """Load a face detector.

    Args:
        source: None for ours, the shipped one; "haar" for OpenCV's cascades; "mediapipe" where that is installed;
            "yunet:PATH" for OpenCV's YuNet with a model file that you have; or the path of weights that
            `tools/train.py` wrote, or of a folder that `tools/export.py` wrote.
        backend: See `facekp.load_landmarker`; of our own detectors.
        threads: As well.

    Raises:
        UserError: There is no such detector, or what it needs is missing.

    Example:
        >>> boxes, scores = load_detector("haar")(cv2.imread("assets/photos/astronaut.png"))
        >>> boxes.shape
        (1, 4)
    """
    source = SHIPPED_DETECTOR if source is None else source
    name, _, model = str(source).partition(":")
    if source == "haar":
        return HaarDetector()
    if source == "mediapipe" or name == "yunet":
        from facekp.inference.peer_detectors import MediaPipeDetector, YuNetDetector

        if name == "yunet" and not model:
            raise UserError("yunet needs a model file: yunet:PATH")
        return YuNetDetector(model) if name == "yunet" else MediaPipeDetector()
    if not Path(source).exists():
        raise UserError(
            f"{source}: neither haar, mediapipe or yunet:PATH, nor a file of weights, nor an exported folder"
        )
    return FaceDetector(*load_backend(source, backend, threads, DetectorRecipe))
