"""Export: the files of an earlier export are replaced as a whole, and others stay."""

from pathlib import Path

import pytest

from facekp.errors import UserError
from facekp.inference.backends import RECIPE_FILE
from facekp.inference.export import replace_files


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
