"""Draw the curves of one run, or of several in one plot: loss by step, NME (or missed faces) by epoch."""

from __future__ import annotations

import argparse
from pathlib import Path

from facekp.errors import UserError, one_line

EXAMPLE = "example: facekp plot output/loss_l1 output/loss_l2"

#: Supported formats of the plot.
SUFFIXES = (".png", ".pdf", ".svg")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    parser.add_argument("run", nargs="+", type=Path, help="folder of a run, output/NAME")
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("curves.png"), help="a .png, .svg or .pdf file (%(default)s)"
    )


def run(args: argparse.Namespace) -> None:
    """Read the runs, plot their curves and print their best values."""
    if args.output.suffix.lower() not in SUFFIXES:
        raise UserError(f"{args.output}: not an image format for curves; end the name in {' or '.join(SUFFIXES)}")

    from facekp import plots
    from facekp.training.logs import read_run

    runs = [read_run(folder) for folder in args.run]
    plots.save_curves(runs, args.output)
    for log in runs:
        column = log.epochs[f"val_{log.metric}"]
        if column.notna().any():
            best = log.epochs.loc[column.idxmin()]
            value = f"{column.min():.2%}".replace("%", " %") if plots.is_fraction(log.metric) else f"{column.min():.4g}"
            print(f"{log.name}: best validation {log.metric} {value} after epoch {best['epoch']:.0f}")
        else:
            print(f"{log.name}: validation {log.metric} was never a number")
    print(f"written to {one_line(args.output)}")
