"""Landmark detection: from an image to faces with points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from facekp.codecs.points import PER_POINT, Outputs
from facekp.errors import UserError
from facekp.inference.backends import Backend
from facekp.inference.faces import Faces
from facekp.io.images import as_bgr
from facekp.landmarks import PointSchema
from facekp.recipes import PointsRecipe
from facekp.vision import geometry
from facekp.vision.boxes import as_boxes

#: Maximum number of faces in a batch of the network.
BATCH_SIZE = 32

#: Minimum score of a face. A network that scores its points finds them in any pattern that a detector took for a face.
MIN_SCORE = 0.7

#: Range of the network's score in which a face gets one more pass: nearly always a rotated head, whose first crop was
#: too far from upright. A lower score means no face.
DOUBTFUL = (0.05, 0.8)

#: Faces with a score below `DOUBTFUL` in the first pass get no second one if the detector's score is lower than this.
UNLIKELY = 0.4

#: Factor for the score of a doubtful face after its extra pass: more passes also raise the scores of other patterns.
LATE_TRUST = 0.9


class Detector(Protocol):
    """Protocol of a face detector: a callable from an image to boxes and scores."""

    def __call__(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Find the faces in an image.

        Args:
            image: BGR uint8 (H, W, 3).

        Returns:
            Boxes, (N, 4) float32 as x0, y0, x1, y1 around the landmarks, and scores, (N,) float32, 0 to 1.
        """


class Landmarker:
    """Finds faces and their points: box -> points -> upright crop -> refined points, with an extra pass if doubtful.

    Args:
        backend: Runs the network.
        recipe: Recipe of the network: how crops are cut and normalised.
        detector: Face detector for calls without boxes or points.
        passes: Number of passes of the network over each face; from the second on, in the upright crop around the last
            points. With two or more, faces with a score in `DOUBTFUL` get one extra pass; with one, none.
        flip: Also run the network on the mirror image of each crop and average both results: more stable, twice the
            work.
        min_score: Minimum score of a detected face, if the network gives scores.

    Example:
        >>> from facekp import load_landmarker
        >>> landmarker = load_landmarker()
        >>> len(landmarker(np.zeros((64, 64, 3), np.uint8)))
        0
        >>> landmarker(np.zeros((64, 64, 3), np.uint8), boxes=[[10, 10, 50, 50]]).points.shape
        (1, 68, 2)
    """

    def __init__(
        self,
        backend: Backend,
        recipe: PointsRecipe,
        detector: Detector,
        passes: int = 2,
        flip: bool = False,
        min_score: float = MIN_SCORE,
    ) -> None:
        if passes < 1:
            raise UserError(f"passes must be at least 1, not {passes}")
        if flip:
            recipe.schema.need_mirror_pairs("the mean with the mirror image")
        self.backend, self.recipe, self.passes, self.flip = backend, recipe, passes, flip
        self.min_score = min_score
        self.detector = detector
        self._pixels = recipe.build_pixels()

    @property
    def schema(self) -> PointSchema:
        """Schema of the points."""
        return self.recipe.schema

    def __call__(
        self,
        image: np.ndarray,
        boxes: Sequence[Sequence[float]] | np.ndarray | None = None,
        points: np.ndarray | None = None,
        quick: bool = False,
    ) -> Faces:
        """Find the faces in an image.

        Args:
            image: uint8 (H, W, 3), BGR. Grey (H, W) and BGRA (H, W, 4) are converted.
            boxes: Known faces, each x0, y0, x1, y1 around the landmarks; the detector does not run.
            points: (N, K, 2), points of known faces nearby, such as those of the last frame of a video; the detector
                does not run, and the network runs once, on the upright crop around them.
            quick: Use the detector's faster method, if it has one (`FaceDetector.quick`); small faces may be missed.

        Returns:
            All faces, largest first; `Faces.none()` if there is none. A score is the geometric mean of the detector's
            score and, with weight three, the network's. For given boxes or points it is the network's alone; if the
            network gives none, the detector's.

        Raises:
            UserError: `image` is not an image, a box is empty, or the points cannot be those of faces.
        """
        if boxes is not None and points is not None:
            raise UserError("give boxes or points of the faces, not both")
        if points is not None:
            return self._follow(as_bgr(image), points)
        if boxes is None:
            return self._many([image], getattr(self.detector, "quick", self.detector) if quick else self.detector)[0]
        image, found = as_bgr(image), as_boxes(boxes)
        for number, box in enumerate(found):
            if not (np.isfinite(box).all() and box[0] < box[2] and box[1] < box[3]):
                raise UserError(f"box {number}, {box.tolist()}, is empty; give x0, y0, x1, y1 in pixels")
        if not len(found):
            return Faces.none(self.schema)
        outputs = self._fit([image] * len(found), found, np.ones(len(found)))
        return self._faces(outputs, np.ones(len(found)) if outputs.score is None else outputs.score)

    def _follow(self, image: np.ndarray, points: np.ndarray) -> Faces:
        """Find the faces around given points, in one pass."""
        try:
            last = np.asarray(points, np.float32)
        except (TypeError, ValueError) as error:
            raise UserError(f"points must be numbers of shape (N, {self.schema.num_points}, 2) ({error})") from error
        if not last.size:
            return Faces.none(self.schema)
        if last.shape[1:] != (self.schema.num_points, 2):
            raise UserError(f"points have the shape {last.shape}; this network's are (N, {self.schema.num_points}, 2)")
        for number, face in enumerate(last):
            if not np.isfinite(face).all() or min(np.ptp(face, axis=0)) <= 0:
                raise UserError(f"the points of face {number} are not those of a face; give found points, in pixels")
        outputs = self._points([image] * len(last), [self._upright_crop(face) for face in last])
        return self._faces(outputs, np.ones(len(last)) if outputs.score is None else outputs.score)

    def many(self, images: Sequence[np.ndarray]) -> list[Faces]:
        """Find the faces in several images: like a call with each, but the network runs on their faces together.

        Args:
            images: Images as for a call.

        Returns:
            The faces of each image.
        """
        return self._many(images, self.detector)

    def _many(self, images: Sequence[np.ndarray], detector: Detector) -> list[Faces]:
        images = [as_bgr(image) for image in images]
        detected = [_valid(*detector(image)) for image in images]
        owners = [image for image, (boxes, _) in zip(images, detected) for _ in boxes]
        if not owners:
            return [Faces.none(self.schema)] * len(images)
        scores = np.concatenate([scores for _, scores in detected])
        outputs = self._fit(owners, np.concatenate([boxes for boxes, _ in detected]), scores)
        if outputs.score is not None:
            # A false detection rarely gets high scores from both. For real faces the network of points is nearly always
            # confident, the detector less so: its score measures the accuracy of its boxes, lower on small and on
            # turned faces.
            scores = (scores * outputs.score**3) ** 0.25
        kept = scores >= (0.0 if outputs.score is None else self.min_score)
        results = []
        for own in np.split(np.arange(len(scores)), np.cumsum([len(boxes) for boxes, _ in detected])[:-1]):
            own = own[kept[own]]
            results.append(self._faces(outputs.take(own), scores[own]).without_doubles())
        return results

    def _faces(self, outputs: Outputs, scores: np.ndarray) -> Faces:
        boxes = np.array([self.schema.face_box(face) for face in outputs.points]).reshape(-1, 4)
        return Faces.from_arrays(outputs.points, boxes, scores, self.schema, outputs.sigma, outputs.visibility)

    def _fit(self, images: Sequence[np.ndarray], boxes: np.ndarray, detector_scores: np.ndarray) -> Outputs:
        """Return the outputs after all passes, for each box, the image that contains it and the detector's score."""
        outputs = self._points(images, [self._crop(box) for box in boxes])
        candidates = np.arange(len(boxes))
        if outputs.score is not None:
            candidates = np.flatnonzero((outputs.score > DOUBTFUL[0]) | (detector_scores >= UNLIKELY))
        for _ in range(self.passes - 1):
            self._refine(candidates, images, outputs)
        if outputs.score is not None and self.passes > 1:
            doubtful = np.flatnonzero((outputs.score > DOUBTFUL[0]) & (outputs.score < DOUBTFUL[1]))
            self._refine(doubtful, images, outputs)
            outputs.score[doubtful] *= LATE_TRUST
        return outputs

    def _refine(self, which: np.ndarray, images: Sequence[np.ndarray], outputs: Outputs) -> None:
        """Run the network on upright crops of the faces `which` and write its outputs into `outputs`."""
        if not len(which):
            return
        crops = [self._upright_crop(outputs.points[face]) for face in which]
        for old, new in zip(outputs, self._points([images[face] for face in which], crops)):
            if old is not None:
                old[which] = new

    def _crop(self, box: np.ndarray) -> np.ndarray:
        """Return the matrix that places the face in the crop as in training."""
        size, side = self.recipe.size, float(max(box[2:] - box[:2]))
        centre = (box[:2] + box[2:]) / 2
        return geometry.compose(
            geometry.translation(-centre[0], -centre[1]),
            geometry.scaling(size * self.recipe.face_side / side),
            geometry.translation(*(np.asarray(self.recipe.face_centre) * size)),
        )

    def _upright_crop(self, points: np.ndarray) -> np.ndarray:
        """Return the same matrix from points, rotated so that the eyes are level."""
        schema = self.schema
        if not {"left_eye", "right_eye"} <= schema.anchors.keys():
            return self._crop(schema.face_box(points))
        left, right = (points[list(schema.anchors[eye])].mean(0) for eye in ("left_eye", "right_eye"))
        angle = float(np.degrees(np.arctan2(*(right - left)[::-1])))
        rotation = geometry.rotation(-angle, points.mean(0).tolist())
        return geometry.compose(rotation, self._crop(schema.face_box(geometry.apply(rotation, points))))

    def _points(self, images: Sequence[np.ndarray], crops: Sequence[np.ndarray]) -> Outputs:
        """Return the network's outputs, in pixels of the image, for each image and crop matrix."""
        size = self.recipe.size
        parts = []
        for start in range(0, len(crops), BATCH_SIZE):
            matrices, part = crops[start : start + BATCH_SIZE], images[start : start + BATCH_SIZE]
            batch = np.stack([self._pixels(geometry.warp(i, m, (size, size))) for i, m in zip(part, matrices)])
            outputs = self.backend(batch)
            if self.flip:
                outputs = _mean(outputs, self._unmirrored(self.backend(np.ascontiguousarray(batch[..., ::-1]))))
            scales = np.array([np.sqrt(abs(np.linalg.det(m[:, :2]))) for m in matrices], np.float32)
            parts.append(
                outputs._replace(
                    points=np.stack([geometry.apply(geometry.invert(m), p) for m, p in zip(matrices, outputs.points)]),
                    sigma=None if outputs.sigma is None else outputs.sigma / scales[:, None],
                )
            )
        return Outputs(*(None if fields[0] is None else np.concatenate(fields) for fields in zip(*parts)))

    def _unmirrored(self, outputs: Outputs) -> Outputs:
        """Convert the network's outputs for mirrored crops to those for the crops themselves."""
        order = self.schema.flip_order
        points = geometry.apply(geometry.mirror(self.recipe.size), outputs.points)
        each = {"points": points, **{name: getattr(outputs, name) for name in PER_POINT}}
        return outputs._replace(**{name: array[:, order] for name, array in each.items() if array is not None})


def _valid(boxes: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Drop the boxes of a detector that are empty or not finite."""
    boxes, scores = np.asarray(boxes, np.float64).reshape(-1, 4), np.asarray(scores)
    kept = np.isfinite(boxes).all(1) & (boxes[:, 2:] > boxes[:, :2]).all(1)
    return boxes[kept], scores[kept]


def _mean(a: Outputs, b: Outputs) -> Outputs:
    return Outputs(*(None if x is None or y is None else (x + y) / 2 for x, y in zip(a, b)))
