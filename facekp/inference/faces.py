"""The result of looking at an image."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from facekp.landmarks import IBUG68, PointSchema, Pose, head_pose, measure, scaled
from facekp.vision.boxes import area, is_part, suppress_overlaps


@dataclass(frozen=True, eq=False)
class Faces:
    """All faces of one image, largest first.

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

    @functools.cached_property
    def whole(self) -> np.ndarray:
        """(N, 68, 2): the points in iBUG order; NaN if those of `schema` do not convert to them."""
        points = self.schema.converted(self.points, IBUG68.name)
        return np.full((len(self), 68, 2), np.nan) if points is None else points

    @functools.cached_property
    def pose(self) -> Pose:
        """How the heads are turned, in degrees, and the cameras that see them; NaN where `whole` is.

        Example:
            >>> Faces.none().pose.camera.shape
            (0, 3, 4)
        """
        return head_pose(self.whole)

    @functools.cached_property
    def measured(self) -> np.ndarray:
        """(N, S) float64: what each of `facekp.landmarks.SIGNALS` measures, before it is scaled."""
        return measure(self.whole, self.pose.camera)

    @functools.cached_property
    def signals(self) -> dict[str, np.ndarray]:
        """What the faces do: name of a signal -> (N,) float64, 0..1; NaN where `whole` is.

        Against the average face at rest; those of `facekp.inference.tracking.Tracks` against the person's own.

        Example:
            >>> sorted(Faces.none().signals)[:3]
            ['brows_up', 'left_brow_up', 'left_eye_closed']
        """
        return scaled(self.measured)

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
        parts = is_part(boxes[:, None], boxes[None]) & (scores[:, None] < scores[None])
        kept = kept[~parts.any(1)]
        return self.take(kept)

    def converted(self, to: PointSchema) -> Faces:
        """The same faces with the points of another schema.

        Raises:
            UserError: The conversion is not known.

        Example:
            >>> from facekp.landmarks import load_schema
            >>> Faces.none().converted(load_schema("five")).points.shape
            Traceback (most recent call last):
                ...
            facekp.errors.UserError: no conversion from ibug68 to five is known; add convert_from: ibug68 to five
        """
        if (to.name, to.points) == (self.schema.name, self.schema.points):
            return self
        points = self.schema.converted(self.points, to)
        if points is None:
            raise self.schema.no_conversion(to)
        faces = replace(self, points=points, schema=to, sigma=None, visibility=None)
        if faces.schema.conversion(IBUG68) is None:  # the pose and the signals stay known
            faces.__dict__["whole"] = self.whole
        return faces

    def __len__(self) -> int:
        return len(self.scores)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray, float]]:
        """Go through the faces as (points, box, score)."""
        return ((p, b, float(s)) for p, b, s in zip(self.points, self.boxes, self.scores))
