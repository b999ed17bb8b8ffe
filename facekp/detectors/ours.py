"""Our own face detector, trained with `configs/face_detector.yml`."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from facekp.codecs.boxes import BoxCodec
from facekp.inference.backends import Backend
from facekp.recipes import BoxesRecipe
from facekp.vision import geometry
from facekp.vision.boxes import best_boxes

#: Minimum score of a box. Low, because the score of the points that are found in a box counts as well.
MIN_SCORE = 0.3


class FaceDetector:
    """Our own face detector, trained with `configs/face_detector.yml`.

    Every image is searched at the same sizes, small ones enlarged: a face of 20 pixels in a small image is found as
    well as one of 80 in a large one. At the smaller size, large faces are as large as in training; if both passes find
    a face, the box with the higher score is kept. If no score reaches `SURE`, an extra pass searches the image at a
    small size in a wide border: a face that fills the image, or extends beyond it, is complete there.

    Args:
        backend: Runs the network.
        recipe: Recipe of the network.
        longest_sides: Longest side of the image in each pass, in pixels.
        min_score: Minimum score of a box.

    Example:
        >>> from facekp.detectors import load_detector
        >>> boxes, scores = load_detector()(np.zeros((80, 80, 3), np.uint8))
        >>> boxes.shape, scores.shape
        ((0, 4), (0,))
    """

    #: Maximum factor by which images are enlarged.
    MAX_ENLARGEMENT = 4.0
    #: Score of a box from which there is no pass with a border.
    SURE = 0.6
    #: Longest side of the image in that pass, and width of the border, in pixels.
    BORDERED = (176, 72)
    #: The sides of the network's input are multiples of this, because the network halves them repeatedly.
    _MULTIPLE = 32

    def __init__(
        self,
        backend: Backend,
        recipe: BoxesRecipe,
        longest_sides: Sequence[int] = (640, 320),
        min_score: float = MIN_SCORE,
    ) -> None:
        self.backend, self.recipe = backend, recipe
        self.longest_sides, self.min_score = tuple(longest_sides), min_score
        self._pixels = recipe.build_pixels()

    def __call__(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Detector`."""
        return self._search(image, self.longest_sides)

    def quick(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Search at the smallest size, and with a border if no score reaches `SURE`: finds large faces, faster."""
        return self._search(image, [min(self.longest_sides)])

    def _search(self, image: np.ndarray, longest_sides: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        most = self.MAX_ENLARGEMENT * max(image.shape[:2])
        results = [self._search_at(image, side) for side in sorted({min(side, most) for side in longest_sides})]
        if max((float(scores.max()) for _, scores in results if len(scores)), default=0.0) < self.SURE:
            side, border = self.BORDERED
            results.append(self._search_at(image, min(side, most), border))
        boxes, scores = (np.concatenate(parts) for parts in zip(*results))
        return best_boxes(boxes, scores)

    def _search_at(self, image: np.ndarray, longest_side: float, border: int = 0) -> tuple[np.ndarray, np.ndarray]:
        height, width = image.shape[:2]
        scale = longest_side / max(height, width)
        wide, high = geometry.scaled_size((width, height), scale)
        small = cv2.resize(image, (wide, high), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        shape = [-(-(side + 2 * border) // self._MULTIPLE) * self._MULTIPLE for side in (high, wide)]
        padded = np.full((*shape, 3), 127 if border else 0, np.uint8)
        padded[border : border + high, border : border + wide] = small
        outputs = self.backend(self._pixels(padded)[None])[0]
        boxes, scores = BoxCodec(*padded.shape[:2]).choose(outputs[0], self.min_score)
        shrunk = np.array([wide / width, high / height] * 2, np.float32)
        return (boxes - border + 0.5) / shrunk - 0.5, scores
