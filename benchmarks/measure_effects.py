"""Effects on your own clips: changes of triggers, and whether a detector still finds hidden faces."""

from __future__ import annotations

import argparse

import numpy as np

from facekp import load_landmarker
from facekp.detectors import load_detector
from facekp.inference.tracking import Tracker, Tracks
from facekp.io.images import find_files
from facekp.io.video import SUFFIXES, read_video
from facekp.landmarks import SIGNALS
from facekp.stickers.privacy import METHODS, Hider, careful_tracker
from facekp.stickers.triggers import Switch, Trigger


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command line options."""
    parser.add_argument("clips", nargs="+", help="videos, or folders of them")
    parser.add_argument("--detector", default="haar", help="searches for hidden faces: haar or mediapipe (%(default)s)")
    parser.add_argument("--every", type=int, default=2, help="check every N-th frame (%(default)s)")


def run(args: argparse.Namespace) -> None:
    """Measure and print."""
    landmarker, detector = load_landmarker(), load_detector(args.detector)
    for path in find_files(args.clips, SUFFIXES):
        plain, careful = Tracker(landmarker), careful_tracker(landmarker)
        hiders = {method: Hider(method) for method in METHODS}
        before, after, elsewhere = 0, dict.fromkeys(METHODS, 0), 0
        triggers = _Triggers()
        for number, (image, seconds) in enumerate(read_video(path)):
            triggers(plain(image, seconds), seconds)
            tracks = careful(image, seconds)
            hidden = {method: hider.apply(image, tracks, seconds) for method, hider in hiders.items()}
            if number % args.every:
                continue
            found = detector(image)[0]
            if len(found):
                before += 1
                for method, result in hidden.items():
                    still = detector(result)[0]
                    overlaps = [_overlap(found, box) for box in still]
                    after[method] += any(overlaps)
                    elsewhere += not all(overlaps)
        empty = len(hiders["box"].empty)
        print(f"{path.name}: {number + 1} frames, {empty} without a face; {args.detector} finds faces in {before} "
              f"before, {', '.join(f'{n} there after {m}' for m, n in after.items())}, {elsewhere} elsewhere; "
              f"{triggers}")  # fmt: skip


class _Triggers:
    """Triggers on all signals of the first face, with the default thresholds."""

    def __init__(self) -> None:
        self._switches = {name: Switch() for name in SIGNALS}
        self._on = dict.fromkeys(SIGNALS, False)
        self._changed: dict[str, list[float]] = {name: [] for name in SIGNALS}

    def __call__(self, tracks: Tracks, seconds: float) -> None:
        for name, switch in self._switches.items():
            value = float(tracks.signals[name][0]) if len(tracks) else np.nan
            on = switch(Trigger(name), value, seconds, 1.0) is not None
            if on != self._on[name]:
                self._on[name] = on
                self._changed[name].append(seconds)

    def __str__(self) -> str:
        gaps = [gap for times in self._changed.values() for gap in np.diff(times)]
        soonest = f", the soonest {min(gaps) * 1000:.0f} ms after another" if gaps else ""
        return f"{sum(map(len, self._changed.values()))} changes of {len(SIGNALS)} triggers{soonest}"


def _overlap(boxes: np.ndarray, other: np.ndarray) -> bool:
    """Return whether a box overlaps any of several boxes, however little."""
    return bool(((boxes[:, :2] < other[2:]) & (boxes[:, 2:] > other[:2])).all(1).any())
