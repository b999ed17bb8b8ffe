"""Lines on a terminal that may show progress bars."""

from __future__ import annotations

import sys
from typing import TextIO


def tell(text: str, file: TextIO | None = None) -> None:
    """Print a line, above the bars of tqdm if there are any.

    Tqdm is not imported for it: that takes longer than putting a sticker on a face.

    Args:
        text: The line.
        file: Where to; stdout if None.

    Example:
        >>> tell("photo_sticker.jpg")
        photo_sticker.jpg
    """
    tqdm = sys.modules.get("tqdm")
    (print if tqdm is None else tqdm.tqdm.write)(text, file=file or sys.stdout)
