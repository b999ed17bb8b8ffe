"""Put stickers on the faces of photos and videos."""

from __future__ import annotations

import argparse
import random
from pathlib import Path

from facekp.commands.networks import add_networks
from facekp.errors import UserError

EXAMPLE = "example: facekp sticker photo.jpg --sticker crown --sticker blush"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    parser.add_argument(
        "inputs", nargs="*", metavar="IN", help="photos, videos, folders or patterns such as 'in/*.jpg'"
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--sticker", action="append", metavar="NAME", help="a shipped one or a pack's path; repeatable")
    which.add_argument(
        "--glasses", type=Path, metavar="DIR", help="PNGs of glasses without manifests; the first is worn"
    )
    which.add_argument("--seed", type=int, help="another shipped sticker at random for every file")
    parser.add_argument("--face", type=Path, metavar="PHOTO", help="the face of this photo, worn over every face")
    parser.add_argument("--hide", choices=["blur", "mosaic", "box"], help="make faces unrecognisable first; alone, or "
                        "with stickers on top")  # fmt: skip
    add_networks(parser)
    parser.add_argument("-o", "--output", type=Path, help="a file for one input, else a folder (default: beside it)")
    parser.add_argument("--list", action="store_true", help="list the shipped stickers and exit")
    parser.add_argument("--sheet", action="store_true", help="all stickers on the face of a photo, side by side")
    parser.add_argument("--animate", type=Path, metavar="OUT", help="one sticker after the other: .gif, .mp4 or .html")
    parser.add_argument("--camera", type=int, metavar="N", help="a webcam, live in a window; any key ends it")
    parser.add_argument("--virtual-camera", type=float, nargs="?", const=30.0, metavar="FPS",
                        help="with --camera: a camera that other programs see (default %(const)s frames a second); "
                             "no window")  # fmt: skip
    parser.add_argument("--record", type=Path, metavar="OUT", help="with --camera: write a video too")
    parser.add_argument("--preview", action="store_true", help="show every result in a window too")


def run(args: argparse.Namespace) -> None:
    """Check the arguments, then process one file after the other."""
    from facekp.inference.tracking import Tracker
    from facekp.io.camera import camera_frames
    from facekp.io.images import SUFFIXES, find_files
    from facekp.io.video import SUFFIXES as VIDEO_SUFFIXES
    from facekp.io.window import need_display, show
    from facekp.stickers import Sticker, combine, list_stickers, load_sticker
    from facekp.stickers.files import Effects, plan, show_all, sticker_files
    from facekp.stickers.glasses import load_glasses
    from facekp.stickers.live import run_live
    from facekp.stickers.masks import load_face
    from facekp.stickers.privacy import Hider, careful_tracker

    if args.list:
        for name in list_stickers():
            print(f"{name:16} {load_sticker(name).title}")
        return
    if args.camera is not None and args.camera < 0:
        raise UserError(f"--camera {args.camera}: cameras are counted from 0")
    if args.camera is None and (args.virtual_camera is not None or args.record):
        raise UserError("--virtual-camera and --record need --camera N")
    if args.virtual_camera is not None and not 1 <= args.virtual_camera <= 240:
        raise UserError(f"--virtual-camera {args.virtual_camera:g}: 1 to 240 frames a second")
    _no_conflict(args)
    window = args.preview or (args.camera is not None and args.virtual_camera is None)
    if args.preview:
        need_display()
    if not args.inputs and (args.camera is None or args.sheet or args.animate):
        raise UserError("no photo or video given; see --help")
    chosen = load_glasses(args.glasses) if args.glasses else [load_sticker(name) for name in args.sticker or []]
    files = find_files(args.inputs, SUFFIXES | VIDEO_SUFFIXES)
    named = {Path(name) for name in args.inputs}
    pairs = plan(files, args.output, [file for file in files if file not in named])
    if (args.sheet or args.animate) and len(files) > 1:
        raise UserError(f"--sheet and --animate take one photo, not {len(files)}")
    if (args.sheet or args.animate) and files[0].suffix.lower() in VIDEO_SUFFIXES:
        raise UserError(f"{files[0]}: --sheet and --animate take a photo, not a video")
    from facekp.loading import load_landmarker  # late, so that wrong arguments are reported first

    landmarker = load_landmarker(args.source, args.detector)
    if args.sheet or args.animate:
        sheet_path = args.output if args.sheet else None
        if args.sheet and (sheet_path is None or sheet_path.is_dir()):
            sheet_path = (sheet_path or files[0].parent) / f"{files[0].stem}_sheet.png"
        show_all(
            files[0], chosen or [load_sticker(name) for name in list_stickers()], landmarker, sheet_path, args.animate
        )
        return
    rng = random.Random(args.seed)
    worn = chosen[:1] if args.glasses else chosen
    under = [load_face(args.face, landmarker)] if args.face else []
    if not worn and not args.hide and not under:
        worn = [load_sticker("sunglasses")]
    together = combine([*under, *worn])
    if args.camera is not None:
        effect = Effects([Hider(args.hide), together]) if args.hide else together
        tracker = careful_tracker(landmarker) if args.hide else Tracker(landmarker)
        run_live(
            camera_frames(args.camera), effect, tracker, show if window else None, args.virtual_camera, args.record
        )
        return

    def choose() -> Sticker:
        if args.seed is None:
            return together
        return combine([*under, load_sticker(rng.choice(list_stickers()))])

    sticker_files(pairs, choose, landmarker, show if args.preview else None, args.hide)


def _no_conflict(args: argparse.Namespace) -> None:
    """Raise an error for options that would have no effect."""
    seed, camera = args.seed is not None, args.camera is not None
    for what, given, others in (
        ("--sheet and --animate", args.sheet or args.animate,
         {"--face": args.face, "--seed": seed, "--hide": args.hide, "--preview": args.preview, "--camera": camera}),
        ("--animate", args.animate and not args.sheet, {"-o": args.output}),
        ("--camera", camera, {"a photo or video": args.inputs, "-o": args.output, "--seed": seed}),
    ):  # fmt: skip
        for name, value in others.items():
            if given and value:
                raise UserError(f"{name} has no effect with {what}; omit one of them")
