"""Stickers from plain images of glasses, without a manifest."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from facekp.errors import UserError
from facekp.io.files import read_bytes
from facekp.stickers.manifest import MAX_BYTES
from facekp.stickers.sticker import Layer, Sticker
from facekp.stickers.texture import Texture, decode_png

#: Horizontal position of the centre of each lens, as a fraction of the width of the glasses.
LENSES = (0.27, 0.73)


def load_glasses(folder: Path) -> list[Sticker]:
    """Make a sticker from every PNG in a folder; each must show one pair of glasses from the front.

    Only the visible part counts: its vertical centre is placed on the eyes, and `LENSES` gives the lens centres.

    Raises:
        UserError: There is no PNG, or one of them has no transparency, is damaged or has no visible part.
    """
    files = sorted(file for file in folder.glob("*") if file.suffix.lower() == ".png")
    if not files:
        raise UserError(f"{folder}: no PNG of glasses in it; give a folder of them")
    return [_load(file) for file in files]


def _load(file: Path) -> Sticker:
    try:
        texture = Texture(decode_png(read_bytes(file, MAX_BYTES)))
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror}); replace or remove it") from error
    except ValueError as error:
        raise UserError(f"{file}: {error}") from error
    x0, y0, x1, y1 = texture.box
    if x1 - x0 < 2:
        raise UserError(f"{file}: shows nothing; draw the glasses on a transparent ground")
    left, right = (x0 + share * (x1 - x0) for share in LENSES)
    height = (y0 + y1) / 2
    pixels = np.array([(left, height), (right, height), ((left + right) / 2, height - (right - left))])
    return Sticker([Layer("front", (texture,), ("left_eye", "right_eye", "above_eyes"), pixels, "affine", order=20)],
                   file.stem, file.stem)  # fmt: skip
