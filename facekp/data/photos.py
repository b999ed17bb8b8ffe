"""Unlabelled photos, with the boxes of a face detector, to train a network's score."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Callable

import numpy as np
from tqdm import tqdm

from facekp.data.dataset import LandmarkDataset
from facekp.errors import UserError, counted
from facekp.io.images import read_image
from facekp.landmarks import IBUG68, PointSchema
from facekp.vision.boxes import iou, part_inside

#: Minimum score of the best box of a photo; other photos are not used.
MIN_SCORE = 0.5

#: A box is a part of a face (an eye with its brow, a mouth) if at least the first fraction of it lies inside the face's
#: box, and its intersection over union with that box is at most the second.
INSIDE, OVERLAP = 0.8, 0.3


class PhotosDataset(LandmarkDataset):
    """Data set of the boxes that a face detector predicts in photos.

    Photos with faces: the box with the highest score is a face with unknown points; boxes inside it are parts of a
    face, not faces; the others are not used. Photos without faces: none of the boxes is a face.

    Args:
        paths: Paths of the photos.
        detector: Face detector; see `facekp.inference.landmarker.Detector`.
        faces: Whether the photos show faces.
        schema: Schema of the points.
        progress: Show a progress bar.

    Raises:
        UserError: A photo cannot be read, or no photo has a box to use.

    Example:
        >>> def detector(image):
        ...     return np.float32([[10, 10, 50, 50], [12, 12, 28, 28]]), np.float32([0.9, 0.4])
        >>> photos = PhotosDataset([Path("assets/photos/astronaut.png")], detector)
        >>> [(photos.has_face(i), photos.has_points(i)) for i in range(len(photos))]
        [(True, False), (False, True)]
    """

    kind = "photos"

    def __init__(
        self,
        paths: Sequence[Path],
        detector: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
        faces: bool = True,
        schema: PointSchema = IBUG68,
        progress: bool = False,
    ) -> None:
        super().__init__()
        self.schema = schema
        mean = schema.mean_points
        low, high = mean.min(0), mean.max(0)
        self._places = (mean - low) / (high - low)
        # A face with an unknown point is neither turned nor covered: these points are not labels.
        self._places[np.linalg.norm(self._places - 0.5, axis=1).argmin()] = np.nan
        self._found: list[tuple[Path, np.ndarray, bool]] = []
        for path in tqdm(paths, "detecting faces", leave=False, disable=None if progress else True):
            self._found += [(path, box, face) for box, face in _sort(*detector(read_image(path)), faces)]
        if not self._found:
            raise UserError(f"{paths[0].parent}: the face detector finds nothing in its {counted(len(paths), 'photo')}")

    def __len__(self) -> int:
        return len(self._found)

    def name(self, index: int) -> str:
        """Return a name that includes the photo's."""
        path, _, face = self._found[index]
        return path.name if face else f"no face of {path.name}"

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the photo, and the mean face placed in the box, without its central point."""
        path, box, _ = self._found[index]
        return read_image(path), (box[:2] + self._places * (box[2:] - box[:2])).astype(np.float32)

    def has_face(self, index: int) -> bool:
        """Return whether the box is a face."""
        return self._found[index][2]

    def has_points(self, index: int) -> bool:
        """Return False for faces, whose points are unknown."""
        return not self._found[index][2]


def _sort(boxes: np.ndarray, scores: np.ndarray, faces: bool) -> list[tuple[np.ndarray, bool]]:
    """Return the boxes of one photo that are used, and whether each is a face."""
    if not faces:
        return [(box, False) for box in boxes]
    if not len(boxes) or scores.max() < MIN_SCORE:
        return []
    best = boxes[scores.argmax()]
    parts = (part_inside(boxes, best) >= INSIDE) & (iou(boxes, best) <= OVERLAP)
    return [(best, True), *((box, False) for box in boxes[parts])]
