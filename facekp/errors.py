"""The exception for errors that the user can fix, a warning, and helpers for messages."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class UserError(Exception):
    """An error that the user can fix, in a file, a row, a key or an argument.

    The message is one line that names the cause and the remedy. Command-line tools print it to
    stderr and exit with status 2 (see `facekp.commands.runner`); every other exception is a bug in facekp.
    """


class FacekpWarning(UserWarning):
    """A warning for the user while the work continues; the command line shows it as one line."""


def first_problem(error: ValidationError) -> tuple[str, str]:
    """Return the key and the message of the first problem that pydantic found.

    Args:
        error: Error of pydantic.

    Returns:
        The key with dots, empty if the problem is the whole value; and the message, without the prefix that pydantic
        adds to those of our validators.

    Example:
        >>> from pydantic import TypeAdapter, ValidationError
        >>> try:
        ...     TypeAdapter(dict[str, int]).validate_python({"epochs": None})
        ... except ValidationError as error:
        ...     first_problem(error)
        ('epochs', 'Input should be a valid integer')
    """
    first = error.errors()[0]
    return ".".join(str(part) for part in first["loc"]), first["msg"].removeprefix("Value error, ")


def one_line(text: object) -> str:
    r"""Return a text as one line without characters that a terminal interprets.

    File names may contain any character but a slash: line breaks, sequences that move the cursor or change colours,
    marks that change the writing direction. They are escaped.

    Example:
        >>> print(one_line("a\x1b[2Jb\n  c\u202e"))
        a\x1b[2Jb c\u202e
    """
    joined = " ".join(str(text).split())
    return "".join(_escaped(character) if _is_control(character) else character for character in joined)


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and character != "\u200d"  # joins emoji


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def counted(number: int, what: str) -> str:
    """Return a number with its noun, for a message.

    Example:
        >>> counted(1, "face"), counted(20, "face")
        ('1 face', '20 faces')
    """
    return f"{number} {what}{'s' * (number != 1)}"
