import os
import stat

import pytest

from facekp.errors import UserError
from facekp.io.files import atomic_path, locked, sweep
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
