import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from facekp.errors import UserError
from facekp.io.images import (
    DamagedImageWarning,
    decode_and_check,
    find_files,
    image_size,
    only_sound_images,
    read_image,
    write_image,
)

GRADIENT = np.tile(np.linspace(0, 255, 40).astype(np.uint8), (20, 1))


@pytest.mark.parametrize(
    "stored",
    [
        Image.fromarray(GRADIENT),
        Image.fromarray(np.dstack([GRADIENT] * 3)),
        Image.fromarray(np.dstack([GRADIENT] * 3 + [np.full_like(GRADIENT, 255)])),
        Image.fromarray(GRADIENT.astype(np.uint16) * 257),
    ],
    ids=["grey", "rgb", "rgba", "16 bit"],
)
def test_every_kind_of_png_called_jpg_becomes_bgr_uint8(tmp_path, stored):
    stored.save(tmp_path / "a.jpg", format="PNG")
    image = read_image(tmp_path / "a.jpg")
    assert image.shape == (20, 40, 3)
    assert image.dtype == np.uint8
    np.testing.assert_allclose(image[..., 1].astype(int), GRADIENT, atol=1)


def test_colours_are_bgr(tmp_path):
    Image.new("RGB", (4, 4), (255, 0, 0)).save(tmp_path / "red.png")
    assert read_image(tmp_path / "red.png")[0, 0].tolist() == [0, 0, 255]


def test_exif_orientation_is_honoured(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate clockwise for display: the stored left column is the top row
    Image.fromarray(GRADIENT).save(tmp_path / "a.jpg", exif=exif, quality=95)
    image = read_image(tmp_path / "a.jpg")
    assert image.shape == (40, 20, 3)
    assert image[0, 10, 0] < 10 < 240 < image[-1, 10, 0]


def test_exif_counts_wherever_it_stands_and_xmp_does_not(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(GRADIENT).save(tmp_path / "a.jpg", exif=exif)
    data = (tmp_path / "a.jpg").read_bytes()
    comments = (b"\xff\xfe\xff\xff" + b" " * 65533) * 2
    (tmp_path / "late.jpg").write_bytes(data[:2] + comments + data[2:])
    del exif[0x0112]
    exif[0x010F] = "a maker"
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'
    Image.fromarray(GRADIENT).save(tmp_path / "xmp.jpg", exif=exif, xmp=xmp)
    exif[0x0112] = 6
    Image.fromarray(GRADIENT).save(tmp_path / "a.tif", exif=exif)
    for name, shape in (("late.jpg", (40, 20, 3)), ("xmp.jpg", (20, 40, 3)), ("a.tif", (40, 20, 3))):
        assert read_image(tmp_path / name).shape == shape
        assert image_size(tmp_path / name) == shape[1::-1]


@pytest.mark.parametrize("content", [b"", b"no picture", None])
def test_what_is_no_picture_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.png"):
        read_image(tmp_path / "a.png")


def test_a_truncated_picture_is_an_error(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (50, 50, 3), np.uint8)
    data = cv2.imencode(".png", noise)[1].tobytes()
    (tmp_path / "a.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match="damaged"):
        read_image(tmp_path / "a.png")


def test_write_is_whole_or_not_at_all(tmp_path):
    write_image(tmp_path / "new" / "a.png", np.zeros((5, 6, 3), np.uint8))
    assert read_image(tmp_path / "new" / "a.png").shape == (5, 6, 3)
    with pytest.raises(UserError, match=r"\.jpg"):
        write_image(tmp_path / "a.txt", np.zeros((5, 6, 3), np.uint8))
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_find_files(tmp_path, monkeypatch):
    for name in ("b.png", "a.JPG", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    assert [p.name for p in find_files([str(tmp_path)])] == ["a.JPG", "b.png"]
    assert [p.name for p in find_files([f"{tmp_path}/*.png", f"{tmp_path}/b.png"])] == ["b.png"]
    assert [p.name for p in find_files([str(tmp_path)], {".txt"})] == ["notes.txt"]
    (tmp_path / "empty").mkdir()
    for wrong in ("empty", "missing.png"):
        with pytest.raises(UserError, match=wrong):
            find_files([str(tmp_path / wrong)])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="empty name"):
        find_files([""])  # not the current folder, as Path("") would be


ROOT = Path(__file__).resolve().parents[2]
PHOTO = ROOT / "assets" / "photos" / "astronaut.png"


@pytest.fixture(scope="module")
def photo():
    return cv2.resize(cv2.imread(str(PHOTO)), (200, 150))


def as_jpeg(image, **options):
    return cv2.imencode(".jpg", image)[1].tobytes()


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"quality": 20}])
@pytest.mark.parametrize("orientation", range(10))
def test_a_jpeg_is_decoded_as_opencv_does(photo, tmp_path, mode, options, orientation):
    exif = Image.Exif()
    exif[0x112] = orientation
    Image.fromarray(photo[..., ::-1]).convert(mode).save(tmp_path / "a.jpg", exif=exif, **options)
    image, flaw = decode_and_check(np.fromfile(tmp_path / "a.jpg", np.uint8))
    assert flaw is None
    np.testing.assert_array_equal(image, cv2.imread(str(tmp_path / "a.jpg")))


def test_a_hole_in_a_jpeg_is_told_and_refused_where_only_sound_images_serve(photo, tmp_path, capfd):
    whole = as_jpeg(photo)
    middle = len(whole) // 2
    (tmp_path / "hole.jpg").write_bytes(whole[:middle] + bytes(100) + whole[middle + 100 :])
    with pytest.warns(DamagedImageWarning, match=r"hole\.jpg: damaged, a part of the image is not as it was"):
        assert read_image(tmp_path / "hole.jpg").shape == photo.shape
    with only_sound_images(), pytest.raises(UserError, match=r"hole\.jpg: damaged \(Corrupt JPEG data"):
        read_image(tmp_path / "hole.jpg")
    assert capfd.readouterr().err == ""


def test_a_checksum_of_a_png_is_compared(photo, tmp_path):
    data = bytearray(cv2.imencode(".png", photo, [cv2.IMWRITE_PNG_COMPRESSION, 0])[1].tobytes())
    place = data.index(b"IDAT") + 2000
    data[place] ^= 1  # stored uncompressed, so only the checksum differs
    try:
        _, flaw = decode_and_check(np.frombuffer(bytes(data), np.uint8))
    except ValueError as error:
        flaw = str(error)  # this OpenCV checks it itself
    assert flaw


def test_sound_images_bring_no_warning(photo, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for suffix in (".jpg", ".png", ".webp", ".tif", ".bmp"):
            cv2.imwrite(str(tmp_path / f"a{suffix}"), photo)
            assert read_image(tmp_path / f"a{suffix}").shape == photo.shape


def test_an_image_of_too_many_pixels_is_one_line(tmp_path):
    from cases import bmp, jpeg_of, png

    for name, data in {"a.png": png(40000, 40000), "a.bmp": bmp(40000, 40000), "a.jpg": jpeg_of(40000, 40000)}.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UserError, match=name):
            read_image(tmp_path / name)
