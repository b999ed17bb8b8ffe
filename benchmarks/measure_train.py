"""How fast a training is, and what of it: loader alone, network alone, both together, and memory.

Under `python -m paddle.distributed.launch --nproc_per_node 2`: what two processes do against what one does.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Iterator
from typing import Callable

import facekp  # noqa: F401  (before Paddle: it chooses the kernels)

# isort: split
import numpy as np
import paddle
from paddle.io import DataLoader

from facekp.models import build_network
from facekp.tasks import TaskData
from facekp.training.checkpoint import RunState
from facekp.training.config import Config, load_config
from facekp.training.loaders import training_loader
from facekp.training.processes import Processes
from facekp.training.schedules import build_optimizer, build_schedule
from facekp.training.start import describe_device, seed_everything

Step = Callable[[paddle.Tensor, paddle.Tensor], None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What can be set on the command line."""
    parser.add_argument("-c", "--config", default="configs/sam_googlenet_bn.yml", help="the recipe (%(default)s)")
    parser.add_argument("-o", "--option", action="append", default=[], metavar="KEY=VALUE", help="as in train.py")
    parser.add_argument("--steps", type=int, default=4, help="steps in each block (%(default)s)")
    parser.add_argument("--rounds", type=int, default=4, help="blocks of each kind, interleaved (%(default)s)")


def run(args: argparse.Namespace) -> None:
    """Measure and print; interleaved, because on a machine whose speed drifts only ratios mean something."""
    config = load_config(args.config, args.option)
    processes = Processes.start()
    seed_everything(config.seed)
    data = config.what.build_data(config)
    if processes.first:
        print(f"{config.name}, {config.size} pixels, batch {config.train.batch_size}, "
              f"{describe_device(config, processes)}", flush=True)  # fmt: skip
    state = RunState()
    batches = _endless(training_loader(data, config, state, processes), state)
    if processes.count > 1:
        _many_against_one(args, config, data, batches, processes)
    else:
        _parts_of_a_step(args, config, data, batches)


def _stepper(config: Config, data: TaskData, together: bool = False) -> Step:
    network = build_network(**data.recipe.network_arguments())
    optimizer = build_optimizer(config.optimizer, build_schedule(config.optimizer, 1, 10**6), network)
    called = paddle.DataParallel(network) if together else network

    def step(image: paddle.Tensor, label: paddle.Tensor) -> None:
        data.loss(called(image), label).backward()
        optimizer.step()
        optimizer.clear_grad()

    return step


def _many_against_one(
    args: argparse.Namespace,
    config: Config,
    data: TaskData,
    batches: Iterator[tuple[paddle.Tensor, paddle.Tensor]],
    processes: Processes,
) -> None:
    """The first process trains alone while the others wait, then all train together."""

    def block(step: Step) -> float:
        start = time.perf_counter()
        for _ in range(args.steps):
            step(*next(batches))
        return (time.perf_counter() - start) / args.steps

    alone, together = _stepper(config, data), _stepper(config, data, together=True)
    one: list[float] = []
    many: list[float] = []
    for _ in range(args.rounds + 1):
        if processes.first:
            one.append(block(alone))
        processes.gather(None)
        many.append(block(together))
        processes.gather(None)
    if processes.first:
        size, count = config.train.batch_size, processes.count
        gains = [count * a / b for a, b in zip(one[1:], many[1:])]  # the first blocks warm up
        print(f"one process     {size / statistics.median(one[1:]):8.1f} images a second")
        print(f"{count} processes     {count * size / statistics.median(many[1:]):8.1f} images a second")
        print(f"{count} processes are {statistics.median(gains):.2f} times as fast as one "
              f"(median of {args.rounds} pairs of blocks, {min(gains):.2f} to {max(gains):.2f})")  # fmt: skip


def _parts_of_a_step(
    args: argparse.Namespace,
    config: Config,
    data: TaskData,
    batches: Iterator[tuple[paddle.Tensor, paddle.Tensor]],
) -> None:
    """A step on a batch that is there, and a step on the next batch of the loader."""
    step, size = _stepper(config, data), config.train.batch_size
    fixed = next(batches)
    step(*fixed)
    alone: list[float] = []
    both: list[float] = []
    memory = []
    for _ in range(args.rounds):
        for times, supply in ((alone, None), (both, batches)):
            start = time.perf_counter()
            for _ in range(args.steps):
                step(*(fixed if supply is None else next(supply)))
            times.append((time.perf_counter() - start) / args.steps)
        memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)

    loader_only = _loader_rate(training_loader(data, config, RunState(epoch=10**6)), size)
    extra = statistics.median(b / a for a, b in zip(alone, both)) - 1
    print(f"loader alone    {loader_only:8.1f} images a second")
    print(f"network alone   {size / statistics.median(alone):8.1f} images a second")
    print(f"both together   {size / statistics.median(both):8.1f} images a second")
    print(f"the loader makes a step {extra * 100:.1f} % longer (median of {args.rounds} pairs of blocks)")
    print("peak memory of the training process after each round, MiB: " + ", ".join(f"{m:.0f}" for m in memory))


def _endless(loader: DataLoader, state: RunState) -> Iterator[tuple[paddle.Tensor, paddle.Tensor]]:
    while True:
        for image, label in loader:
            if image.shape[0] == loader.batch_sampler.batch_size:
                yield image, label
        state.epoch += 1


def _loader_rate(loader: DataLoader, size: int, batches: int = 12) -> float:
    """Images a second, after the first batches, which wait for the processes to start."""
    times = []
    for number, (image, _) in enumerate(loader):
        if number >= 4:
            times.append(time.perf_counter())
        if number >= 4 + batches or image.shape[0] < size:
            break
    return float(size / np.diff(times).mean())
