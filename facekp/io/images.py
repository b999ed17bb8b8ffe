"""Pictures from and to files: BGR uint8, upright, whatever the file holds."""

from __future__ import annotations

import glob
import os
from collections.abc import Collection, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from facekp.errors import UserError
from facekp.io.files import atomic_path

#: EXIF's tag; from 5 on the image lies on its side.
_ORIENTATION = 0x0112

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a picture as OpenCV and PaddleHub have it.

    Grey, RGBA and 16-bit files work, whatever their suffix says; EXIF orientation is honoured; transparency
    is dropped (use `cv2.imread(path, cv2.IMREAD_UNCHANGED)` where it matters).

    Args:
        path: The file.

    Returns:
        (H, W, 3) uint8, BGR.

    Raises:
        UserError: The file is missing, is no picture or is damaged.
    """
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the name") from error
    image = decode_image(data)
    if image is None:
        raise UserError(f"{path}: not a picture that OpenCV can decode, or damaged; replace or remove it")
    return image


def decode_image(data: np.ndarray) -> np.ndarray | None:
    """Decode the bytes (uint8, 1-D) of a picture file to BGR uint8; None if they are no picture."""
    # IMREAD_COLOR makes three channels of eight bits out of anything and turns the picture by its EXIF tag.
    try:
        return cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    except cv2.error:  # a header that promises more pixels than OpenCV is ready to hold
        return None


def image_size(path: str | os.PathLike[str]) -> tuple[int, int] | None:
    """Width and height of an image as `read_image` reads it, from its first bytes; None if it cannot be read."""
    try:
        with Image.open(path) as image:
            turned = image.getexif().get(_ORIENTATION, 1) >= 5
            return (image.height, image.width) if turned else image.size
    except (OSError, ValueError, TypeError, SyntaxError, Image.DecompressionBombError):
        return None


def write_image(path: str | os.PathLike[str], image: np.ndarray) -> None:
    """Write a BGR or BGRA uint8 picture; the file appears whole or not at all.

    Raises:
        UserError: The suffix names no known format, or the place cannot be written to.
    """
    if Path(path).suffix.lower() not in SUFFIXES:
        raise UserError(f"{path}: unknown picture format; end the name in one of {', '.join(sorted(SUFFIXES))}")
    with atomic_path(path) as temporary:
        parameters = [cv2.IMWRITE_JPEG_QUALITY, 95] if Path(path).suffix.lower() in {".jpg", ".jpeg"} else []
        if not cv2.imwrite(str(temporary), image, parameters):
            raise UserError(f"{path}: OpenCV could not write it; check the free space")


def find_files(inputs: Sequence[str], suffixes: Collection[str] = frozenset(SUFFIXES)) -> list[Path]:
    """List what names, folders and patterns stand for, each file once.

    Args:
        inputs: Files, taken as they are; folders, of which the files with a known suffix are taken, sorted;
            patterns such as "in/*.jpg", for shells that leave them alone.
        suffixes: In lower case, with the dot.

    Raises:
        UserError: An input stands for nothing.
    """
    found: dict[Path, None] = {}
    for name in inputs:
        path = Path(name)
        if len(path.name) > 255:
            raise UserError(f"{name[:40]}...: no such file, the name is too long")
        if path.is_dir():
            matches = sorted(file for file in path.iterdir() if file.suffix.lower() in suffixes)
        else:
            matches = [path] if path.exists() else [Path(match) for match in sorted(glob.glob(name, recursive=True))]
        if not matches:
            raise UserError(f"{name}: no such file, or nothing to work on in it; check the name")
        found.update(dict.fromkeys(matches))
    return list(found)


def as_bgr(image: np.ndarray) -> np.ndarray:
    """An image as a caller gives it -> BGR uint8 (H, W, 3).

    Raises:
        UserError: Not uint8, or of a shape that is no image.
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.size == 0:
        what = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise UserError(f"an image is a uint8 array (height, width, 3) in BGR order, not {what}")
    if image.ndim == 2:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    if image.ndim == 3 and image.shape[2] == 4:
        return np.ascontiguousarray(image[..., :3])
    if image.ndim == 3 and image.shape[2] == 3:
        return image
    raise UserError(f"an image has the shape (height, width, 3), not {image.shape}")
