"""Train a landmark network, or a face detector."""

from __future__ import annotations

import argparse

EXAMPLE = "example: python tools/train.py -c configs/quickstart.yml -o train.epochs=3"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("-c", "--config", default="configs/sam_googlenet_bn.yml", help="the recipe (%(default)s)")
    parser.add_argument("-o", "--option", action="append", default=[], metavar="KEY=VALUE",
                        help="replace a value of the config, for example -o train.epochs=3")  # fmt: skip
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="continue after the last finished epoch")
    again.add_argument("--overwrite", action="store_true", help="delete an earlier run of this name")


def run(args: argparse.Namespace) -> None:
    """Train."""
    from facekp.training import load_config, train
    from facekp.training.processes import launch, launched

    config = load_config(args.config, args.option)
    if config.train.processes > 1 and not launched():
        again = ["--resume"] * args.resume + ["--overwrite"] * args.overwrite
        options = [part for option in args.option for part in ("-o", option)]
        launch(config.train.processes, ["train", "-c", args.config, *options, *again])
        return
    summary = train(config, args.resume, args.overwrite)
    if summary.weights is not None:
        print(f"best validation {summary.metric} {summary.best:.4f}: {summary.weights}")
