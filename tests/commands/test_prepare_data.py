"""tools/prepare_data.py in a separate process: its exit status and what it prints."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A data set of three images of noise, about 230 kB."""
    path = tmp_path / "in" / "set.zip"
    path.parent.mkdir()
    random = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as file:
        for split, names in {"training": ["Ann_Lee_03.jpg", "Bo_00.jpg"], "test": ["Bo_01.jpg"]}.items():
            rows = ["," + ",".join(map(str, range(136)))]
            for name in names:
                noise = random.integers(0, 256, (120, 160, 4), np.uint8)
                file.writestr(f"data/{split}/{name}", cv2.imencode(".png", noise)[1].tobytes())
                rows.append(name + ",99.0,101.0" * 68)
            file.writestr(f"data/{split}_frames_keypoints.csv", "\n".join(rows))
    return path


@pytest.fixture
def site(archive: Path) -> Iterator[str]:
    handler = partial(Quiet, directory=str(archive.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def tool(*arguments: object, cwd: Path, file_limit: int | None = None) -> subprocess.CompletedProcess[str]:
    """Run the tool; `file_limit` is the maximum file size in bytes, which simulates a full disk."""
    command = [sys.executable, str(ROOT / "tools" / "prepare_data.py"), *map(str, arguments)]
    if file_limit:
        pytest.importorskip("resource")
        runner = (
            "import resource; "
            f"resource.setrlimit(resource.RLIMIT_FSIZE, ({file_limit}, {file_limit})); "
            "import runpy, sys; del sys.argv[0]; runpy.run_path(sys.argv[0], run_name='__main__')"
        )
        command[1:1] = ["-B", "-c", runner]
    search = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", "PYTHONPATH": search}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120)


def assert_refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("prepare_data.py: ")
    for word in words:
        assert word in done.stderr


def left(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in tmp_path.iterdir() if path.name != "in")


def test_downloads_then_leaves_the_folder_alone(site: str, tmp_path: Path) -> None:
    for words in ("data: ready", "data: exists and is complete, nothing to do"):
        done = tool("--url", f"{site}/set.zip", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines() == [
            words,
            "training: 2 images, 2 people, label mean 100.0000, std 1.0000",
            "test: 1 images, 1 people, label mean 100.0000, std 1.0000",
        ]
        assert done.stderr.splitlines() == [
            "warning: data differs from the published set: training_frames_keypoints.csv, test_frames_keypoints.csv"
        ]
        assert left(tmp_path) == ["data"]


def test_takes_an_archive_on_disk(archive: Path, tmp_path: Path) -> None:
    done = tool("--from", archive, "-o", "faces/set", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("faces/set: ready\n")
    assert left(tmp_path / "faces") == ["set"]


def test_what_the_user_can_fix_is_one_line_and_status_2(site: str, archive: Path, tmp_path: Path) -> None:
    assert_refused(tool("--url", f"{site}/absent.zip", cwd=tmp_path), "404", "absent.zip", "--from")
    assert_refused(tool("--from", "absent.zip", cwd=tmp_path), "absent.zip", "no such")
    assert_refused(tool("--from", archive, "--sha256", "0" * 64, cwd=tmp_path), "SHA-256")
    assert_refused(tool("--from", archive, "-o", archive.parent, cwd=tmp_path), "--overwrite")
    assert left(tmp_path) == []


def test_full_disk_keeps_what_was_downloaded(site: str, tmp_path: Path) -> None:
    done = tool("--url", f"{site}/set.zip", cwd=tmp_path, file_limit=100_000)
    assert_refused(done, "data.part", "free some space and run again")
    assert left(tmp_path) == ["data.part", "data.part.json"]
    assert (tmp_path / "data.part").stat().st_size <= 100_000
    assert tool("--url", f"{site}/set.zip", cwd=tmp_path).returncode == 0
    assert left(tmp_path) == ["data"]


def test_full_disk_when_unpacking_leaves_nothing_half_written(archive: Path, tmp_path: Path) -> None:
    done = tool("--from", archive, cwd=tmp_path, file_limit=50_000)
    assert_refused(done, "data", "free space")
    assert left(tmp_path) == []
    assert archive.exists()
