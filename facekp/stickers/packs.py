"""Finding sticker packs and loading them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from facekp.errors import UserError
from facekp.stickers.fit import fit
from facekp.stickers.manifest import LayerSpec, Place, open_pack, read_file, read_manifest
from facekp.stickers.sticker import Layer, Sticker
from facekp.stickers.texture import Texture, decode_png, png_size

#: A layer has no more pixels, in all its frames together: half a gigabyte once they are decoded.
MAX_PIXELS = 32 << 20

_HERE = Path(__file__).resolve().parent


def packs_folder() -> Path:
    """Where the shipped packs lie: inside an installed package, or in `assets/stickers` of a clone."""
    installed, clone = _HERE / "packs_data", _HERE.parents[1] / "assets" / "stickers"
    return installed if installed.is_dir() else clone


def list_stickers() -> list[str]:
    """Names of the shipped packs, sorted.

    Example:
        >>> "sunglasses" in list_stickers()
        True
    """
    return sorted(path.parent.name for path in packs_folder().glob("*/manifest.json"))


def load_sticker(source: str | os.PathLike[str]) -> Sticker:
    """Load a sticker and check every word of its manifest.

    Args:
        source: Name of a shipped pack, or path of a pack's folder or `.zip`.

    Returns:
        The sticker, ready to `apply`.

    Raises:
        UserError: There is no such pack, or something in it is wrong.

    Example:
        >>> load_sticker("sunglasses").title
        'Sunglasses'
    """
    path = Path(source)
    if str(source) in list_stickers():
        path = packs_folder() / path
    elif not os.path.exists(path):
        raise UserError(f"{source}: no sticker; give a pack's path or one of {', '.join(list_stickers())}")
    pack = open_pack(path)
    spec = read_manifest(pack)
    layers = [_load_layer(pack, layer, spec.max_faces) for layer in spec.layers]
    return Sticker(layers, spec.name, spec.title)


def _load_layer(pack: Place, spec: LayerSpec, max_faces: int) -> Layer:
    """Read a layer's pictures and check its anchors against them."""
    here = f"{pack / 'manifest.json'}: layer {spec.name!r}"
    frames: list[Texture] = []
    total = 0
    for decode in (False, True):  # what is too much is told before anything is decoded
        for name in spec.frames:
            data = read_file(pack, name)
            try:
                width, height = png_size(data)
                total += 0 if decode else width * height
                if total > MAX_PIXELS:
                    raise ValueError(f"more than {MAX_PIXELS >> 20} million pixels with those before it; shrink them")
                if decode:
                    frames.append(Texture(decode_png(data)))
            except ValueError as error:
                raise UserError(f"{here}, key 'frames': {pack / name}: {error}") from error
    width, height = frames[0].size
    if any(frame.size != (width, height) for frame in frames):
        raise UserError(f"{here}, key 'frames': the pictures differ in size; make all {width}x{height}")
    for place, (x, y) in spec.anchors.items():
        if not (0 <= x <= width and 0 <= y <= height):
            raise UserError(f"{here}, key 'anchors.{place}': ({x:g}, {y:g}) lies outside the {width}x{height} picture")
    pixels = np.array(list(spec.anchors.values()), np.float64)
    try:
        placement = fit(spec.fit, pixels, pixels)
    except ValueError as error:
        raise UserError(f"{here}, key 'anchors': {error}; move them apart") from error
    if placement is None:
        raise UserError(f"{here}, key 'anchors': two of them fall into one; move them apart")
    return Layer(
        spec.name,
        tuple(frames),
        tuple(spec.anchors),
        pixels,
        spec.fit,
        spec.frame_ms,
        spec.order,
        spec.opacity,
        spec.blend,
        spec.trigger,
        spec.behind,
        max_faces,
    )
