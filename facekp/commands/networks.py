"""Options shared by several commands: the choice of networks, and counts."""

from __future__ import annotations

import argparse

from facekp.errors import UserError


def add_networks(parser: argparse.ArgumentParser, hub: bool = True) -> None:
    """Add the options `--source` and `--detector`.

    Args:
        parser: Parser to add them to.
        hub: Whether the source may be PaddleHub's module.
    """
    hint = ", or hub: PaddleHub's" if hub else ""
    parser.add_argument("--source", help=f"landmarks from: name of a model, path of weights{hint} (face_crop_light)")
    parser.add_argument(
        "--detector", help="faces from: haar, mediapipe, yunet:MODEL, or path of weights (default: ours)"
    )


def given_networks(args: argparse.Namespace) -> str:
    """Return the two options as they were given, for the comparison of runs.

    Example:
        >>> given_networks(argparse.Namespace(source="face_crop", detector=None))
        '--source face_crop'
        >>> given_networks(argparse.Namespace(source=None, detector=None))
        'the default networks'
    """
    given = [f"--{name} {getattr(args, name)}" for name in ("source", "detector") if getattr(args, name) is not None]
    return " ".join(given) or "the default networks"


def check_count(option: str, value: int | None) -> None:
    """Check the value of an option that is a count; None: the option was not given.

    Raises:
        UserError: It is below 1.
    """
    if value is not None and value < 1:
        raise UserError(f"{option} {value}: at least 1")
