"""Benchmark of faces found on photos, run on the photos that come with the project."""

import argparse
import shutil
from pathlib import Path

import measure_faces

import facekp
from facekp.inference.pseudo_labels import write_pts
from facekp.io.images import read_image

PHOTOS = Path(__file__).resolve().parents[2] / "assets" / "photos"


def test_labelled_faces_and_photos_are_counted(tmp_path, capsys):
    shutil.copy(PHOTOS / "astronaut.png", tmp_path / "a.png")
    found = facekp.load_landmarker()(read_image(tmp_path / "a.png")).points[0]
    write_pts(tmp_path / "a.pts", found)
    parser = argparse.ArgumentParser()
    measure_faces.add_arguments(parser)
    arguments = ["--labelled", str(tmp_path), "--points", "inner51", "--photos", str(tmp_path), "--sheet"]
    measure_faces.run(parser.parse_args([*arguments, str(tmp_path / "sheet.png")]))
    printed = capsys.readouterr().out
    assert "1 labelled faces, inner51 points" in printed
    assert "with the detector: 1 of 1 found, NME 0.0" in printed
    assert "1 photos, a face on 100.0 %, 1.000 faces a photo" in printed
    assert read_image(tmp_path / "sheet.png").shape == (128, 128, 3)
