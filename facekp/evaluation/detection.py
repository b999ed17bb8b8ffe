"""Evaluation of a face detector on whole images: average precision, recall, and small or rotated faces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from tqdm import tqdm

from facekp.data.composed import LabelledImage
from facekp.detectors.ours import FaceDetector
from facekp.inference.landmarker import Detector
from facekp.io.images import read_image
from facekp.vision import boxes, geometry

#: Minimum intersection over union with a face at which a box is correct.
RIGHT = 0.5

#: Score threshold of our detector when all boxes that it can find are needed.
LOW_THRESHOLD = 0.02

#: Widths in pixels that faces are shrunk to, and degrees that images are rotated by.
WIDTHS, TURNS = (240, 80, 40, 20), (30, 45)


@dataclass(frozen=True)
class Found:
    """Boxes that a detector found in some images, compared with the labelled faces.

    Attributes:
        scores: (N,) scores of all boxes that count, from all images.
        right: (N,) bool, whether each box is correct; each face counts once.
        faces: Number of faces that count.
        images: Number of images.
    """

    scores: np.ndarray
    right: np.ndarray
    faces: int
    images: int

    def average_precision(self) -> float:
        """Return the area under the precision-recall curve, the precision made monotonic (Pascal VOC 2010)."""
        hits, false = self._at_each_score()
        recall = hits / max(self.faces, 1)
        precision = np.maximum.accumulate((hits / (hits + false))[::-1])[::-1]
        return float((np.diff(recall, prepend=0.0) * precision).sum())

    def recall(self, false_per_image: float) -> float:
        """Return the recall at the lowest score threshold with at most this number of false boxes per image."""
        hits, false = self._at_each_score()
        allowed = hits[false <= false_per_image * self.images]
        return float(allowed.max(initial=0) / max(self.faces, 1))

    def _at_each_score(self) -> tuple[np.ndarray, np.ndarray]:
        """Count correct and false boxes at each score threshold, highest first; equal scores count together."""
        order = np.argsort(-self.scores, kind="stable")
        scores, right = self.scores[order], self.right[order]
        last = np.append(scores[1:] != scores[:-1], True)[: len(scores)]
        return np.cumsum(right)[last], np.cumsum(~right)[last]

    def at(self, min_score: float) -> tuple[float, float]:
        """Return the recall and the false boxes per image of the boxes with at least this score."""
        chosen = self.scores >= min_score
        right = self.right[chosen].sum()
        return float(right / max(self.faces, 1)), float((chosen.sum() - right) / max(self.images, 1))


def summarise(detector: Detector, images: Sequence[LabelledImage], progress: bool = False) -> dict[str, float | None]:
    """Compute all metrics of a detector on some images.

    Average precision and the recall at 0.1 false positives per image are computed from all boxes that a detector can
    return: ours at a low score threshold, others as configured.

    Args:
        detector: The detector as configured for use.
        images: See `judge`.
        progress: Show progress bars.

    Returns:
        Name -> value, in the order of the table: counts and fractions.
    """
    threshold, sensitive = 0.0, detector
    if isinstance(detector, FaceDetector):
        threshold = detector.min_score
        sensitive = FaceDetector(detector.backend, detector.recipe, detector.longest_sides, LOW_THRESHOLD)
    found = judge(sensitive, images, progress)
    in_use, false = found.at(threshold)
    table: dict[str, float | None] = {
        "images": found.images,
        "faces": found.faces,
        "ap": found.average_precision(),
        "recall_at_0.1_false": found.recall(0.1),
        "found": in_use,
        "false_per_image": false,
    }
    for width in WIDTHS:
        table[f"found_{width}_px"], table[f"faces_{width}_px"] = found_shrunk(detector, images, width)
    for degrees in TURNS:
        table[f"found_turned_{degrees}"] = found_turned(detector, images, degrees)[0]
    table["false_on_no_faces"], table["parts_without_a_face"] = false_on_no_faces(detector, images)
    return table


def judge(detector: Detector, images: Sequence[LabelledImage], progress: bool = False) -> Found:
    """Run a detector on images and compare its boxes with the labelled faces.

    Args:
        detector: Detector with a low score threshold, so that the precision-recall curve is complete.
        images: Images with labelled faces. Faces that are not fully trusted do not count, found or not.
        progress: Show a progress bar.
    """
    scores: list[float] = []
    right: list[bool] = []
    for labelled in tqdm(images, "looking for faces", leave=False, disable=None if progress else True):
        found = detector(read_image(labelled.path))
        compared = compare(*found, _face_boxes(labelled), _trusted(labelled))
        scores += compared[0].tolist()
        right += compared[1].tolist()
    faces = sum(int(_trusted(labelled).sum()) for labelled in images)
    return Found(np.array(scores), np.array(right, bool), faces, len(images))


def compare(
    found: np.ndarray, scores: np.ndarray, faces: np.ndarray, trusted: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Find the correct boxes. A face counts once, for the highest-scoring box on it; further boxes on it are false.

    Args:
        found: (N, 4) boxes of the detector.
        scores: (N,) scores of the boxes.
        faces: (M, 4) boxes of the faces.
        trusted: (M,) bool, whether each face counts; boxes on other faces are ignored.

    Returns:
        The scores of the boxes that count, and whether each is correct.

    Example:
        >>> faces = np.array([[0, 0, 9, 9.0]])
        >>> compare(np.array([[1, 0, 9, 9], [30, 0, 39, 9.0]]), np.array([0.9, 0.5]), faces, np.array([True]))
        (array([0.9, 0.5]), array([ True, False]))
    """
    order = np.argsort(-scores, kind="stable")
    overlap = boxes.iou(found[order, None], faces[None]) if len(faces) else np.zeros((len(found), 0))
    within = boxes.part_inside(found[order, None], faces[None]) if len(faces) else overlap
    taken = np.zeros(len(faces), bool)
    counts, right = np.ones(len(found), bool), np.zeros(len(found), bool)
    for row in range(len(found)):
        free = np.where(taken | ~trusted, 0, overlap[row])
        if len(faces) and free.max() >= RIGHT:
            taken[free.argmax()] = right[row] = True
        elif (~trusted & ((overlap[row] >= 0.3) | (within[row] > 0.5))).any():
            counts[row] = False
    return scores[order][counts], right[counts]


def found_shrunk(detector: Detector, images: Sequence[LabelledImage], width: int) -> tuple[float | None, int]:
    """Return the recall of trusted faces when the image is shrunk until the face is `width` pixels wide.

    The whole image is shrunk by the same factor; a detector may enlarge it.

    Returns:
        The recall, and the number of faces that are at least `width` pixels wide.
    """
    found = []
    for image, face in _faces(images):
        scale = width / (face[2] - face[0])
        if scale > 1:
            continue
        size = geometry.scaled_size(image.shape[1::-1], scale)
        matrix = geometry.resizing(image.shape[1::-1], size)
        boxed = geometry.apply(matrix, face.reshape(2, 2)).reshape(4)
        found.append(_is_found(detector(cv2.resize(image, size, interpolation=cv2.INTER_AREA))[0], boxed))
    return float(np.mean(found)) if found else None, len(found)


def found_turned(detector: Detector, images: Sequence[LabelledImage], degrees: float) -> tuple[float | None, int]:
    """Return the recall of trusted faces in images rotated by `degrees` both ways, and the number of trials."""
    found = []
    for labelled in images:
        image = read_image(labelled.path)
        height, width = image.shape[:2]
        for angle in (-degrees, degrees):
            rotation = geometry.rotation(angle, (width / 2, height / 2))
            x0, y0, x1, y1 = geometry.bounding_box(
                geometry.apply(rotation, np.array([[0, 0], [width, 0], [0, height], [width, height]], np.float64))
            )
            matrix = geometry.compose(rotation, geometry.translation(-x0, -y0))
            result = detector(geometry.warp(image, matrix, (int(x1 - x0), int(y1 - y0))))[0]
            for face in labelled.faces:
                if face.trust == 1:
                    found.append(_is_found(result, face.box(matrix)))
    return float(np.mean(found)) if found else None, len(found)


def false_on_no_faces(
    detector: Detector, images: Sequence[LabelledImage], count: int = 200, seed: int = 0
) -> tuple[int, int]:
    """Count the boxes that a detector finds in parts of images that show no face.

    Returns:
        The number of boxes, and the number of parts: `count`, or fewer where faces fill the images.
    """
    rng = np.random.default_rng(seed)
    false = parts = 0
    for index in rng.integers(len(images), size=20 * count):
        labelled = images[index]
        image = read_image(labelled.path)
        height, width = image.shape[:2]
        side = min(height, width) * rng.uniform(0.2, 0.8)
        x, y = rng.uniform(0, width - side), rng.uniform(0, height - side)
        part = np.array([x, y, x + side, y + side])
        faces = _face_boxes(labelled)
        centre, half = (faces[:, :2] + faces[:, 2:]) / 2, (faces[:, 2:] - faces[:, :2]) * 0.8
        if boxes.part_inside(np.concatenate([centre - half, centre + half], 1), part[None]).max() > 0:
            continue
        x0, y0, x1, y1 = part.astype(int)
        false += len(detector(image[y0:y1, x0:x1])[0])
        parts += 1
        if parts == count:
            break
    return false, parts


def _faces(images: Sequence[LabelledImage]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (image, box) of every trusted face."""
    for labelled in images:
        image = read_image(labelled.path)
        for box, trusted in zip(_face_boxes(labelled), _trusted(labelled)):
            if trusted:
                yield image, box


def _face_boxes(image: LabelledImage) -> np.ndarray:
    return np.stack([geometry.bounding_box(face.points) for face in image.faces]).astype(np.float64)


def _trusted(image: LabelledImage) -> np.ndarray:
    """Return a mask (M,) of the faces that are fully trusted, because their labels were checked."""
    return np.array([face.trust == 1 for face in image.faces])


def _is_found(found: np.ndarray, face: np.ndarray) -> bool:
    return bool(len(found) and boxes.iou(found, face).max() >= RIGHT)
