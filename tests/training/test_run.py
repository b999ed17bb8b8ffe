import paddle
import pytest
import yaml

from facekp.errors import UserError
from facekp.models import build_network
from facekp.training.config import load_config
from facekp.training.processes import Processes
from facekp.training.run_folder import find_run_folder, start_run_folder
from facekp.training.start import describe_device, prepare_amp


def quickstart(*options):
    return load_config("configs/quickstart.yml", options)


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


def test_one_line_says_what_was_chosen(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("MKL_DEBUG_CPU_TYPE", "5")
    assert describe_device(quickstart(), Processes()) == "1 process on cpu, 3 threads, 2 loader processes, AVX2 kernels"
    monkeypatch.delenv("OMP_NUM_THREADS")
    config = quickstart("data.workers=1", "train.amp=O1")
    assert describe_device(config, Processes(1, 2)) == (
        "2 processes on cpu, each 1 thread and 1 loader process, AVX2 kernels, "
        "train.amp O1 (which does nothing on a CPU)"
    )


def test_mixed_precision_changes_nothing_on_a_cpu():
    network = build_network("plain_resnet", channels=(4, 8), map_size=2)
    assert prepare_amp("O0", network) is None
    assert prepare_amp("O1", network) is None
    assert network(paddle.zeros([1, 3, 96, 96])).dtype == paddle.float32


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
