"""Get the 68-point data set: download it, or take an archive or folder that is there, and check it.

A download that breaks off stays as OUTPUT.part; run the same command again to resume it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

EXAMPLE = "example: facekp prepare-data --from P1_Facial_Keypoints.zip"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    parser.add_argument("-o", "--output", type=Path, default="data", help="folder to create (default: data)")
    origin = parser.add_mutually_exclusive_group()
    origin.add_argument("--url", help="address of the archive (default: Udacity's)")
    origin.add_argument("--from", dest="source", type=Path, metavar="PATH", help="archive or folder on disk")
    parser.add_argument("--sha256", help="checksum that the archive must have")
    parser.add_argument("--overwrite", action="store_true", help="delete what is in the output folder")


def run(args: argparse.Namespace) -> None:
    """Create the data folder and print a summary of its content."""
    from facekp.data.prepare import URL, altered, prepare, summarise

    url = args.url or URL
    made = prepare(args.output, source=args.source, url=url, sha256=args.sha256, overwrite=args.overwrite)
    print(f"{args.output}: {'ready' if made else 'exists and is complete, nothing to do'}")
    for split in summarise(args.output):
        print(split)
    changed = altered(args.output)
    if changed:
        print(f"warning: {args.output} differs from the published set: {', '.join(changed)}", file=sys.stderr)
