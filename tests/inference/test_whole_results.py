"""Faces inside faces, exports that replace earlier ones, broken backends, and arguments that cannot be honoured."""

import importlib.util
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from facekp.errors import UserError
from facekp.inference import backends
from facekp.inference.backends import RECIPE_FILE, load_backend
from facekp.inference.export import replace_files
from facekp.inference.faces import Faces
from facekp.landmarks import load_schema
from facekp.loading import load_landmarker
from facekp.models.weights import load_any_weights
from facekp.paddlehub.client import HubLandmarker
from facekp.zoo import SHIPPED


def kept(*faces):
    """Return which of the (box, score) pairs are kept: their boxes, largest first."""
    boxes, scores = zip(*faces)
    return Faces.from_arrays(np.zeros((len(boxes), 68, 2)), boxes, scores).without_doubles().boxes.tolist()


FACE = [0, 0, 100, 100]


def test_a_small_face_around_the_nose_of_a_large_one_is_dropped():
    assert kept((FACE, 0.95), ([30, 40, 70, 80], 0.75)) == [FACE]
    assert kept((FACE, 0.95), ([30, 70, 70, 110], 0.75)) == [FACE]  # three quarters of it inside


@pytest.mark.parametrize(
    "other",
    [
        ([70, 20, 150, 100], 0.8),  # two heads side by side, one partly hidden
        ([60, 50, 110, 100], 0.98),  # a child in front of an adult, with a higher score
        ([30, 75, 70, 115], 0.8),  # below the chin: less than 0.7 inside
    ],
)
def test_two_people_whose_heads_overlap_both_stay(other):
    assert len(kept((FACE, 0.95), other)) == 2


def test_an_export_that_cannot_be_completed_leaves_the_earlier_one(tmp_path, monkeypatch):
    folder, new = tmp_path / "exported", tmp_path / "new"
    folder.mkdir()
    new.mkdir()
    for name in ("model.onnx", RECIPE_FILE, "mine.txt"):
        (folder / name).write_text("old")
    made = [new / "model.json", new / "model.pdiparams", new / RECIPE_FILE]
    for path in made:
        path.write_text("new")
    made[0].unlink()  # a read error after the others have been copied
    with pytest.raises(OSError, match=r"model\.json"):
        replace_files(folder, made)
    assert {path.name: path.read_text() for path in folder.iterdir()} == {
        "model.onnx": "old", RECIPE_FILE: "old", "mine.txt": "old"}  # fmt: skip
    made[0].write_text("new")
    assert replace_files(folder, made) == [folder / path.name for path in made]
    assert {path.name: path.read_text() for path in folder.iterdir()} == {
        "model.json": "new", "model.pdiparams": "new", RECIPE_FILE: "new", "mine.txt": "old"}  # fmt: skip


def test_a_file_that_is_of_no_export_stays(tmp_path):
    new, folder = tmp_path / "new", tmp_path / "theirs"
    new.mkdir()
    folder.mkdir()
    (folder / "model.onnx").write_text("theirs")
    made = [new / "model.json", new / "model.pdiparams", new / RECIPE_FILE]
    for path in made:
        path.write_text("new")
    with pytest.raises(UserError, match=r"model\.onnx: would be replaced"):
        replace_files(folder, made)
    assert [path.read_text() for path in folder.iterdir()] == ["theirs"]


def test_the_recipe_comes_last(tmp_path, monkeypatch):
    import os

    order = []
    rename = os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: (order.append(Path(b).name), rename(a, b))[1])
    new = tmp_path / "new"
    new.mkdir()
    made = [new / "model.json", new / "model.pdiparams", new / RECIPE_FILE]
    for path in made:
        path.write_text("new")
    replace_files(tmp_path / "exported", made)
    assert order[-1] == RECIPE_FILE and len(order) == 3


def test_a_broken_installation_of_onnx_runtime_is_not_hidden(tmp_path, monkeypatch):
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('libfoo.so: cannot open shared object file')")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in list(sys.modules) if name.split(".")[0] == "onnxruntime"]:
        monkeypatch.delitem(sys.modules, name)
    importlib.invalidate_caches()
    with pytest.raises(ImportError, match="libfoo"):
        load_backend(SHIPPED / "face_crop_light.safetensors")


def test_a_missing_one_is_replaced_by_the_next(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "onnxruntime" else find(name))
    backend, _ = load_backend(SHIPPED / "face_crop_light.safetensors")
    assert isinstance(backend, backends.DygraphBackend)


@pytest.mark.parametrize("given", [{"passes": 3}, {"flip": True}, {"backend": "onnx"}, {"threads": 2}])
def test_paddlehubs_landmarker_refuses_what_it_cannot_honour(given):
    with pytest.raises(UserError, match=f"{next(iter(given))}: PaddleHub's landmarker has no such setting"):
        load_landmarker("hub", **given)


def test_closing_paddlehubs_landmarker_waits_for_the_call_that_runs():
    landmarker = HubLandmarker.__new__(HubLandmarker)

    class Worker:
        closed = False

        def close(self):
            self.closed = True

    worker = Worker()
    landmarker._lock, landmarker._worker = threading.Lock(), worker
    closing = threading.Thread(target=landmarker.close)
    with landmarker._lock:  # as during a call
        closing.start()
        closing.join(0.2)
        assert not worker.closed
    closing.join(5)
    assert worker.closed and landmarker._worker is None


def test_options_of_gigabytes_are_refused_before_memory_is_taken(tmp_path):
    import json
    import resource

    from safetensors.numpy import load_file, save_file

    from facekp.io.safetensors import read_metadata

    source = SHIPPED / "face_crop_light.safetensors"
    metadata = read_metadata(source)
    recipe = json.loads(metadata["recipe"])
    recipe["network"]["channels"] = [60000, 60000, 60000]  # 130 GB of weights
    save_file(load_file(source), tmp_path / "w.safetensors", {**metadata, "recipe": json.dumps(recipe)})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match=r"w\.safetensors: weights of another network"):
        load_any_weights(tmp_path / "w.safetensors")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


def test_five_points_are_followed_through_a_video():
    from facekp.inference.tracking import Tracker

    five = load_schema("five")
    points = five.mean_points * 100 + 20

    def landmarker(image, boxes=None):
        return Faces.from_arrays(points[None], five.face_box(points)[None], [0.9], five)

    tracker = Tracker(landmarker)
    for number in range(20):
        tracks = tracker(np.zeros((200, 200, 3), np.uint8), number / 25)
        assert tracks.points.shape == (1, 5, 2) and tracks.ids.tolist() == [0]
        assert tracks.schema.name == "five"
