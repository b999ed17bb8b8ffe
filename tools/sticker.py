"""Put stickers on the faces of photos and videos."""

from __future__ import annotations

import argparse
import os
import random
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from facekp.cli import run
from facekp.errors import UserError
from facekp.images import SUFFIXES, find_files, write_image
from facekp.inference.tracking import Landmarks, Tracker
from facekp.stickers import Sticker, combine, list_stickers, load_sticker
from facekp.stickers.glasses import load_glasses
from facekp.stickers.photo import Photo
from facekp.stickers.show import save_animation, sheet
from facekp.video import ENCODERS, camera_frames, convert
from facekp.video import SUFFIXES as VIDEO_SUFFIXES


def main() -> None:
    """Read the arguments, then do one file after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "inputs", nargs="*", metavar="IN", help="photos, videos, folders or patterns such as 'in/*.jpg'"
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--sticker", action="append", metavar="NAME", help="a shipped one or a pack's path; repeatable")
    which.add_argument(
        "--glasses", type=Path, metavar="DIR", help="PNGs of glasses without manifests; the first is worn"
    )
    which.add_argument("--seed", type=int, help="another shipped sticker at random for every file")
    parser.add_argument("--source", help="landmarks from: name of a shipped model, path of weights, or hub")
    parser.add_argument(
        "--detector", help="faces from: haar, mediapipe, yunet:MODEL, or path of weights (default: ours)"
    )
    parser.add_argument("-o", "--output", type=Path, help="a file for one input, else a folder (default: beside it)")
    parser.add_argument("--list", action="store_true", help="name the shipped stickers and end")
    parser.add_argument("--sheet", action="store_true", help="all stickers on the face of a photo, side by side")
    parser.add_argument("--animate", type=Path, metavar="OUT", help="one sticker after the other: .gif, .mp4 or .html")
    parser.add_argument("--camera", type=int, metavar="N", help="a webcam, live in a window; any key ends it")
    parser.add_argument("--preview", action="store_true", help="show every result in a window too")
    args = parser.parse_args()

    if args.list:
        for name in list_stickers():
            print(f"{name:16} {load_sticker(name).title}")
        return
    if args.camera is not None and args.camera < 0:
        raise UserError(f"--camera {args.camera}: cameras are counted from 0")
    if args.preview:
        need_window()
    if not args.inputs and (args.camera is None or args.sheet or args.animate):
        raise UserError("no photo or video given; see --help")
    chosen = load_glasses(args.glasses) if args.glasses else [load_sticker(name) for name in args.sticker or []]
    files = find_files(args.inputs, SUFFIXES | VIDEO_SUFFIXES)
    if args.output is None:  # what an earlier run left beside its photos is not stickered again
        results = {target(file, None, 1).resolve() for file in files}
        files = [file for file in files if file.resolve() not in results]
    targets = [target(file, args.output, len(files)) for file in files]
    taken = {file.resolve() for file in files}
    for out in targets:
        if out.resolve() in taken:
            raise UserError(f"{out}: would be written over; choose another -o")
        taken.add(out.resolve())
    from facekp import load_landmarker  # here, so that a wrong argument is told before Paddle starts

    landmarker = load_landmarker(args.source, args.detector)
    if args.sheet or args.animate:
        if len(files) > 1:
            raise UserError(f"--sheet and --animate take one photo, not {len(files)}")
        show_all(files[0], chosen or [load_sticker(name) for name in list_stickers()], landmarker, args)
        return

    dice = random.Random(args.seed)
    worn = combine(chosen[:1] if args.glasses else chosen or [load_sticker("sunglasses")])
    if args.camera is not None:
        tracker = Tracker(landmarker)
        for image, seconds in camera_frames(args.camera):
            if shown(worn.apply(image, tracker(image, seconds), seconds), wait=1):
                return
    failures = 0
    for file, out in tqdm(list(zip(files, targets)), unit="file", disable=len(files) == 1):
        sticker = worn if args.seed is None else load_sticker(dice.choice(list_stickers()))
        try:
            if file.suffix.lower() in VIDEO_SUFFIXES:
                do_video(file, out, sticker, Tracker(landmarker), args.preview)
            else:
                do_photo(file, out, sticker, landmarker, args.preview)
            tqdm.write(str(out))
        except UserError as error:
            if len(files) == 1:
                raise
            failures += 1
            tqdm.write(f"skipped: {error}", file=sys.stderr)
    if files and failures == len(files):
        raise UserError(f"none of the {len(files)} files could be done; the lines above say why")
    if failures:
        print(f"{len(files) - failures} of {len(files)} files done, {failures} skipped", file=sys.stderr)


def do_photo(file: Path, out: Path, sticker: Sticker, landmarker: Landmarks, preview: bool) -> None:
    """One photo; its transparency, EXIF and colour profile are kept."""
    photo = Photo.read(file)
    faces = landmarker(np.ascontiguousarray(photo.image[..., :3]))
    if not len(faces):
        raise UserError(f"{file}: no face found; try a larger or clearer picture of it")
    result = photo.replace(sticker.apply(photo.image, faces))
    result.write(out)
    if preview:
        shown(result.image, wait=0)


def do_video(file: Path, out: Path, sticker: Sticker, tracker: Tracker, preview: bool) -> None:
    """One video, the faces followed from frame to frame."""
    with tqdm(unit="frame", desc=file.name, leave=False) as bar:

        def draw(image: np.ndarray, seconds: float) -> np.ndarray:
            result = sticker.apply(image, tracker(image, seconds), seconds)
            bar.update()
            if preview and shown(result, wait=1):
                raise KeyboardInterrupt
            return result

        report = convert(file, out, draw)
    if report.broken:
        tqdm.write(f"{file}: {report.broken} broken frames skipped", file=sys.stderr)
    if report.sound.startswith("dropped"):
        tqdm.write(f"{file}: sound {report.sound}; choose another format with -o", file=sys.stderr)
    if report.stopped:
        tqdm.write(f"{out}: holds the {report.frames} frames done until now", file=sys.stderr)
        raise KeyboardInterrupt


def show_all(file: Path, stickers: Sequence[Sticker], landmarker: Landmarks, args: argparse.Namespace) -> None:
    """Every sticker on one photo: a sheet, an animation or both."""
    image = np.ascontiguousarray(Photo.read(file).image[..., :3])
    faces = landmarker(image)
    if not len(faces):
        raise UserError(f"{file}: no face found; try a larger or clearer picture of it")
    if args.sheet:
        out = args.output or file.with_name(f"{file.stem}_sheet.png")
        write_image(out, sheet(image, faces, stickers))
        print(out)
    if args.animate:
        save_animation(args.animate, [sticker.apply(image, faces) for sticker in stickers])
        print(args.animate)


def target(file: Path, output: Path | None, count: int) -> Path:
    """Where a file with its sticker goes."""
    if file.suffix.lower() in VIDEO_SUFFIXES - set(ENCODERS):
        file = file.with_suffix(".mp4")  # old containers are read, not written
    if output is None:
        return file.with_name(f"{file.stem}_sticker{file.suffix}")
    if output.suffix and not output.is_dir():
        if count > 1:
            raise UserError(f"{output}: one file for {count} inputs; give a folder")
        return output
    return output / file.name


def need_window() -> None:
    """OpenCV ends the whole program when it finds no screen; so look before."""
    if sys.platform.startswith("linux") and not {"DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ):
        raise UserError("no screen to open a window on; leave --preview and --camera away")


def shown(image: np.ndarray, wait: int) -> bool:
    """Show a picture for `wait` milliseconds, 0 for until a key; True if a key was pressed."""
    need_window()
    try:
        cv2.imshow("facekp", image)
        return cv2.waitKey(wait) != -1
    except cv2.error as error:
        raise UserError("this OpenCV cannot open windows; install opencv-python, not its headless kind") from error


if __name__ == "__main__":
    run(main)
