"""Command line interface: `facekp NAME ...`, and the same as `python tools/NAME.py ...`."""

from __future__ import annotations

import argparse
import difflib
import importlib
import os
import shutil
import stat
import sys
import textwrap
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NoReturn

from facekp.commands.runner import run
from facekp.errors import UserError
from facekp.io.files import LONGEST_NAME
from facekp.version import VERSION

#: Command -> its description; each is a module of this package with `add_arguments` and `run`.
COMMANDS = {
    "sticker": "put stickers on the faces of photos and videos",
    "predict": "find faces, write their points as CSV, Parquet or COCO, and draw them",
    "train": "train a landmark network, or a face detector",
    "evaluate": "evaluate weights on the validation split of a config",
    "models": "list the models, and get those that are not part of the package",
    "pseudo-label": "label photos with a network, where its predictions are consistent",
    "plot": "draw the curves of one run, or of several",
    "compare": "compare runs in one HTML file: curves, figures, worst faces, configs",
    "export": "write a trained network for Paddle Inference and ONNX Runtime",
    "serve": "serve the page that puts stickers on faces in the browser",
    "convert-labels": "convert labels of faces: COCO, CSV, .pts, imglab, labelme, WFLW, LaPa, COFW, AFLW",
    "check-labels": "find errors in labels before training: an HTML report and a CSV",
    "prepare-data": "get the 68-point data set and check it",
    "prepare-hub": "get PaddleHub's face_landmark_localization",
}


class Parser(argparse.ArgumentParser):
    """Parser that reports errors in one line, with a suggestion for a misspelt option; options are not abbreviated."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Raise a `UserError`, which `facekp.commands.runner.run` prints.

        Raises:
            UserError: Always.
        """
        unknown = message.partition("unrecognized arguments: ")[2].partition(" ")[0]
        near = difflib.get_close_matches(unknown, self._option_string_actions, 1)
        raise UserError(f"{message}; {f'did you mean {near[0]}?' if near else 'see --help'}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the console command `facekp`."""
    listed = "\n".join(f"  {name:14} {what}" for name, what in COMMANDS.items())
    parser = Parser(
        prog="facekp",
        description="Face landmarks with PaddlePaddle, and stickers that follow them.",
        epilog=f"commands:\n{listed}\n\nfacekp COMMAND --help says more. Example: facekp sticker photo.jpg",
        usage="facekp COMMAND ...",
    )
    parser.add_argument("--version", action="version", version=f"facekp {VERSION}")
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="what to do")
    given = list(sys.argv[1:] if arguments is None else arguments)
    chosen: list[str] = []
    run(lambda: chosen.append(parser.parse_args(given[:1]).command), "facekp")
    execute(chosen[0], given[1:], prog=f"facekp {chosen[0]}")


def _check_names(given: argparse.Namespace) -> None:
    """Check the arguments as file names, which most of them are.

    Raises:
        UserError: A file name is not valid on any system; or it is a pipe, a socket or a device, which could block
            or have no end.
    """
    for key, values in vars(given).items():
        for value in values if isinstance(values, (list, tuple)) else [values]:
            if not isinstance(value, (str, os.PathLike)) or key == "option":  # KEY=VALUE
                continue
            text = str(value)
            if "\0" in text:
                raise UserError(f"{text[:40]}: a name cannot hold a NUL byte")
            if max(len(os.fsencode(part)) for part in text.replace(os.sep, "/").split("/")) > LONGEST_NAME:
                raise UserError(f"{text[:40]}...: no such file, the name is too long")
            with suppress(OSError):
                mode = os.stat(text).st_mode
                if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                    raise UserError(f"{text}: a pipe, a socket or a device; give a file or a folder")


def _filled(text: str) -> str:
    """Fill the paragraphs of a text to the width of the terminal."""
    width = shutil.get_terminal_size().columns - 2
    return "\n\n".join(textwrap.fill(paragraph, width) for paragraph in text.split("\n\n"))


def execute(name: str, arguments: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Run one command and exit with its status if it fails.

    Args:
        name: A key of `COMMANDS`.
        arguments: Arguments after the name; None: those of the process.
        prog: Name of the program in messages.
    """

    def act() -> None:
        command = importlib.import_module(f"facekp.commands.{name.replace('-', '_')}")
        parser = Parser(prog=prog, description=_filled(command.__doc__ or ""), epilog=command.EXAMPLE)
        command.add_arguments(parser)
        given = parser.parse_args(arguments)
        _check_names(given)
        command.run(given)

    run(act, prog)
