"""Images from and to files: BGR uint8, upright, whatever the file holds."""

from __future__ import annotations

import glob
import io
import os
import struct
import warnings
import zlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from PIL import Image, UnidentifiedImageError

from facekp.errors import FacekpWarning, UserError
from facekp.io.files import LONGEST_NAME, atomic_path, read_bytes

#: EXIF's tag; from 5 on the image lies on its side.
ORIENTATION = 0x0112

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}

#: An image's file has no more bytes, and an image no more pixels: 500 MB once it is decoded.
MAX_BYTES, MAX_PIXELS = 512 << 20, 178_956_970

#: EXIF's orientation -> what puts the image upright.
_TURNS = {
    2: lambda image: cv2.flip(image, 1),
    3: lambda image: cv2.rotate(image, cv2.ROTATE_180),
    4: lambda image: cv2.flip(image, 0),
    5: cv2.transpose,
    6: lambda image: cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE),
    7: lambda image: cv2.flip(cv2.transpose(image), -1),
    8: lambda image: cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE),
}

_STRICT: ContextVar[bool] = ContextVar("strict", default=False)


class DamagedImageWarning(FacekpWarning):
    """An image that could be decoded, though not as it was written: a part of it is made up."""


@contextmanager
def only_sound_images() -> Iterator[None]:
    """Let `read_image` refuse damaged images in this thread, also those that could be decoded."""
    token = _STRICT.set(True)
    try:
        yield
    finally:
        _STRICT.reset(token)


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """Read an image as OpenCV and PaddleHub have it.

    Grey, RGBA and 16-bit files work, whatever their suffix says; EXIF orientation is honoured; transparency
    is dropped (use `cv2.imread(path, cv2.IMREAD_UNCHANGED)` where it matters).

    A file with missing or corrupt parts, which decoders fill in, is reported by a `DamagedImageWarning`.

    Args:
        path: The file.

    Returns:
        (H, W, 3) uint8, BGR.

    Raises:
        UserError: The file is missing, is not an image, is too large or is damaged.
    """
    try:
        data = np.frombuffer(read_bytes(path, MAX_BYTES), np.uint8)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the name") from error
    try:
        image, flaw = decode_and_check(data)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error
    if flaw is not None:
        if _STRICT.get():
            raise UserError(f"{path}: damaged ({flaw}); replace or remove it")
        warnings.warn(f"{path}: damaged, a part of the image is not as it was ({flaw})", DamagedImageWarning, 2)
    return image


def decode_image(data: np.ndarray) -> np.ndarray | None:
    """Decode the bytes (uint8, 1-D) of an image file to BGR uint8; None if they are not an image."""
    try:
        return decode_and_check(data)[0]
    except ValueError:
        return None


def decode_and_check(data: np.ndarray) -> tuple[np.ndarray, str | None]:
    """Decode the bytes (uint8, 1-D) of an image file, and look whether it is as it was written.

    Returns:
        BGR uint8, upright; and what is wrong with it, or None. JPEG and TIFF decoders continue behind a corrupt
        part, and PNG has checksums that not every decoder compares. BMP and what OpenCV alone decodes show no damage.

    Raises:
        ValueError: It is not an image, too large, or too damaged, in the words of a message to the user.
    """
    content = data.tobytes()
    kind, orientation, flaw = _look_at_header(content)
    image = None
    if kind in {"JPEG", "MPO"}:
        image, flaw = _decode_jpeg(content)
        if image is not None:
            return upright(image, orientation), flaw
    # IMREAD_COLOR makes three channels of eight bits out of anything and turns the image by its EXIF tag.
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    except cv2.error:  # a header that promises more pixels than OpenCV is ready to hold
        image = None
    if image is None:
        raise ValueError("not an image that OpenCV can decode, or damaged; replace or remove it")
    return (_undarkened(image, content) if kind == "TIFF" else image), flaw


def _undarkened(image: np.ndarray, content: bytes) -> np.ndarray:
    """A TIFF's own colours: OpenCV multiplies them by the transparency."""
    try:
        with Image.open(io.BytesIO(content)) as file:
            if file.mode not in {"RGBA", "LA", "PA"}:
                return image
            colours = np.ascontiguousarray(np.asarray(file.convert("RGBA"))[..., 2::-1])
    except PILLOWS_ERRORS:
        return image
    return colours if colours.shape == image.shape else image


def _look_at_header(content: bytes) -> tuple[str | None, int, str | None]:
    """The format as Pillow calls it, the EXIF orientation, and whether the file's own checksums say of damage."""
    try:
        with Image.open(io.BytesIO(content)) as file:
            kind, pixels = file.format, file.width * file.height
            orientation = exif_orientation(file) if b"Exif" in content else 1
            if kind in {"PNG", "TIFF"} and pixels <= MAX_PIXELS:
                return kind, orientation, _own_flaw(file)
    except Image.DecompressionBombError:
        pixels = MAX_PIXELS + 1
    except PILLOWS_ERRORS:
        return None, 1, None  # whether it is an image at all is for OpenCV to say
    if pixels > MAX_PIXELS:
        raise ValueError(f"more than {MAX_PIXELS // 1_000_000} million pixels; shrink it")
    return kind, orientation, None


#: What Pillow raises for files that it does not know, or finds damaged.
PILLOWS_ERRORS = (UnidentifiedImageError, OSError, ValueError, SyntaxError, TypeError, KeyError, IndexError,
                  OverflowError, EOFError, NotImplementedError, struct.error, zlib.error)  # fmt: skip


def exif_orientation(file: Image.Image) -> int:
    """How an image lies in its file, 1 to 8, by its EXIF block alone, as OpenCV has it.

    Pillow's `getexif` takes XMP's word as well. TIFF has a tag of its own, which Pillow obeys when it opens the file.
    """
    exif = Image.Exif()
    try:
        exif.load(file.info.get("exif", b""))
        return int(exif.get(ORIENTATION, 1)) if file.format != "TIFF" else 1
    except PILLOWS_ERRORS:
        return 1


def upright(image: np.ndarray, orientation: int) -> np.ndarray:
    """Turn an image by an EXIF orientation; unknown ones leave it as it is."""
    return _TURNS.get(orientation, np.asarray)(image)


def _own_flaw(file: Image.Image) -> str | None:
    """What is wrong with a PNG by its checksums, or with a TIFF by its decoder."""
    try:
        if file.format == "PNG":
            file.verify()
        else:
            file.load()
    except (OSError, SyntaxError, struct.error, zlib.error) as error:
        if file.format == "PNG" or str(error).startswith(("decoder error", "image file is truncated")):
            return " ".join(str(error).split())
    except PILLOWS_ERRORS:
        pass  # a kind of TIFF that Pillow does not know
    return None


def _decode_jpeg(content: bytes) -> tuple[np.ndarray | None, str | None]:
    """Decode a JPEG as OpenCV would; None for one that is OpenCV's to decode; and what libjpeg had to correct."""
    image, flaw, printed = None, None, False
    try:
        printed = simplejpeg.decode_jpeg_header(content)[2] in {"CMYK", "YCCK"}
        image = simplejpeg.decode_jpeg(content, "CMYK" if printed else "BGR")
    except ValueError as error:
        flaw = " ".join(str(error).split())
        if flaw.startswith(("tj", "Unsupported color")):  # what TurboJPEG cannot do, not what is wrong with the file
            flaw = None
        elif flaw.startswith("Corrupt JPEG data"):
            image = simplejpeg.decode_jpeg(content, "CMYK" if printed else "BGR", strict=False)
    return (None if printed else image), flaw


def image_size(path: str | os.PathLike[str]) -> tuple[int, int] | None:
    """Width and height of an image as `read_image` reads it, from its first bytes; None if it cannot be read."""
    try:
        with Image.open(path) as image:
            return (image.height, image.width) if 5 <= exif_orientation(image) <= 8 else image.size
    except (OSError, ValueError, TypeError, SyntaxError, Image.DecompressionBombError):
        return None


def write_image(path: str | os.PathLike[str], image: np.ndarray) -> None:
    """Write a BGR or BGRA uint8 image; the file appears whole or not at all.

    Raises:
        UserError: The suffix names no known format, or the place cannot be written to.
    """
    if Path(path).suffix.lower() not in SUFFIXES:
        raise UserError(f"{path}: unknown image format; end the name in one of {', '.join(sorted(SUFFIXES))}")
    with atomic_path(path) as temporary:
        parameters = [cv2.IMWRITE_JPEG_QUALITY, 95] if Path(path).suffix.lower() in {".jpg", ".jpeg"} else []
        if not cv2.imwrite(str(temporary), image, parameters):
            raise UserError(f"{path}: OpenCV could not write it; check the free space")


def image_named(stem: Path) -> Path | None:
    """The image file of a name without its suffix, which may be in capital letters; None if there is none."""
    suffixes = sorted(SUFFIXES)
    files = (stem.with_name(stem.name + suffix) for suffix in (*suffixes, *map(str.upper, suffixes)))
    return next((file for file in files if file.is_file()), None)


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
        if not name:  # Path("") is the current folder
            raise UserError("'': an empty name; give a file, a folder or a pattern")
        path = Path(name)
        if "\0" in name:
            raise UserError(f"{name}: no such file, a name cannot hold a NUL byte")
        if len(os.fsencode(path.name)) > LONGEST_NAME:
            raise UserError(f"{name[:40]}...: no such file, the name is too long")
        if path.is_dir():
            matches = sorted(file for file in path.iterdir() if file.suffix.lower() in suffixes)
        else:
            matches = (
                [path]
                if path.exists()
                else [Path(match) for match in sorted(glob.glob(name, recursive=True)) if os.path.exists(match)]
            )
        if not matches:
            what = "nothing to work on in this folder" if path.is_dir() else "no such file"
            raise UserError(f"{name}: {what}; check the name")
        found.update(dict.fromkeys(matches))
    return list(found)


def as_bgr(image: np.ndarray) -> np.ndarray:
    """An image as a caller gives it -> BGR uint8 (H, W, 3).

    Raises:
        UserError: Not uint8, or of a shape that is not an image.
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
