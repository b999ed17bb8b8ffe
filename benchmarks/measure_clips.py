"""Tracking on your own clips, compared with MediaPipe: milliseconds per frame, and jitter of the points."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any, Callable

import cv2
import numpy as np
from measure_peers import MediaPipe, on_one_core

from facekp.inference.tracking import Tracker
from facekp.io.images import find_files
from facekp.io.video import SUFFIXES, read_video
from facekp.landmarks import IBUG68
from facekp.loading import DEFAULT, load_landmarker

Track = Callable[[np.ndarray, float], np.ndarray]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command line options."""
    parser.add_argument("clips", nargs="+", help="videos, or folders of them")
    parser.add_argument("--model", default=DEFAULT, metavar="NAME|PATH", help="(%(default)s)")


def run(args: argparse.Namespace) -> None:
    """Measure and print."""
    on_one_core()
    landmarker = load_landmarker(args.model, threads=1)
    print(f"{'clip':20}{'frames':>8}   ms per frame (mean, median), jitter")
    for path in find_files(args.clips, SUFFIXES):
        trackers: dict[str, Track] = {
            "facekp": _ours(Tracker(landmarker)),
            "facekp, unsmoothed": _ours(Tracker(landmarker, cutoff=float("inf"))),
        }
        try:
            trackers["MediaPipe"] = _mediapipe()
        except ImportError as error:
            print(f'omitted: MediaPipe ({error}); pip install "facekp[peers]"')
        times: dict[str, list[float]] = {name: [] for name in trackers}
        points: dict[str, list[np.ndarray]] = {name: [] for name in trackers}
        for image, seconds in read_video(path):
            for name, track in trackers.items():
                start = time.process_time()
                found = track(image, seconds)
                times[name].append((time.process_time() - start) * 1000)
                points[name].append(found[0] if len(found) else np.full((68, 2), np.nan))
        for name in trackers:
            spent = np.array(times[name][1:])  # the first frame warms up
            print(f"{path.name if name == 'facekp' else '':20}{len(spent) + 1:8}   {name}: {spent.mean():.2f}, "
                  f"{np.median(spent):.2f} ms, {jitter(points[name]) * 100:.3f} % of the eye distance")  # fmt: skip


def jitter(frames: Sequence[np.ndarray]) -> float:
    """Return the jitter of points: their mean second difference over the square root of 6, in eye distances.

    White noise with a standard deviation s in x and in y gives 1.25 s, its mean length in the plane.

    Args:
        frames: (68, 2) points of each frame, NaN where no face was found.
    """
    seen = np.stack(frames)
    second = np.linalg.norm(seen[2:] - 2 * seen[1:-1] + seen[:-2], axis=-1) / np.sqrt(6)
    units = np.array([IBUG68.unit(face) for face in seen[1:-1]])
    return float(np.nanmean(second / units[:, None]))


def _ours(tracker: Tracker) -> Track:
    return lambda image, seconds: tracker(image, seconds).points


def _mediapipe() -> Track:
    from mediapipe import solutions

    mesh: Any = solutions.face_mesh.FaceMesh(static_image_mode=False, max_num_faces=1)
    return lambda image, _: MediaPipe.mesh_points(mesh, cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
