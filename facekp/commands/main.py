"""The command line: `facekp NAME ...`, and the same as `python tools/NAME.py ...`."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from facekp.commands.runner import run

#: Command -> what it does; each is a module of this package with `add_arguments` and `run`.
COMMANDS = {
    "sticker": "put stickers on the faces of photos and videos",
    "predict": "find faces, write their points as CSV or Parquet, and draw them",
    "train": "train a landmark network, or a face detector",
    "evaluate": "judge weights on the validation split of a config",
    "pseudo-label": "label photos by a network, where it agrees with itself",
    "plot": "draw the curves of one run, or of several",
    "export": "write a trained network for Paddle Inference and ONNX Runtime",
    "prepare-data": "get the 68-point data set and check it",
    "prepare-hub": "get PaddleHub's face_landmark_localization",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """The console command `facekp`."""
    listed = "\n".join(f"  {name:14} {what}" for name, what in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="facekp",
        description="Face landmarks with PaddlePaddle, and stickers that sit on them.",
        epilog=f"commands:\n{listed}\n\nfacekp COMMAND --help says more. Example: facekp sticker photo.jpg",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="facekp COMMAND ...",
    )
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="what to do")
    given = list(sys.argv[1:] if arguments is None else arguments)
    name = parser.parse_args(given[:1]).command
    execute(name, given[1:], prog=f"facekp {name}")


def execute(name: str, arguments: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Run one command and leave with its exit status.

    Args:
        name: A key of `COMMANDS`.
        arguments: Behind the name; those of the process if None.
        prog: What messages call the program.
    """

    def act() -> None:
        command = importlib.import_module(f"facekp.commands.{name.replace('-', '_')}")
        parser = argparse.ArgumentParser(
            prog=prog,
            description=command.__doc__,
            epilog=command.EXAMPLE,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_arguments(parser)
        command.run(parser.parse_args(arguments))

    run(act, prog)
