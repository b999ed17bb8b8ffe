"""Draw the images of the guide and the animation of the README, from public-domain photos and drawn faces alone."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import matplotlib.cbook
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

from turned_head import TurnedHead

from facekp import load_landmarker
from facekp.commands.main import Parser
from facekp.commands.runner import run
from facekp.data.drawn import draw_face
from facekp.inference.faces import Faces
from facekp.inference.tracking import Landmarks
from facekp.io.images import read_image, write_image
from facekp.stickers import combine, load_sticker
from facekp.stickers.masks import load_face
from facekp.stickers.privacy import METHODS, Hider
from facekp.stickers.show import save_animation
from facekp.vision import geometry

ANGLES = (-75, -60, -45, -30, -15, 0, 15, 30, 45, 60, 75)
SIDE = 150
TURNED = ("sunglasses", "moustache", "cat", "medical_mask", "blush", "tiger")
#: Scenes of the animation: the stickers of the two heads, while each turns to the left and to the right.
SCENES = (
    (("sunglasses", "top_hat"), ("cat",)),
    (("laser_eyes",), ("heart_glasses", "crown", "blush")),
    (("dog",), ("dragon_fire",)),
    (("kiss_hearts", "lipstick"), ("tiger", "confetti")),
)
FRAMES, FPS = 18, 12
TILTED = (("top_hat", "moustache"), ("cat",), ("crown", "sunglasses"), ("rabbit",), ("halo", "blush"),
          ("party_hat", "clown_nose"))  # fmt: skip
DRAWN = ("dog", "medical_mask", "heart_glasses", "tiger")
ACTED = ("tongue", "kiss_hearts", "dragon_fire", "laser_eyes", "confetti", "lipstick")


def main() -> None:
    """Draw all images."""
    parser = Parser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/gallery"))
    out = parser.parse_args().output
    landmarker = load_landmarker()
    hopper_path = matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    photos = [Path("assets/photos/astronaut.png"), Path(str(hopper_path))]
    images = [read_image(path) for path in photos]
    faces = [landmarker(image) for image in images]
    heads = [TurnedHead(image, found.points[0].astype(np.float64)) for image, found in zip(images, faces)]
    for seed in range(1, 40):
        image, points = draw_face(seed, 400)
        if abs(float(_faces(points).pose.roll[0])) < 3:
            heads.append(TurnedHead(image, points.astype(np.float64)))
            break
    rows = [_row(head, name) for name, head in zip(TURNED, [*heads, *heads])]
    write_image(out / "heads.jpg", np.vstack(rows))

    save_animation(out / "moving.gif", _scenes(heads[:2]), 1 / FPS)

    hopper = heads[1].turn(0)
    stills = [_tile(load_sticker(name).apply(hopper[0], _faces(hopper[1]), pretend=True), hopper[1], 2 * SIDE, 2.6)
              for name in ACTED]  # fmt: skip
    write_image(out / "triggers.jpg", np.vstack([np.hstack(stills[:3]), np.hstack(stills[3:])]))

    tilted = [_tilted(images[0], faces[0].points[0], names, 20 * (-1) ** i, landmarker)
              for i, names in enumerate(TILTED)]  # fmt: skip
    write_image(out / "turned.jpg", np.vstack([np.hstack(tilted[:3]), np.hstack(tilted[3:])]))
    tiles = []
    for seed, name in enumerate(DRAWN, 1):
        image, points = draw_face(seed, 400)
        tiles.append(_tile(load_sticker(name).apply(image, _faces(points), pretend=True), points, 2 * SIDE, 1.6))
    write_image(out / "drawn.jpg", np.hstack(tiles))

    results = [Hider(method).apply(images[0], faces[0]) for method in METHODS]
    results += [load_face(photos[1 - i], landmarker).apply(images[i], faces[i]) for i in range(2)]
    owners = [faces[0]] * 4 + [faces[1]]
    tiles = [_tile(result, found.points[0], 2 * SIDE, 2.6) for result, found in zip(results, owners)]
    write_image(out / "effects.jpg", np.hstack(tiles))


def _faces(points: np.ndarray) -> Faces:
    return Faces.from_arrays(points[None], geometry.bounding_box(points[None]), np.ones(1))


def _tilted(
    image: np.ndarray, points: np.ndarray, names: tuple[str, ...], angle: float, landmarker: Landmarks
) -> np.ndarray:
    """Draw stickers on a tilted head, at the network's points."""
    turn = geometry.compose(geometry.rotation(angle, points.mean(0).tolist()), geometry.translation(0, 2 * SIDE))
    tilted = geometry.warp(image, turn, (image.shape[1], image.shape[0] + 2 * SIDE), "replicate")
    worn = combine([load_sticker(name) for name in names]).apply(tilted, landmarker(tilted), pretend=True)
    return _tile(worn, geometry.apply(turn, points), 2 * SIDE, 2.8)


def _row(head: TurnedHead, name: str) -> np.ndarray:
    """Draw one sticker at all angles, at the exact points."""
    sticker, tiles = load_sticker(name), []
    for angle in ANGLES:
        image, points = head.turn(angle - head.angles[0])
        tiles.append(_tile(sticker.apply(image, _faces(points), pretend=True), head.points, SIDE, 2.5))
    return np.hstack(tiles)


def _scenes(heads: list[TurnedHead]) -> list[np.ndarray]:
    """Draw two heads side by side that turn and wear one sticker after another."""
    frames = []
    for scene in SCENES:
        worn = [combine([load_sticker(name) for name in names]) for names in scene]
        for step in range(FRAMES):
            angle, tiles = 35 * np.sin(2 * np.pi * step / FRAMES), []
            for head, sticker, sign in zip(heads, worn, (1, -1)):
                image, points = head.turn(sign * angle - head.angles[0])
                image = sticker.apply(image, _faces(points), step / FPS, pretend=True)
                tiles.append(_tile(image, head.points, 200, 2.5))
            frames.append(np.hstack(tiles))
    return frames


def _tile(image: np.ndarray, points: np.ndarray, side: int, wide: float) -> np.ndarray:
    """Return a square crop around a face, `wide` times as wide as the face."""
    x0, y0, x1, y1 = geometry.bounding_box(points)
    half = wide * (x1 - x0) / 2
    x, y = (x0 + x1) / 2, (y0 + y1) / 2 - 0.1 * half
    place = geometry.square_crop([x - half, y - half, x + half, y + half], 0, side)
    scale = side / (2 * half)
    if scale < 1:
        image = cv2.GaussianBlur(image, (0, 0), 0.4 / scale)
    return geometry.warp(image, place, (side, side), "replicate")


if __name__ == "__main__":
    run(main)
