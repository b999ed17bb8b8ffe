"""Capture of the newest frame, virtual cameras with the interface of pyvirtualcam, and recordings."""

import threading
from enum import Enum
from types import SimpleNamespace

import numpy as np
import pytest

from facekp.errors import UserError
from facekp.inference.faces import Faces
from facekp.inference.tracking import Tracker
from facekp.io import camera
from facekp.io.camera import Newest, VirtualCamera
from facekp.io.video import read_video, recording
from facekp.stickers import Sticker
from facekp.stickers.live import run_live


def picture(value, size=(64, 48)):
    return np.full((size[1], size[0], 3), value, np.uint8)


def test_only_the_newest_frame_is_kept():
    taken, filmed = threading.Event(), threading.Event()
    values = iter(range(1, 100))

    def read():
        value = next(values)
        if value == 2:
            assert taken.wait(10)
        if value == 7:
            filmed.set()
            return None
        return picture(value)

    with Newest(read) as frames:
        seen = iter(frames)
        first = next(seen)[0, 0, 0]
        taken.set()
        assert filmed.wait(10)
        rest = [image[0, 0, 0] for image in seen]
    assert first == 1
    assert rest in ([], [6])  # the end may replace the last frame; older ones are dropped


def test_what_goes_wrong_in_the_thread_is_told():
    def read():
        raise UserError("unplugged")

    with Newest(read) as frames, pytest.raises(UserError, match="unplugged"):
        next(iter(frames))


def test_leaving_early_ends_the_thread():
    with Newest(lambda: picture(1)) as frames:
        next(iter(frames))
    assert not frames._thread.is_alive()


class FakeCamera:
    """The used part of the interface of pyvirtualcam.Camera 0.11 and later."""

    opened = None

    def __init__(self, width, height, fps, *, fmt, device=None, backend=None, print_fps=False, **kwargs):
        self.size, self.fps, self.fmt = (width, height), fps, fmt
        self.device, self.frames, self.waits, self.closed = "fake", [], 0, False
        FakeCamera.opened = self

    def send(self, frame):
        assert frame.dtype == np.uint8
        assert frame.shape == (self.size[1], self.size[0], 3)
        assert frame.flags.c_contiguous
        self.frames.append(frame)

    def sleep_until_next_frame(self):
        self.waits += 1

    def close(self):
        self.closed = True


class PixelFormat(Enum):
    BGR = "bgr"


@pytest.fixture
def driver(monkeypatch):
    monkeypatch.setattr(camera, "pyvirtualcam", SimpleNamespace(Camera=FakeCamera, PixelFormat=PixelFormat))
    return FakeCamera


def test_frames_are_sent_at_a_steady_pace(driver):
    virtual = VirtualCamera((64, 48), 25)
    virtual.send(picture(5)[:, ::-1])
    virtual.send(picture(9, (32, 24)))
    virtual.close()
    opened = driver.opened
    assert (opened.size, opened.fps, opened.fmt, virtual.device) == ((64, 48), 25, PixelFormat.BGR, "fake")
    assert [frame[0, 0, 0] for frame in opened.frames] == [5, 9]
    assert (opened.waits, opened.closed) == (2, True)


def test_no_driver_and_no_package_are_told(monkeypatch):
    def refuse(*args, **kwargs):
        raise RuntimeError("'v4l2loopback' backend: No loopback device\nfound")

    monkeypatch.setattr(camera, "pyvirtualcam", SimpleNamespace(Camera=refuse, PixelFormat=PixelFormat))
    with pytest.raises(UserError, match=r"its driver is missing.*No loopback device found.*modprobe v4l2loopback.*OBS"):
        VirtualCamera((64, 48))
    monkeypatch.setattr(camera, "pyvirtualcam", None)
    with pytest.raises(UserError, match=r"facekp\[camera\]"):
        VirtualCamera((64, 48))


def test_the_installed_pyvirtualcam_has_this_interface():
    pyvirtualcam = pytest.importorskip("pyvirtualcam")
    assert {"send", "sleep_until_next_frame", "close", "device"} <= set(dir(pyvirtualcam.Camera))
    assert pyvirtualcam.PixelFormat.BGR


def no_face(image, boxes=None):
    return Faces.none()


def test_live_to_a_virtual_camera_and_a_file(driver, tmp_path):
    pytest.importorskip("av")
    frames = [(picture(60 + 20 * i), i / 10) for i in range(5)]
    run_live(frames, Sticker([]), Tracker(no_face), virtual_fps=20, record=tmp_path / "out.mp4")
    assert len(driver.opened.frames) == 5
    assert driver.opened.closed
    recorded = list(read_video(tmp_path / "out.mp4"))
    assert [round(seconds, 3) for _, seconds in recorded] == [0, 0.1, 0.2, 0.3, 0.4]
    assert [round(float(image.mean())) for image, _ in recorded] == pytest.approx([60, 80, 100, 120, 140], abs=4)


def test_ctrl_c_leaves_a_playable_file_and_a_closed_camera(driver, tmp_path):
    pytest.importorskip("av")

    def frames():
        yield picture(100), 0.0
        yield picture(100), 0.05
        raise KeyboardInterrupt

    run_live(frames(), Sticker([]), Tracker(no_face), virtual_fps=20, record=tmp_path / "out.mp4")
    assert len(list(read_video(tmp_path / "out.mp4"))) == 2
    assert driver.opened.closed


def test_a_camera_that_stops_leaves_what_is_recorded(tmp_path):
    pytest.importorskip("av")

    def frames(count):
        yield from [(picture(100), 0.05 * i) for i in range(count)]
        raise UserError("camera 0: cannot be read")

    for count in (0, 3):
        with pytest.raises(UserError, match="camera 0: cannot be read"):
            run_live(frames(count), Sticker([]), Tracker(no_face), record=tmp_path / f"{count}.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["3.mp4"]
    assert len(list(read_video(tmp_path / "3.mp4"))) == 3


def test_a_key_ends_it():
    shown = []

    def show(image, wait):
        shown.append(wait)
        return len(shown) == 2

    run_live(((picture(i), i / 30) for i in range(100)), Sticker([]), Tracker(no_face), show=show)
    assert shown == [1, 1]


def test_a_recording_without_a_frame_is_none(tmp_path):
    pytest.importorskip("av")
    with pytest.raises(UserError, match="no frames were received"), recording(tmp_path / "out.mp4"):
        pass
    assert not list(tmp_path.iterdir())


def test_frames_that_come_at_once_are_all_kept(tmp_path):
    pytest.importorskip("av")
    with recording(tmp_path / "out.mkv") as add:
        for _ in range(3):
            add(picture(10), 0.0)
    assert len(list(read_video(tmp_path / "out.mkv"))) == 3


def test_what_is_no_video_is_told(tmp_path):
    pytest.importorskip("av")
    (tmp_path / "a.mp4").write_text("no video")
    with pytest.raises(UserError, match="not a video"):
        next(read_video(tmp_path / "a.mp4"))
