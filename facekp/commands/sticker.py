"""Put stickers on the faces of photos and videos."""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

from facekp.errors import UserError, one_line

EXAMPLE = "example: python tools/sticker.py photo.jpg --sticker crown --sticker blush"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
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


def run(args: argparse.Namespace) -> None:
    """Read the arguments, then do one file after the other."""
    from tqdm import tqdm

    from facekp.inference.tracking import Tracker
    from facekp.io.images import SUFFIXES, find_files, write_image
    from facekp.io.video import SUFFIXES as VIDEO_SUFFIXES
    from facekp.io.video import camera_frames
    from facekp.io.window import need_display, show
    from facekp.stickers import combine, list_stickers, load_sticker
    from facekp.stickers.files import plan, read_with_faces, sticker_photo, sticker_video
    from facekp.stickers.glasses import load_glasses
    from facekp.stickers.show import save_animation, sheet

    if args.list:
        for name in list_stickers():
            print(f"{name:16} {load_sticker(name).title}")
        return
    if args.camera is not None and args.camera < 0:
        raise UserError(f"--camera {args.camera}: cameras are counted from 0")
    if args.preview:
        need_display()
    if not args.inputs and (args.camera is None or args.sheet or args.animate):
        raise UserError("no photo or video given; see --help")
    chosen = load_glasses(args.glasses) if args.glasses else [load_sticker(name) for name in args.sticker or []]
    files = find_files(args.inputs, SUFFIXES | VIDEO_SUFFIXES)
    pairs = plan(files, args.output, [file for file in files if str(file) not in args.inputs])
    if (args.sheet or args.animate) and len(files) > 1:
        raise UserError(f"--sheet and --animate take one photo, not {len(files)}")
    from facekp.loading import load_landmarker  # here, so that a wrong argument is told before the networks are loaded

    landmarker = load_landmarker(args.source, args.detector)
    if args.sheet or args.animate:
        photo, faces = read_with_faces(files[0], landmarker)
        stickers, image = chosen or [load_sticker(name) for name in list_stickers()], photo.image[..., :3].copy()
        if args.sheet:
            out = args.output or files[0].with_name(f"{files[0].stem}_sheet.png")
            write_image(out, sheet(image, faces, stickers))
            print(one_line(out))
        if args.animate:
            save_animation(args.animate, [sticker.apply(image, faces) for sticker in stickers])
            print(one_line(args.animate))
        return
    dice = random.Random(args.seed)
    worn = combine(chosen[:1] if args.glasses else chosen or [load_sticker("sunglasses")])
    if args.camera is not None:
        tracker = Tracker(landmarker)
        for image, seconds in camera_frames(args.camera):
            if show(worn.apply(image, tracker(image, seconds), seconds), 1):
                return
    failures, window = 0, show if args.preview else None
    for file, out in tqdm(pairs, unit="file", disable=len(pairs) == 1):
        sticker = worn if args.seed is None else load_sticker(dice.choice(list_stickers()))
        try:
            if file.suffix.lower() in VIDEO_SUFFIXES:
                sticker_video(file, out, sticker, Tracker(landmarker), window)
            else:
                sticker_photo(file, out, sticker, landmarker, window)
            tqdm.write(one_line(out))
        except UserError as error:
            if len(pairs) == 1:
                raise
            failures += 1
            tqdm.write(f"skipped: {one_line(error)}", file=sys.stderr)
    if pairs and failures == len(pairs):
        raise UserError(f"none of the {len(pairs)} files could be done; the lines above say why")
    if failures:
        print(f"{len(pairs) - failures} of {len(pairs)} files done, {failures} skipped", file=sys.stderr)
