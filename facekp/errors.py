"""The one exception that means "the user can fix this"."""

from __future__ import annotations

import unicodedata


class UserError(Exception):
    """Something the user can fix: a file, a row, a key or an argument.

    The message is one line that names the culprit and the remedy. Command-line tools print it on
    stderr and leave with status 2 (see `facekp.commands.runner`); every other exception is a fault of ours.
    """


class FacekpWarning(UserWarning):
    """Something that the user should know of, though the work continues; the command line shows it as one line."""


def one_line(text: object) -> str:
    r"""A text as one line that a terminal shows and does not obey.

    File names may hold anything but a slash: line breaks, sequences that move the cursor or recolour what follows,
    marks that turn the direction of writing. They are spelt out.

    Example:
        >>> print(one_line("a\x1b[2Jb\n  c\u202e"))
        a\x1b[2Jb c\u202e
    """
    joined = " ".join(str(text).split())
    return "".join(_spelt(character) if _obeyed(character) else character for character in joined)


def _obeyed(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and character != "\u200d"  # of emoji


def _spelt(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def counted(number: int, what: str) -> str:
    """A number of things, in words for a message.

    Example:
        >>> counted(1, "face"), counted(20, "face")
        ('1 face', '20 faces')
    """
    return f"{number} {what}{'s' * (number != 1)}"
