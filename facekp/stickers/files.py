"""Stickers on the faces in photo and video files."""

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

#: Header of a list of frames without a face.
_HEADER = "frame,seconds"

#: Shows an image for a number of milliseconds; ends the video if it returns True.
Show = Callable[[np.ndarray, int], bool]


class Effect(Protocol):
    """Change to the faces of an image: a `Sticker`, a `Hider`, or several of them as `Effects`."""

    def apply(self, image: np.ndarray, faces: Faces, seconds: float = 0.0) -> np.ndarray:
        """Return a new image with the effect applied; see `Sticker.apply`."""


class Effects:
    """Several effects, applied one after the other.

    Args:
        effects: Effects in the order of their application.
    """

    def __init__(self, effects: Sequence[Effect]) -> None:
        self.effects = effects

    def apply(self, image: np.ndarray, faces: Faces, seconds: float = 0.0) -> np.ndarray:
        """Return a new image with all effects applied; see `Sticker.apply`."""
        for effect in self.effects:
            image = effect.apply(image, faces, seconds)
        return image


def target(file: Path, output: Path | None, count: int) -> Path:
    """Return the path of the output for an input file.

    Args:
        file: Input photo or video.
        output: File, for a single input only, or folder; None: beside the input.
        count: Number of inputs.

    Raises:
        UserError: `output` is one file for several inputs.

    Example:
        >>> target(Path("a.jpg"), None, 1).name, target(Path("old.avi"), None, 1).name
        ('a_sticker.jpg', 'old_sticker.mp4')
    """
    if file.suffix.lower() in VIDEO_SUFFIXES - set(ENCODERS):
        file = file.with_suffix(".mp4")  # old containers can be read, but not written
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
        UserError: The photo cannot be read, or contains no face.
    """
    photo = Photo.read(file)
    faces = landmarker(np.ascontiguousarray(photo.image[..., :3]))
    if not len(faces):
        raise UserError(f"{file}: no face found; try a larger or clearer image of it")
    return photo, faces


def sticker_photo(
    file: Path, out: Path, effect: Effect, landmarker: Landmarks, show: Show | None = None, hide: Hider | None = None
) -> None:
    """Apply an effect to one photo and keep its transparency, EXIF and colour profile.

    With `hide`, which is applied first, the EXIF is removed: it may contain a thumbnail of the photo.

    Raises:
        UserError: See `read_with_faces`; or the output cannot be written.
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
    """Apply an effect to one video, whose faces are tracked from frame to frame.

    With `hide`, which is applied first, the frames without any face are listed in `NAME_no_face.csv` beside `out`.

    Raises:
        UserError: See `facekp.io.video.convert`; or an unrelated file has the name of that list.
    """
    from tqdm import tqdm  # imported late, as in `sticker_files`; see `tell`

    frame_list = out.with_name(f"{out.stem}_no_face.csv")
    if hide is not None:
        check_own(frame_list, _HEADER, "a list of frames without a face")
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
        _list_empty(frame_list, hide, report.frames)
    if not found:
        tell(f"{one_line(file)}: no face found in its {report.frames} frames", file=sys.stderr)
    if report.broken:
        tell(f"{one_line(file)}: {report.broken} broken frames skipped", file=sys.stderr)
    if report.sound.startswith("dropped"):
        tell(f"{one_line(file)}: sound {report.sound}; choose another format with -o", file=sys.stderr)
    if report.left_out:
        tell(f"{one_line(file)}: {report.left_out} of its sound tracks left out, the first is kept", file=sys.stderr)
    if report.stopped:
        tell(f"{one_line(out)}: holds the {report.frames} frames processed so far", file=sys.stderr)
        raise KeyboardInterrupt


def _list_empty(path: Path, hide: Hider, frames: int) -> None:
    """Write the list of frames without a face to hide, for manual review; no file if there are none."""
    if not hide.empty:
        path.unlink(missing_ok=True)
        return
    with atomic_path(path) as temporary:
        lines = [_HEADER, *(f"{number},{seconds:.3f}" for number, seconds in hide.empty)]
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    tell(f"no face in {len(hide.empty)} of {frames} frames, check them: {path}", file=sys.stderr)


def plan(files: Sequence[Path], output: Path | None, found: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Pair each input with its output.

    Args:
        files: Input files.
        output: See `target`.
        found: Those of `files` that were found in folders or by patterns. The results of an earlier run among them are
            skipped.

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
    """Apply stickers to many files; one of several that fails is reported on stderr and skipped.

    Args:
        pairs: Pairs of input and output, see `plan`.
        choose: Returns the effect for the next file.
        landmarker: Finds the faces.
        show: Shows every result; None: not shown.
        hide: How faces are hidden first, one of `facekp.stickers.privacy.METHODS`; None: not hidden.

    Raises:
        UserError: No file could be processed.
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
        raise UserError(f"none of the {len(pairs)} files could be processed; the lines above say why")
    if failures:
        print(f"{len(pairs) - failures} of {len(pairs)} files done, {failures} skipped", file=sys.stderr)


def show_all(
    file: Path, stickers: Sequence[Sticker], landmarker: Landmarks, sheet_path: Path | None, animation: Path | None
) -> None:
    """Apply every sticker to one photo and write a sheet, an animation, or both.

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
