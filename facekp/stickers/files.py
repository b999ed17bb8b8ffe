"""Stickers on the faces of files: photos and videos in, photos and videos out."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Callable

import numpy as np
from tqdm import tqdm

from facekp.errors import UserError, one_line
from facekp.inference.faces import Faces
from facekp.inference.tracking import Landmarks, Tracker
from facekp.io.video import ENCODERS, convert
from facekp.io.video import SUFFIXES as VIDEO_SUFFIXES
from facekp.stickers.photo import Photo
from facekp.stickers.sticker import Sticker

#: Shows an image for some milliseconds; True ends the video.
Show = Callable[[np.ndarray, int], bool]


def target(file: Path, output: Path | None, count: int) -> Path:
    """Where a file with its sticker goes.

    Args:
        file: The photo or video.
        output: A file for one input, else a folder; None: beside it.
        count: Of the inputs.

    Raises:
        UserError: One file for several inputs.

    Example:
        >>> target(Path("a.jpg"), None, 1).name, target(Path("old.avi"), None, 1).name
        ('a_sticker.jpg', 'old_sticker.mp4')
    """
    if file.suffix.lower() in VIDEO_SUFFIXES - set(ENCODERS):
        file = file.with_suffix(".mp4")  # old containers are read, not written
    if output is None:
        return file.with_name(f"{file.stem}_sticker{file.suffix}")
    if output.suffix and not output.is_dir():
        if count > 1:
            raise UserError(f"{output}: one file for {count} inputs; give a folder")
        return output
    return output / file.name


def read_with_faces(file: Path, landmarker: Landmarks) -> tuple[Photo, Faces]:
    """Read a photo and find its faces.

    Raises:
        UserError: It cannot be read, or there is no face on it.
    """
    photo = Photo.read(file)
    faces = landmarker(np.ascontiguousarray(photo.image[..., :3]))
    if not len(faces):
        raise UserError(f"{file}: no face found; try a larger or clearer image of it")
    return photo, faces


def sticker_photo(file: Path, out: Path, sticker: Sticker, landmarker: Landmarks, show: Show | None = None) -> None:
    """Put a sticker on one photo; its transparency, EXIF and colour profile are kept.

    Raises:
        UserError: See `read_with_faces`; or the place cannot be written to.
    """
    photo, faces = read_with_faces(file, landmarker)
    result = photo.replace(sticker.apply(photo.image, faces))
    result.write(out)
    if show is not None:
        show(result.image, 0)


def sticker_video(file: Path, out: Path, sticker: Sticker, tracker: Tracker, show: Show | None = None) -> None:
    """Put a sticker on one video, its faces followed from frame to frame.

    Raises:
        UserError: See `facekp.io.video.convert`.
    """
    with tqdm(unit="frame", desc=one_line(file.name), leave=False, disable=None) as bar:

        def draw(image: np.ndarray, seconds: float) -> np.ndarray:
            result = sticker.apply(image, tracker(image, seconds), seconds)
            bar.update()
            if show is not None and show(result, 1):
                raise KeyboardInterrupt
            return result

        report = convert(file, out, draw)
    if report.broken:
        tqdm.write(f"{one_line(file)}: {report.broken} broken frames skipped", file=sys.stderr)
    if report.sound.startswith("dropped"):
        tqdm.write(f"{one_line(file)}: sound {report.sound}; choose another format with -o", file=sys.stderr)
    if report.stopped:
        tqdm.write(f"{one_line(out)}: holds the {report.frames} frames done until now", file=sys.stderr)
        raise KeyboardInterrupt


def plan(files: Sequence[Path], output: Path | None, found: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Pair each input with its output.

    Args:
        files: The inputs.
        output: See `target`.
        found: Those of them that stand in folders or patterns: what an earlier run left beside its photos is not
            stickered again.

    Raises:
        UserError: An output would overwrite an input or another output.
    """
    results = {os.path.realpath(target(file, None, 1)) for file in files} if output is None else set()
    files = [file for file in files if file not in found or os.path.realpath(file) not in results]
    pairs = [(file, target(file, output, len(files))) for file in files]
    taken = {os.path.realpath(file) for file in files}
    for _, out in pairs:
        if os.path.realpath(out) in taken:
            raise UserError(f"{out}: would be overwritten; choose another -o")
        taken.add(os.path.realpath(out))
    return pairs
