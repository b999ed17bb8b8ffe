"""The result of looking at a picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from facekp.landmarks import IBUG68, PointSchema
from facekp.vision.boxes import area, part_inside, suppress_overlaps

#: A face of which more than this part lies inside of another one's box, whose area is less than this part of the
#: other's, and that is trusted less, is a part of that other face.
INSIDE, SMALLER = 0.7, 0.35


@dataclass(frozen=True)
class Faces:
    """All faces of one picture, largest first.

    Attributes:
        points: (N, K, 2) float32, x and y in pixels of the image; K is 68 in iBUG order unless `schema` says otherwise.
        boxes: (N, 4) float32, x0, y0, x1, y1 around the face's points.
        scores: (N,) float32, 0 to 1, how far to trust the face.
        schema: What the points are.

    Example:
        >>> faces = Faces.none()
        >>> len(faces), faces.points.shape, faces.boxes.shape, faces.scores.shape
        (0, (0, 68, 2), (0, 4), (0,))
    """

    points: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    schema: PointSchema = IBUG68

    @classmethod
    def none(cls, schema: PointSchema = IBUG68) -> Faces:
        """The result for an image without a face."""
        return cls.from_arrays(np.zeros((0, schema.num_points, 2)), np.zeros((0, 4)), np.zeros(0), schema)

    @classmethod
    def from_arrays(
        cls, points: np.ndarray, boxes: np.ndarray, scores: np.ndarray, schema: PointSchema = IBUG68
    ) -> Faces:
        """Make float32 arrays of equal length and sort them, largest box first."""
        points, boxes, scores = (np.asarray(a, np.float32) for a in (points, boxes, scores))
        order = np.argsort(-area(boxes), kind="stable")
        return cls(points[order], boxes[order], scores[order], schema)

    def without_doubles(self, most: float = 0.4) -> Faces:
        """Keep the higher-scoring of two faces that coincide, and drop what is found inside of a face.

        A detector's boxes may lie apart and still lead to the same points. And around a nose and a mouth the points of
        a small face may be found: a face counts as such that lies mostly inside of another one, is much smaller and
        less trusted. Two heads of which one hides a part of the other are both kept: so much of a face is not hidden
        by one of its own size, and a child's face in front of a grown-up's leaves too little of that to be found.

        Args:
            most: Largest intersection over union that two different faces may have.

        Example:
            >>> boxes = [[0, 0, 10, 10], [0, 1, 10, 11], [20, 0, 25, 5]]
            >>> faces = Faces.from_arrays(np.zeros((3, 68, 2)), boxes, [0.5, 0.75, 0.25])
            >>> faces.without_doubles().scores.tolist()
            [0.75, 0.25]
        """
        kept = np.sort(suppress_overlaps(self.boxes, self.scores, most))  # still largest first
        boxes, scores = self.boxes[kept], self.scores[kept]
        inside = part_inside(boxes[:, None], boxes[None]) > INSIDE
        smaller = area(boxes)[:, None] < SMALLER * area(boxes)[None]
        kept = kept[~(inside & smaller & (scores[:, None] < scores[None])).any(1)]
        return Faces(self.points[kept], self.boxes[kept], self.scores[kept], self.schema)

    def __len__(self) -> int:
        return len(self.scores)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray, float]]:
        """Go through the faces as (points, box, score)."""
        return ((p, b, float(s)) for p, b, s in zip(self.points, self.boxes, self.scores))
