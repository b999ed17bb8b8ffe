"""How fast a training is, and what of it: loader alone, network alone, both together, and memory."""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Iterator

import numpy as np
import paddle
from paddle.io import DataLoader

from facekp.losses import build_loss
from facekp.training.checkpoint import RunState
from facekp.training.config import load_config
from facekp.training.data import build_data, training_loader
from facekp.training.run import build_optimizer, build_schedule, seed_everything


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What can be set on the command line."""
    parser.add_argument("-c", "--config", default="configs/sam_googlenet_bn.yml", help="the recipe (%(default)s)")
    parser.add_argument("-o", "--option", action="append", default=[], metavar="KEY=VALUE", help="as in train.py")
    parser.add_argument("--steps", type=int, default=4, help="steps in each block (%(default)s)")
    parser.add_argument("--rounds", type=int, default=4, help="blocks of each kind, taken by turns (%(default)s)")


def run(args: argparse.Namespace) -> None:
    """Measure and print.

    A step on a batch that is there, and a step on the next batch of the loader, are timed by turns, block by
    block: on a machine whose speed drifts only their ratio means something.
    """
    config = load_config(args.config, args.option)
    seed_everything(config.seed)
    data = build_data(config, check=False)
    state = RunState()
    loader = training_loader(data, config, state)
    network = data.recipe.build_network()
    optimizer = build_optimizer(config.optimizer, build_schedule(config.optimizer, 1, 10**6), network)
    loss = build_loss(config.loss, scored=bool(config.network.get("score")))

    def step(image: paddle.Tensor, label: paddle.Tensor) -> None:
        loss(network(image), label).backward()
        optimizer.step()
        optimizer.clear_grad()

    size = config.train.batch_size
    batches = _endless(loader, state)
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
    print(f"{config.name}, {config.size} pixels, batch {size}, {config.data.workers} loader processes, "
          f"on {paddle.get_device()}")  # fmt: skip
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
