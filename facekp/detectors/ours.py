"""Our own face detector, which `configs/face_detector.yml` trains."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from facekp.codecs.boxes import BoxCodec
from facekp.inference.backends import Backend
from facekp.recipes import BoxesRecipe
from facekp.vision.boxes import SAME_FACE, suppress_overlaps

#: Boxes with a lower score are dropped. Low, because the points that are found in a box have their say as well.
LEAST_SCORE = 0.3


class FaceDetector:
    """Our own detector, which `configs/face_detector.yml` trains.

    Every image is searched at the same sizes, small ones enlarged: a face of 20 pixels in a small image is as good
    as one of 80 in a large one. The smaller look sees large faces as large as training showed them; where both see
    one, the better-scored box stays. If neither is sure of a face, one more look sees the image small in a wide border:
    a face that fills the image, or reaches beyond it, is whole there.

    Args:
        backend: Runs the network.
        recipe: How it was trained.
        longest_sides: Of the image as the network sees it, in pixels, one look for each.
        least_score: Boxes with lower scores are dropped.

    Example:
        >>> from facekp.detectors import load_detector
        >>> boxes, scores = load_detector()(np.zeros((80, 80, 3), np.uint8))
        >>> boxes.shape, scores.shape
        ((0, 4), (0,))
    """

    #: Images are enlarged by no more than this.
    MOST_ENLARGED = 4.0
    #: No look with a border where a box has this score.
    SURE = 0.6
    #: Longest side of the image in that look, and how wide the border is.
    BORDERED = (176, 72)
    #: The network halves its image so often that its sides are whole numbers of so many pixels.
    _WHOLE = 32

    def __init__(
        self,
        backend: Backend,
        recipe: BoxesRecipe,
        longest_sides: Sequence[int] = (640, 320),
        least_score: float = LEAST_SCORE,
    ) -> None:
        self.backend, self.recipe = backend, recipe
        self.longest_sides, self.least_score = tuple(longest_sides), least_score
        self._pixels = recipe.build_pixels()

    def __call__(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Detector`."""
        return self._search(image, self.longest_sides)

    def quick(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The smallest look alone: it finds large faces, in a fraction of the time."""
        return self._search(image, [min(self.longest_sides)])

    def _search(self, image: np.ndarray, longest_sides: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        most = self.MOST_ENLARGED * max(image.shape[:2])
        looks = [self._look(image, side) for side in sorted({min(side, most) for side in longest_sides})]
        if max((float(scores.max()) for _, scores in looks if len(scores)), default=0.0) < self.SURE:
            side, border = self.BORDERED
            looks.append(self._look(image, min(side, most), border))
        boxes, scores = (np.concatenate(parts) for parts in zip(*looks))
        kept = suppress_overlaps(boxes, scores, SAME_FACE)
        return boxes[kept], scores[kept]

    def _look(self, image: np.ndarray, longest_side: float, border: int = 0) -> tuple[np.ndarray, np.ndarray]:
        height, width = image.shape[:2]
        scale = longest_side / max(height, width)
        high, wide = max(1, round(height * scale)), max(1, round(width * scale))
        small = cv2.resize(image, (wide, high), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        shape = [-(-(side + 2 * border) // self._WHOLE) * self._WHOLE for side in (high, wide)]
        padded = np.full((*shape, 3), 127 if border else 0, np.uint8)
        padded[border : border + high, border : border + wide] = small
        outputs = self.backend(self._pixels(padded)[None])[0]
        boxes, scores = BoxCodec(*padded.shape[:2]).choose(outputs[0], self.least_score)
        shrunk = np.array([wide / width, high / height] * 2, np.float32)
        return (boxes - border + 0.5) / shrunk - 0.5, scores
