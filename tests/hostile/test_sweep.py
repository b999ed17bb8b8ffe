"""The sweep: each hostile file or name ends as promised, in-process; a sample of them as processes of their own.

Promised: the exit status, one line on stderr without a traceback or a sequence that a terminal obeys, nothing left
behind, no more than ten seconds, no more than two gigabytes.
"""

import contextlib
import os
import resource
import shutil
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pytest
from cases import ROOT, all_cases

from facekp import loading
from facekp.commands.main import execute

SECONDS, BYTES = 10.0, 2 << 30

CASES = all_cases()


def shown(case):
    """The name of a test."""
    return case.name.encode("ascii", "backslashreplace").decode()[:60]


def test_there_are_enough_cases_of_different_names():
    assert len(CASES) >= 600
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.fixture(scope="module")
def landmarker():
    return loading.load_landmarker(threads=1)


@pytest.fixture
def once(landmarker, monkeypatch):
    """The default landmarker, loaded once for all cases."""
    load = loading.load_landmarker

    def load_landmarker(source=None, detector=None, *arguments, **options):
        if source is None and detector is None:
            return landmarker
        return load(source, detector, *arguments, **options)

    monkeypatch.setattr(loading, "load_landmarker", load_landmarker)


def files_of(folder):
    """Name -> what tells a file from another one."""
    files = [path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()]
    return {str(path.relative_to(folder)): (path.lstat().st_mode, path.lstat().st_mtime_ns) for path in files}


def forget_peak():
    """Let Linux measure the largest resident memory from now on."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak():
    """The largest resident memory in bytes since then; of the whole process where it cannot be forgotten."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    except OSError:
        return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def check(case, status, said, before, after, seconds):
    lines = [line for line in said.splitlines() if line.strip()]
    assert status == case.status, said
    assert "Traceback" not in said
    assert not [character for character in said if character < " " and character not in "\n\r\t"], repr(said)
    assert case.says in said
    assert seconds < SECONDS
    if status == 2:
        assert len(lines) == 1, said
        assert after == before
    assert not [name for name in after if Path(name).name.startswith(".") and name not in before], "a temporary file"


@pytest.mark.parametrize("case", CASES, ids=shown)
def test_it_ends_as_promised(case, tmp_path, capsys, monkeypatch, once):
    monkeypatch.chdir(ROOT)
    case.make(tmp_path)
    forget_peak()
    before, start = files_of(tmp_path), time.perf_counter()
    name, *arguments = (part.replace("{}", str(tmp_path)) for part in case.command)
    with pytest.raises(SystemExit) as left:
        execute(name, arguments, prog=name)
        raise SystemExit(0)
    seconds = time.perf_counter() - start
    after = files_of(tmp_path)
    check(case, left.value.code, capsys.readouterr().err, before, after, seconds)
    assert peak() < BYTES
    shutil.rmtree(tmp_path)


def in_a_process(case, folder):
    """A case as users meet it: a process whose memory is measured."""
    case.make(folder)
    before, start = files_of(folder), time.perf_counter()
    name, *arguments = (part.replace("{}", str(folder)) for part in case.command)
    code = "import sys; from facekp.commands.main import execute; execute(sys.argv[1], sys.argv[2:], sys.argv[1])"
    process = subprocess.Popen([sys.executable, "-c", code, name, *map(os.fsencode, arguments)], cwd=ROOT,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)  # fmt: skip
    said = process.stderr.read().decode(errors="backslashreplace")
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert used.ru_maxrss * 1024 < BYTES
    # Starting Python and importing Paddle is not the case's, and a busy machine is slow at it.
    check(case, process.returncode, said, before, files_of(folder), (time.perf_counter() - start) / 4)


def sample(share):
    """The same cases each time, spread over all of them; without those that no shell can pass on."""
    return [case for case in CASES if not zlib.crc32(case.name.encode("utf-8", "backslashreplace")) % share
            and not any("\0" in part for part in case.command)]  # fmt: skip


@pytest.mark.parametrize("case", sample(97), ids=shown)
def test_it_ends_as_promised_in_a_process_of_its_own(case, tmp_path):
    in_a_process(case, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("case", sample(7), ids=shown)
def test_more_of_them_in_processes_of_their_own(case, tmp_path):
    in_a_process(case, tmp_path)
