"""From an image to faces with points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from facekp.codecs.points import Outputs
from facekp.errors import UserError
from facekp.inference.backends import Backend
from facekp.inference.faces import Faces
from facekp.io.images import as_bgr
from facekp.landmarks import PointSchema
from facekp.recipes import PointsRecipe
from facekp.vision import geometry
from facekp.vision.boxes import as_boxes

#: Faces that go through the network at once.
BATCH_SIZE = 32

#: A network that scores its points finds them in any pattern that a detector took for a face; these are dropped.
LEAST_SCORE = 0.7

#: Between these scores of the network the points are looked for once more: nearly always a turned head, whose first
#: crop was too far from upright. Below, it is no face.
DOUBTFUL = (0.05, 0.8)

#: Nor are faces looked at a second time that the network calls none at first sight and the detector scores lower.
UNLIKELY = 0.4

#: What a doubtful face's score counts: patterns come to look like faces, too, when looked at often enough.
LATE_TRUST = 0.9


class Detector(Protocol):
    """Anything that can be called so."""

    def __call__(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Find faces.

        Args:
            image: BGR uint8 (H, W, 3).

        Returns:
            Boxes, (N, 4) float32 as x0, y0, x1, y1 around the landmarks, and scores, (N,) float32, 0 to 1.
        """


class Landmarker:
    """Finds faces and their points: box -> points -> upright crop around them -> points again, doubtful ones once more.

    Args:
        backend: Runs the network.
        recipe: How it was trained: crop and pixels.
        detector: Finds the faces when a call brings no boxes.
        passes: How often the points are looked for, each time in the crop that the last ones suggest. With two or
            more, faces with a score in `DOUBTFUL` have one more; with one, none.
        flip: Look at the mirror image of each crop too and take the mean: steadier, twice the work.
        least_score: Faces of the detector with a lower score are dropped, if the network gives scores too.

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
        least_score: float = LEAST_SCORE,
    ) -> None:
        if passes < 1:
            raise UserError(f"passes must be at least 1, not {passes}")
        if flip:
            recipe.schema.need_mirror_pairs("the mean with the mirror image")
        self.backend, self.recipe, self.passes, self.flip = backend, recipe, passes, flip
        self.least_score = least_score
        self.detector = detector
        self._pixels = recipe.build_pixels()

    @property
    def schema(self) -> PointSchema:
        """What the points are."""
        return self.recipe.schema

    def __call__(
        self,
        image: np.ndarray,
        boxes: Sequence[Sequence[float]] | np.ndarray | None = None,
        points: np.ndarray | None = None,
        quick: bool = False,
    ) -> Faces:
        """Find the faces of an image.

        Args:
            image: uint8 (H, W, 3), BGR. Grey (H, W) and BGRA (H, W, 4) are converted.
            boxes: Faces already found, each x0, y0, x1, y1 around the landmarks; no detector runs.
            points: (N, K, 2), the points of faces already found nearby, such as those of a video's last frame; no
                detector runs, and one pass is enough, in the upright crop around them.
            quick: Small faces may be missed, where the detector has a quicker way (`FaceDetector.quick`).

        Returns:
            All faces, largest first; `Faces.none()` if there is none. The scores are a geometric mean of the
            detector's and, three times, the network's; of given boxes or points the network's alone, and of networks
            that give none the detector's.

        Raises:
            UserError: `image` is not an image, a box is empty, or the points are not those of faces.
        """
        if boxes is not None and points is not None:
            raise UserError("boxes or points of the faces, not both")
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
        said = self._fit([image] * len(found), found, np.ones(len(found)))
        return self._faces(said, np.ones(len(found)) if said.score is None else said.score)

    def _follow(self, image: np.ndarray, points: np.ndarray) -> Faces:
        """The faces around points: one pass."""
        try:
            last = np.asarray(points, np.float32)
        except (TypeError, ValueError) as error:
            raise UserError(f"points are numbers, (N, {self.schema.num_points}, 2) ({error})") from error
        if not last.size:
            return Faces.none(self.schema)
        if last.shape[1:] != (self.schema.num_points, 2):
            raise UserError(f"points have the shape {last.shape}; this network's are (N, {self.schema.num_points}, 2)")
        for number, face in enumerate(last):
            if not np.isfinite(face).all() or min(np.ptp(face, axis=0)) <= 0:
                raise UserError(f"the points of face {number} are no face's; give those that were found, in pixels")
        said = self._points([image] * len(last), [self._upright_crop(face) for face in last])
        return self._faces(said, np.ones(len(last)) if said.score is None else said.score)

    def many(self, images: Sequence[np.ndarray]) -> list[Faces]:
        """Find the faces of several images: as calls with each, but their faces go through the network together.

        Args:
            images: As for a call.

        Returns:
            The faces of each image.
        """
        return self._many(images, self.detector)

    def _many(self, images: Sequence[np.ndarray], detector: Detector) -> list[Faces]:
        images = [as_bgr(image) for image in images]
        detected = [_proper(*detector(image)) for image in images]
        owners = [image for image, (boxes, _) in zip(images, detected) for _ in boxes]
        if not owners:
            return [Faces.none(self.schema)] * len(images)
        scores = np.concatenate([scores for _, scores in detected])
        said = self._fit(owners, np.concatenate([boxes for boxes, _ in detected]), scores)
        if said.score is not None:
            # What is no face fools one of the two, seldom both. Of real faces the points are nearly always sure, the
            # detector less so: on small and on turned faces its boxes sit worse, which is what its score says.
            scores = (scores * said.score**3) ** 0.25
        kept = scores >= (0.0 if said.score is None else self.least_score)
        results = []
        for own in np.split(np.arange(len(scores)), np.cumsum([len(boxes) for boxes, _ in detected])[:-1]):
            own = own[kept[own]]
            results.append(self._faces(said.take(own), scores[own]).without_doubles())
        return results

    def _faces(self, said: Outputs, scores: np.ndarray) -> Faces:
        boxes = np.array([self.schema.face_box(face) for face in said.points]).reshape(-1, 4)
        return Faces.from_arrays(said.points, boxes, scores, self.schema, said.sigma, said.visibility)

    def _fit(self, images: Sequence[np.ndarray], boxes: np.ndarray, likely: np.ndarray) -> Outputs:
        """What the network says, for each box, the image that it lies in and the detector's score."""
        said = self._points(images, [self._crop(box) for box in boxes])
        worth = np.arange(len(boxes))
        if said.score is not None:
            worth = np.flatnonzero((said.score > DOUBTFUL[0]) | (likely >= UNLIKELY))
        for _ in range(self.passes - 1):
            self._look_again(worth, images, said)
        if said.score is not None and self.passes > 1:
            doubtful = np.flatnonzero((said.score > DOUBTFUL[0]) & (said.score < DOUBTFUL[1]))
            self._look_again(doubtful, images, said)
            said.score[doubtful] *= LATE_TRUST
        return said

    def _look_again(self, which: np.ndarray, images: Sequence[np.ndarray], said: Outputs) -> None:
        """Write what the upright crops show into `said`."""
        if not len(which):
            return
        crops = [self._upright_crop(said.points[face]) for face in which]
        for old, new in zip(said, self._points([images[face] for face in which], crops)):
            if old is not None:
                old[which] = new

    def _crop(self, box: np.ndarray) -> np.ndarray:
        """Matrix that lays the face where training had it in the crop."""
        size, side = self.recipe.size, float(max(box[2:] - box[:2]))
        centre = (box[:2] + box[2:]) / 2
        return geometry.compose(
            geometry.translation(-centre[0], -centre[1]),
            geometry.scaling(size * self.recipe.face_side / side),
            geometry.translation(*(np.asarray(self.recipe.face_centre) * size)),
        )

    def _upright_crop(self, points: np.ndarray) -> np.ndarray:
        """The same from points, turned so that the eyes are level."""
        schema = self.schema
        if not {"left_eye", "right_eye"} <= schema.anchors.keys():
            return self._crop(schema.face_box(points))
        left, right = (points[list(schema.anchors[eye])].mean(0) for eye in ("left_eye", "right_eye"))
        angle = float(np.degrees(np.arctan2(*(right - left)[::-1])))
        turn = geometry.rotation(-angle, points.mean(0).tolist())
        return geometry.compose(turn, self._crop(schema.face_box(geometry.apply(turn, points))))

    def _points(self, images: Sequence[np.ndarray], crops: Sequence[np.ndarray]) -> Outputs:
        """What the network says, in pixels of the image, for each image and crop's matrix."""
        size = self.recipe.size
        parts = []
        for start in range(0, len(crops), BATCH_SIZE):
            matrices, part = crops[start : start + BATCH_SIZE], images[start : start + BATCH_SIZE]
            batch = np.stack([self._pixels(geometry.warp(i, m, (size, size))) for i, m in zip(part, matrices)])
            said = Outputs(*self.backend(batch))
            if self.flip:
                said = _mean(said, self._unmirrored(Outputs(*self.backend(np.ascontiguousarray(batch[..., ::-1])))))
            scales = np.array([np.sqrt(abs(np.linalg.det(m[:, :2]))) for m in matrices], np.float32)
            parts.append(
                said._replace(
                    points=np.stack([geometry.apply(geometry.invert(m), p) for m, p in zip(matrices, said.points)]),
                    sigma=None if said.sigma is None else said.sigma / scales[:, None],
                )
            )
        return Outputs(*(None if fields[0] is None else np.concatenate(fields) for fields in zip(*parts)))

    def _unmirrored(self, said: Outputs) -> Outputs:
        """What the network says about mirrored crops, about the crops themselves."""
        order = self.schema.flip_order
        return Outputs(
            geometry.apply(geometry.mirror(self.recipe.size), said.points)[:, order],
            said.score,
            None if said.sigma is None else said.sigma[:, order],
            None if said.visibility is None else said.visibility[:, order],
        )


def _proper(boxes: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Without the boxes of a detector that are empty or not numbers."""
    boxes, scores = np.asarray(boxes, np.float64).reshape(-1, 4), np.asarray(scores)
    kept = np.isfinite(boxes).all(1) & (boxes[:, 2:] > boxes[:, :2]).all(1)
    return boxes[kept], scores[kept]


def _mean(a: Outputs, b: Outputs) -> Outputs:
    return Outputs(*(None if x is None or y is None else (x + y) / 2 for x, y in zip(a, b)))
