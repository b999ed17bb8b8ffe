"""Get the 68-point data set: download it, or take an archive or folder that is there, and check it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from facekp.cli import run
from facekp.data.prepare import URL, altered, prepare, summarise


def main() -> None:
    """Make the data folder and print what is in it."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="A download that breaks off stays as OUTPUT.part; run the same command again to resume it.",
    )
    parser.add_argument("-o", "--output", type=Path, default="data", help="folder to make (default: data)")
    origin = parser.add_mutually_exclusive_group()
    origin.add_argument("--url", default=URL, help="address of the archive (default: Udacity's)")
    origin.add_argument("--from", dest="source", type=Path, metavar="PATH", help="archive or folder on disk")
    parser.add_argument("--sha256", help="checksum that the archive must have")
    parser.add_argument("--overwrite", action="store_true", help="delete what is in the output folder")
    args = parser.parse_args()

    made = prepare(args.output, source=args.source, url=args.url, sha256=args.sha256, overwrite=args.overwrite)
    print(f"{args.output}: {'ready' if made else 'already there and complete, left alone'}")
    for split in summarise(args.output):
        print(split)
    changed = altered(args.output)
    if changed:
        print(f"warning: {args.output} differs from the published set: {', '.join(changed)}", file=sys.stderr)


if __name__ == "__main__":
    run(main)
