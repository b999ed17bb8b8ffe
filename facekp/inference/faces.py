"""The result of face detection and landmark prediction in an image."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from facekp.codecs.points import PER_POINT
from facekp.landmarks import IBUG68, PointSchema, Pose, head_pose, measure, scaled
from facekp.vision.boxes import SAME_FACE, area, is_part, suppress_overlaps

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True, eq=False)
class Faces:
    """All faces of one image, largest first.

    Attributes:
        points: (N, K, 2) float32, x and y in pixels of the image; 68 points in iBUG order for the default `schema`.
        boxes: (N, 4) float32, x0, y0, x1, y1 around the face's points.
        scores: (N,) float32, confidence of each face, 0 to 1.
        schema: Schema of the points.
        sigma: (N, K) float32, expected distance of each point from the truth, in pixels of the image; two thirds of the
            points are closer. None if the network does not predict it.
        visibility: (N, K) float32, 0 to 1, whether a point is visible, not hidden by the head or another object; None
            if the network does not predict it.

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
        """Return the result for an image without faces."""
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
        """Create faces from arrays, converted to float32 and sorted, largest box first.

        Args:
            points: (N, K, 2) points in pixels of the image.
            boxes: (N, 4) boxes as x0, y0, x1, y1.
            scores: (N,) scores, 0..1.
            schema: Schema of the points.
            sigma: (N, K) expected errors in pixels, if known.
            visibility: (N, K) visibilities, 0..1, if known.
        """
        points, boxes, scores = (np.asarray(a, np.float32) for a in (points, boxes, scores))
        optional = (None if a is None else np.asarray(a, np.float32) for a in (sigma, visibility))
        return cls(points, boxes, scores, schema, *optional).take(np.argsort(-area(boxes), kind="stable"))

    def take(self, indices: np.ndarray) -> Self:
        """Return some of the faces, in the order of `indices`."""
        taken = replace(self, **self._fields_of(indices))
        if "whole" in self.__dict__:  # it cannot always be computed again, see `converted`
            taken.__dict__["whole"] = self.whole[indices]
        return taken

    def _fields_of(self, indices: np.ndarray) -> dict[str, Any]:
        """Return the fields with an entry for each face, for some of the faces."""
        arrays = {name: getattr(self, name) for name in ("points", "boxes", "scores", *PER_POINT)}
        return {name: array[indices] for name, array in arrays.items() if array is not None}

    @functools.cached_property
    def whole(self) -> np.ndarray:
        """(N, 68, 2): the points in iBUG order; NaN if `schema` cannot be converted to it."""
        points = self.schema.converted(self.points, IBUG68.name)
        return np.full((len(self), 68, 2), np.nan) if points is None else points

    @functools.cached_property
    def pose(self) -> Pose:
        """Yaw, pitch and roll of the heads in degrees, and their cameras; NaN where `whole` is.

        Example:
            >>> Faces.none().pose.camera.shape
            (0, 3, 4)
        """
        return head_pose(self.whole)

    @functools.cached_property
    def measured(self) -> np.ndarray:
        """(N, S) float64: the measurement of each of `facekp.landmarks.SIGNALS`, before scaling."""
        return measure(self.whole, self.pose.camera)

    @functools.cached_property
    def signals(self) -> dict[str, np.ndarray]:
        """Expressions of the faces: name of a signal -> (N,) float64, 0..1; NaN where `whole` is.

        Relative to the average face at rest; in `facekp.inference.tracking.Tracks` to the person's own face at rest.

        Example:
            >>> sorted(Faces.none().signals)[:3]
            ['brows_up', 'left_brow_up', 'left_eye_closed']
        """
        return scaled(self.measured)

    def without_doubles(self) -> Faces:
        """Keep the higher-scoring of two coinciding faces, and drop false detections inside a face.

        Different boxes of a detector may lead to the same points. A small face may also be found around a nose and a
        mouth: a face counts as such a false detection if it lies mostly inside another one, is much smaller and has a
        lower score. Where one head partly hides another, both are kept: a face of the same size does not hide that much
        of it, and behind a child's face too little of an adult's is visible for it to be found.

        Example:
            >>> boxes = [[0, 0, 10, 10], [0, 1, 10, 11], [20, 0, 25, 5]]
            >>> faces = Faces.from_arrays(np.zeros((3, 68, 2)), boxes, [0.5, 0.75, 0.25])
            >>> faces.without_doubles().scores.tolist()
            [0.75, 0.25]
        """
        kept = np.sort(suppress_overlaps(self.boxes, self.scores, SAME_FACE))  # still largest first
        boxes, scores = self.boxes[kept], self.scores[kept]
        parts = is_part(boxes[:, None], boxes[None]) & (scores[:, None] < scores[None])
        kept = kept[~parts.any(1)]
        return self.take(kept)

    def converted(self, to: PointSchema) -> Faces:
        """Return the same faces with the points of another schema.

        Raises:
            UserError: No conversion is known.

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
        if faces.schema.conversion(IBUG68) is None:  # keep the pose and the signals available
            faces.__dict__["whole"] = self.whole
        return faces

    def __len__(self) -> int:
        return len(self.scores)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray, float]]:
        """Iterate over the faces as (points, box, score)."""
        return ((p, b, float(s)) for p, b, s in zip(self.points, self.boxes, self.scores))
