"""Comparison with dlib and MediaPipe: milliseconds on one core, and errors on the same images."""

from __future__ import annotations

import argparse
import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Callable, Protocol

import cv2
import numpy as np
from measure_inference import interleaved
from tqdm import tqdm

from facekp.detectors import load_detector
from facekp.errors import UserError
from facekp.io.files import atomic_path
from facekp.io.images import read_image
from facekp.loading import DEFAULT, load_landmarker
from facekp.vision import geometry

WIDTH, HEIGHT = 1280, 720

#: dlib's detector finds faces from 80 pixels up; smaller images are searched at twice their size, if necessary.
SMALL = 400

#: The vertices of MediaPipe's mesh of 468 that are nearest to iBUG's 68 points, as chosen in most comparisons. The
#: mesh's outline is that of the head, iBUG's jaw is the visible edge: on turned faces they differ by definition.
MESH_TO_68 = [
    162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389,  # jaw
    71, 63, 105, 66, 107, 336, 296, 334, 293, 301,  # brows
    168, 197, 5, 4, 75, 97, 2, 326, 305,  # nose
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,  # eyes
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181,  # outer lips
    78, 82, 13, 312, 308, 317, 14, 87,  # inner lips
]  # fmt: skip

Found = Any  # return value of a library's detector


class Entry(Protocol):
    """Interface of a library, from a BGR image to points."""

    name: str

    def prepare(self, image: np.ndarray) -> np.ndarray:
        """Convert an image to the format of the library."""

    def detect(self, image: np.ndarray) -> Found:
        """Find faces on a prepared image."""

    def points(self, image: np.ndarray, found: Found) -> np.ndarray:
        """Return the points of the faces that `detect` found, (N, 68, 2)."""

    def find(self, image: np.ndarray, max_faces: int = 5) -> np.ndarray:
        """Do both on a prepared image, as users of the library do: points of up to `max_faces` faces."""


class Ours:
    """Landmarker of facekp.

    Args:
        source: See `load_landmarker`.
        passes: See `load_landmarker`.
    """

    def __init__(self, source: str, passes: int = 2) -> None:
        self.name = f"facekp {Path(source).stem}" + (", one pass" if passes == 1 else "")
        self._detector = load_detector(threads=1)
        self._landmarker = load_landmarker(source, self._detector, passes=passes, threads=1)

    def prepare(self, image: np.ndarray) -> np.ndarray:
        """See `Entry`."""
        return image

    def detect(self, image: np.ndarray) -> Found:
        """See `Entry`."""
        return self._detector(image)[0]

    def points(self, image: np.ndarray, found: Found) -> np.ndarray:
        """See `Entry`."""
        return self._landmarker(image, boxes=found).points

    def find(self, image: np.ndarray, max_faces: int = 5) -> np.ndarray:
        """See `Entry`."""
        return self._landmarker(image).points[:max_faces]


class Dlib:
    """dlib's HOG detector and its 68-point predictor (an ensemble of regression trees, Kazemi and Sullivan, 2014)."""

    name = "dlib"

    def __init__(self) -> None:
        import dlib

        models = importlib.util.find_spec("face_recognition_models")
        if models is None or not models.submodule_search_locations:
            raise ImportError("face_recognition_models")
        file = Path(models.submodule_search_locations[0], "models", "shape_predictor_68_face_landmarks.dat")
        self._detector, self._predictor = dlib.get_frontal_face_detector(), dlib.shape_predictor(str(file))

    def prepare(self, image: np.ndarray) -> np.ndarray:
        """Convert to grey: both parts accept it and are faster on it."""
        return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)

    def detect(self, image: np.ndarray) -> Found:
        """See `Entry`."""
        found = self._detector(image, 0)
        return found if len(found) or min(image.shape) > SMALL else self._detector(image, 1)

    def points(self, image: np.ndarray, found: Found) -> np.ndarray:
        """See `Entry`."""
        faces = [[(p.x, p.y) for p in self._predictor(image, box).parts()] for box in found]
        return np.array(faces, np.float32).reshape(-1, 68, 2)

    def find(self, image: np.ndarray, max_faces: int = 5) -> np.ndarray:
        """See `Entry`."""
        return self.points(image, self.detect(image)[:max_faces])


class MediaPipe:
    """MediaPipe's BlazeFace and face mesh, of whose 468 points `MESH_TO_68` are used.

    Its mesh does not accept boxes. `points` times the mode for videos, in which the face is tracked from call to call
    and no detector runs; `find` times the mode for photos, which detects on every call.
    """

    name = "MediaPipe"

    def __init__(self) -> None:
        os.environ.setdefault("GLOG_minloglevel", "2")
        from mediapipe import solutions

        self._detector = solutions.face_detection.FaceDetection(model_selection=0)
        self._tracking_mesh = solutions.face_mesh.FaceMesh(static_image_mode=False, max_num_faces=1)
        self._mesh = solutions.face_mesh.FaceMesh(static_image_mode=True, max_num_faces=5)

    def prepare(self, image: np.ndarray) -> np.ndarray:
        """Convert to RGB."""
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)

    def detect(self, image: np.ndarray) -> Found:
        """See `Entry`."""
        return self._detector.process(image).detections or []

    def points(self, image: np.ndarray, found: Found) -> np.ndarray:
        """See `Entry`."""
        return self.mesh_points(self._tracking_mesh, image)

    def find(self, image: np.ndarray, max_faces: int = 5) -> np.ndarray:
        """See `Entry`."""
        return self.mesh_points(self._mesh, image)[:max_faces]

    @staticmethod
    def mesh_points(mesh: Any, image: np.ndarray) -> np.ndarray:
        """Return the points that a face mesh finds on an RGB image, (N, 68, 2)."""
        faces = mesh.process(image).multi_face_landmarks or []
        chosen = [[face.landmark[i] for i in MESH_TO_68] for face in faces]
        places = np.array([[(point.x, point.y) for point in face] for face in chosen], np.float32)
        return places.reshape(-1, 68, 2) * np.array(image.shape[1::-1], np.float32)


@dataclass
class Row:
    """Results of one entry: CPU time in milliseconds, and errors of all faces with NaN for the missed ones."""

    name: str
    detect: float
    points: float
    whole: float
    errors: np.ndarray = field(default_factory=lambda: np.zeros(0))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command line options."""
    parser.add_argument("--model", action="append", metavar="NAME|PATH", help=f"our model, repeatable ({DEFAULT})")
    parser.add_argument("--photo", type=Path, default="assets/photos/astronaut.png",
                        help="with one face, shown on 1280x720 pixels for the times (%(default)s)")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=20, help="rounds per library (%(default)s)")
    parser.add_argument("--root", type=Path, help="a data set for the errors; without it only times are measured")
    parser.add_argument("--labels", choices=("csv68", "pts"), default="csv68",
                        help="csv68: the test split; pts: the tenth that recipes hold out (%(default)s)")  # fmt: skip
    parser.add_argument("--limit", type=int, help="maximum number of faces")
    parser.add_argument("--plot", type=Path, help="write an image of error against time")


def run(args: argparse.Namespace) -> None:
    """Measure and print."""
    if args.plot is not None and args.root is None:
        raise UserError("--plot draws errors against times; give --root too")
    on_one_core()
    entries = _entries(args.model or [DEFAULT])
    rows = _times(entries, _on_canvas(read_image(args.photo)), args.rounds)
    _print_times(rows)
    if args.root is not None:
        faces = _faces(args.root, args.labels)
        indices = range(min(len(faces), args.limit or len(faces)))
        truth = np.stack([faces.load(i)[1] for i in indices])
        for entry, row in zip(entries, rows):
            row.errors = _errors(entry, (faces.load(i)[0] for i in indices), truth)
        _print_errors(rows, args.root)
        if args.plot is not None:
            _plot(rows, args.plot)
            print(args.plot)


def on_one_core() -> None:
    """Limit all libraries to one thread."""
    cv2.setNumThreads(1)
    if importlib.util.find_spec("mediapipe") is not None and hasattr(os, "sched_setaffinity"):
        # MediaPipe has no option for the number of threads; one core leaves one.
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def _entries(models: Sequence[str]) -> list[Entry]:
    entries: list[Entry] = []
    for model in models:
        entries += [Ours(model), Ours(model, passes=1)]
    for peer in (Dlib, MediaPipe):
        try:
            entries.append(peer())
        except ImportError as error:
            print(f'omitted: {peer.name} ({error}); pip install "facekp[peers]"')
    return entries


def _on_canvas(photo: np.ndarray) -> np.ndarray:
    """Return the photo scaled to fit the canvas, in the middle of it."""
    scale = min(WIDTH / photo.shape[1], HEIGHT / photo.shape[0])
    shift = [(side - scale * of) / 2 for side, of in zip((WIDTH, HEIGHT), photo.shape[1::-1])]
    matrix = geometry.compose(geometry.scaling(scale), geometry.translation(*shift))
    return geometry.warp(photo, matrix, (WIDTH, HEIGHT), border="replicate")


def _times(entries: Sequence[Entry], image: np.ndarray, rounds: int) -> list[Row]:
    """Time all entries interleaved."""
    calls: list[Callable[[], object]] = []
    for entry in entries:
        prepared = entry.prepare(image)
        found = entry.detect(prepared)[:1]  # the highest-scoring: dlib also finds the astronaut's badge
        if not len(found) or not len(entry.find(prepared)):
            raise UserError(f"{entry.name} finds no face on the photo; choose another --photo")
        calls += [
            partial(entry.detect, prepared),
            partial(entry.points, prepared, found),
            partial(_whole, entry, image),
        ]
    times = iter(interleaved(calls, rounds))
    return [Row(entry.name, next(times), next(times), next(times)) for entry in entries]


def _whole(entry: Entry, image: np.ndarray) -> np.ndarray:
    return entry.find(entry.prepare(image), max_faces=1)


def _faces(root: Path, labels: str) -> Any:
    from facekp.data.csv68 import FacialKeypointsDataset
    from facekp.data.pts import PtsDataset

    if labels == "pts":
        return PtsDataset(root).split()[1]
    return FacialKeypointsDataset(root / "test_frames_keypoints.csv", root / "test")


def _errors(entry: Entry, images: Any, truth: np.ndarray) -> np.ndarray:
    """Return the NME of each face; NaN where no face was found whose centre lies inside the true one."""
    from facekp.metrics import point_errors

    errors = np.full(len(truth), np.nan)
    for index, image in enumerate(tqdm(images, entry.name, len(truth), leave=False, disable=None)):
        points = entry.find(entry.prepare(image))
        middles, box = points.mean(1), geometry.bounding_box(truth[index])
        inside = ((middles >= box[:2]) & (middles <= box[2:])).all(1)
        if inside.any():
            far = np.linalg.norm(middles - truth[index].mean(0), axis=1)
            face = points[np.where(inside, far, np.inf).argmin()]
            errors[index] = point_errors(face[None], truth[index][None]).mean()
    return errors


def _print_times(rows: Sequence[Row]) -> None:
    dlib, mesh = ({row.name: row for row in rows}.get(peer.name) for peer in (Dlib, MediaPipe))
    print(f"{WIDTH}x{HEIGHT} pixels, one face, one core: milliseconds of CPU, medians\n")
    print("| | detector | points | image to points | points, of MediaPipe | image to points, of dlib |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        ratios = [f"{row.points / mesh.points:.2f}" if mesh else "", f"{row.whole / dlib.whole:.2f}" if dlib else ""]
        print(f"| {row.name} | {row.detect:.1f} | {row.points:.2f} | {row.whole:.1f} | {ratios[0]} | {ratios[1]} |")


def _print_errors(rows: Sequence[Row], root: Path) -> None:
    print(f"\n{root}: each with its own detector; NME over the faces found, missed ones count as failed\n")
    print("| | faces | found | NME | failure 8 % | failure 10 % |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        failed = [1 - (row.errors <= most).mean() for most in (0.08, 0.10)]  # NaN is not below the threshold
        found = np.isfinite(row.errors)
        values = (found.mean(), row.errors[found].mean() if found.any() else np.nan, *failed)
        print(f"| {row.name} | {len(found)} | " + " | ".join(f"{v * 100:.2f} %" for v in values) + " |")


def _plot(rows: Sequence[Row], path: Path) -> None:
    """Plot error against time: a line from the points alone to the whole way from the image."""
    from matplotlib.figure import Figure

    from facekp.plots import BLUE, ORANGE

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axis = figure.subplots()
    measured = [row for row in rows if np.isfinite(row.errors).any()]
    for place, row in enumerate(sorted(measured, key=lambda row: float(np.nanmean(row.errors)))):
        error = float(np.nanmean(row.errors)) * 100
        colour = BLUE if row.name.startswith("facekp") else ORANGE
        axis.plot([row.points, row.whole], [error, error], color=colour, linewidth=1)
        axis.plot(row.points, error, "o", color=colour)
        axis.plot(row.whole, error, "|", color=colour)
        # Alternately below and above, so that the names of neighbours do not overlap.
        axis.annotate(
            row.name, (row.points, error), (0, 5 if place % 2 else -13), textcoords="offset points", fontsize=9
        )
    axis.set_xscale("log")
    marks = [1, 2, 5, 10, 20, 50, 100, 200, 500]
    axis.set_xticks(marks, [str(mark) for mark in marks])
    axis.set_xticks([], minor=True)
    axis.set_xlim(min(row.points for row in rows) / 1.3, max(row.whole for row in rows) * 1.3)
    axis.set_ylim(0, axis.get_ylim()[1] * 1.08)
    axis.set_xlabel("milliseconds of CPU: points of a known face (dot), detector included (bar)")
    axis.set_ylabel("NME, % of the eye distance")
    axis.grid(alpha=0.3)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120)
