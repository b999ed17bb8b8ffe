"""Compare runs in one HTML file: curves, figures, errors by region and yaw, the worst faces, and their configs.

The file is complete in itself and can be sent to others.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from facekp.errors import one_line

EXAMPLE = "example: facekp compare output/loss_l1 output/loss_l2 -o report.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    parser.add_argument("run", nargs="+", type=Path, help="folder of a run, output/NAME; one or more")
    parser.add_argument("-o", "--output", type=Path, default=Path("report.html"), help="the page (%(default)s)")


def run(args: argparse.Namespace) -> None:
    """Compare the runs and print the path of the report."""
    from facekp.training.compare import compare

    compare(args.run, args.output)
    print(f"written to {one_line(args.output)}")
