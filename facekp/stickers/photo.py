"""Photos with all that they carry: transparency, EXIF and colour profile survive a sticker."""

from __future__ import annotations

import io
import os
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from facekp.errors import FacekpWarning, UserError
from facekp.io.files import atomic_path
from facekp.io.images import ORIENTATION, PILLOWS_ERRORS, exif_orientation, read_image, upright

#: Suffix -> format as Pillow calls it, whose own list it makes by importing them all.
_FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".bmp": "BMP", ".webp": "WEBP", ".tif": "TIFF",
            ".tiff": "TIFF"}  # fmt: skip

#: JPEG has room for so many bytes of EXIF.
_JPEG_EXIF = 65533

#: Tags by which TIFF says how its pixels are stored; Pillow lists them with the EXIF, but they are not the new file's.
_STORAGE = {*range(254, 270), 273, *range(277, 282), 284, 317, *range(320, 326), 338, 339, 347, *range(529, 533)}


@dataclass(frozen=True)
class Photo:
    """A photo, upright.

    Attributes:
        image: (H, W, 3) BGR or (H, W, 4) BGRA, uint8.
        exif: Its EXIF block, with the orientation set to upright; None if it has none.
        profile: Its ICC colour profile, if there is one that fits an RGB image.
    """

    image: np.ndarray
    exif: bytes | None = None
    profile: bytes | None = None

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Photo:
        """Read a photo.

        Raises:
            UserError: The file is missing, is not an image or is damaged.
        """
        image = read_image(path)
        try:
            with Image.open(path) as file:
                # A camera's JPEG may hold a small copy, or what another lens saw.
                if (pages := getattr(file, "n_frames", 1)) > 1 and file.format not in {"JPEG", "MPO"}:
                    warnings.warn(f"{path}: holds {pages} images; the first alone is read", FacekpWarning, 2)
                exif, profile, mode = file.getexif(), file.info.get("icc_profile") or b"", file.mode
                if mode in {"RGBA", "LA", "PA"} or "transparency" in file.info:
                    alpha = upright(np.asarray(file.convert("RGBA").getchannel("A")), exif_orientation(file))
                    if alpha.shape == image.shape[:2]:
                        image = np.dstack([image, alpha])
                    else:  # Pillow 13 mixes up the sides of uncompressed TIFFs that lie on their side
                        warnings.warn(f"{path}: its transparency cannot be read and will be missing", FacekpWarning, 2)
        except PILLOWS_ERRORS:  # OpenCV knows some formats that Pillow does not
            warnings.warn(f"{path}: its EXIF and colour profile cannot be read and will be missing", FacekpWarning, 2)
            return cls(image)
        for tag in _STORAGE & set(exif):
            del exif[tag]
        if ORIENTATION in exif:
            exif[ORIENTATION] = 1
        # Grey and CMYK images become RGB; their profiles do not fit that.
        return cls(image, exif.tobytes() if len(exif) else None, profile if profile[16:20] == b"RGB " else None)

    def replace(self, image: np.ndarray) -> Photo:
        """The same photo with other pixels."""
        return replace(self, image=image)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the photo; the file appears whole or not at all.

        Raises:
            UserError: The suffix names no known format, or the place cannot be written to.
        """
        suffix = Path(path).suffix.lower()
        if suffix not in _FORMATS:
            raise UserError(f"{path}: unknown image format; end the name in one of {', '.join(sorted(_FORMATS))}")
        opaque = suffix in {".jpg", ".jpeg", ".bmp"}  # they know no transparency
        image = self.image[..., :3] if opaque else self.image
        code = cv2.COLOR_BGR2RGB if image.shape[2] == 3 else cv2.COLOR_BGRA2RGBA
        carried = {} if suffix == ".bmp" else {"exif": self.exif, "icc_profile": self.profile}
        options: dict[str, Any] = {key: value for key, value in carried.items() if value}
        if suffix in {".jpg", ".jpeg", ".webp"}:
            options["quality"] = 95
        if _FORMATS[suffix] == "JPEG" and len(options.get("exif", b"")) > _JPEG_EXIF:
            warnings.warn(f"{path}: its EXIF is too long for JPEG and will be missing", FacekpWarning, 2)
            del options["exif"]
        # Encode first: nothing is written if that fails.
        data = io.BytesIO()
        try:
            Image.fromarray(cv2.cvtColor(image, code)).save(data, _FORMATS[suffix], **options)
        except (OSError, ValueError) as error:  # WebP ends at 16,383 pixels, JPEG at 65,500
            raise UserError(
                f"{path}: {image.shape[1]}x{image.shape[0]} pixels cannot be written as {_FORMATS[suffix]} ({error}); "
                "take another format, such as .png"
            ) from error
        with atomic_path(path) as temporary:
            temporary.write_bytes(data.getvalue())
