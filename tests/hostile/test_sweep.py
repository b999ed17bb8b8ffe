"""The sweep: every hostile file or name has the expected result in this process, and a sample in separate processes.

Expected are the exit status, one line on stderr without a traceback or terminal control sequences, no files left
behind, at most ten seconds, and at most two gigabytes of memory.
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
    """Return the id of a case's test."""
    return case.name.encode("ascii", "backslashreplace").decode()[:60]


def test_there_are_enough_cases_of_different_names():
    assert len(CASES) >= 600
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.fixture(scope="module")
def landmarker():
    return loading.load_landmarker(threads=1)


@pytest.fixture
def once(landmarker, monkeypatch):
    """Load the default landmarker once for all cases."""
    load = loading.load_landmarker

    def load_landmarker(source=None, detector=None, *arguments, **options):
        if source is None and detector is None:
            return landmarker
        return load(source, detector, *arguments, **options)

    monkeypatch.setattr(loading, "load_landmarker", load_landmarker)


def files_of(folder):
    """Return name -> mode and modification time of all files in a folder."""
    files = [path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()]
    return {str(path.relative_to(folder)): (path.lstat().st_mode, path.lstat().st_mtime_ns) for path in files}


def forget_peak():
    """Reset the peak resident memory of this process, on Linux."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak():
    """Return the peak resident memory in bytes since the reset; since the start where it cannot be reset."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    except OSError:
        return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def check(case, status, stderr, before, after, seconds):
    lines = [line for line in stderr.splitlines() if line.strip()]
    assert status == case.status, stderr
    assert "Traceback" not in stderr
    assert not [character for character in stderr if character < " " and character not in "\n\r\t"], repr(stderr)
    assert case.says in stderr
    assert seconds < SECONDS
    if status == 2:
        assert len(lines) == 1, stderr
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
    """Run a case in a separate process, as for users, and measure its memory."""
    case.make(folder)
    before, start = files_of(folder), time.perf_counter()
    name, *arguments = (part.replace("{}", str(folder)) for part in case.command)
    code = "import sys; from facekp.commands.main import execute; execute(sys.argv[1], sys.argv[2:], sys.argv[1])"
    process = subprocess.Popen([sys.executable, "-c", code, name, *map(os.fsencode, arguments)], cwd=ROOT,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)  # fmt: skip
    stderr = process.stderr.read().decode(errors="backslashreplace")
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert used.ru_maxrss * 1024 < BYTES
    # The time includes starting Python and importing Paddle, which is slow on a busy machine.
    check(case, process.returncode, stderr, before, files_of(folder), (time.perf_counter() - start) / 4)


def sample(share):
    """Return a fixed sample of the cases, without those whose arguments no shell can pass on."""
    return [case for case in CASES if not zlib.crc32(case.name.encode("utf-8", "backslashreplace")) % share
            and not any("\0" in part for part in case.command)]  # fmt: skip


@pytest.mark.parametrize("case", sample(97), ids=shown)
def test_it_ends_as_promised_in_a_process_of_its_own(case, tmp_path):
    in_a_process(case, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("case", sample(7), ids=shown)
def test_a_larger_sample_ends_as_promised_in_processes_of_their_own(case, tmp_path):
    in_a_process(case, tmp_path)
