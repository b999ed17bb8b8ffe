"""Many images: images per second in this process, and on one, two and more Ray workers."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from facekp.errors import UserError
from facekp.inference.many import find_on_many
from facekp.inference.on_ray import BATCH, find_on_ray
from facekp.io.images import find_files
from facekp.loading import DEFAULT, load_landmarker

#: Warm-up batches of each worker that are not timed: workers start one after the other.
WARM = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command line options."""
    parser.add_argument("images", nargs="+", help="images, or folders of them; some hundreds")
    parser.add_argument("--workers", type=int, default=2, help="maximum number of workers (%(default)s)")
    parser.add_argument("--model", default=DEFAULT, metavar="NAME|PATH", help="(%(default)s)")


def run(args: argparse.Namespace) -> None:
    """Measure and print."""
    os.environ.setdefault("RAY_worker_niceness", "0")  # by default workers have a lower priority than other processes
    paths = [Path(os.path.abspath(path)) for path in find_files(args.images)]
    warm = WARM * args.workers * BATCH
    if len(paths) < 2 * warm:
        raise UserError(f"{len(paths)} images are too few for {args.workers} workers; give {2 * warm} or more")
    load = partial(load_landmarker, args.model, threads=1)
    print(f"without Ray, one thread: {_rate(find_on_many(paths, load(), 1), warm):.1f} images per second", flush=True)
    for workers in range(1, args.workers + 1):
        import ray

        rate = _rate(find_on_ray(paths, load, workers=workers), warm)
        print(f"{workers} worker{'s' if workers > 1 else ''}: {rate:.1f} images per second", flush=True)
        ray.shutdown()


def _rate(found: Iterator[object], warm: int) -> float:
    for _ in range(warm):
        next(found)
    start, count = time.monotonic(), 0
    for _ in found:
        count += 1
    return count / (time.monotonic() - start)
