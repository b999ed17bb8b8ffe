"""Loading batches: samples that cannot be read, and shared memory left by dead loader processes."""

import os
import subprocess
import sys

import numpy as np
import paddle
import pytest

from facekp.data.loader import Loader, sweep_shared_memory
from facekp.errors import UserError
from facekp.io.images import read_image


class Photos(paddle.io.Dataset):
    """Six samples, one of which raises an error."""

    def __init__(self, fault):
        self.fault = fault

    def __len__(self):
        return 6

    def __getitem__(self, index):
        if index == 4:
            self.fault()
        return np.full(3, index, np.float32), np.int64(index)


def missing():
    read_image("photos/gone.png")


def ours():
    raise ZeroDivisionError("a fault of ours")


def batches(fault, workers):
    photos = Photos(fault)
    return Loader(photos, paddle.io.BatchSampler(photos, batch_size=2), workers)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_sample_that_cannot_be_read_is_named(workers):
    seen = []
    with pytest.raises(UserError, match=r"^photos/gone\.png: cannot be read"):
        seen.extend(numbers.tolist() for _, numbers in batches(missing, workers))
    assert seen in ([[0, 1], [2, 3]], [[0, 1]], [])  # loader processes read ahead


def test_a_fault_of_ours_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError, match="of ours"):
        list(batches(ours, 0))


@pytest.mark.parametrize("workers", [0, 1])
def test_an_epoch_can_be_read_again(workers):
    loader = batches(lambda: None, workers)
    for _ in range(2):
        images, numbers = zip(*loader)
        assert np.concatenate([part.numpy() for part in numbers]).tolist() == list(range(6))
        assert [list(part.shape) for part in images] == [[2, 3]] * 3


def test_shared_memory_of_dead_processes_is_swept_and_no_other(tmp_path):
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    names = (f"paddle_{done.pid}_1_2", f"paddle_{os.getpid()}_1_2", "other_1")
    dead, alive, other = (tmp_path / name for name in names)
    for file in (dead, alive, other):
        file.write_bytes(b"")
    sweep_shared_memory(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([alive.name, other.name])
