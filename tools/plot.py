"""Draw the curves of one run, or of several in one picture: loss by step, NME (or missed faces) by epoch."""

import argparse
from pathlib import Path

from facekp import viz
from facekp.cli import run
from facekp.training.logs import read_run


def main() -> None:
    """Read top to bottom."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", nargs="+", type=Path, help="folder of a run, output/NAME")
    parser.add_argument("-o", "--output", type=Path, default=Path("curves.png"), help="the PNG (%(default)s)")
    args = parser.parse_args()
    runs = [read_run(folder) for folder in args.run]
    viz.save_curves(runs, args.output)
    for log in runs:
        column = f"val_{log.metric}"
        best = log.epochs.loc[log.epochs[column].idxmin()]
        print(f"{log.name}: best validation {log.metric} {best[column] * 100:.2f} % after epoch {best['epoch']:.0f}")
    print(f"written to {args.output}")


if __name__ == "__main__":
    run(main)
