"""From a picture to faces with points."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from facekp import geometry
from facekp.errors import UserError
from facekp.inference.backends import SHIPPED, SHIPPED_DETECTOR, Backend, load_backend
from facekp.inference.detectors import Detector, FacesOf, load_detector
from facekp.inference.faces import Faces
from facekp.landmarks import EYES, FLIP_ORDERS, face_box
from facekp.weights import Recipe

if TYPE_CHECKING:
    from facekp.inference.hub import HubLandmarker

DEFAULT = "face_crop_light"

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


class Landmarker:
    """Finds faces and their points: box -> points -> upright crop around them -> points again, doubtful ones once more.

    Args:
        backend: Runs the network.
        recipe: How it was trained: crop and pixels.
        detector: Finds the faces when a call brings no boxes; ours by default.
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
        recipe: Recipe,
        detector: Detector | None = None,
        passes: int = 2,
        flip: bool = False,
        least_score: float = LEAST_SCORE,
    ) -> None:
        if passes < 1:
            raise ValueError(f"passes must be at least 1, not {passes}")
        if flip and recipe.num_points not in FLIP_ORDERS:
            raise UserError(f"flip: the mirror order of {recipe.num_points} points is not known; leave flip away")
        self.backend, self.recipe, self.passes, self.flip = backend, recipe, passes, flip
        self.least_score = least_score
        self.detector: Detector = load_detector() if detector is None else detector
        self._pixels = recipe.build_pixels()

    @property
    def num_points(self) -> int:
        """Points of a face."""
        return self.recipe.num_points

    def __call__(self, image: np.ndarray, boxes: Sequence[Sequence[float]] | np.ndarray | None = None) -> Faces:
        """Find the faces of a picture.

        Args:
            image: uint8 (H, W, 3), BGR. Grey (H, W) and BGRA (H, W, 4) are converted.
            boxes: Faces already found, each x0, y0, x1, y1 around the landmarks; no detector runs.

        Returns:
            All faces, largest first; `Faces.none()` if there is none. The scores are a geometric mean of the
            detector's and, three times, the network's; of given boxes the network's alone, and of networks that give
            none the detector's.

        Raises:
            UserError: `image` is no picture, or a box is empty.
        """
        if boxes is None:
            return self.many([image])[0]
        image, found = _as_bgr(image), _as_boxes(boxes)
        for number, box in enumerate(found):
            if not (np.isfinite(box).all() and box[0] < box[2] and box[1] < box[3]):
                raise UserError(f"box {number}, {box.tolist()}, is empty; give x0, y0, x1, y1 in pixels")
        if not len(found):
            return Faces.none(self.num_points)
        points, trust = self._fit([image] * len(found), found, np.ones(len(found)))
        return self._faces(points, np.ones(len(found)) if trust is None else trust)

    def many(self, images: Sequence[np.ndarray]) -> list[Faces]:
        """Find the faces of several pictures: as calls with each, but their faces go through the network together.

        Args:
            images: As for a call.

        Returns:
            The faces of each picture.
        """
        images = [_as_bgr(image) for image in images]
        detected = [self.detector(image) for image in images]
        owners = [image for image, (boxes, _) in zip(images, detected) for _ in boxes]
        if not owners:
            return [Faces.none(self.num_points)] * len(images)
        scores = np.concatenate([scores for _, scores in detected])
        points, trust = self._fit(owners, np.concatenate([boxes for boxes, _ in detected]), scores)
        if trust is not None:
            # What is no face fools one of the two, seldom both. Of real faces the points are nearly always sure, the
            # detector less so: on small and on turned faces its boxes sit worse, which is what its score says.
            scores = (scores * trust**3) ** 0.25
        kept = scores >= (0.0 if trust is None else self.least_score)
        results = []
        for own in np.split(np.arange(len(scores)), np.cumsum([len(boxes) for boxes, _ in detected])[:-1]):
            own = own[kept[own]]
            results.append(self._faces(points[own], scores[own]).without_doubles())
        return results

    def _faces(self, points: np.ndarray, scores: np.ndarray) -> Faces:
        if not len(points):
            return Faces.none(self.num_points)
        return Faces.from_arrays(points, np.stack([face_box(face) for face in points]), scores)

    def _fit(
        self, images: Sequence[np.ndarray], boxes: np.ndarray, likely: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Points and the network's scores, for each box, the picture that it lies in and the detector's score."""
        points, trust = self._points(images, [self._crop(box) for box in boxes])
        worth = np.arange(len(boxes))
        if trust is not None:
            worth = np.flatnonzero((trust > DOUBTFUL[0]) | (likely >= UNLIKELY))
        for _ in range(self.passes - 1):
            self._look_again(worth, images, points, trust)
        if trust is not None and self.passes > 1:
            doubtful = np.flatnonzero((trust > DOUBTFUL[0]) & (trust < DOUBTFUL[1]))
            self._look_again(doubtful, images, points, trust)
            trust[doubtful] *= LATE_TRUST
        return points, trust

    def _look_again(
        self, which: np.ndarray, images: Sequence[np.ndarray], points: np.ndarray, trust: np.ndarray | None
    ) -> None:
        """Write what the upright crops show into `points` and `trust`."""
        if not len(which):
            return
        crops = [self._upright_crop(points[face]) for face in which]
        points[which], again = self._points([images[face] for face in which], crops)
        if trust is not None:
            trust[which] = again

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
        if len(points) not in EYES:
            return self._crop(face_box(points))
        left, right = (points[eye].mean(0) for eye in EYES[len(points)])
        angle = float(np.degrees(np.arctan2(*(right - left)[::-1])))
        turn = geometry.rotation(-angle, points.mean(0).tolist())
        return geometry.compose(turn, self._crop(face_box(geometry.apply(turn, points))))

    def _points(
        self, images: Sequence[np.ndarray], crops: Sequence[np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Points in pixels of the picture, and the network's scores, for each picture and crop's matrix."""
        size = self.recipe.size
        found, trust = [], []
        for start in range(0, len(crops), BATCH_SIZE):
            matrices, pictures = crops[start : start + BATCH_SIZE], images[start : start + BATCH_SIZE]
            batch = np.stack([self._pixels(geometry.warp(i, m, (size, size))) for i, m in zip(pictures, matrices)])
            in_crop, scores = self.backend(batch)
            if self.flip:
                mirrored, again = self.backend(np.ascontiguousarray(batch[..., ::-1]))
                mirrored = geometry.apply(geometry.mirror(size), mirrored)[:, FLIP_ORDERS[self.num_points]]
                in_crop = (in_crop + mirrored) / 2
                scores = scores if scores is None or again is None else (scores + again) / 2
            found += [geometry.apply(geometry.invert(m), p) for m, p in zip(matrices, in_crop)]
            if scores is not None:
                trust.append(scores)
        return np.stack(found), np.concatenate(trust) if trust else None


def shipped_weights() -> dict[str, Path]:
    """Name -> file of the networks of points that come with facekp."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.safetensors")) if path != SHIPPED_DETECTOR}


def load_landmarker(
    source: str | os.PathLike[str] | None = None,
    detector: Detector | str | os.PathLike[str] | None = None,
    passes: int = 2,
    flip: bool = False,
    backend: str | None = None,
    threads: int | None = None,
) -> Landmarker | HubLandmarker:
    """Load a landmarker: the shipped weights, or one's own.

    Args:
        source: Name of a shipped model, path of weights that `tools/train.py` wrote, or of a folder that
            `tools/export.py` wrote; "hub" for PaddleHub's, see `facekp.inference.hub`, for which only `detector`
            counts; `DEFAULT` if None.
        detector: Finds the faces when a call brings no boxes: anything that is called as `detectors.Detector` is, or
            what `detectors.load_detector` takes, such as "haar". None for ours; for PaddleHub, its own. Ours counts on
            the network's score to reject what is no face: where that gives none, the default network's serves.
        passes: See `Landmarker`.
        flip: See `Landmarker`.
        backend: What runs the network: "onnx" (ONNX Runtime), "paddle" (Paddle Inference) or "dygraph" (Paddle as
            it trains, also on a GPU); None for the fastest that the source has files for and that is installed.
        threads: CPU threads of the networks; None for the library's own choice. OpenCV, which cuts the crops, has a
            setting of its own: `cv2.setNumThreads`.

    Returns:
        Call it with a BGR picture.

    Raises:
        UserError: There are no such weights, they are damaged or another program's, or nothing installed runs them.

    Example:
        >>> import cv2, facekp
        >>> landmarker = facekp.load_landmarker()
        >>> faces = landmarker(cv2.imread("assets/photos/astronaut.png"))
        >>> faces.points.shape, faces.boxes.shape
        ((1, 68, 2), (1, 4))
    """
    source = DEFAULT if source is None else source
    if isinstance(detector, (str, os.PathLike)):
        detector = load_detector(detector, threads=threads)
    if str(source) == "hub":
        from facekp.inference.hub import HubLandmarker

        return HubLandmarker(detector)
    shipped = shipped_weights()
    path = shipped.get(str(source), Path(source))
    if not path.exists():
        raise UserError(
            f"{source}: neither a shipped model ({', '.join(shipped)}), nor a file of weights, nor an exported folder"
        )
    network, recipe = load_backend(path, backend, threads)
    if detector is None:
        scored = recipe.network.get("score")
        detector = load_detector(threads=threads) if scored else FacesOf(load_landmarker(threads=threads))
    return Landmarker(network, recipe, detector, passes, flip)


def _as_boxes(boxes: Sequence[Sequence[float]] | np.ndarray) -> np.ndarray:
    try:
        found = np.asarray(boxes, np.float32)
    except (TypeError, ValueError) as error:
        raise UserError(f"boxes are numbers, (N, 4) as x0, y0, x1, y1 ({error})") from error
    if found.size == 0:
        return np.zeros((0, 4), np.float32)
    if found.ndim != 2 or found.shape[1] != 4:
        raise UserError(f"boxes have the shape (N, 4), each x0, y0, x1, y1, not {found.shape}")
    return found


def _as_bgr(image: np.ndarray) -> np.ndarray:
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.size == 0:
        what = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise UserError(f"a picture is a uint8 array (height, width, 3) in BGR order, not {what}")
    if image.ndim == 2:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    if image.ndim == 3 and image.shape[2] == 4:
        return np.ascontiguousarray(image[..., :3])
    if image.ndim == 3 and image.shape[2] == 3:
        return image
    raise UserError(f"a picture has the shape (height, width, 3), not {image.shape}")
