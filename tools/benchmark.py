"""Measure speed and memory, as ratios within one run; every figure in the documents comes from here."""

import argparse

from facekp.benchmarks import sticker, train
from facekp.cli import run


def main() -> None:
    """Choose a benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    which = parser.add_subparsers(dest="benchmark", required=True)
    for module in (train, sticker):
        name = module.__name__.rpartition(".")[2]
        command = which.add_parser(name, help=module.__doc__, description=module.__doc__)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    run(main)
