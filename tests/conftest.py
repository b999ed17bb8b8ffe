"""What several tests share: drawn data sets on disk, and tools as child processes."""

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")

from tests_support import paint_dots, write_csv

from facekp.data.drawn import draw_face

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def drawn_csv(tmp_path):
    """A data folder with drawn faces of six people: 12 for training, 4 for testing."""
    for split, faces in (("training", range(12)), ("test", range(12, 16))):
        (tmp_path / split).mkdir()
        names, points = [], []
        for seed in faces:
            image, face = draw_face(seed, 140)
            names.append(f"person{seed % 6}_{seed:02d}.jpg")
            cv2.imwrite(str(tmp_path / split / names[-1]), image)
            points.append(face)
        write_csv(tmp_path / f"{split}_frames_keypoints.csv", names, points)
    return tmp_path


@pytest.fixture
def run_tool():
    """Run a tool as its users do; returns the finished process."""

    def run(name, *arguments, timeout=240):
        command = [sys.executable, str(ROOT / "tools" / f"{name}.py"), *map(str, arguments)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout)

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
    """A drawn face's landmarks, a picture with soft dots at some that lie well apart, and which ones."""
    _, points = draw_face(3, 200)
    apart: list[int] = []
    for i, point in enumerate(points):
        if all(np.linalg.norm(point - points[j]) > 15 for j in apart):
            apart.append(i)
    return paint_dots(points[apart], (200, 230)), points, apart
