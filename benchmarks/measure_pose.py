"""Pose: errors on turned heads of known angle and on rendered heads with exact points; cost of pose and signals."""

from __future__ import annotations

import argparse
import statistics
import time
from functools import partial
from pathlib import Path
from typing import Callable

import cv2
import numpy as np
from turned_head import TurnedHead

from facekp.data.pts import read_pts
from facekp.inference.faces import Faces
from facekp.inference.tracking import Tracks
from facekp.io.images import read_image
from facekp.landmarks import MEAN_FACE, SIGNALS, Neutral, head_pose
from facekp.landmarks.head import HEAD_POINTS
from facekp.landmarks.pose import RIGID, rotation
from facekp.loading import DEFAULT, load_landmarker
from facekp.stickers.privacy import Hider

ANGLES = (-60, -45, -30, -15, 15, 30, 45, 60)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command line options."""
    parser.add_argument("--photo", type=Path, action="append", help="one face, straight ahead (astronaut.png)")
    parser.add_argument("--model", default=DEFAULT, metavar="NAME|PATH", help="(%(default)s)")
    parser.add_argument("--rendered", type=Path, metavar="DIR", help="images of heads with exact NAME.pts beside them")


def run(args: argparse.Namespace) -> None:
    """Measure and print."""
    cv2.setNumThreads(1)
    _projected()
    landmarker = load_landmarker(args.model)
    for photo in args.photo or [Path("assets/photos/astronaut.png")]:
        _turned(photo, landmarker)
    if args.rendered:
        _rendered(args.rendered, landmarker)
    _cost()


def _projected() -> None:
    """Measure points of the average head with expressions, in perspective, with noise."""
    rng = np.random.default_rng(0)
    angles = rng.uniform((-60, -30, -40), (60, 30, 40), (1000, 3))
    heads = HEAD_POINTS - (0.5, 0.2, 0.2) + np.zeros((len(angles), 1, 1))
    heads[:, 48:, 1] += rng.uniform(0, 0.1, (len(heads), 1))  # mouths open, brows rise
    heads[:, 17:27, 1] -= rng.uniform(0, 0.06, (len(heads), 1))
    turned = heads @ np.stack([rotation(*each) for each in angles]).transpose(0, 2, 1)
    distance = 6.0  # from the camera, in face widths
    points = turned[..., :2] * distance / (distance - turned[..., 2:]) + rng.normal(0, 0.01, (len(heads), 68, 2))
    _print("the average head, in perspective, with expressions and noise of 1 %", _angles(points) - angles)


def _turned(photo: Path, landmarker: Callable[[np.ndarray], Faces]) -> None:
    """Measure the network's points on a photo's face mapped to the average head, which is turned."""
    image = read_image(photo)
    head = TurnedHead(image, landmarker(image).points[0].astype(np.float64))
    errors = []
    for angle in ANGLES:
        faces = landmarker(head.turn(angle - head.angles[0])[0])
        if len(faces):
            errors.append(_angles(faces.points[:1])[0] - (angle, *head.angles[1:]))
    _print(f"{photo.name} turned to {', '.join(map(str, ANGLES))}: {len(errors)} of {len(ANGLES)} found", errors)


def _rendered(folder: Path, landmarker: Callable[[np.ndarray], Faces]) -> None:
    """Measure heads with exact points; the reference is OpenCV's PnP with these, in full perspective."""
    reference, exact, network, seen = [], [], [], 0
    for file in sorted(folder.glob("*.pts")):
        points = read_pts(file)
        image = read_image(file.with_suffix(".jpg"))
        angles = _by_pnp(points, image.shape)
        if abs(angles[0]) > 60:
            continue
        seen += 1
        faces = landmarker(image)
        off = [np.abs(found - points).mean() for found in faces.points]
        if off:
            reference.append(angles)
            exact.append(_angles(points[None])[0])
            network.append(_angles(faces.points[[int(np.argmin(off))]])[0])
    against = np.array(reference)
    straight = np.abs(against[:, 1]) <= 20
    print(f"{folder.name}: yaw within 60 degrees, {len(against)} of {seen} heads found")
    _print("  exact points against PnP", np.array(exact) - against)
    _print("  the network's points", np.array(network) - against)
    _print(f"  ... of the {straight.sum()} whose pitch is within 20 degrees", (np.array(network) - against)[straight])


def _by_pnp(points: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return yaw, pitch and roll of a head relative to the ray to it, as a crop shows it."""
    focal = 2.0 * max(shape[:2])
    camera = np.array([[focal, 0, shape[1] / 2], [0, focal, shape[0] / 2], [0, 0, 1]])
    model = (HEAD_POINTS[RIGID] - HEAD_POINTS[RIGID].mean(0)) * (1, 1, -1)  # OpenCV looks along +z
    seen = points[RIGID].astype(np.float64)
    _, turn, place = cv2.solvePnP(model, seen, camera, None, flags=cv2.SOLVEPNP_SQPNP)
    _, turn, place = cv2.solvePnP(model, seen, camera, None, turn, place, True, flags=cv2.SOLVEPNP_ITERATIVE)
    ray = place[:, 0] / np.linalg.norm(place)
    axis = np.cross(ray, (0, 0, 1))
    to_ray = cv2.Rodrigues(axis / max(np.linalg.norm(axis), 1e-9) * np.arccos(ray[2]))[0]
    flip = np.diag([1, 1, -1])
    m = flip @ to_ray @ cv2.Rodrigues(turn)[0] @ flip
    return np.degrees([np.arcsin(-m[2, 0]), np.arctan2(m[2, 1], m[2, 2]), np.arctan2(m[1, 0], m[0, 0])])


def _angles(points: np.ndarray) -> np.ndarray:
    pose = head_pose(points)
    return np.stack([pose.yaw, pose.pitch, pose.roll], -1)


def _print(what: str, errors: np.ndarray | list[np.ndarray]) -> None:
    yaw, pitch, roll = np.abs(np.array(errors)).mean(0)
    print(f"{what}\n    mean absolute error: yaw {yaw:.1f}, pitch {pitch:.1f}, roll {roll:.1f} degrees")


def _cost() -> None:
    """Print the CPU time per face in milliseconds, for one face 250 pixels wide on a 1280x720 image."""
    image = np.random.default_rng(0).integers(0, 256, (720, 1280, 3), np.uint8)
    points = (MEAN_FACE * 250 + (500, 200)).astype(np.float32)[None]
    box = np.array([[500, 200, 750, 441]], np.float32)

    def faces() -> Tracks:
        one = np.ones(1)
        return Tracks(points, box, one, ids=np.zeros(1, np.int64), unseen=0 * one, rest=np.zeros((1, len(SIGNALS))),
                      memory=({},))  # fmt: skip

    def signals() -> None:
        seen, neutral = faces(), Neutral(0.0)
        neutral.learn(seen.measured[0], float(seen.pose.yaw[0]), 1.0)
        seen.rest[0] = neutral.values
        assert seen.signals

    pose, both = _median(lambda: faces().pose), _median(signals)
    print(f"cost a face: pose {pose:.2f} ms, signals {both - pose:.2f} ms", end="")
    for method in ("blur", "mosaic", "box"):
        hider, seen = Hider(method), faces()
        assert seen.pose is not None
        copying = _median(image.copy)
        print(f", {method} {_median(partial(hider.apply, image, seen)) - copying:.2f} ms", end="")
    print()


def _median(call: Callable[[], object], rounds: int = 200) -> float:
    """Return the median CPU time of a call in milliseconds."""
    call()
    times = []
    for _ in range(rounds):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return statistics.median(times) * 1000
