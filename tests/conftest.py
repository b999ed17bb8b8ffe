"""What several tests share: drawn data sets on disk, and tools as child processes."""

import os
import subprocess
import sys
import traceback
import zlib
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

os.environ.setdefault("OMP_NUM_THREADS", "1")

from tests_support import draw_csv, paint_dots

from facekp.commands.main import execute
from facekp.data.drawn import draw_face
from facekp.errors import UserError
from facekp.paddlehub.install import make_environment

ROOT = Path(__file__).resolve().parent.parent


def pytest_collection_modifyitems(items):
    """What needs the package index takes its time as well."""
    for item in items:
        if item.get_closest_marker("hub"):
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def drawn_csv(tmp_path):
    """A data folder with drawn faces of six people: 12 for training, 4 for testing."""
    draw_csv(tmp_path)
    return tmp_path


@pytest.fixture
def run_tool(capsys, monkeypatch):
    """Run a command as its users do, but in this process; returns what a finished process would be.

    Where the process is the point (signals, memory, the start), tests start one themselves.
    """

    def run(name, *arguments):
        arguments = [*map(str, arguments)]
        monkeypatch.chdir(ROOT)
        capsys.readouterr()
        status = 0
        try:
            execute(name.replace("_", "-"), arguments, prog=f"{name}.py")
        except SystemExit as end:
            status = end.code or 0
        except Exception:  # our own fault: status 1 and a traceback, as Python itself does it
            status = 1
            traceback.print_exc()
        said = capsys.readouterr()
        return subprocess.CompletedProcess([name, *arguments], status, said.out, said.err)

    return run


@pytest.fixture
def run_benchmark():
    """Run a benchmark in a process of its own; returns the finished process."""

    def run(*arguments):
        command = [sys.executable, str(ROOT / "tools" / "benchmark.py"), *map(str, arguments)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)

    return run


@pytest.fixture
def refuses(run_tool):
    """Run a tool that must refuse: status 2, one line on stderr without a traceback; returns that line."""

    def run(name, *arguments):
        done = run_tool(name, *arguments)
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        assert done.returncode == 2, done.stderr
        assert "Traceback" not in done.stderr
        assert len(lines) == 1, lines
        return lines[0]

    return run


@pytest.fixture
def dots():
    """A drawn face's landmarks, an image with soft dots at some that lie well apart, and which ones."""
    _, points = draw_face(3, 200)
    apart: list[int] = []
    for i, point in enumerate(points):
        if all(np.linalg.norm(point - points[j]) > 15 for j in apart):
            apart.append(i)
    return paint_dots(points[apart], (200, 230)), points, apart


@pytest.fixture(scope="session")
def hub_python(request):
    python = os.environ.get("FACEKP_HUB_PYTHON")
    if python:
        return python
    # Kept for the next run, beside pytest's own cache; one for each environment that it borrows from.
    folder = request.config.cache.mkdir(f"hub-{zlib.crc32(sys.prefix.encode()):08x}") / "environment"
    python = folder / "bin" / "python"
    try:
        with FileLock(folder.with_name("lock")):  # of several test processes one makes it
            return str(python if python.exists() else make_environment(folder))
    except UserError as error:
        pytest.skip(f"the real paddlehub cannot be had: {error}")


@pytest.fixture
def hub_environment(hub_python, monkeypatch):
    """The interpreter of an environment with the real paddlehub, which `load_landmarker("hub")` uses too."""
    monkeypatch.setenv("FACEKP_HUB_PYTHON", hub_python)
    return hub_python
