"""Photos: size, transparency, EXIF data and colour profile are kept, or a warning says what is lost."""

from __future__ import annotations

import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from facekp.errors import FacekpWarning, UserError
from facekp.stickers.photo import Photo

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def gradient(mode: str, size: tuple[int, int] = (40, 24)) -> Image.Image:
    bands = [Image.linear_gradient("L").resize(size).rotate(90 * i) for i in range(4)]
    return bands[0] if mode == "L" else Image.merge(mode, bands[: len(mode)])


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_exif_and_profile(tmp_path: Path, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x010F] = "A camera"
    exif[0x0112] = 6  # stored rotated by 90 degrees
    path, out = tmp_path / f"in{suffix}", tmp_path / f"out{suffix}"
    gradient("RGB").save(path, exif=exif, icc_profile=PROFILE, quality=95)
    photo = Photo.read(path)
    assert photo.image.shape == (40, 24, 3)
    photo.write(out)
    with Image.open(out) as result:
        assert result.size == (24, 40)
        assert result.getexif()[0x010F] == "A camera"
        assert result.getexif().get(0x0112, 1) == 1
        assert result.info["icc_profile"] == PROFILE
    assert np.abs(Photo.read(out).image.astype(int) - photo.image).mean() <= 3


def test_a_profile_is_kept_if_it_is_one_of_rgb(tmp_path: Path) -> None:
    gradient("RGB").quantize(16).save(tmp_path / "palette.png", icc_profile=PROFILE)
    assert Photo.read(tmp_path / "palette.png").profile == PROFILE
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    gradient("RGB").convert("CMYK").save(tmp_path / "other.jpg", icc_profile=lab)
    assert Photo.read(tmp_path / "other.jpg").profile is None


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_transparency(tmp_path: Path, suffix: str, orientation: int) -> None:
    path, out = tmp_path / f"in{suffix}", tmp_path / f"out{suffix}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {".png": {}, ".webp": {"lossless": True}, ".tif": {"compression": "tiff_lzw"}}[suffix]
    gradient("RGBA").save(path, exif=exif, **options)
    photo = Photo.read(path)
    assert photo.image.shape == ((24, 40, 4) if orientation == 1 else (40, 24, 4))
    *colours, alpha = np.moveaxis(np.asarray(gradient("RGBA")), -1, 0)
    upright = np.dstack(colours[::-1]) if orientation == 1 else np.rot90(np.dstack(colours[::-1]), -1)
    seen = photo.image[..., 3] > 0  # WebP and TIFF may store any colour in transparent pixels
    assert np.abs(photo.image[..., :3].astype(int) - upright)[seen].max() <= 2
    assert np.abs(photo.image[..., 3].astype(int) - (alpha if orientation == 1 else np.rot90(alpha, -1))).max() <= 2
    photo.write(out)
    assert np.abs(Photo.read(out).image[..., 3].astype(int) - photo.image[..., 3]).max() <= 2


def test_grey_and_bytes_without_metadata(tmp_path: Path) -> None:
    gradient("L").save(tmp_path / "grey.png")
    photo = Photo.read(tmp_path / "grey.png")
    assert (photo.image.shape, photo.exif, photo.profile) == ((24, 40, 3), None, None)
    photo.write(tmp_path / "grey.bmp")
    assert (Photo.read(tmp_path / "grey.bmp").image == photo.image).all()


def test_what_cannot_be_written(tmp_path: Path) -> None:
    photo = Photo(np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(UserError, match="unknown image format"):
        photo.write(tmp_path / "a.xyz")
    with pytest.raises(UserError, match="cannot be read"):
        Photo.read(tmp_path / "none.png")
    with pytest.raises(UserError, match="20000x1 pixels cannot be written as WEBP"):
        Photo(np.zeros((1, 20000, 3), np.uint8)).write(tmp_path / "a.webp")
    assert not list(tmp_path.iterdir())


def test_exif_that_jpeg_has_no_room_for(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "long " * 20000
    gradient("RGB").save(tmp_path / "in.tif", exif=exif)
    photo = Photo.read(tmp_path / "in.tif")
    with pytest.warns(FacekpWarning, match="too long for JPEG"):
        photo.write(tmp_path / "out.jpg")
    photo.write(tmp_path / "out.png")
    with Image.open(tmp_path / "out.jpg") as short, Image.open(tmp_path / "out.png") as whole:
        assert not short.getexif() and whole.getexif()[0x010E] == exif[0x010E]


def test_a_photo_that_pillow_cannot_read_says_that_its_metadata_are_lost(tmp_path):
    image = np.full((20, 30, 3), 99, np.uint8)
    path = tmp_path / "a.hdr"
    cv2.imwrite(str(path), image.astype(np.float32))
    with pytest.warns(FacekpWarning, match=r"a\.hdr: its EXIF and colour profile cannot be read"):
        photo = Photo.read(path)
    assert photo.image.shape == image.shape
    cv2.imwrite(str(tmp_path / "a.png"), image)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Photo.read(tmp_path / "a.png")
