"""From a picture to faces with points."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import paddle
from paddle import nn

from facekp import geometry
from facekp.data.transforms import build_transforms
from facekp.errors import UserError
from facekp.inference.detectors import Detector, HaarDetector
from facekp.inference.faces import Faces
from facekp.landmarks import LEFT_EYE, NUM_POINTS, RIGHT_EYE
from facekp.weights import Recipe, load_weights

SHIPPED = Path(__file__).resolve().parent.parent / "shipped"
DEFAULT = "face_crop_light"

#: Faces that go through the network at once.
BATCH_SIZE = 32


class Landmarker:
    """Finds faces and their points: box -> points -> upright crop around them -> points again.

    Args:
        network: In evaluation mode.
        recipe: How it was trained: crop, pixels, codec.
        detector: Finds the faces when a call brings no boxes; Haar cascades by default.
        passes: How often the points are looked for, each time in the crop that the last ones suggest.

    Example:
        >>> from facekp import load_landmarker
        >>> landmarker = load_landmarker()
        >>> len(landmarker(np.zeros((64, 64, 3), np.uint8)))
        0
        >>> landmarker(np.zeros((64, 64, 3), np.uint8), boxes=[[10, 10, 50, 50]]).points.shape
        (1, 68, 2)
    """

    def __init__(self, network: nn.Layer, recipe: Recipe, detector: Detector | None = None, passes: int = 2) -> None:
        if passes < 1:
            raise ValueError(f"passes must be at least 1, not {passes}")
        self.network, self.recipe, self.passes = network, recipe, passes
        self.detector: Detector = HaarDetector() if detector is None else detector
        self._codec = recipe.build_codec()
        self._pixels = build_transforms(recipe.pixels)

    def __call__(self, image: np.ndarray, boxes: Sequence[Sequence[float]] | np.ndarray | None = None) -> Faces:
        """Find the faces of a picture.

        Args:
            image: uint8 (H, W, 3), BGR. Grey (H, W) and BGRA (H, W, 4) are converted.
            boxes: Faces already found, each x0, y0, x1, y1 around the landmarks; no detector runs.

        Returns:
            All faces, largest first; `Faces.none()` if there is none.

        Raises:
            UserError: `image` is no picture, or a box is empty.
        """
        image = _as_bgr(image)
        if boxes is None:
            found, scores = self.detector(image)
        else:
            found = _as_boxes(boxes)
            scores = np.ones(len(found), np.float32)
            for number, box in enumerate(found):
                if not (np.isfinite(box).all() and box[0] < box[2] and box[1] < box[3]):
                    raise UserError(f"box {number}, {box.tolist()}, is empty; give x0, y0, x1, y1 in pixels")
        if not len(found):
            return Faces.none(self.recipe.num_points)
        crops = [self._crop(box) for box in found]
        points = self._points(image, crops)
        for _ in range(self.passes - 1):
            points = self._points(image, [self._upright_crop(face) for face in points])
        faces = Faces.from_arrays(points, geometry.bounding_box(points), scores)
        return faces if boxes is not None else faces.without_doubles()

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
        if len(points) != NUM_POINTS:
            return self._crop(geometry.bounding_box(points))
        across = points[RIGHT_EYE].mean(0) - points[LEFT_EYE].mean(0)
        turn = geometry.rotation(-np.degrees(np.arctan2(across[1], across[0])), points.mean(0).tolist())
        return geometry.compose(turn, self._crop(geometry.bounding_box(geometry.apply(turn, points))))

    def _points(self, image: np.ndarray, crops: Sequence[np.ndarray]) -> np.ndarray:
        size = self.recipe.size
        found = []
        for start in range(0, len(crops), BATCH_SIZE):
            matrices = crops[start : start + BATCH_SIZE]
            batch = np.stack([self._pixels(geometry.warp(image, m, (size, size))) for m in matrices])
            with paddle.no_grad():
                predicted = self.network(paddle.to_tensor(batch)).numpy()
            in_crop = self._codec.decode(predicted)
            found += [geometry.apply(geometry.invert(m), p) for m, p in zip(matrices, in_crop)]
        return np.stack(found)


def load_landmarker(
    source: str | os.PathLike[str] | None = None, detector: Detector | None = None, passes: int = 2
) -> Landmarker:
    """Load a landmarker: the shipped weights, or one's own.

    Args:
        source: Name of a shipped model, or path of weights that `tools/train.py` wrote; `DEFAULT` if None.
        detector: See `Landmarker`.
        passes: See `Landmarker`.

    Returns:
        Call it with a BGR picture.

    Raises:
        UserError: There are no such weights, or they are damaged or another program's.

    Example:
        >>> import cv2, facekp
        >>> landmarker = facekp.load_landmarker()
        >>> faces = landmarker(cv2.imread("assets/photos/astronaut.png"))
        >>> faces.points.shape, faces.boxes.shape
        ((1, 68, 2), (1, 4))
    """
    source = DEFAULT if source is None else source
    if str(source) == "hub":
        raise UserError("source hub: PaddleHub's landmarks are not built in yet; leave --source away")
    shipped = {path.stem: path for path in sorted(SHIPPED.glob("*.safetensors"))}
    path = shipped.get(str(source), Path(source))
    if not path.is_file():
        raise UserError(f"{source}: neither a shipped model ({', '.join(shipped)}) nor a file of weights")
    network, recipe = load_weights(path)
    return Landmarker(network, recipe, detector, passes)


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
