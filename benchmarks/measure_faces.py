"""Faces that a landmarker finds on whole photos: NME of labelled faces, and fractions of photos with a face."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import cv2
import numpy as np

from facekp import viz
from facekp.data.pts import PtsDataset
from facekp.evaluation.landmarks import Predictions, predict_found, predict_in_use
from facekp.inference.landmarker import Landmarker
from facekp.inference.many import find_on_many
from facekp.io.images import find_files, write_image
from facekp.landmarks import IBUG68
from facekp.loading import DEFAULT, load_landmarker
from facekp.metrics import point_errors
from facekp.vision import geometry

#: Name -> indices of the points that are evaluated.
POINTS = {"all": np.arange(68), "inner51": np.arange(17, 68)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command line options."""
    parser.add_argument("--model", default=DEFAULT, metavar="NAME|PATH", help="(%(default)s)")
    parser.add_argument("--detector", metavar="PATH|NAME", help="faces from: path of weights, haar, ... (ours)")
    parser.add_argument("--labelled", type=Path, nargs="+", default=[], metavar="DIR", help="folders of .pts files")
    parser.add_argument("--held-out", action="store_true", help="only every tenth of them, which training holds out")
    parser.add_argument("--points", choices=POINTS, default="all", help="points of labelled faces to evaluate "
                        "(%(default)s)")  # fmt: skip
    parser.add_argument("--photos", type=Path, nargs="+", default=[], metavar="DIR", help="folders of photos")
    parser.add_argument("--sheet", type=Path, metavar="FILE", help="draw the faces that were found on the photos, to "
                        "check by eye, with their numbers and scores")  # fmt: skip


def run(args: argparse.Namespace) -> None:
    """Measure and print."""
    landmarker = load_landmarker(args.model, args.detector)
    assert isinstance(landmarker, Landmarker)
    for folder in args.labelled:
        faces = PtsDataset(folder).split()[1] if args.held_out else PtsDataset(folder)
        print(f"{folder}: {len(faces)} labelled faces, {args.points} points")
        _evaluate("  from the labels' boxes, in use", predict_in_use(landmarker, faces), POINTS[args.points])
        _evaluate("  with the detector", predict_found(landmarker, faces, progress=True), POINTS[args.points])
    squares = []
    for folder in args.photos:
        paths = find_files([str(folder)])
        counts = []
        for seen in find_on_many(paths, landmarker):
            if seen.image is None or isinstance(seen.found, Exception):
                continue
            counts.append(len(seen.found))
            if args.sheet:
                squares += [_square(seen.image, p, f"{seen.path.stem} {score:.2f}") for p, _, score in seen.found]
        found = np.array(counts)
        print(f"{folder}: {len(found)} photos, a face on {(found > 0).mean() * 100:.1f} %, {found.mean():.3f} faces a "
              f"photo, more than one on {(found > 1).sum()}")  # fmt: skip
    if args.sheet and squares:
        columns = math.ceil(math.sqrt(len(squares)))
        squares += [np.zeros_like(squares[0])] * (-len(squares) % columns)
        rows = [np.hstack(squares[i : i + columns]) for i in range(0, len(squares), columns)]
        write_image(args.sheet, np.vstack(rows))


def _evaluate(how: str, predictions: Predictions, points: np.ndarray) -> None:
    found = np.isfinite(predictions.predicted).all((1, 2))
    kept = predictions.part(found)
    errors = point_errors(kept.predicted, kept.truth)[:, points].mean(1) * 100
    distances = np.linalg.norm(kept.predicted - kept.truth, axis=-1)[:, points].mean(1)
    boxes = np.stack([IBUG68.face_box(face) for face in kept.truth])
    sides = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(1))
    print(f"{how}: {found.sum()} of {len(found)} found, NME {errors.mean():.2f} % (median {np.median(errors):.2f}) "
          f"over the eye corners, {(distances / sides).mean() * 100:.2f} % over the box's side")  # fmt: skip


def _square(image: np.ndarray, points: np.ndarray, caption: str, side: int = 128) -> np.ndarray:
    matrix = geometry.square_crop(IBUG68.face_box(points).tolist(), 0.5, side)
    square = viz.draw_points(geometry.warp(image, matrix, (side, side)), geometry.apply(matrix, points))
    return cv2.putText(square, caption, (2, side - 4), cv2.FONT_HERSHEY_PLAIN, 0.7, (0, 255, 255), 1, cv2.LINE_AA)
