import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from facekp.errors import UserError
from facekp.io.files import atomic_path, check_place, locked, new_folder, open_regular, read_bytes, sweep
from facekp.io.images import find_files


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_outputs_are_ordinary_files(tmp_path):
    with atomic_path(tmp_path / "new" / "a.txt") as temporary:
        temporary.write_text("whole")
    plain = tmp_path / "plain.txt"
    plain.write_text("")
    assert stat.S_IMODE((tmp_path / "new" / "a.txt").stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_a_new_folder_is_complete_or_absent(tmp_path):
    target = tmp_path / "parent" / "new"
    with pytest.raises(RuntimeError), new_folder(target) as folder:
        (folder / "a.txt").write_text("half")
        raise RuntimeError
    assert not os.listdir(target.parent)
    target.mkdir()
    with new_folder(target) as folder:
        (folder / "a.txt").write_text("whole")
    assert os.listdir(target.parent) == ["new"] and os.listdir(target) == ["a.txt"]
    for taken in (target, target / "a.txt"):
        with pytest.raises(UserError, match="exists already"), new_folder(taken):
            pass
    assert (target / "a.txt").read_text() == "whole"


def test_a_place_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file"), atomic_path(tmp_path / "file" / "a.txt"):
        pass


def test_long_names_are_counted_in_bytes(tmp_path):
    target = tmp_path / ("人" * 82 + ".jpg")  # 250 bytes
    with locked(target, "wait"), atomic_path(target) as temporary:
        temporary.write_text("whole")
        sweep(tmp_path, {target.name})
        assert not temporary.exists()
        temporary.write_text("again")
    assert target.read_text() == "again" and list(tmp_path.iterdir()) == [target]
    with pytest.raises(UserError, match="the name is too long"):
        find_files(["人" * 100 + ".jpg"])


ROOT = Path(__file__).resolve().parents[2]
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
