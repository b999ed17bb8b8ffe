"""Label photos with a network, where its predictions are consistent: a folder of .pts files to train on.

A face is kept if its score is high and its points hardly change in a further pass and in the mirror image. Look at some
of the labels before training on them.
"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from facekp.commands.networks import add_networks, check_count, given_networks
from facekp.errors import UserError, counted

EXAMPLE = "example: facekp pseudo-label photos/ -o data/photos_labelled --source face_crop"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    parser.add_argument("input", nargs="+", help="images and folders of images")
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="DIR", help="folder of the labels")
    add_networks(parser, hub=False)
    parser.add_argument("--min-score", type=float, default=0.9, help="minimum score of a face (%(default)s)")
    parser.add_argument("--max-change", type=float, default=1.5, metavar="PERCENT",
                        help="maximum mean change of a face's points between the passes, in percent of the longer side "
                             "of its box (%(default)s)")  # fmt: skip
    parser.add_argument("--resume", action="store_true", help="skip images that are already done")
    parser.add_argument("--threads", type=int, help="number of images to decode at once (one per core)")


def run(args: argparse.Namespace) -> None:
    """Find and compare the points, write the labels and print a summary."""
    check_count("--threads", args.threads)
    if not (0 <= args.min_score <= 1 and args.max_change > 0):
        raise UserError("--min-score must be from 0 to 1, and --max-change above 0")

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
        args.min_score,
        args.max_change,
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
