"""The benchmarks run, count missed faces as failed, and report missing packages and options."""

import importlib.util
from pathlib import Path

import measure_peers as peers
import numpy as np
import pytest
from measure_inference import interleaved

from facekp.inference.export import can_write_onnx
from facekp.landmarks import MEAN_FACE

needs_onnx = pytest.mark.skipif(
    not can_write_onnx() or importlib.util.find_spec("onnxruntime") is None, reason="needs the extra [onnx]"
)


class Given:
    """Benchmark entry that returns given faces, one answer per call."""

    name = "given"

    def __init__(self, answers):
        self.answers = iter(answers)

    def prepare(self, image):
        return image

    def find(self, image, max_faces=5):
        return np.array(next(self.answers), np.float32).reshape(-1, 68, 2)


def test_errors_are_of_the_face_meant_and_misses_stay_misses():
    face = MEAN_FACE * 100 + 50
    near, beside = face + np.array([1, 0]), face + np.array([300, 0])
    answers = [[face], [beside, near], [], [beside]]
    images = [np.zeros((1, 1, 3), np.uint8)] * len(answers)
    errors = peers._errors(Given(answers), images, np.stack([face] * len(answers)))
    unit = np.linalg.norm(face[36] - face[45])
    np.testing.assert_allclose(errors, [0, 1 / unit, np.nan, np.nan], atol=1e-6)


def test_missed_faces_count_as_failed(capsys):
    peers._print_errors([peers.Row("a", 1, 1, 1, np.array([0.01, 0.09, np.nan, 0.2]))], Path("root"))
    row = capsys.readouterr().out.splitlines()[-1]
    assert row == "| a | 4 | 75.00 % | 10.00 % | 75.00 % | 50.00 % |"


def test_the_mesh_indices_are_68_different_vertices():
    assert len(set(peers.MESH_TO_68)) == len(peers.MESH_TO_68) == 68
    assert 0 <= min(peers.MESH_TO_68) <= max(peers.MESH_TO_68) < 468


def test_functions_are_timed_in_turn():
    calls = []
    times = interleaved([lambda: calls.append("a"), lambda: calls.append("b")], rounds=2, row=3)
    assert "".join(calls) == "aaabbbaaabbb"
    assert len(times) == 2
    assert min(times) >= 0


@pytest.mark.slow
def test_peers_measures_what_is_there(run_benchmark, drawn_csv):
    done = run_benchmark("peers", "--rounds", "1", "--root", drawn_csv, "--plot", drawn_csv / "peers.png")
    assert done.returncode == 0, done.stderr
    assert "| facekp face_crop_light, one pass |" in done.stdout
    assert "| facekp face_crop_light | 4 |" in done.stdout
    assert ("omitted: dlib" in done.stdout) == (importlib.util.find_spec("dlib") is None)
    assert (drawn_csv / "peers.png").is_file()


@pytest.mark.slow
def test_a_plot_without_errors_is_refused(run_benchmark, tmp_path):
    done = run_benchmark("peers", "--rounds", "1", "--plot", tmp_path / "a.png")
    assert done.returncode == 2 and "--root" in done.stderr


@pytest.mark.slow
@needs_onnx
def test_inference_measures_every_backend(run_benchmark):
    done = run_benchmark("inference", "--rounds", "1", "--runs", "1", "--photos", "1")
    assert done.returncode == 0, done.stderr
    for name in ("dygraph", "paddle", "onnx", "int8", "default", "detector", "network", "all else"):
        assert f"\n| {name} |" in done.stdout


@pytest.mark.slow
def test_train_measures_a_network_that_returns_logits(run_benchmark, drawn_csv):
    source = f"{{type: csv68, root: {drawn_csv}}}"
    options = (f"data.sources=[{source}]", "data.turned=null", "data.workers=0", "train.batch_size=2")
    done = run_benchmark("train", "-c", "configs/every_angle_light.yml", *(part for o in options for part in ("-o", o)),
                         "--steps", "1", "--rounds", "1")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "both together" in done.stdout
