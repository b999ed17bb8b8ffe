"""Callbacks: random numbers depend on the seed and the epoch."""

import paddle
import pytest

from facekp.training.callbacks import History
from facekp.training.checkpoint import RunState
from facekp.training.processes import Processes


@pytest.mark.parametrize("other", [{"seed": 1}, {"epoch": 1}])
def test_random_numbers_depend_on_the_seed_and_the_epoch(tmp_path, other):
    def draws(seed=0, epoch=0):
        History(RunState(epoch=epoch), tmp_path, Processes(), seed).on_epoch_begin(epoch)
        return paddle.rand([8]).numpy().tolist()

    assert draws() == draws() != draws(**other)
