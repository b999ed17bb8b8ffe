"""Many images on a local Ray cluster, one of whose workers is killed."""

from functools import partial
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest

from facekp.errors import UserError
from facekp.inference.many import find_on_many
from facekp.inference.on_ray import BATCH, find_on_ray
from facekp.loading import load_landmarker

ray = pytest.importorskip("ray")

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def cluster(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # for the workers as well
    monkeypatch.setenv("RAY_worker_niceness", "0")  # by default they have a low priority
    yield
    ray.shutdown()


@pytest.mark.slow
def test_a_killed_worker_loses_and_doubles_nothing(cluster, tmp_path):
    photo = cv2.imread(str(ROOT / "assets/photos/astronaut.png"))
    for number in range(4 * BATCH):
        cv2.imwrite(str(tmp_path / f"{number:02d}.jpg"), np.roll(photo, 2 * number, 1))
    (tmp_path / "99.jpg").write_bytes(b"not an image")
    paths = sorted(tmp_path.iterdir())
    load = partial(load_landmarker, threads=1)

    found = find_on_ray(paths, load, workers=1)
    seen = [next(found)]
    processes = psutil.Process().children(recursive=True)
    worker = next(process for process in processes if "MapWorker" in process.cmdline()[0])
    worker.kill()
    seen += found

    assert [each.path for each in seen] == paths
    for here, there in zip(find_on_many(paths[:-1], load(), 1), seen):
        assert (here.found.points == there.found.points).all() and len(here.found) == 1
    assert isinstance(seen[-1].found, UserError) and "99.jpg" in str(seen[-1].found)


def test_no_cluster_at_the_address_is_one_line(run_tool, tmp_path):
    table = tmp_path / "points.csv"
    done = run_tool("predict", "assets/photos/astronaut.png", "-o", table, "--ray", "127.0.0.1:9")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "--ray 127.0.0.1:9: no Ray cluster" in done.stderr
    assert not list(tmp_path.iterdir())


def test_images_are_not_drawn_on_workers(run_tool, tmp_path):
    done = run_tool("predict", "assets/photos/astronaut.png", "-o", tmp_path / "drawn", "--ray")
    assert done.returncode == 2 and "name a table" in done.stderr
