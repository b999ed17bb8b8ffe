"""Stickers on the faces of files: photos and videos in, photos and videos out."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Callable, Protocol

import numpy as np

from facekp.errors import UserError, one_line
from facekp.inference.faces import Faces
from facekp.inference.tracking import Landmarks, Tracker
from facekp.io.files import atomic_path, check_own
from facekp.io.images import write_image
from facekp.io.terminal import tell
from facekp.io.video import ENCODERS, convert
from facekp.io.video import SUFFIXES as VIDEO_SUFFIXES
from facekp.stickers.photo import Photo
from facekp.stickers.privacy import Hider, careful_tracker
from facekp.stickers.show import save_animation, sheet
from facekp.stickers.sticker import Sticker

#: What a list of frames without a face begins with.
_EMPTY = "frame,seconds"

#: Shows an image for some milliseconds; True ends the video.
Show = Callable[[np.ndarray, int], bool]


class Effect(Protocol):
    """What changes the faces of an image: a `Sticker`, a `Hider`, or several as `Effects`."""

    def apply(self, image: np.ndarray, faces: Faces, seconds: float = 0.0) -> np.ndarray:
        """A new image; see `Sticker.apply`."""


class Effects:
    """Several effects, one after the other.

    Args:
        effects: The first comes first.
    """

    def __init__(self, effects: Sequence[Effect]) -> None:
        self.effects = effects

    def apply(self, image: np.ndarray, faces: Faces, seconds: float = 0.0) -> np.ndarray:
        """A new image; see `Sticker.apply`."""
        for effect in self.effects:
            image = effect.apply(image, faces, seconds)
        return image


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


def sticker_photo(
    file: Path, out: Path, effect: Effect, landmarker: Landmarks, show: Show | None = None, hide: Hider | None = None
) -> None:
    """Put an effect on one photo; its transparency, EXIF and colour profile are kept.

    With `hide`, which comes first, the EXIF is not: it may hold a small copy of the photo.

    Raises:
        UserError: See `read_with_faces`; or the place cannot be written to.
    """
    photo, faces = read_with_faces(file, landmarker)
    image = photo.image if hide is None else hide.apply(photo.image, faces)
    result = photo.replace(effect.apply(image, faces))
    if hide is not None:
        result = replace(result, exif=None)
    result.write(out)
    if show is not None:
        show(result.image, 0)


def sticker_video(
    file: Path, out: Path, effect: Effect, tracker: Tracker, show: Show | None = None, hide: Hider | None = None
) -> None:
    """Put an effect on one video, its faces followed from frame to frame.

    With `hide`, which comes first, the frames without any face are listed in `NAME_no_face.csv` beside `out`.

    Raises:
        UserError: See `facekp.io.video.convert`; or another file has that name.
    """
    from tqdm import tqdm  # here, as in `sticker_files`: see `tell`

    without = out.with_name(f"{out.stem}_no_face.csv")
    if hide is not None:
        check_own(without, _EMPTY, "a list of frames without a face")
    found = 0
    with tqdm(unit="frame", desc=one_line(file.name), leave=False, disable=None) as bar:

        def draw(image: np.ndarray, seconds: float) -> np.ndarray:
            nonlocal found
            tracks = tracker(image, seconds)
            found += len(tracks) > 0
            image = image if hide is None else hide.apply(image, tracks, seconds)
            result = effect.apply(image, tracks, seconds)
            bar.update()
            if show is not None and show(result, 1):
                raise KeyboardInterrupt
            return result

        report = convert(file, out, draw)
    if hide is not None:
        _list_empty(without, hide, report.frames)
    if not found:
        tell(f"{one_line(file)}: no face found in its {report.frames} frames", file=sys.stderr)
    if report.broken:
        tell(f"{one_line(file)}: {report.broken} broken frames skipped", file=sys.stderr)
    if report.sound.startswith("dropped"):
        tell(f"{one_line(file)}: sound {report.sound}; choose another format with -o", file=sys.stderr)
    if report.left_out:
        tell(f"{one_line(file)}: {report.left_out} of its sound tracks left out, the first is kept", file=sys.stderr)
    if report.stopped:
        tell(f"{one_line(out)}: holds the {report.frames} frames done until now", file=sys.stderr)
        raise KeyboardInterrupt


def _list_empty(path: Path, hide: Hider, frames: int) -> None:
    """Write which frames had no face to hide, for people to look at; no file if there are none."""
    if not hide.empty:
        path.unlink(missing_ok=True)
        return
    with atomic_path(path) as temporary:
        lines = [_EMPTY, *(f"{number},{seconds:.3f}" for number, seconds in hide.empty)]
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    tell(f"no face in {len(hide.empty)} of {frames} frames, look at them: {path}", file=sys.stderr)


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


def sticker_files(
    pairs: Sequence[tuple[Path, Path]],
    choose: Callable[[], Effect],
    landmarker: Landmarks,
    show: Show | None = None,
    hide: str | None = None,
) -> None:
    """Put stickers on many files; one that cannot be done is reported on stderr and skipped.

    Args:
        pairs: Inputs and outputs, see `plan`.
        choose: Gives the sticker of the next file.
        landmarker: Finds the faces.
        show: Shows every result too.
        hide: How faces are hidden first, one of `facekp.stickers.privacy.METHODS`; None: not at all.

    Raises:
        UserError: None of them could be done.
    """
    failures, several = 0, len(pairs) > 1
    if several:
        from tqdm import tqdm
    for file, out in tqdm(pairs, unit="file") if several else pairs:
        try:
            hider = Hider(hide) if hide is not None else None
            if file.suffix.lower() in VIDEO_SUFFIXES:
                sticker_video(file, out, choose(), careful_tracker(landmarker) if hide else Tracker(landmarker), show,
                              hider)  # fmt: skip
            else:
                sticker_photo(file, out, choose(), landmarker, show, hider)
            tell(one_line(out))
        except UserError as error:
            if not several:
                raise
            failures += 1
            tell(f"skipped: {one_line(error)}", file=sys.stderr)
    if pairs and failures == len(pairs):
        raise UserError(f"none of the {len(pairs)} files could be done; the lines above say why")
    if failures:
        print(f"{len(pairs) - failures} of {len(pairs)} files done, {failures} skipped", file=sys.stderr)


def show_all(
    file: Path, stickers: Sequence[Sticker], landmarker: Landmarks, sheet_path: Path | None, animation: Path | None
) -> None:
    """Put every sticker on one photo: side by side, one after the other, or both.

    Raises:
        UserError: See `read_with_faces` and `save_animation`.
    """
    photo, faces = read_with_faces(file, landmarker)
    image = np.ascontiguousarray(photo.image[..., :3])
    if sheet_path is not None:
        write_image(sheet_path, sheet(image, faces, stickers))
        print(one_line(sheet_path))
    if animation is not None:
        save_animation(animation, [sticker.apply(image, faces, pretend=True) for sticker in stickers])
        print(one_line(animation))
