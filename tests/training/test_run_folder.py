"""Run folders: runs that go on after a change of place or version, and folders that are taken or refused."""

import json

import pytest
import yaml
from tests_support import quickstart

from facekp.errors import UserError
from facekp.landmarks import load_schema
from facekp.training.config import load_config
from facekp.training.run_folder import essentials, find_run_folder, start_run_folder


@pytest.fixture
def folder(tmp_path):
    """The folder of a run with a finished epoch."""
    folder = tmp_path / "quickstart"
    start_run_folder(folder, quickstart(), resume=False)
    (folder / "last.safetensors").write_bytes(b"")
    return folder


def test_a_run_of_an_earlier_version_goes_on(folder):
    values = yaml.safe_load((folder / "config.yml").read_text())
    del values["train"]["amp"], values["optimizer"]["scale_lr"]  # keys that it did not have
    (folder / "config.yml").write_text(yaml.safe_dump(values))
    output = f"output={folder.parent}"
    assert find_run_folder(quickstart(output), resume=True, overwrite=False) == folder
    with pytest.raises(UserError, match=r"train\.amp = 'O0', not 'O1'"):
        find_run_folder(quickstart(output, "train.amp=O1"), resume=True, overwrite=False)


def test_a_folder_of_labels_may_move(tmp_path):
    def pts(place):
        return quickstart(f"output={tmp_path}", f"data.sources=[{{type: pts, root: {place}}}]")

    start_run_folder(tmp_path / "quickstart", pts("here"), resume=False)
    (tmp_path / "quickstart" / "last.safetensors").write_bytes(b"")
    assert find_run_folder(pts("there"), resume=True, overwrite=False) == tmp_path / "quickstart"


def test_a_moved_run_goes_on(drawn_csv, tmp_path):
    def kept(folder, validation):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "own.yml").write_text(yaml.safe_dump(load_schema("five").to_dict()))
        source = {"type": "coco", "labels": f"{folder}/a.json", "schema": str(tmp_path / folder / "own.yml"),
                  "validation": validation and f"{folder}/{validation}"}  # fmt: skip
        return essentials(load_config("own_points", [f"data.sources=[{json.dumps(source)}]"]))

    assert kept("here", "b.json") == kept("there", "b.json")
    assert kept("here", "b.json") != kept("there", None)


def test_a_run_in_a_linked_folder_is_overwritten_there(tmp_path):
    large, link = tmp_path / "large_disk", tmp_path / "quickstart"
    start_run_folder(large, quickstart(), resume=False)
    (large / "metrics.csv").write_text("old")
    link.symlink_to(large)
    start_run_folder(link, quickstart("seed=1"), resume=False)
    assert link.is_symlink() and [path.name for path in large.iterdir()] == ["config.yml"]


@pytest.mark.parametrize("text", ["", "3", "name: x"])
def test_a_damaged_config_beside_a_checkpoint_is_told(folder, text):
    (folder / "config.yml").write_text(text)
    with pytest.raises(UserError, match=r"config\.yml"):
        find_run_folder(quickstart(f"output={folder.parent}"), resume=True, overwrite=False)


def test_a_folder_in_which_a_kill_left_only_a_temporary_file_is_taken(tmp_path):
    folder = tmp_path / "quickstart"
    folder.mkdir()
    (folder / ".config-ls7uko_y.yml").write_text("name: q")  # killed while the config was written
    config = quickstart(f"output={tmp_path}")
    assert find_run_folder(config, resume=False, overwrite=False) == folder
    start_run_folder(folder, config, resume=False)
    assert [file.name for file in folder.iterdir()] == ["config.yml"]
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="exists already"):
        find_run_folder(config, resume=False, overwrite=False)
