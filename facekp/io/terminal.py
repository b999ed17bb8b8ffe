"""Output to a terminal that may show progress bars."""

from __future__ import annotations

import sys
from typing import TextIO


def tell(text: str, file: TextIO | None = None) -> None:
    """Print a line, above the progress bars of tqdm if there are any.

    Tqdm is not imported here: the import takes longer than putting a sticker on a face.

    Args:
        text: Line to print.
        file: Output stream; stdout if None.

    Example:
        >>> tell("photo_sticker.jpg")
        photo_sticker.jpg
    """
    tqdm = sys.modules.get("tqdm")
    (print if tqdm is None else tqdm.tqdm.write)(text, file=file or sys.stdout)
