"""Find faces on images: write their points as CSV or Parquet, and draw them."""

from __future__ import annotations

import argparse
from pathlib import Path

from facekp.errors import UserError

EXAMPLE = "example: python tools/predict.py photos/ -o points.csv"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("input", nargs="+", help="images and folders of images")
    parser.add_argument("--source", help="name of a shipped model, path of weights, or hub: PaddleHub's")
    parser.add_argument(
        "--detector", help="faces from: haar, mediapipe, yunet:MODEL, or path of weights (default: ours)"
    )
    parser.add_argument("-o", "--output", default="predictions", type=Path,
                        help="NAME.csv or NAME.parquet for the points alone; else a folder for points.csv and the "
                             "images with their points drawn (%(default)s)")  # fmt: skip
    parser.add_argument("--signals", action="store_true", help="also write how each head is turned and what the face "
                        "does: open mouth, smile, raised brows, ...")  # fmt: skip
    parser.add_argument("--resume", action="store_true", help="skip the images that are in the output already")
    parser.add_argument("--threads", type=int, help="decode so many images at once (one on each core)")


def run(args: argparse.Namespace) -> None:
    """Find, write, print."""
    if args.threads is not None and args.threads < 1:
        raise UserError(f"--threads {args.threads}: at least 1")

    from facekp.inference.many import predict
    from facekp.io.images import find_files
    from facekp.loading import load_landmarker

    paths = find_files(args.input)
    done = predict(
        paths,
        lambda: load_landmarker(args.source, args.detector),
        args.output,
        source=str(args.source),
        resume=args.resume,
        threads=args.threads,
        progress=True,
        signals=args.signals,
    )
    print(f"{done.faces} faces in {len(paths) - len(done.failed)} images, {len(done.failed)} unreadable: {done.table}")
    if done.failed:
        print(f"which and why: {done.failures}")
