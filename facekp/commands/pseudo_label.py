"""Label photos by a network, where it agrees with itself: a folder of .pts files to train on.

A face is kept if the network trusts it and its points hardly move when they are looked for once more and in the mirror
image. Look at some of the labels before training on them.
"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from facekp.commands.networks import add_networks, given_networks
from facekp.errors import UserError, counted

EXAMPLE = "example: facekp pseudo-label photos/ -o data/photos_labelled --source face_crop"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("input", nargs="+", help="images and folders of images")
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="DIR", help="folder of the labels")
    add_networks(parser, hub=False)
    parser.add_argument("--least-score", type=float, default=0.9, help="that the network must give (%(default)s)")
    parser.add_argument("--most-change", type=float, default=1.5, metavar="PERCENT",
                        help="of a face's points between the looks, on average, in percent of the longer side of its "
                             "box (%(default)s)")  # fmt: skip
    parser.add_argument("--resume", action="store_true", help="skip the images that are done")
    parser.add_argument("--threads", type=int, help="decode so many images at once (one on each core)")


def run(args: argparse.Namespace) -> None:
    """Find, compare, write, print."""
    if args.threads is not None and args.threads < 1:
        raise UserError(f"--threads {args.threads}: at least 1")
    if not (0 <= args.least_score <= 1 and args.most_change > 0):
        raise UserError("--least-score is from 0 to 1, and --most-change more than 0")

    import yaml

    from facekp.inference.landmarker import Landmarker
    from facekp.inference.pseudo_labels import as_source, label_photos
    from facekp.io.images import find_files
    from facekp.loading import load_landmarker

    landmarker = load_landmarker(args.source, args.detector)
    if not isinstance(landmarker, Landmarker):
        raise UserError(f"--source {args.source}: gives no scores; choose a shipped model or weights of your own")
    landmarker.schema.need_mirror_pairs("the comparison with the mirror image")
    done = label_photos(
        find_files(args.input),
        landmarker,
        args.output,
        args.least_score,
        args.most_change,
        args.resume,
        args.threads,
        progress=True,
        source=given_networks(args),
    )
    kept = f"{counted(done.kept, 'face')} kept, {done.dropped} not"
    print(f"{counted(done.photos, 'image')}, {done.failed} unreadable: {kept}: {args.output}")
    source = {**as_source(args.output, landmarker.schema), "weight": 0.5}
    text = yaml.safe_dump(source, default_flow_style=True, sort_keys=False, allow_unicode=True, width=1 << 20).strip()
    print(f"to train on them: -o {shlex.quote(f'data.sources=[..., {text}]')}")
