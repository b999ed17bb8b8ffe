"""The start of a run: the line about the device, and mixed precision."""

import paddle
from tests_support import quickstart

from facekp.models import build_network
from facekp.training.processes import Processes
from facekp.training.start import describe_device, prepare_amp


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
