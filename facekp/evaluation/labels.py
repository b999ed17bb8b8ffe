"""Detection of label errors: each face is compared with the whole set of faces."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from facekp.data.dataset import FilesDataset
from facekp.data.labelled import LabelsDataset
from facekp.data.shape import ShapeModel, roll
from facekp.data.statistics import with_mean_face
from facekp.errors import UserError
from facekp.inference.faces import Faces
from facekp.io.images import only_sound_images
from facekp.landmarks import PointSchema
from facekp.metrics import point_errors
from facekp.vision import boxes, geometry

#: Kind of finding -> its meaning.
KINDS = {
    "unreadable": "the image is missing or damaged, or the points are far outside or in another unit",
    "mirrored": "left and right are swapped: in the whole face, a region or a pair of points",
    "turned": "the face is sideways or upside down; x and y may be swapped, or the image may be stored rotated",
    "far": "a point lies far from where the face's other points suggest",
    "box": "the face's box does not fit its points",
    "duplicate": "nearly the same face is in training and in validation",
    "error": "the weights predict other points; they were not trained on faces of the validation",
}

#: Points count as swapped if swapping decreases `ShapeModel.surprise` times the number of points by more than this.
SWAPPED = 6.0

#: Minimum surprise of a far point, and its minimum distance from the expected position in units of the face.
FAR, FAR_DISTANCE = 40.0, 0.08

#: Minimum roll in degrees of a face that counts as turned.
TURNED = 60.0

#: A box fits if its intersection over union with the box of the points is at least `BOX_IOU`, or if it holds at least
#: the fraction `BOX_INSIDE` of the points and has at most `BOX_LARGER` times the area.
BOX_IOU, BOX_INSIDE, BOX_LARGER = 0.5, 0.9, 6.0

#: Correlation of small grey crops above which two faces are the same, and side length of these crops in pixels.
SAME, SMALL = 0.985, 24


@dataclass(frozen=True)
class Finding:
    """Possible label error; nothing is changed or deleted.

    Attributes:
        kind: A key of `KINDS`.
        split: "train" or "validation".
        part: Data set of the sample.
        index: Index of the sample in the data set.
        score: Larger if an error is more likely; comparable within one kind only.
        text: Short description of the possible error.
        points: Indices of the points concerned.
        predicted: (K, 2) points predicted by the weights; None for kinds other than "error".
    """

    kind: str
    split: str
    part: FilesDataset
    index: int
    score: float
    text: str
    points: tuple[int, ...] = ()
    predicted: np.ndarray | None = field(default=None, compare=False)

    @property
    def image(self) -> Path:
        """Path of the image file."""
        return self.part.image_path(self.index)

    @property
    def where(self) -> str:
        """File and row, or key, of the label."""
        return self.part.where(self.index)


@dataclass(frozen=True)
class Checked:
    """Result of `check_labels`.

    Attributes:
        schema: Schema of the points.
        parts: (split, data set) pairs that were checked.
        findings: Findings by kind, the most likely errors of each kind first.
    """

    schema: PointSchema
    parts: list[tuple[str, FilesDataset]]
    findings: list[Finding]

    def of_kind(self, kind: str) -> list[Finding]:
        """Return the findings of one kind."""
        return [finding for finding in self.findings if finding.kind == kind]


def check_labels(
    parts: Sequence[tuple[str, FilesDataset]],
    landmarker: Callable[[np.ndarray, np.ndarray], Faces] | None = None,
    max_errors: int = 50,
    progress: bool = False,
) -> Checked:
    """Check labels for errors.

    Args:
        parts: (split, data set) pairs of one schema; split is "train" or "validation".
        landmarker: Predicts the points, for comparison with the labels.
        max_errors: Maximum number of faces reported for large prediction errors.
        progress: Show progress bars.

    Raises:
        UserError: There is no face, or a point is not labelled in any face.
    """
    parts = [(split, part) for split, part in parts if len(part)]
    if not parts:
        raise UserError("no labelled face to check")
    points = np.concatenate([part.points[part.rows] for _, part in parts]).astype(np.float64)
    if training := [part.points[part.rows] for split, part in parts if split == "train"]:
        with_mean_face(parts[0][1].schema, np.concatenate(training))  # raises the errors that training would raise
    schema = with_mean_face(parts[0][1].schema, points)
    for _, part in parts:
        part.schema = schema
    faces = [(split, part, index) for split, part in parts for index in range(len(part))]
    make = [partial(Finding, split=split, part=part, index=index) for split, part, index in faces]
    findings = [*_turned(schema, points, make), *_shapes(schema, points, make), *_boxes(faces, make)]
    patches = np.zeros((len(faces), SMALL * SMALL), np.float32)
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # OpenCV releases the GIL while it decodes
        results = pool.map(lambda face: _inspect(face[1], face[2]), faces)
        for row, (problem, patch) in enumerate(
            tqdm(results, "reading images", len(faces), leave=False, disable=None if progress else True)
        ):
            if problem is not None:
                findings.append(make[row](kind="unreadable", score=1.0, text=problem))
            else:
                patches[row] = patch
    findings += _duplicates(faces, patches, make)
    if landmarker is not None:
        findings += _errors(schema, faces, patches, landmarker, make, max_errors, progress)
    return Checked(schema, list(parts), sorted(findings, key=lambda f: (list(KINDS).index(f.kind), -f.score)))


_Make = Sequence[Callable[..., Finding]]
_Faces = Sequence[tuple[str, FilesDataset, int]]


def _turned(schema: PointSchema, points: np.ndarray, make: _Make) -> list[Finding]:
    degrees = roll(schema, points)
    return [
        make[row](kind="turned", score=float(abs(degrees[row])), text=f"turned by {degrees[row]:.0f} degrees")
        for row in np.flatnonzero(np.abs(degrees) > TURNED)
    ]


def _shapes(schema: PointSchema, points: np.ndarray, make: _Make) -> list[Finding]:
    """Find swapped left and right points, and points far from their expected positions."""
    swapped = find_swapped(schema, points)
    found = [make[row](kind="mirrored", score=score, text=name, points=which)
             for row, (score, name, which) in swapped.items()]  # fmt: skip
    good = np.setdiff1d(np.arange(len(points)), list(swapped))
    if not len(good):
        return found
    aligned, surprise = points, np.zeros(points.shape[:2])
    for share in (1.0, 0.9, 0.9):  # without the most surprising faces, which would distort the model
        usual = good[np.argsort(surprise[good].max(1), kind="stable")[: max(1, round(share * len(good)))]]
        model = ShapeModel(schema, points[usual])
        aligned = model.align(points)
        surprise = np.nan_to_num([model.surprise(aligned, [i]) for i in range(schema.num_points)]).T
    away = np.linalg.norm(model.expected(aligned) - aligned, axis=-1) / schema.unit(model.mean)
    surprise = np.where(np.nan_to_num(away) >= FAR_DISTANCE, surprise, 0)
    for row in good[(surprise[good] > FAR).any(1)]:
        worst = int(surprise[row].argmax())
        text = f"{schema.points[worst]} ({worst}), by {away[row, worst] * 100:.0f} % of the face's unit"
        meant = tuple(int(i) for i in np.flatnonzero(surprise[row] > FAR))
        found.append(make[row](kind="far", score=float(surprise[row, worst]), text=text, points=meant))
    return found


def find_swapped(schema: PointSchema, points: np.ndarray) -> dict[int, tuple[float, str, tuple[int, ...]]]:
    """Find faces whose left and right points are swapped, all of them or some.

    Args:
        schema: Schema of the points, with a mean face.
        points: (N, K, 2) points of all faces; most of them must be correct.

    Returns:
        Row -> score, name of what is swapped, and indices of its points.

    Example:
        >>> from facekp.data.drawn import draw_face
        >>> from facekp.landmarks import IBUG68
        >>> faces = np.stack([draw_face(seed)[1] for seed in range(40)])
        >>> faces[7] = faces[7, IBUG68.flip_order]
        >>> faces[9, [36, 45]] = faces[9, [45, 36]]
        >>> {row: name for row, (_, name, _) in find_swapped(IBUG68, faces).items()}
        {7: 'the whole face', 9: 'left_eye_outer and right_eye_outer (36, 45)'}
    """
    if not schema.mirror_pairs:
        return {}
    model, mirrored = ShapeModel(schema, points), points[:, schema.flip_order]
    left, right = np.array(schema.mirror_pairs).T
    across = model.mean[right] - model.mean[left]
    for _ in range(2):
        before, after = model.distance(points), model.distance(mirrored)
        whole = after < before
        if whole.all():
            break
        aligned = model.align(points)
        # Most faces with crossed pairs are only turned, but the first model excludes all: swaps would distort it.
        crossed = (((aligned[:, right] - aligned[:, left]) * across).sum(-1) < 0).any(1)
        model = ShapeModel(schema, points[~whole & ~crossed] if not (whole | crossed).all() else points[~whole])
    found: dict[int, tuple[float, str, tuple[int, ...]]] = {}
    for _ in range(3):
        found = {int(row): (1e6 * float(before[row] / max(after[row], 1e-9)), "the whole face",
                            tuple(range(schema.num_points))) for row in np.flatnonzero(whole)}  # fmt: skip
        found |= _swapped_groups(schema, model, points, whole)
        if len(found) == len(points):
            break
        model = ShapeModel(schema, np.delete(points, list(found), 0))
    return found


def _swapped_groups(
    schema: PointSchema, model: ShapeModel, points: np.ndarray, whole: np.ndarray
) -> dict[int, tuple[float, str, tuple[int, ...]]]:
    """Find, for each face not mirrored as a whole, the pair or region whose swap explains it best."""
    aligned, best = model.align(points), np.where(whole, np.inf, SWAPPED)
    found = {}
    for name, pairs in groups_of_pairs(schema):
        left, right = np.array(pairs).T
        which = tuple(int(i) for i in (*left, *right))
        other = aligned.copy()
        other[:, left], other[:, right] = aligned[:, right], aligned[:, left]
        gain = (model.surprise(aligned, which) - model.surprise(other, which)) * len(which)
        for row in np.flatnonzero(np.nan_to_num(gain) > best):
            best[row] = gain[row]
            found[int(row)] = (float(gain[row]), name, which)
    return found


def groups_of_pairs(schema: PointSchema) -> list[tuple[str, list[tuple[int, int]]]]:
    """Return the groups of pairs that may be swapped together: each pair, and all pairs of a region."""
    groups = [(f"{schema.points[left]} and {schema.points[right]} ({left}, {right})", [(left, right)])
              for left, right in schema.mirror_pairs]  # fmt: skip
    for name, indices in schema.regions.items():
        pairs = [pair for pair in schema.mirror_pairs if set(pair) <= set(indices)]
        if 1 < len(pairs) < len(schema.mirror_pairs):
            groups.append((f"all of {name}", pairs))
    return groups


def _boxes(faces: _Faces, make: _Make) -> list[Finding]:
    found = []
    for row, (_, part, index) in enumerate(faces):
        box = part.face(index).box if isinstance(part, LabelsDataset) else None
        if box is None:
            continue
        points = part.points[part.rows[index]].astype(np.float64)
        known = points[np.isfinite(points).all(-1)]
        own = part.schema.face_box(points)
        overlap = float(boxes.iou(box, own))
        slack = 0.1 * max(own[2:] - own[:2])
        inside = float(((known >= box[:2] - slack) & (known <= box[2:] + slack)).all(1).mean())
        larger = float(boxes.area(box) / max(float(boxes.area(own)), 1e-9))
        if overlap < BOX_IOU and (inside < BOX_INSIDE or larger > BOX_LARGER):
            text = f"holds {inside * 100:.0f} % of the points and is {larger:.1f} times as large as their box"
            found.append(make[row](kind="box", score=1 - overlap, text=text))
    return found


def _inspect(part: FilesDataset, index: int) -> tuple[str | None, np.ndarray]:
    """Return what is wrong with a sample, and a small grey crop of its face: (SMALL * SMALL,), mean 0, norm 1."""
    patch = np.zeros(SMALL * SMALL, np.float32)
    try:
        with only_sound_images():
            image, points = sample = part.load(index)
    except UserError as error:
        return f"{part.where(index)}: {error}", patch
    problem = part.problem(index, sample)
    if problem is None:
        matrix = geometry.square_crop(part.schema.face_box(points).tolist(), 0.2, SMALL)
        grey = cv2.cvtColor(geometry.warp(image, matrix, (SMALL, SMALL)), cv2.COLOR_BGR2GRAY).astype(np.float32)
        grey -= grey.mean()
        patch = (grey / max(float(np.linalg.norm(grey)), 1e-6)).ravel()
    return problem, patch


def _duplicates(faces: _Faces, patches: np.ndarray, make: _Make) -> list[Finding]:
    held_out = np.array([split == "validation" for split, _, _ in faces])
    train, validation = np.flatnonzero(~held_out), np.flatnonzero(held_out)
    if not len(train):
        return []
    found = []
    for row in validation:
        alike = patches[train] @ patches[row]
        best = int(alike.argmax())
        if alike[best] > SAME:
            _, part, index = faces[train[best]]
            text = f"like {part.name(index)} of the training ({alike[best] * 100:.1f} %)"
            found.append(make[row](kind="duplicate", score=float(alike[best]), text=text))
    return found


def _errors(
    schema: PointSchema,
    faces: _Faces,
    patches: np.ndarray,
    landmarker: Callable[[np.ndarray, np.ndarray], Faces],
    make: _Make,
    max_errors: int,
    progress: bool,
) -> list[Finding]:
    found = []
    for row in tqdm(range(len(faces)), "predicting", leave=False, disable=None if progress else True):
        split, part, index = faces[row]
        if not patches[row].any():
            continue
        image, points = part.load(index)
        predicted = landmarker(image, schema.face_box(points)[None])
        if predicted.schema.points != schema.points:
            raise UserError(f"the weights find the points of {predicted.schema.name}, the labels have those of "
                            f"{schema.name}; choose other weights, or convert the labels")  # fmt: skip
        each = point_errors(predicted.points, points[None], schema)[0]
        if np.isfinite(each).any():
            error = float(np.nanmean(each))
            seen = "learned by the weights if these are theirs" if split == "train" else "held out"
            text = f"NME {error * 100:.1f} %, most at {schema.points[int(np.nanargmax(each))]}; {seen}"
            found.append(make[row](kind="error", score=error, text=text, predicted=predicted.points[0]))
    return sorted(found, key=lambda finding: -finding.score)[:max_errors]
