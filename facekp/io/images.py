"""Reading and writing of image files: upright BGR uint8, whatever the format of the file."""

from __future__ import annotations

import base64
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

#: EXIF tag of the orientation; from 5 on, width and height are swapped.
ORIENTATION = 0x0112

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}

#: Maximum size of an image file in bytes, and maximum number of pixels of an image: 500 MB once it is decoded.
MAX_BYTES, MAX_PIXELS = 512 << 20, 178_956_970

#: EXIF orientation -> function that makes the image upright.
_TO_UPRIGHT = {
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
    """Warning about a damaged image that was decoded, with a part of it filled in by the decoder."""


@contextmanager
def only_sound_images() -> Iterator[None]:
    """Make `read_image` reject damaged images in this thread, also those that could be decoded."""
    token = _STRICT.set(True)
    try:
        yield
    finally:
        _STRICT.reset(token)


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """Read an image in the format of OpenCV and PaddleHub.

    Grey, RGBA and 16-bit files are supported, whatever their suffix; EXIF orientation is applied; transparency
    is dropped (use `cv2.imread(path, cv2.IMREAD_UNCHANGED)` to keep it).

    A file with missing or corrupt parts, which decoders fill in, is reported by a `DamagedImageWarning`.

    Args:
        path: Path of the image file.

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
    """Decode the bytes (uint8, 1-D) of an image file, and check it for damage.

    Returns:
        BGR uint8, upright; and a description of the damage, or None. JPEG and TIFF decoders continue after a corrupt
        part, and PNG has checksums that not every decoder verifies. Damage of BMP and of formats that only OpenCV
        decodes is not detected.

    Raises:
        ValueError: It is not an image, too large, or too damaged; the message is written for the user.
    """
    content = data.tobytes()
    kind, orientation, flaw = _read_header(content)
    image = None
    if kind in {"JPEG", "MPO"}:
        image, flaw = _decode_jpeg(content)
        if image is not None:
            return upright(image, orientation), flaw
    # IMREAD_COLOR converts every format to three channels of eight bits and applies the EXIF orientation.
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    except cv2.error:  # a header that declares more pixels than OpenCV accepts
        image = None
    if image is None:
        raise ValueError("not an image that OpenCV can decode, or damaged; replace or remove it")
    return (_unpremultiplied(image, content) if kind == "TIFF" else image), flaw


def _unpremultiplied(image: np.ndarray, content: bytes) -> np.ndarray:
    """Return the original colours of a TIFF: OpenCV multiplies them by alpha."""
    try:
        with Image.open(io.BytesIO(content)) as file:
            if file.mode not in {"RGBA", "LA", "PA"}:
                return image
            colours = np.ascontiguousarray(np.asarray(file.convert("RGBA"))[..., 2::-1])
    except PILLOWS_ERRORS:
        return image
    return colours if colours.shape == image.shape else image


def _read_header(content: bytes) -> tuple[str | None, int, str | None]:
    """Return Pillow's name of the format, the EXIF orientation, and the damage that Pillow finds, or None."""
    try:
        with Image.open(io.BytesIO(content)) as file:
            kind, pixels = file.format, file.width * file.height
            orientation = exif_orientation(file) if b"Exif" in content else 1
            if kind in {"PNG", "TIFF"} and pixels <= MAX_PIXELS:
                return kind, orientation, _pillow_flaw(file)
    except Image.DecompressionBombError:
        pixels = MAX_PIXELS + 1
    except PILLOWS_ERRORS:
        return None, 1, None  # OpenCV decides whether it is an image
    if pixels > MAX_PIXELS:
        raise ValueError(f"more than {MAX_PIXELS // 1_000_000} million pixels; shrink it")
    return kind, orientation, None


#: Exceptions that Pillow raises for unknown or damaged files.
PILLOWS_ERRORS = (UnidentifiedImageError, OSError, ValueError, SyntaxError, TypeError, KeyError, IndexError,
                  OverflowError, EOFError, NotImplementedError, struct.error, zlib.error)  # fmt: skip


def exif_orientation(file: Image.Image) -> int:
    """Return the orientation of an image in its file, 1 to 8, from its EXIF block alone, as in OpenCV.

    Pillow's `getexif` also reads XMP. TIFF has its own tag, which Pillow applies when it opens the file.
    """
    exif = Image.Exif()
    try:
        exif.load(file.info.get("exif", b""))
        return int(exif.get(ORIENTATION, 1)) if file.format != "TIFF" else 1
    except PILLOWS_ERRORS:
        return 1


def upright(image: np.ndarray, orientation: int) -> np.ndarray:
    """Make an image upright by its EXIF orientation; unknown orientations leave it unchanged."""
    return _TO_UPRIGHT.get(orientation, np.asarray)(image)


def _pillow_flaw(file: Image.Image) -> str | None:
    """Return the damage of a PNG found by its checksums, or of a TIFF found by its decoder."""
    try:
        if file.format == "PNG":
            file.verify()
        else:
            file.load()
    except (OSError, SyntaxError, struct.error, zlib.error) as error:
        if file.format == "PNG" or str(error).startswith(("decoder error", "image file is truncated")):
            return " ".join(str(error).split())
    except PILLOWS_ERRORS:
        pass  # a kind of TIFF that Pillow does not support
    return None


def _decode_jpeg(content: bytes) -> tuple[np.ndarray | None, str | None]:
    """Decode a JPEG as OpenCV would, None if OpenCV must decode it; and return what libjpeg had to correct."""
    image, flaw, cmyk = None, None, False
    try:
        cmyk = simplejpeg.decode_jpeg_header(content)[2] in {"CMYK", "YCCK"}
        image = simplejpeg.decode_jpeg(content, "CMYK" if cmyk else "BGR")
    except ValueError as error:
        flaw = " ".join(str(error).split())
        if flaw.startswith(("tj", "Unsupported color")):  # a limit of TurboJPEG, not damage of the file
            flaw = None
        elif flaw.startswith("Corrupt JPEG data"):
            image = simplejpeg.decode_jpeg(content, "CMYK" if cmyk else "BGR", strict=False)
    return (None if cmyk else image), flaw


def image_size(path: str | os.PathLike[str]) -> tuple[int, int] | None:
    """Return width and height of an image as `read_image` reads it, from its first bytes; None if unreadable."""
    try:
        with Image.open(path) as image:
            return (image.height, image.width) if 5 <= exif_orientation(image) <= 8 else image.size
    except (OSError, ValueError, TypeError, SyntaxError, Image.DecompressionBombError):
        return None


def write_image(path: str | os.PathLike[str], image: np.ndarray) -> None:
    """Write a BGR or BGRA uint8 image atomically.

    Raises:
        UserError: The suffix is not that of a known format, or the file cannot be written.
    """
    if Path(path).suffix.lower() not in SUFFIXES:
        raise UserError(f"{path}: unknown image format; end the name in one of {', '.join(sorted(SUFFIXES))}")
    with atomic_path(path) as temporary:
        parameters = [cv2.IMWRITE_JPEG_QUALITY, 95] if Path(path).suffix.lower() in {".jpg", ".jpeg"} else []
        if not cv2.imwrite(str(temporary), image, parameters):
            raise UserError(f"{path}: OpenCV could not write it; check the free space")


def jpeg_base64(image: np.ndarray, quality: int) -> str:
    """Encode a BGR uint8 image as JPEG in base64, for an HTML page."""
    return base64.b64encode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()).decode()


def image_named(stem: Path) -> Path | None:
    """Return the image file with this stem and a suffix in lower or upper case; None if there is none."""
    suffixes = sorted(SUFFIXES)
    files = (stem.with_name(stem.name + suffix) for suffix in (*suffixes, *map(str.upper, suffixes)))
    return next((file for file in files if file.is_file()), None)


def find_files(inputs: Sequence[str], suffixes: Collection[str] = frozenset(SUFFIXES)) -> list[Path]:
    """List the files that names, folders and patterns match, each file once.

    Args:
        inputs: Files; folders, whose files with a known suffix are listed, sorted; patterns such as "in/*.jpg", for
            shells that do not expand them.
        suffixes: Known suffixes in lower case, with the dot.

    Raises:
        UserError: An input matches no file.
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
    """Validate an image from a caller and convert it to BGR uint8 (H, W, 3).

    Raises:
        UserError: The array is not uint8, or does not have the shape of an image.
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
