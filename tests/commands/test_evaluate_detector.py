"""Evaluation of a face detector with the command for points: alone, and together with a network of points."""

import json
from pathlib import Path

import numpy as np
import pytest
from tests_support import write_pts

from facekp.io.images import read_image, write_image
from facekp.landmarks import MEAN_FACE
from facekp.vision import geometry

ROOT = Path(__file__).resolve().parents[2]
DETECTOR = ROOT / "facekp" / "shipped" / "face_detector.safetensors"
CONFIG = ("-c", "configs/face_detector.yml", "-o", "data.sources=[{type: pts, root: PHOTOS}]")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """The astronaut, rotated by 30 degrees; the labels are the mean face, placed by eye in her face's box."""
    folder = tmp_path_factory.mktemp("photos")
    turn = geometry.rotation(-30, (225, 135))
    turned = geometry.warp(read_image("assets/photos/astronaut.png"), turn, (512, 512), border="replicate")
    for name in ("a", "b"):  # every tenth image is held out: here the first
        write_image(folder / f"{name}.png", turned)
        write_pts(folder / f"{name}.pts", geometry.apply(turn, MEAN_FACE * np.array([94, 96]) + np.array([178, 84])))
    return folder


def test_the_points_reject_what_the_detector_alone_takes_for_faces(photos, run_tool, tmp_path):
    tables = {}
    for name, more in (("alone", []), ("in_use", ["--points", "face_crop_light"])):
        done = run_tool(
            "evaluate",
            *CONFIG,
            "-o",
            f"data.sources.0.root={photos}",
            "-w",
            DETECTOR,
            *more,
            "--output",
            tmp_path / name,
        )
        assert done.returncode == 0, done.stderr
        tables[name] = json.loads((tmp_path / name / "metrics.json").read_text())["pts"]
        assert (tables[name]["images"], tables[name]["faces"]) == (1, 1)
        assert tables[name]["found"] == tables[name]["ap"] == 1
        printed = dict(line.split(maxsplit=1) for line in done.stdout.splitlines()[2:])
        assert float(printed["false_per_image"]) == tables[name]["false_per_image"]
        assert printed["found"] == "100.00 %"
    assert tables["alone"]["false_per_image"] >= 1 and tables["in_use"]["false_per_image"] == 0
    assert tables["in_use"]["false_on_no_faces"] < tables["alone"]["false_on_no_faces"]
    assert tables["in_use"]["found_240_px"] is None and tables["in_use"]["faces_80_px"] == 1


def test_what_does_not_go_with_a_detector_is_refused(photos, refuses, tmp_path):
    boxes = (*CONFIG, "-o", f"data.sources.0.root={photos}", "--output", tmp_path / "no")
    assert "--boxes, --passes and --flip are about points" in refuses("evaluate", *boxes, "-w", DETECTOR, "--passes", 3)
    assert "neither a detector (haar, mediapipe, yunet)" in refuses("evaluate", *boxes, "-w", "nowhere")
    assert "needs -c face_detector" in refuses("evaluate", "-w", "haar")
    points = ("-c", "configs/face_crop_light.yml", "-w", DETECTOR.with_name("face_crop_light.safetensors"))
    assert "--points is about face detectors" in refuses("evaluate", *points, "--points", "face_crop_light")
    assert not (tmp_path / "no").exists()
