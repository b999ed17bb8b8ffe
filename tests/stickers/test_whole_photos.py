"""Metadata of photos, the choice of input files, zipped packs, and names in captions and plots."""

import warnings
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from facekp.errors import FacekpWarning
from facekp.stickers import load_sticker
from facekp.stickers.files import plan
from facekp.stickers.packs import packs_folder
from facekp.stickers.photo import Photo
from facekp.viz import comparison_sheet


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


def test_a_result_of_before_is_left_out_of_a_folder_and_taken_where_it_is_named(tmp_path):
    photo, result = tmp_path / "a.jpg", tmp_path / "a_sticker.jpg"
    for path in (photo, result):
        path.write_bytes(b"")
    assert plan([photo, result], None, [photo, result]) == [(photo, result)]
    named = plan([result], None, [])
    assert named == [(result, tmp_path / "a_sticker_sticker.jpg")]
    out = tmp_path / "out"
    assert [pair[0] for pair in plan([photo, result], out, [])] == [photo, result]


def test_a_zip_with_one_folder_is_that_folder(tmp_path):
    source = packs_folder() / "sunglasses"
    for inner in ("", "sunglasses/"):
        with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
            for file in source.iterdir():
                archive.write(file, inner + file.name)
            if inner:
                archive.writestr("__MACOSX/._manifest.json", b"")
        assert load_sticker(tmp_path / "s.zip").title == "Sunglasses"


def test_captions_that_opencv_has_no_letters_for_are_spelt_out():
    blank = np.zeros((1, 3, 64, 64), np.float32)
    points = np.full((1, 68, 2), 30.0)
    sheets = [comparison_sheet(blank, points, points, [caption]) for caption in ("人", "脸", r"\u4eba")]
    assert not np.array_equal(sheets[0], sheets[1])
    np.testing.assert_array_equal(sheets[0], sheets[2])


def test_chinese_names_in_a_plot_are_drawn_or_spelt_out():
    from facekp import plots

    drawn = plots._drawable("人脸\x1b \U000e0001")
    assert "\x1b" not in drawn and "\U000e0001" not in drawn
    signs = plots._fonts()[1]
    assert drawn.startswith("人脸" if ord("人") in signs else r"\u4eba")


def test_the_folder_of_the_packs_exists():
    assert Path(packs_folder()).is_dir()
