"""Finding sticker packs and loading them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from facekp.errors import UserError
from facekp.landmarks import MEAN_FACE, anchors
from facekp.stickers.fit import fit
from facekp.stickers.makeup import Paint
from facekp.stickers.manifest import LayerSpec, PaintSpec, Place, TriggerSpec, open_pack, read_file, read_manifest
from facekp.stickers.sticker import Layer, Sticker, Worn
from facekp.stickers.texture import Texture, decode_png, png_size
from facekp.stickers.triangles import mesh_points
from facekp.stickers.triggers import Trigger
from facekp.vision import geometry

#: Maximum number of pixels of all images of a pack together: half a gigabyte when decoded.
MAX_PIXELS = 32 << 20

_HERE = Path(__file__).resolve().parent


def packs_folder() -> Path:
    """Return the folder of the shipped packs: inside an installed package, or in `assets/stickers` of a clone."""
    installed, clone = _HERE / "packs_data", _HERE.parents[1] / "assets" / "stickers"
    return installed if installed.is_dir() else clone


def list_stickers() -> list[str]:
    """Return the names of the shipped packs, sorted.

    Example:
        >>> "sunglasses" in list_stickers()
        True
    """
    return sorted(path.parent.name for path in packs_folder().glob("*/manifest.json"))


def load_sticker(source: str | os.PathLike[str]) -> Sticker:
    """Load a sticker and validate its manifest.

    Args:
        source: Name of a shipped pack, or path of a pack's folder or `.zip`.

    Returns:
        The sticker, ready to `apply`.

    Raises:
        UserError: There is no such pack, or it is invalid.

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
    _check_pixels(pack, spec.layers)
    layers = [_load_layer(pack, layer, spec.max_faces) for layer in spec.layers]
    return Sticker(layers, spec.name, spec.title)


def _check_pixels(pack: Place, layers: Sequence[LayerSpec | PaintSpec]) -> None:
    """Reject images with too many pixels in total, before any is decoded."""
    total = 0
    for layer in layers:
        for name in layer.frames if isinstance(layer, LayerSpec) else ():
            with _naming(pack, layer.name, name):
                width, height = png_size(read_file(pack, name))
                total += width * height
                if total > MAX_PIXELS:
                    raise ValueError(f"more than {MAX_PIXELS >> 20} million pixels with those before it; shrink them")


@contextmanager
def _naming(pack: Place, layer: str, image: str) -> Iterator[None]:
    """Turn a `ValueError` into a `UserError` that names the layer and the image."""
    try:
        yield
    except ValueError as error:
        where = f"{pack / 'manifest.json'}: layer {layer!r}, key 'frames'"
        raise UserError(f"{where}: {pack / image}: {error}") from error


def _load_layer(pack: Place, spec: LayerSpec | PaintSpec, max_faces: int) -> Worn:
    """Read a layer's images and check its anchors against them."""
    trigger = _trigger(spec.trigger)
    if isinstance(spec, PaintSpec):
        red, green, blue = bytes.fromhex(spec.colour[1:])
        return Paint(spec.name, spec.region, (blue, green, red), spec.opacity, spec.order, trigger, max_faces)
    here = f"{pack / 'manifest.json'}: layer {spec.name!r}"
    frames = []
    for name in spec.frames:
        with _naming(pack, spec.name, name):
            frames.append(Texture(decode_png(read_file(pack, name))))
    width, height = frames[0].size
    if any(frame.size != (width, height) for frame in frames):
        raise UserError(f"{here}, key 'frames': the images differ in size; make all {width}x{height}")
    for place, (x, y) in spec.anchors.items():
        if not (-0.5 <= x <= width and -0.5 <= y <= height):  # from the left edge of the first pixel
            raise UserError(f"{here}, key 'anchors.{place}': ({x:g}, {y:g}) lies outside the {width}x{height} image")
    pixels = np.array(list(spec.anchors.values()), np.float64)
    try:
        placement = fit("affine" if spec.fit == "face" else spec.fit, pixels, pixels)
        if spec.fit == "face":  # drawn over the mean face: the anchors determine all points
            mean = anchors(MEAN_FACE)
            drawn = geometry.affine(np.array([mean[name] for name in spec.anchors]), pixels)
            pixels = geometry.apply(drawn, mesh_points(MEAN_FACE))
    except ValueError as error:
        raise UserError(f"{here}, key 'anchors': {error}; move them apart") from error
    if placement is None:
        raise UserError(f"{here}, key 'anchors': two of them coincide; move them apart")
    own = spec.model_dump(exclude={"name", "frames", "anchors", "trigger"})
    return Layer(spec.name, tuple(frames), tuple(spec.anchors), pixels, trigger=trigger, max_faces=max_faces, **own)


def _trigger(spec: str | TriggerSpec) -> Trigger | None:
    if spec == "always":
        return None
    return Trigger(spec) if isinstance(spec, str) else Trigger(**spec.model_dump())
