"""The `sticker` command: its files, its messages and its exit status."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from facekp.commands.main import execute
from facekp.io.video import convert, write_video
from facekp.stickers import list_stickers

needs_pyav = pytest.mark.skipif(importlib.util.find_spec("av") is None, reason="needs the extra [video]")
ROOT = Path(__file__).resolve().parents[2]
ASTRONAUT = ROOT / "assets" / "photos" / "astronaut.png"


class Call:
    """Runs the command in a separate folder."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        monkeypatch.chdir(folder)

    def __call__(self, *arguments: str | Path) -> int:
        try:
            execute("sticker", [*map(str, arguments)], prog="sticker.py")
        except SystemExit as end:
            return int(end.code or 0)
        return 0


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    return Call(tmp_path, monkeypatch)


def astronaut(path: Path) -> Path:
    path.write_bytes(ASTRONAUT.read_bytes())
    return path


def test_default_is_sunglasses_beside_the_photo(call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo = astronaut(tmp_path / "photo.png")
    assert call(photo) == 0
    out = tmp_path / "photo_sticker.png"
    assert capsys.readouterr().out.strip() == str(out)
    before, after = cv2.imread(str(photo)), cv2.imread(str(out))
    rows, columns = np.nonzero((before != after).any(-1))
    # The eyes of the astronaut are at about (203, 103) and (249, 103).
    assert 85 < np.median(rows) < 125
    assert 210 < np.median(columns) < 240
    assert call(photo, "--sticker", "sunglasses", "-o", tmp_path / "new" / "b.png") == 0
    assert (cv2.imread(str(tmp_path / "new" / "b.png")) == after).all()


def test_many_photos_and_one_without_a_face(call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    astronaut(folder / "a.png")
    cv2.imwrite(str(folder / "blank.jpg"), np.full((90, 120, 3), 99, np.uint8))
    (folder / "torn.png").write_bytes(ASTRONAUT.read_bytes()[:100])
    assert call(folder, "--sticker", "crown", "--sticker", "moustache", "-o", tmp_path / "out") == 0
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["a.png"]
    stderr = capsys.readouterr().err
    assert "blank.jpg: no face found" in stderr
    assert "torn.png" in stderr
    assert call(folder / "b*.jpg", folder / "torn.png") == 2
    assert "none of the 2" in capsys.readouterr().err


def test_patterns_and_seed(call: Call, tmp_path: Path) -> None:
    astronaut(tmp_path / "a.png")
    astronaut(tmp_path / "b.png")
    assert call("[ab].png", "--seed", "3", "-o", tmp_path / "one") == 0
    assert call("[ab].png", "--seed", "3", "-o", tmp_path / "two") == 0
    for name in ("a.png", "b.png"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_list_names_all(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--list") == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list_stickers()


def test_sheet_and_animation(call: Call, tmp_path: Path) -> None:
    photo, glasses = astronaut(tmp_path / "a.png"), tmp_path / "glasses"
    glasses.mkdir()
    for name, colour in {"red": (0, 0, 255, 255), "blue": (255, 0, 0, 255)}.items():
        image = np.zeros((60, 160, 4), np.uint8)
        cv2.ellipse(image, (43, 30), (35, 25), 0, 0, 360, colour, -1)
        cv2.ellipse(image, (117, 30), (35, 25), 0, 0, 360, colour, -1)
        cv2.imwrite(str(glasses / f"{name}.png"), image)
    assert call(photo, "--glasses", glasses, "--sheet", "--animate", tmp_path / "a.gif") == 0
    with Image.open(tmp_path / "a.gif") as animation:
        assert animation.n_frames == 2
        assert animation.size == (512, 512)
    sheet = cv2.imread(str(tmp_path / "a_sheet.png"))
    red = (sheet.astype(int) @ [-1, -1, 1]) > 100
    assert red.sum() > 500
    (tmp_path / "folder").mkdir()
    assert call(photo, "--glasses", glasses, "--sheet", "-o", "folder") == 0
    assert (cv2.imread(str(tmp_path / "folder" / "a_sheet.png")) == sheet).all()


def test_pages_behind_the_first_are_told(call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Image.open(ASTRONAUT) as photo:
        for name in ("a.png", "a.webp", "a.tif"):
            photo.save(tmp_path / name, save_all=True, append_images=[photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT)])
            assert call(name) == 0
            assert f"{name}: holds 2 images; the first alone is read" in capsys.readouterr().err


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="windows open without these variables elsewhere")
def test_preview_without_a_screen(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    photo = astronaut(tmp_path / "a.png")
    assert call(photo, "--preview") == 2
    assert "no display" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [photo]


@needs_pyav
def test_video(call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo = cv2.resize(cv2.imread(str(ASTRONAUT)), (256, 256), interpolation=cv2.INTER_AREA)
    write_video(tmp_path / "in.mp4", [np.roll(photo, i, 1) for i in range(12)], 25)
    assert call("in.mp4", "--sticker", "clown_nose") == 0
    assert capsys.readouterr().out.strip() == "in_sticker.mp4"
    seen: list[float] = []

    def find_nose(image: np.ndarray, seconds: float) -> np.ndarray:
        red = (image.astype(int) @ [-1, -1, 1] > 60).astype(np.uint8)
        red[:50] = red[80:] = 0  # the nose lies between; the space suit is red, too
        seen.append(float(np.nonzero(red)[1].mean()))
        return image

    assert convert("in_sticker.mp4", "seen.mp4", find_nose).frames == 12
    assert seen[-1] - seen[0] == pytest.approx(11, abs=2.5)
    assert capsys.readouterr().err == ""
    write_video(tmp_path / "in.mp4", [np.full_like(photo, 128)] * 3, 25)
    assert call("in.mp4") == 0
    assert "in.mp4: no face found in its 3 frames" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no photo"),
        (["--sheet", "--camera", "0"], "--camera has no effect with --sheet"),
        (["blank.png", "--camera", "0"], "a photo or video has no effect with --camera"),
        (["blank.png", "--seed", "0", "--animate", "x.gif"], "--seed has no effect with --sheet"),
        (["blank.png", "text.png", "-o", "."], "overwritten"),
        (["blank.png", "-o", "blank.png"], "overwritten"),
        (["blank.png", "blank_sticker.png"], "overwritten"),
        (["./blank.png", "./blank_sticker.png"], "overwritten"),
        (["blank.png", "--animate", "x.gif", "-o", "x.png"], "-o has no effect with --animate"),
        (["none.jpg"], "none.jpg: no such file"),
        (["blank.png"], "blank.png: no face found"),
        (["text.png"], "text.png"),
        (["blank.png", "--sticker", "sunglases"], "sunglasses"),
        (["blank.png", "--glasses", "."], "transparency"),
        (["blank.png", "text.png", "-o", "x.png"], "give a folder"),
        (["blank.png", "--source", "nobody"], "nobody"),
        pytest.param(["torn.mp4"], "torn.mp4", marks=needs_pyav),
        (["--camera", "97"], "camera 97"),
        (["--camera", "97", "--virtual-camera", "--record", "x.mp4"], "camera 97"),
        (["--camera", "97", "--virtual-camera", "0"], "1 to 240"),
        (["blank.png", "--virtual-camera"], "need --camera N"),
        (["blank.png", "--hide", "blur"], "blank.png: no face found"),
        (["blank.png", "--hide", "blur", "--sheet"], "--hide has no effect"),
        (["blank.png", "--face", "blank.png"], "no face found to wear"),
        (["torn.mp4", "--sheet"], "torn.mp4: --sheet and --animate take a photo, not a video"),
        (["blank.png", "--face", "text.png"], "text.png"),
    ],
)
def test_what_the_user_can_fix(
    call: Call, tmp_path: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    cv2.imwrite(str(tmp_path / "blank.png"), np.full((90, 120, 3), 99, np.uint8))
    cv2.imwrite(str(tmp_path / "blank_sticker.png"), np.full((90, 120, 3), 99, np.uint8))
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "torn.mp4").write_bytes(b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41")
    before = sorted(tmp_path.iterdir())
    assert call(*arguments) == 2
    last = capfd.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("sticker.py: ")
    assert message in last
    assert sorted(tmp_path.iterdir()) == before


@needs_pyav
def test_hiding_in_a_video_lists_frames_without_a_face(
    call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = cv2.resize(cv2.imread(str(ASTRONAUT)), (256, 256), interpolation=cv2.INTER_AREA)
    empty = np.full_like(photo, 128)
    write_video(tmp_path / "in.mp4", [photo] * 4, 10)
    assert call("in.mp4", "--hide", "mosaic", "-o", "out.mp4") == 0
    assert not (tmp_path / "out_no_face.csv").exists()
    write_video(tmp_path / "in.mp4", [empty, empty, photo, photo], 10)
    assert call("in.mp4", "--hide", "mosaic", "-o", "out.mp4") == 0
    assert (tmp_path / "out_no_face.csv").read_text().splitlines() == ["frame,seconds", "0,0.000", "1,0.100"]
    assert "no face in 2 of 4 frames" in capsys.readouterr().err
    (tmp_path / "out_no_face.csv").write_text("mine")
    assert call("in.mp4", "--hide", "mosaic", "-o", "out.mp4") == 2
    assert "out_no_face.csv: would be replaced" in capsys.readouterr().err
    assert (tmp_path / "out_no_face.csv").read_text() == "mine"


def test_hiding_and_another_face(call: Call, tmp_path: Path) -> None:
    assert call(str(ASTRONAUT), "--hide", "box", "-o", "hidden.png") == 0
    before, hidden = cv2.imread(str(ASTRONAUT)), cv2.imread(str(tmp_path / "hidden.png"))
    changed = (before != hidden).any(-1)
    assert (hidden[changed] == 40).all()
    assert 0.02 < changed.mean() < 0.2
    assert call(str(ASTRONAUT), "--face", str(ASTRONAUT), "-o", "same.png") == 0
    same = cv2.imread(str(tmp_path / "same.png")).astype(int)
    assert np.abs(same - before).mean() < 1  # a face on itself hardly changes
    photo = tmp_path / "darker.png"
    cv2.imwrite(str(photo), (before * 0.6).astype(np.uint8))
    assert call(str(ASTRONAUT), "--seed", "3", "-o", "seed.png") == 0
    assert call(str(ASTRONAUT), "--face", photo, "--seed", "3", "-o", "both.png") == 0
    assert (cv2.imread(str(tmp_path / "seed.png")) != cv2.imread(str(tmp_path / "both.png"))).any()
