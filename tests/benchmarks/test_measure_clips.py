"""Benchmarks of tracking on clips and of many images: they measure what they report."""

import cv2
import measure_clips as clips
import measure_many as many
import numpy as np
import pytest

from facekp.io.video import write_video
from facekp.landmarks import IBUG68, MEAN_FACE


def test_jitter_of_white_noise_is_its_size_and_a_steady_motion_has_none():
    face = MEAN_FACE.astype(np.float64) * 100
    noise = 0.02 * IBUG68.unit(face) * np.random.default_rng(0).normal(size=(400, 68, 2))
    # The mean length of a 2D standard normal vector is sqrt(pi / 2).
    assert clips.jitter(face + noise) == pytest.approx(0.02 * np.sqrt(np.pi / 2), rel=0.03)
    moving = [face + 3 * number for number in range(10)]
    assert clips.jitter([*moving, np.full((68, 2), np.nan)]) < 1e-6


def test_every_image_behind_the_first_ones_counts():
    seen = []
    assert many._rate((seen.append(number) for number in range(20)), 5) > 0
    assert len(seen) == 20


@pytest.mark.slow
def test_clips_measures_what_is_there(run_benchmark, tmp_path):
    photo = cv2.resize(cv2.imread("assets/photos/astronaut.png"), (256, 256))
    write_video(tmp_path / "a.mp4", [np.roll(photo, number, 1) for number in range(6)], 25)
    done = run_benchmark("clips", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "a.mp4" in done.stdout and "facekp, unsmoothed: " in done.stdout


def test_too_few_images_are_told(run_benchmark):
    done = run_benchmark("many", "assets/photos")
    assert done.returncode == 2 and "give 192 or more" in done.stderr


def test_a_misspelt_option_is_one_line(run_benchmark):
    done = run_benchmark("many", "assets/photos", "--worker", "2")
    assert done.returncode == 2
    assert done.stderr == "benchmarks: unrecognized arguments: --worker 2; see --help\n"
