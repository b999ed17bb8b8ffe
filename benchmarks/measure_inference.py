"""Dygraph, Paddle Inference and ONNX Runtime: time of one face, whole images, a sticker process and its stages."""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Callable

import cv2
import numpy as np

from facekp.detectors import load_detector
from facekp.errors import UserError
from facekp.inference.backends import BACKENDS, Backend, find_weights, load_backend
from facekp.inference.landmarker import Landmarker
from facekp.io.images import read_image, write_image
from facekp.loading import DEFAULT
from facekp.stickers import load_sticker
from facekp.stickers.photo import Photo
from facekp.zoo import INT8, SHIPPED_DETECTOR, is_published

ROOT = Path(__file__).resolve().parents[1]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command line options."""
    parser.add_argument("--model", default=DEFAULT, metavar="NAME|PATH", help="(%(default)s)")
    parser.add_argument("--photo", type=Path, default="assets/photos/astronaut.png", help="one face (%(default)s)")
    parser.add_argument("--rounds", type=int, default=60, help="calls of each backend, interleaved (%(default)s)")
    parser.add_argument("--runs", type=int, default=5, help="processes of each kind, interleaved (%(default)s)")
    parser.add_argument("--photos", type=int, default=100, help="photos from file to sticker (%(default)s)")


def run(args: argparse.Namespace) -> None:
    """Measure and print."""
    cv2.setNumThreads(1)
    os.environ["OMP_NUM_THREADS"] = "1"  # for the child processes
    with tempfile.TemporaryDirectory() as folder:
        exported = _export(args.model, Path(folder, "export"))
        _backends(args, exported)
        _detectors(args, Path(folder))
        weights = find_weights(args.model)
        default = weights if is_published(weights) else exported  # as a user's first call runs it
        _processes(args, default, Path(folder))
        _stages(args, default, Path(folder, "photos"))


def _export(model: str, folder: Path) -> Path:
    from facekp.inference.export import export

    export(find_weights(model), folder)
    return folder


def _landmarker(path: Path, backend: str | None = None) -> Landmarker:
    return Landmarker(*load_backend(path, backend, threads=1), load_detector(threads=1))


def _backends(args: argparse.Namespace, exported: Path) -> None:
    """Time the network alone on one crop, and one face from its box to its points."""
    sources = {name: exported for name in BACKENDS} | dict.fromkeys(("dygraph", "int8"), find_weights(args.model))
    if not sources["int8"].with_suffix(f".{INT8}").is_file():
        del sources["int8"]
    landmarkers = {name: _landmarker(sources[name], name) for name in reversed(sources)}
    image = read_image(args.photo)
    boxes = load_detector(threads=1)(image)[0][:1]
    if not len(boxes):
        raise UserError(f"{args.photo}: no face found; choose another --photo")
    crop = next(iter(landmarkers.values())).recipe.blank_batch()
    calls: dict[str, list[Callable[[], object]]] = {
        name: [partial(each.backend, crop), partial(each, image, boxes)] for name, each in landmarkers.items()
    }
    times = interleaved([call for each in calls.values() for call in each], args.rounds)
    pairs = dict(zip(calls, zip(times[::2], times[1::2])))
    print(f"{args.model}, one face, one thread: milliseconds of CPU, medians of {args.rounds}\n")
    print("| | network | of dygraph | box to points | of dygraph |\n|---|---|---|---|---|")
    for name, (network, whole) in pairs.items():
        shares = [value / of for value, of in zip((network, whole), pairs["dygraph"])]
        print(f"| {name} | {network:.2f} | {shares[0]:.2f} | {whole:.2f} | {shares[1]:.2f} |")


def _detectors(args: argparse.Namespace, folder: Path) -> None:
    """Time the backends of our detector and the Haar cascades on an image of 1280x720 with one face."""
    from facekp.inference.export import export

    export(SHIPPED_DETECTOR, folder / "detector")
    photo = read_image(args.photo)
    scale = 720 / photo.shape[0]
    photo = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    image = cv2.copyMakeBorder(photo, 0, 0, 0, max(0, 1280 - photo.shape[1]), cv2.BORDER_REFLECT)[:720, :1280]
    sources = {name: SHIPPED_DETECTOR if name in ("dygraph", "int8") else folder / "detector" for name in BACKENDS}
    detectors = {name: load_detector(source, name, threads=1) for name, source in sources.items()}
    detectors["haar"] = load_detector("haar")
    rounds = max(1, args.rounds // 3)
    times = interleaved([partial(detector, image) for detector in detectors.values()], rounds, row=2)
    print(f"\nfaces of an image of 1280x720, one thread: milliseconds of CPU, medians of {rounds}\n")
    print("| | ms | of haar |\n|---|---|---|")
    for name, value in zip(detectors, times):
        print(f"| {name} | {value:.1f} | {value / times[-1]:.2f} |")


def interleaved(calls: list[Callable[[], object]], rounds: int, row: int = 5) -> list[float]:
    """Return the median CPU time of each call in milliseconds.

    Args:
        calls: Functions to time, interleaved, so that a machine that slows down slows all of them.
        rounds: Number of rounds.
        row: Number of consecutive calls per round; the fastest counts, with no data of other calls in the caches.
    """
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for call, kept in zip(calls, times):
            seconds = []
            for _ in range(row):
                start = time.process_time()
                call()
                seconds.append(time.process_time() - start)
            kept.append(min(seconds) * 1000)
    return [statistics.median(kept) for kept in times]


def _processes(args: argparse.Namespace, default: Path, folder: Path) -> None:
    """Measure the CPU seconds of a whole `tools/sticker.py photo` process, with the default backend and dygraph."""
    weights = folder / "weights.safetensors"  # without an ONNX file beside them, so dygraph runs them
    shutil.copy(find_weights(args.model), weights)
    seconds: dict[str, list[float]] = {"dygraph": [], "default": []}
    for _ in range(args.runs):
        for kept, source in zip(seconds.values(), (weights, default)):
            command = [sys.executable, str(ROOT / "tools" / "sticker.py"), str(args.photo), "--source", str(source)]
            before = os.times()
            subprocess.run([*command, "-o", str(folder / "sticker.png")], check=True, capture_output=True)
            after = os.times()
            kept.append(after.children_user + after.children_system - before.children_user - before.children_system)
    best = {name: min(kept) for name, kept in seconds.items()}
    print(f"\ntools/sticker.py {args.photo}, whole process: seconds of CPU, the least of {args.runs}\n")
    print("| | CPU | of dygraph |\n|---|---|---|")
    for name, value in best.items():
        print(f"| {name} | {value:.2f} | {value / best['dygraph']:.2f} |")


class _Clock:
    """Sums the CPU time of timed calls, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def timed(self, name: str, call: Callable) -> Callable:
        """Return the same call, timed."""

        def run(*arguments: object) -> object:
            start = time.process_time()
            try:
                return call(*arguments)
            finally:
                self.seconds[name] = self.seconds.get(name, 0.0) + time.process_time() - start

        return run


def _stages(args: argparse.Namespace, default: Path, folder: Path) -> None:
    """Time the stages from file to sticker, over many photos of about one megapixel."""
    photo = read_image(args.photo)
    scale = (1e6 / photo[..., 0].size) ** 0.5
    photo = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    files = [folder / f"{number}.jpg" for number in range(args.photos)]
    for number, file in enumerate(files):
        write_image(file, np.roll(photo, number, axis=1))
    clock = _Clock()
    plain = _landmarker(default)
    backend: Backend = clock.timed("network", plain.backend)
    landmarker = Landmarker(backend, plain.recipe, detector=clock.timed("detector", plain.detector))
    sticker = load_sticker("sunglasses")
    start = time.process_time()
    for file in files:
        read = clock.timed("decode", Photo.read)(file)
        faces = landmarker(np.ascontiguousarray(read.image[..., :3]))
        done = read.replace(sticker.apply(read.image, faces))
        clock.timed("encode", done.write)(file.with_name("out.jpg"))
    total = time.process_time() - start
    known = sum(clock.seconds.values())
    size = f"{photo.shape[1]}x{photo.shape[0]}"
    print(f"\nfile to sticker, {len(files)} photos of {size}: milliseconds of CPU a photo\n")
    print("| | ms | share |\n|---|---|---|")
    for name, value in {**clock.seconds, "all else": total - known, "together": total}.items():
        print(f"| {name} | {value / len(files) * 1000:.1f} | {value / total * 100:.1f} % |")
