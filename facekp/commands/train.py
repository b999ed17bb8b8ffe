"""Train a landmark network, or a face detector."""

from __future__ import annotations

import argparse

EXAMPLE = "example: facekp train -c quickstart -o train.epochs=3"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    parser.add_argument("-c", "--config", default="sam_googlenet_bn",
                        help="the recipe: a YAML file, or the name of a shipped one (%(default)s)")  # fmt: skip
    parser.add_argument("-o", "--option", action="append", default=[], metavar="KEY=VALUE",
                        help="replace a value of the config, for example -o train.epochs=3")  # fmt: skip
    parser.add_argument("--list", action="store_true", help="list the shipped recipes and exit")
    parser.add_argument("--show", metavar="CONFIG", help="print a recipe, merged with its base, and exit")
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="continue after the last finished epoch")
    again.add_argument("--overwrite", action="store_true", help="delete an earlier run of this name")


def run(args: argparse.Namespace) -> None:
    """Train a network, or print recipes."""
    from facekp.training import load_config, train
    from facekp.training.config import list_configs, show_config
    from facekp.training.processes import launch, launched

    if args.list:
        print(*list_configs(), sep="\n")
        return
    if args.show:
        print(show_config(args.show, args.option), end="")
        return
    config = load_config(args.config, args.option)
    if config.train.processes > 1 and not launched():
        again = ["--resume"] * args.resume + ["--overwrite"] * args.overwrite
        options = [part for option in args.option for part in ("-o", option)]
        launch(config.train.processes, ["train", "-c", args.config, *options, *again])
        return
    summary = train(config, args.resume, args.overwrite)
    if summary.weights is not None:
        print(f"best validation {summary.metric} {summary.best:.4f}: {summary.weights}")
