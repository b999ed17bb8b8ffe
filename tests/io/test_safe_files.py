"""Locks, files that are not regular, leftovers of killed processes, and damaged images."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from facekp.errors import UserError, one_line
from facekp.io.files import atomic_path, check_place, locked, open_regular, read_bytes, sweep
from facekp.io.images import DamagedImageWarning, decode_and_check, only_sound_images, read_image

ROOT = Path(__file__).resolve().parents[2]
PHOTO = ROOT / "assets" / "photos" / "astronaut.png"

HOLDER = """
import sys, time
from facekp.io.files import locked
with locked(sys.argv[1], "wait"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_told_at_once_and_a_dead_one_does_not_block(tmp_path):
    table = tmp_path / "new" / "points.csv"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, table], cwd=ROOT, **pipes)
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(UserError, match=r"points\.csv: another process is working on it; wait"), locked(table, "wait"):
        pass
    holder.kill()
    holder.wait()
    with locked(table, "wait"):
        pass
    assert not list(tmp_path.rglob(".*"))


def test_a_lock_leaves_nothing_not_even_the_folders_that_it_made(tmp_path):
    with locked(tmp_path / "a" / "b" / "run", "wait"):
        assert (tmp_path / "a" / "b").is_dir()
    assert not list(tmp_path.iterdir())
    with locked(tmp_path / "a" / "run", "wait"):
        (tmp_path / "a" / "run").mkdir()
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "run"]


def test_a_forked_child_does_not_keep_the_lock(tmp_path):
    with locked(tmp_path / "run", "wait"):
        child = os.fork()
        if not child:
            os.read(os.pipe()[0], 1)  # blocks until killed
    try:
        with locked(tmp_path / "run", "wait"):
            pass
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


def test_pipes_devices_and_large_files_are_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero", tmp_path):
        with pytest.raises(OSError, match="not a file"):
            open_regular(path)
    (tmp_path / "large").write_bytes(bytes(11))
    with pytest.raises(OSError, match="larger than"):
        read_bytes(tmp_path / "large", 10)
    assert read_bytes(tmp_path / "large", 11) == bytes(11)


def test_what_a_killed_process_left_is_swept_and_nothing_else(tmp_path):
    with pytest.raises(RuntimeError), atomic_path(tmp_path / "best.safetensors") as temporary:
        copies = [temporary.with_name(temporary.name), tmp_path / ".mine-file", tmp_path / "a-12345678.txt"]
        copies[1].write_text("")
        copies[2].write_text("")
        left = tmp_path / temporary.name.replace("best", "last")
        left.write_text("half")
        raise RuntimeError
    sweep(tmp_path, {"other.safetensors", "last.txt"})
    assert left.exists()
    (tmp_path / ".tmpA1b2C3").write_text("half")
    sweep(tmp_path, {"last.safetensors"})
    assert not left.exists()
    sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".mine-file", "a-12345678.txt"]


def test_a_place_is_tried_before_the_work(tmp_path):
    check_place(tmp_path / "new" / "deep")
    assert not list(tmp_path.iterdir())
    with pytest.raises(UserError, match="cannot write there"):
        check_place(Path("/proc/self/x"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is full")
def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    import tempfile

    monkeypatch.setattr(tempfile, "TemporaryFile", lambda dir: open("/dev/full", "wb"))  # noqa: SIM115
    with pytest.raises(UserError, match="No space left"):
        check_place(tmp_path)


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


def test_names_cannot_control_the_terminal():
    assert one_line("a\x1b[2J\x07b\n c\u202e\udc80") == r"a\x1b[2J\x07b c\u202e\udc80"
    assert one_line("人脸 é") == "人脸 é"
