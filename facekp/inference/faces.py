"""The result of looking at a picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from facekp.landmarks import IBUG68, PointSchema
from facekp.vision.boxes import area, suppress_overlaps


@dataclass(frozen=True)
class Faces:
    """All faces of one picture, largest first.

    Attributes:
        points: (N, K, 2) float32, x and y in pixels of the image; K is 68 in iBUG order unless `schema` says otherwise.
        boxes: (N, 4) float32, x0, y0, x1, y1 around the face's points.
        scores: (N,) float32, 0 to 1, how far to trust the face.
        schema: What the points are.
        sigma: (N, K) float32, the distance from the truth that a point is expected to have, in pixels of the image;
            None of networks that do not say. Two thirds of the points lie nearer than it.
        visibility: (N, K) float32, 0 to 1, whether a point is seen, not hidden behind the head or something else; None
            of networks that do not say.

    Example:
        >>> faces = Faces.none()
        >>> len(faces), faces.points.shape, faces.boxes.shape, faces.scores.shape
        (0, (0, 68, 2), (0, 4), (0,))
    """

    points: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    schema: PointSchema = IBUG68
    sigma: np.ndarray | None = None
    visibility: np.ndarray | None = None

    @classmethod
    def none(cls, schema: PointSchema = IBUG68) -> Faces:
        """The result for an image without a face."""
        return cls.from_arrays(np.zeros((0, schema.num_points, 2)), np.zeros((0, 4)), np.zeros(0), schema)

    @classmethod
    def from_arrays(
        cls,
        points: np.ndarray,
        boxes: np.ndarray,
        scores: np.ndarray,
        schema: PointSchema = IBUG68,
        sigma: np.ndarray | None = None,
        visibility: np.ndarray | None = None,
    ) -> Faces:
        """Make float32 arrays of equal length and sort them, largest box first."""
        points, boxes, scores = (np.asarray(a, np.float32) for a in (points, boxes, scores))
        said = (None if a is None else np.asarray(a, np.float32) for a in (sigma, visibility))
        return cls(points, boxes, scores, schema, *said).take(np.argsort(-area(boxes), kind="stable"))

    def take(self, indices: np.ndarray) -> Faces:
        """Some of the faces, in the order of `indices`."""
        said = (None if a is None else a[indices] for a in (self.sigma, self.visibility))
        return Faces(self.points[indices], self.boxes[indices], self.scores[indices], self.schema, *said)

    def without_doubles(self, most: float = 0.4) -> Faces:
        """Keep the higher-scoring of two faces that coincide.

        A detector's boxes may lie apart and still lead to the same points.

        Args:
            most: Largest intersection over union that two different faces may have.

        Example:
            >>> boxes = [[0, 0, 10, 10], [0, 1, 10, 11], [20, 0, 25, 5]]
            >>> faces = Faces.from_arrays(np.zeros((3, 68, 2)), boxes, [0.5, 0.75, 0.25])
            >>> faces.without_doubles().scores.tolist()
            [0.75, 0.25]
        """
        return self.take(np.sort(suppress_overlaps(self.boxes, self.scores, most)))  # still largest first

    def __len__(self) -> int:
        return len(self.scores)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray, float]]:
        """Go through the faces as (points, box, score)."""
        return ((p, b, float(s)) for p, b, s in zip(self.points, self.boxes, self.scores))
