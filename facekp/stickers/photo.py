"""Photos with their metadata: transparency, EXIF and colour profile are kept when a sticker is applied."""

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

#: Suffix -> Pillow's name of the format. Pillow's own list would import the plugins of all formats.
_FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".bmp": "BMP", ".webp": "WEBP", ".tif": "TIFF",
            ".tiff": "TIFF"}  # fmt: skip

#: Maximum size of the EXIF block of a JPEG in bytes.
_JPEG_EXIF = 65533

#: TIFF tags that describe how pixels are stored. Pillow lists them as EXIF, but they do not apply to a new file.
_STORAGE = {*range(254, 270), 273, *range(277, 282), 284, 317, *range(320, 326), 338, 339, 347, *range(529, 533)}


@dataclass(frozen=True)
class Photo:
    """Photo in upright orientation.

    Attributes:
        image: (H, W, 3) BGR or (H, W, 4) BGRA, uint8.
        exif: EXIF block with the orientation set to upright; None if the photo has none.
        profile: ICC colour profile; None if the photo has none for RGB images.
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
                # A camera's JPEG may contain a thumbnail, or the image of another lens.
                if (pages := getattr(file, "n_frames", 1)) > 1 and file.format not in {"JPEG", "MPO"}:
                    warnings.warn(f"{path}: holds {pages} images; the first alone is read", FacekpWarning, 2)
                exif, profile, mode = file.getexif(), file.info.get("icc_profile") or b"", file.mode
                if mode in {"RGBA", "LA", "PA"} or "transparency" in file.info:
                    alpha = upright(np.asarray(file.convert("RGBA").getchannel("A")), exif_orientation(file))
                    if alpha.shape == image.shape[:2]:
                        image = np.dstack([image, alpha])
                    else:  # Pillow 13 confuses width and height of uncompressed TIFFs stored on their side
                        warnings.warn(f"{path}: its transparency cannot be read and will be missing", FacekpWarning, 2)
        except PILLOWS_ERRORS:  # OpenCV reads some formats that Pillow does not
            warnings.warn(f"{path}: its EXIF and colour profile cannot be read and will be missing", FacekpWarning, 2)
            return cls(image)
        for tag in _STORAGE & set(exif):
            del exif[tag]
        if ORIENTATION in exif:
            exif[ORIENTATION] = 1
        # Grey and CMYK images are converted to RGB, which their profiles do not describe.
        return cls(image, exif.tobytes() if len(exif) else None, profile if profile[16:20] == b"RGB " else None)

    def replace(self, image: np.ndarray) -> Photo:
        """Return the same photo with other pixels."""
        return replace(self, image=image)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the photo; the file is written completely or not at all.

        Raises:
            UserError: The suffix is no known format, the image is too large for it, or the file cannot be written.
        """
        suffix = Path(path).suffix.lower()
        if suffix not in _FORMATS:
            raise UserError(f"{path}: unknown image format; end the name in one of {', '.join(sorted(_FORMATS))}")
        opaque = suffix in {".jpg", ".jpeg", ".bmp"}  # these have no transparency
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
        except (OSError, ValueError) as error:  # the limit of WebP is 16,383 pixels, of JPEG 65,500
            raise UserError(
                f"{path}: {image.shape[1]}x{image.shape[0]} pixels cannot be written as {_FORMATS[suffix]} ({error}); "
                "take another format, such as .png"
            ) from error
        with atomic_path(path) as temporary:
            temporary.write_bytes(data.getvalue())
