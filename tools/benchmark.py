"""Measure speed and memory, as ratios within one run; every figure in the documents comes from here."""

import argparse
import importlib

from facekp.cli import run

#: Modules of `facekp.benchmarks`.
BENCHMARKS = ("train", "sticker", "inference", "peers")


def main() -> None:
    """Choose a benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    which = parser.add_subparsers(dest="benchmark", required=True)
    for name in BENCHMARKS:
        module = importlib.import_module(f"facekp.benchmarks.{name}")
        command = which.add_parser(name, help=module.__doc__, description=module.__doc__)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    run(main)
