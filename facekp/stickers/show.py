"""Previews of many stickers on one face: sheets of tiles, and animations."""

from __future__ import annotations

import base64
import io
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from facekp.errors import UserError
from facekp.inference.faces import Faces
from facekp.io.files import atomic_path
from facekp.io.video import ENCODERS, write_video
from facekp.stickers.sticker import Sticker
from facekp.vision import geometry

_PAGE = """<!doctype html>
<title>Stickers</title>
<video controls autoplay loop muted src="data:video/mp4;base64,{video}"></video>
"""


def sheet(
    image: np.ndarray, faces: Faces, stickers: Iterable[Sticker], side: int = 300, columns: int = 5
) -> np.ndarray:
    """Draw every sticker on the largest face of a photo, as tiles with names; triggers count as fired.

    Args:
        image: (H, W, 3) BGR uint8.
        faces: Faces of the photo, at least one.
        stickers: Stickers to draw, one per tile.
        side: Side length of a tile in pixels.
        columns: Number of tiles per row.

    Returns:
        The sheet, (rows * side, columns * side, 3) uint8.
    """
    points, schema = faces.points[:1], faces.schema
    x0, y0, x1, _ = schema.face_box(points[0])
    width = float(x1 - x0)
    # A square around the head: room for hats above and for ears at the sides.
    middle = (x0 + x1) / 2
    view = [middle - 1.35 * width, y0 - 1.42 * width, middle + 1.35 * width, y0 + 1.28 * width]
    place = geometry.square_crop(view, 0, side)
    tile = geometry.warp(image, place, (side, side), "replicate")
    face = geometry.apply(place, points)
    worn_by = Faces.from_arrays(face, schema.face_box(face[0])[None], np.ones(1), schema)
    tiles = [_caption(sticker.apply(tile, worn_by, pretend=True), sticker.name) for sticker in stickers]
    tiles += [np.full_like(tile, 255)] * (-len(tiles) % columns)
    return np.vstack([np.hstack(tiles[row : row + columns]) for row in range(0, len(tiles), columns)])


def save_animation(path: Path, images: Sequence[np.ndarray], seconds: float = 1.0) -> None:
    """Write a sequence of images as a GIF, a video or an HTML page with an embedded video.

    Args:
        path: Output file that ends in `.gif`, `.html` or a suffix of `facekp.io.video.ENCODERS`.
        images: BGR uint8 images, all of one size.
        seconds: Duration of each image in seconds.

    Raises:
        UserError: The suffix is none of these.
    """
    suffix = path.suffix.lower()
    if suffix == ".gif":
        frames = [Image.fromarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB)) for image in images]
        data = io.BytesIO()
        frames[0].save(data, "GIF", save_all=True, append_images=frames[1:], duration=round(seconds * 1000), loop=0)
        with atomic_path(path) as temporary:
            temporary.write_bytes(data.getvalue())
    elif suffix == ".html":
        with tempfile.TemporaryDirectory() as folder, atomic_path(path) as temporary:
            video = Path(folder) / "stickers.mp4"
            save_animation(video, images, seconds)
            temporary.write_text(_PAGE.format(video=base64.b64encode(video.read_bytes()).decode()))
    elif suffix in ENCODERS:
        fps = 10  # players have problems with one frame per second
        write_video(path, (image for image in images for _ in range(max(round(seconds * fps), 1))), fps)
    else:
        raise UserError(f"{path}: not an animation; end the name in .gif, .html or {', '.join(sorted(ENCODERS))}")


def _caption(tile: np.ndarray, text: str) -> np.ndarray:
    """Write a name along the lower edge of a tile."""
    side = len(tile)
    tile[-side // 12 :] = tile[-side // 12 :] // 3
    cv2.putText(
        tile,
        text.encode("ascii", "backslashreplace").decode(),  # OpenCV's fonts contain only ASCII
        (side // 40, side - side // 40),
        cv2.FONT_HERSHEY_SIMPLEX,
        side / 600,
        (255, 255, 255),
        1,
        cv2.LINE_AA,
    )
    return tile
