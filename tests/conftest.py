"""Shared fixtures: drawn data sets on disk, commands run in this process, and benchmarks run in child processes."""

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
    """Mark the tests that need the package index as slow, too."""
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
    """Run a command as users do, but in this process; return the result as a `CompletedProcess`.

    Tests of the process itself (signals, memory, startup) start one themselves.
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
        except Exception:  # a bug: status 1 and a traceback, as in Python itself
            status = 1
            traceback.print_exc()
        printed = capsys.readouterr()
        return subprocess.CompletedProcess([name, *arguments], status, printed.out, printed.err)

    return run


@pytest.fixture
def run_benchmark():
    """Run a benchmark in a separate process; return the finished process."""

    def run(*arguments):
        command = [sys.executable, str(ROOT / "tools" / "benchmark.py"), *map(str, arguments)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)

    return run


@pytest.fixture
def refuses(run_tool):
    """Run a command that must end with status 2 and one line on stderr, no traceback; return that line."""

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
    """An image with dots at well-separated landmarks of a drawn face, all landmarks, and the dotted indices."""
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
    # Kept in pytest's cache for later runs; one for each environment whose packages it uses.
    folder = request.config.cache.mkdir(f"hub-{zlib.crc32(sys.prefix.encode()):08x}") / "environment"
    python = folder / "bin" / "python"
    try:
        with FileLock(folder.with_name("lock")):  # only one of several test processes creates it
            return str(python if python.exists() else make_environment(folder))
    except UserError as error:
        pytest.skip(f"the real paddlehub cannot be had: {error}")


@pytest.fixture
def hub_environment(hub_python, monkeypatch):
    """The interpreter of an environment with the real paddlehub, which `load_landmarker("hub")` uses too."""
    monkeypatch.setenv("FACEKP_HUB_PYTHON", hub_python)
    return hub_python
