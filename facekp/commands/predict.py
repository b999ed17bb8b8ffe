"""Find faces in images: write their points as CSV, Parquet or COCO keypoints, and draw them."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from facekp.commands.networks import add_networks, check_count, given_networks
from facekp.errors import UserError, counted, one_line

EXAMPLE = "example: facekp predict photos/ -o points.csv"

#: Keys of `facekp.inference.many.TABLES`.
FORMATS = ("csv", "parquet", "coco")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    parser.add_argument("input", nargs="+", help="images and folders of images")
    add_networks(parser)
    parser.add_argument("-o", "--output", default="predictions", type=Path,
                        help="NAME.csv, NAME.parquet or NAME.json (COCO) for the points alone; else a folder for "
                             "points.csv and the images with their points drawn (%(default)s)")  # fmt: skip
    parser.add_argument("--format", choices=FORMATS, help="format of the points in a folder (csv); coco: labels to "
                        "correct in CVAT or Label Studio, see docs/own-points.md")  # fmt: skip
    parser.add_argument("--schema", help="convert the points to this schema, a name or a YAML file")
    parser.add_argument("--signals", action="store_true", help="also write the pose of each head and its expression: "
                        "open mouth, smile, raised brows, ...")  # fmt: skip
    parser.add_argument("--resume", action="store_true", help="skip images that are already in the output")
    parser.add_argument("--strict", action="store_true",
                        help="skip damaged images that could be decoded in part, too")  # fmt: skip
    parser.add_argument("--threads", type=int, help="number of images to decode at once (one per core)")
    parser.add_argument("--ray", nargs="?", const="local", metavar="ADDRESS", help="on the workers of a Ray cluster, "
                        "by default one on this machine; with --threads N on N workers")  # fmt: skip


def run(args: argparse.Namespace) -> None:
    """Find the faces, write the results and print a summary."""
    check_count("--threads", args.threads)

    from facekp.inference.many import TABLES, predict
    from facekp.io.images import find_files
    from facekp.landmarks import load_schema
    from facekp.loading import load_landmarker

    suffix = args.output.suffix.lower()
    if args.format and suffix in TABLES.values() and suffix != TABLES[args.format]:
        raise UserError(f"{args.output}: --format {args.format} is written to a {TABLES[args.format]} or a folder")
    schema = None if args.schema is None else load_schema(args.schema)
    paths = find_files(args.input)
    # A worker is one process on one core.
    load = partial(load_landmarker, args.source, args.detector, threads=None if args.ray is None else 1)
    find = None
    if args.ray is not None:
        from facekp.inference.on_ray import find_on_ray

        find = partial(find_on_ray, load=load, address=args.ray, workers=args.threads, strict=args.strict)
    done = predict(
        paths,
        load,
        args.output,
        source=given_networks(args),
        resume=args.resume,
        threads=args.threads,
        progress=True,
        format=args.format or "csv",
        schema=schema,
        strict=args.strict,
        signals=args.signals,
        find=find,
    )
    images = counted(len(paths) - len(done.failed), "image")
    print(f"{counted(done.faces, 'face')} in {images}, {len(done.failed)} unreadable: {one_line(done.table)}")
    if done.failed:
        print(f"which and why: {one_line(done.failures)}")
