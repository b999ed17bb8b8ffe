"""Data loaders: the samples of each step, and their order."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from paddle.io import BatchSampler, Dataset, DistributedBatchSampler

from facekp.data.dataset import Draw
from facekp.data.loader import Loader
from facekp.errors import UserError
from facekp.tasks import TaskData
from facekp.training.checkpoint import RunState
from facekp.training.config import Config
from facekp.training.processes import Processes

ALONE = Processes()


class ShuffledBatches(BatchSampler):
    """Batches whose order and random transforms depend on the seed and the epoch only.

    The combined batches of n processes equal those of one process with a batch n times as large.

    Args:
        sizes: Number of samples in each part of the data set.
        weights: How often an epoch shows a sample of each part: 0.5 shows every second one, 2 each of them twice.
        batch_size: Number of samples in a batch of one process; the last one may be smaller.
        seed: Seed of the run.
        state: State of the run, with the current epoch.
        processes: Processes of the run; they determine this process's share of every batch.
        final_from: Number of finished epochs from which the final transforms are used; None: never.

    Raises:
        UserError: There are fewer samples than processes.

    Example:
        >>> batches = ShuffledBatches([3, 2], [1.0, 2.0], 3, seed=0, state=RunState(epoch=3))
        >>> [len(batch) for batch in batches], list(batches) == list(batches)
        ([3, 3, 1], True)
    """

    def __init__(
        self,
        sizes: Sequence[int],
        weights: Sequence[float],
        batch_size: int,
        seed: int,
        state: RunState,
        processes: Processes = ALONE,
        final_from: int | None = None,
    ) -> None:
        self.sizes, self.batch_size, self.seed, self.state = list(sizes), batch_size, seed, state
        self.processes, self.final_from = processes, final_from
        self.shown = [round(size * weight) for size, weight in zip(sizes, weights)]
        if sum(self.shown) < processes.count:
            raise UserError(f"{sum(self.shown)} faces cannot be divided among {processes.count} processes; start fewer")

    def __len__(self) -> int:
        # Each process must get a share of the last batch; a smaller remainder is added to the previous batch.
        count = self.processes.count
        return -(-(sum(self.shown) - count + 1) // (self.batch_size * count))

    def __iter__(self) -> Iterator[list[Draw]]:
        rng = np.random.default_rng([self.seed, self.state.epoch])
        order, first = [], 0
        for size, shown in zip(self.sizes, self.shown):
            permutations = [rng.permutation(size) + first for _ in range(-(-shown // max(size, 1)))]
            order.append(np.concatenate([*permutations, np.zeros(0, int)])[:shown])
            first += size
        chosen = rng.permutation(np.concatenate(order))
        seeds = rng.integers(2**31, size=len(chosen))
        final = self.final_from is not None and self.state.epoch >= self.final_from
        global_batch, steps = self.batch_size * self.processes.count, len(self)
        for step in range(steps):
            end = (step + 1) * global_batch if step < steps - 1 else len(chosen)
            share = slice(step * global_batch + self.processes.rank, end, self.processes.count)
            yield [Draw(int(i), int(s), final) for i, s in zip(chosen[share], seeds[share])]


def training_loader(data: TaskData, config: Config, state: RunState, processes: Processes = ALONE) -> Loader:
    """Return a loader of this process's share of the shuffled training batches.

    Args:
        data: The training data, with the size and weight of each source.
        config: The config of the run.
        state: Progress of the run, from which the loader continues.
        processes: Processes that share the batches.
    """
    final = config.data.final
    sampler = ShuffledBatches(
        data.sizes,
        data.weights,
        config.train.batch_size,
        config.seed,
        state,
        processes,
        None if final is None else config.train.epochs - final.epochs,
    )
    return Loader(data.train, sampler, config.data.workers)


def validation_loader(dataset: Dataset, config: Config, processes: Processes = ALONE) -> Loader:
    """Return a loader of all samples in order; each process gets its share, as `paddle.Model.evaluate` expects.

    `evaluate` discards the samples that pad the last shares, so that its metrics see each face once.
    """
    sampler = DistributedBatchSampler(dataset, config.train.batch_size, processes.count, processes.rank)
    return Loader(dataset, sampler, config.data.workers)


@contextmanager
def loaders_watched() -> Iterator[None]:
    """Report in one line that a loader process was killed, as the system does when memory is short.

    Raises:
        UserError: A loader process was killed.
    """
    try:
        yield
    except (RuntimeError, SystemError) as error:
        # Paddle raises this error at whichever line of ours is running.
        if re.search(r"DataLoader.*(killed|exit)|worker.*exit", str(error), re.DOTALL):
            raise UserError(
                "a loader process was killed, most often because memory is short; resume with --resume, and with a "
                "smaller data.workers (0 loads in the training process)"
            ) from error
        raise
