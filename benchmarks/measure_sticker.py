"""Stickers: milliseconds per face, frames per second and stages of a video, jitter and delay of smoothing."""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any, Callable

import cv2
import numpy as np

from facekp import load_landmarker
from facekp.inference.faces import Faces
from facekp.inference.tracking import OneEuro, Tracker
from facekp.io.images import read_image
from facekp.io.video import convert, write_video
from facekp.landmarks import IBUG68, MEAN_FACE
from facekp.stickers import Layer, Sticker, list_stickers, load_sticker
from facekp.stickers.wearer import Wearer
from facekp.vision import geometry

WIDTH, HEIGHT, FPS = 1280, 720, 30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command line options."""
    parser.add_argument("--photo", type=Path, default="assets/photos/astronaut.png", help="one face (%(default)s)")
    parser.add_argument("--face", type=int, default=250, help="width of the face in pixels (%(default)s)")
    parser.add_argument("--frames", type=int, default=150, help="frames of each clip (%(default)s)")
    parser.add_argument("--noise", type=float, default=3.0, help="camera noise, grey levels (%(default)s)")


def run(args: argparse.Namespace) -> None:
    """Measure and print."""
    cv2.setNumThreads(1)
    print("one thread; medians\n")
    _stickers(args)
    landmarker = load_landmarker()
    clip = _Clip(args)
    _video(args, clip, landmarker)
    _jitter(args, clip, landmarker)


def _stickers(args: argparse.Namespace) -> None:
    """Time fitting and compositing of every included sticker on one face of a 1280x720 image."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    points = MEAN_FACE * args.face + ((WIDTH - args.face) / 2, HEIGHT * 0.45)
    faces = Faces.from_arrays(points[None], geometry.bounding_box(points)[None], np.ones(1))
    none = Faces.none()
    print(f"{'sticker':16}{'layers':>8}{'fit ms':>8}{'all ms':>8}   a face {args.face} pixels wide")
    for name in list_stickers():
        sticker = load_sticker(name)
        fit = _median(partial(_fit, sticker, faces))
        # The image is copied once per image, not once per face.
        whole = _median(partial(sticker.apply, image, faces)) - _median(partial(sticker.apply, image, none))
        print(f"{name:16}{len(sticker.layers):8}{fit:8.2f}{whole:8.2f}")


def _fit(sticker: Sticker, faces: Faces) -> list[object]:
    wearer = Wearer(Faces(faces.points, faces.boxes, faces.scores), 0)  # a new wearer, without cached properties
    return [layer.place(wearer) for layer in sticker.layers if isinstance(layer, Layer)]


class _Clip:
    """Clip of a photo on a 1280x720 background, still or shifted, with camera noise."""

    def __init__(self, args: argparse.Namespace) -> None:
        photo = read_image(args.photo)
        self.background = cv2.resize(photo, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
        side = HEIGHT
        self.background = cv2.GaussianBlur(self.background, (0, 0), 25)
        self.photo, self.side = cv2.resize(photo, (side, side), interpolation=cv2.INTER_CUBIC), side
        self.noise, self.rng = args.noise, np.random.default_rng(0)

    def frame(self, shift: float = 0.0) -> np.ndarray:
        """Return a BGR uint8 frame with new noise, the photo `shift` pixels to the right of the left edge."""
        image = self.background.copy()
        move = geometry.translation(shift, 0)
        cv2.warpAffine(self.photo, move, (WIDTH, HEIGHT), image, borderMode=cv2.BORDER_TRANSPARENT)
        noise = np.empty(image.shape, np.int16)
        cv2.randn(noise, 0, self.noise)
        return np.clip(image + noise, 0, 255).astype(np.uint8)


def _video(args: argparse.Namespace, clip: _Clip, landmarker: Any) -> None:
    """Measure frames per second from file to file, and the time of each stage."""
    stages: dict[str, list[float]] = {"track": [], "sticker": []}
    sticker, tracker = load_sticker("sunglasses"), Tracker(landmarker)

    def draw(image: np.ndarray, seconds: float) -> np.ndarray:
        start = time.perf_counter()
        tracks = tracker(image, seconds)
        middle = time.perf_counter()
        result = sticker.apply(image, tracks, seconds)
        stages["track"].append(middle - start)
        stages["sticker"].append(time.perf_counter() - middle)
        return result

    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "in.mp4"
        write_video(source, (clip.frame(2.0 * i) for i in range(args.frames)), FPS)
        start = time.perf_counter()
        report = convert(source, Path(folder) / "out.mp4", draw)
        total = time.perf_counter() - start
    print(f"\nvideo {WIDTH}x{HEIGHT}, {report.frames} frames: {report.frames / total:.1f} frames a second")
    known = {name: sum(times) for name, times in stages.items()}
    known["decode, encode, sound"] = total - sum(known.values())
    for name, seconds in known.items():
        print(f"  {name:24}{seconds / report.frames * 1000:8.2f} ms a frame")


def _jitter(args: argparse.Namespace, clip: _Clip, landmarker: Any) -> None:
    """Measure the deviation of points on a still clip, with and without smoothing, and the delay on a moving one."""
    still = _track(args, [clip.frame() for _ in range(args.frames)], landmarker)
    smooth = OneEuro()
    smoothed_points = np.array([smooth(points, i / FPS) for i, points in enumerate(still)])
    unit, settled = float(IBUG68.unit(still).mean()), slice(args.frames // 3, None)
    before, after = (points[settled].std(0).mean() / unit * 100 for points in (still, smoothed_points))
    print(f"\nstill clip, noise {args.noise:g}: each point deviates by {before:.3f} % of the eye distance, "
          f"smoothed {after:.3f} %, {after / before:.2f} of it")  # fmt: skip
    for speed in (0.25, 1.0, 2.0):
        step = speed * unit / FPS
        moving = OneEuro()
        for i in range(60):
            lag = still[0, :, 0] + i * step - moving(still[0] + (i * step, 0), i / FPS)[:, 0]
        print(f"moving {speed:g} eye distances a second: {lag.mean() / step / FPS * 1000:.0f} ms behind")


def _track(args: argparse.Namespace, frames: list[np.ndarray], landmarker: Any) -> np.ndarray:
    """Return the unsmoothed points of the largest face, (F, 68, 2)."""
    tracker = Tracker(landmarker, cutoff=float("inf"))
    tracks = [tracker(image, i / FPS) for i, image in enumerate(frames)]
    return np.array([track.points[0] for track in tracks if len(track)], np.float64)


def _median(call: Callable[[], object], rounds: int = 60) -> float:
    """Return the median time of a call in milliseconds."""
    call()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1000
