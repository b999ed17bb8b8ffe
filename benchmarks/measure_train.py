"""Speed of training: loader alone, network alone, both together, memory; two processes; compared with PyTorch.

Under `python -m paddle.distributed.launch --nproc_per_node 2`: two processes compared with one.
"""

from __future__ import annotations

import argparse
import importlib.util
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Callable

import facekp  # noqa: F401  (before Paddle: it chooses the kernels)

# isort: split
import numpy as np
import paddle
from paddle.io import DataLoader

from facekp.errors import UserError
from facekp.models import build_network
from facekp.processor import keep_freed_memory
from facekp.tasks import TaskData
from facekp.training.checkpoint import RunState
from facekp.training.config import Config, load_config
from facekp.training.loaders import training_loader
from facekp.training.processes import Processes
from facekp.training.schedules import build_optimizer, build_schedule
from facekp.training.start import describe_device, seed_everything

Step = Callable[[paddle.Tensor, paddle.Tensor], None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command line options."""
    parser.add_argument("-c", "--config", default="configs/sam_googlenet_bn.yml", help="the recipe (%(default)s)")
    parser.add_argument("-o", "--option", action="append", default=[], metavar="KEY=VALUE", help="as in train.py")
    parser.add_argument("--steps", type=int, default=4, help="steps in each block (%(default)s)")
    parser.add_argument("--rounds", type=int, default=4, help="blocks of each kind, interleaved (%(default)s)")
    parser.add_argument("--beside", choices=["torch"],
                        help="the same network in PyTorch, interleaved (SAM-GoogLeNet-BN, norm: module)")  # fmt: skip


def run(args: argparse.Namespace) -> None:
    """Measure and print; interleaved, because only ratios are meaningful on a machine whose speed drifts."""
    config = load_config(args.config, args.option)
    processes = Processes.start()
    keep_freed_memory()
    seed_everything(config.seed)
    data = config.what.build_data(config)
    if processes.first:
        print(f"{config.name}, {config.size} pixels, batch {config.train.batch_size}, "
              f"{describe_device(config, processes)}", flush=True)  # fmt: skip
    if args.beside and (config.network["type"] != "sam_googlenet_bn" or config.network.get("norm") == "layer"):
        raise UserError("--beside torch knows SAM-GoogLeNet-BN with norm: module alone; choose another config")
    if args.beside and importlib.util.find_spec("torch") is None:
        raise UserError("--beside torch needs PyTorch: pip install torch==2.13.0")
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
        predicted = called(image)  # some heads return a pair, with the logits
        data.loss(*(predicted if isinstance(predicted, tuple) else (predicted,)), label).backward()
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
    """Time the first process alone while the others wait, then all together."""

    def block(step: Step) -> float:
        start = time.perf_counter()
        for _ in range(args.steps):
            step(*next(batches))
        return (time.perf_counter() - start) / args.steps

    alone, together = _stepper(config, data), _stepper(config, data, together=True)
    one: list[float] = []
    many: list[float] = []
    torch: list[float] = []
    with ExitStack() as stack:
        peer = None
        if args.beside and processes.first:
            peer = stack.enter_context(Torch(config, threads=processes.count, batches=processes.count))
        for _ in range(args.rounds + 1):
            if processes.first:
                one.append(block(alone))
            processes.gather(None)
            many.append(block(together))
            processes.gather(None)
            if peer is not None:
                torch.append(peer.block(args.steps)[0])
            processes.gather(None)
    if processes.first:
        size, count = config.train.batch_size, processes.count
        gains = [count * a / b for a, b in zip(one[1:], many[1:])]  # the first blocks warm up
        print(f"one process     {size / statistics.median(one[1:]):8.1f} images a second")
        print(f"{count} processes     {count * size / statistics.median(many[1:]):8.1f} images a second")
        print(f"{count} processes are {statistics.median(gains):.2f} times as fast as one "
              f"(median of {args.rounds} pairs of blocks, {min(gains):.2f} to {max(gains):.2f})")  # fmt: skip
        if torch:
            print(f"PyTorch, {count} threads, the images of all processes in one batch: "
                  f"{count * size / statistics.median(torch[1:]):8.1f} images a second")  # fmt: skip
            _print_ratio(f"ours in {count} processes", many[1:], torch[1:])


def _parts_of_a_step(
    args: argparse.Namespace,
    config: Config,
    data: TaskData,
    batches: Iterator[tuple[paddle.Tensor, paddle.Tensor]],
) -> None:
    """Time a step on a fixed batch, and a step on the next batch of the loader."""
    step, size = _stepper(config, data), config.train.batch_size
    fixed = next(batches)
    step(*fixed)
    alone: list[float] = []
    both: list[float] = []
    processor: list[float] = []  # one thread: its CPU time, whatever else the machine does
    torch: list[float] = []
    memory = []
    with ExitStack() as stack:
        peer = stack.enter_context(Torch(config)) if args.beside else None
        for _ in range(args.rounds):
            for times, supply in ((alone, None), (both, batches)):
                start = time.perf_counter()
                used = time.process_time()
                for _ in range(args.steps):
                    step(*(fixed if supply is None else next(supply)))
                times.append((time.perf_counter() - start) / args.steps)
                if supply is None:
                    processor.append((time.process_time() - used) / args.steps)
            if peer is not None:
                torch.append(peer.block(args.steps)[1])
            memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)

    loader_only = _loader_rate(training_loader(data, config, RunState(epoch=10**6)), size)
    extra = statistics.median(b / a for a, b in zip(alone, both)) - 1
    print(f"loader alone    {loader_only:8.1f} images a second")
    print(f"network alone   {size / statistics.median(alone):8.1f} images a second")
    print(f"both together   {size / statistics.median(both):8.1f} images a second")
    if torch:
        print(f"in seconds of the processor: ours {statistics.median(processor):.3f} a step, PyTorch "
              f"{statistics.median(torch):.3f}")  # fmt: skip
        _print_ratio("ours", processor, torch)
    print(f"the loader makes a step {extra * 100:.1f} % longer (median of {args.rounds} pairs of blocks)")
    print("peak memory of the training process after each round, MiB: " + ", ".join(f"{m:.0f}" for m in memory))


class Torch:
    """Process of `peer_torch.py`, started with the same sizes and kept ready between blocks.

    Args:
        config: Config of our training.
        threads: Number of threads of PyTorch.
        batches: Number of our batches in one of PyTorch's.
    """

    def __init__(self, config: Config, threads: int = 1, batches: int = 1) -> None:
        options = {
            "attention": config.network.get("attention", "max"),
            "size": config.size,
            "batch": config.train.batch_size * batches,
            "threads": threads,
        }
        command = [sys.executable, str(Path(__file__).with_name("peer_torch.py"))]
        command += [f"--{name}={value}" for name, value in options.items()]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Torch:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._process.communicate()

    def block(self, steps: int) -> tuple[float, float]:
        """Return the wall-clock and CPU seconds per step, averaged over `steps` steps."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{steps}\n")
        self._process.stdin.flush()
        clock, processor = map(float, self._process.stdout.readline().split())
        return clock, processor


def _print_ratio(who: str, ours: list[float], torch: list[float]) -> None:
    ratios = [a / b for a, b in zip(ours, torch)]
    print(f"a step of {who} takes {statistics.median(ratios):.2f} times PyTorch's time (median of {len(ratios)} pairs "
          f"of blocks, {min(ratios):.2f} to {max(ratios):.2f})")  # fmt: skip


def _endless(loader: DataLoader, state: RunState) -> Iterator[tuple[paddle.Tensor, paddle.Tensor]]:
    while True:
        for image, label in loader:
            if image.shape[0] == loader.batch_sampler.batch_size:
                yield image, label
        state.epoch += 1


def _loader_rate(loader: DataLoader, size: int, batches: int = 12) -> float:
    """Return the images per second after the first batches, which wait for the processes to start."""
    times = []
    for number, (image, _) in enumerate(loader):
        if number >= 4:
            times.append(time.perf_counter())
        if number >= 4 + batches or image.shape[0] < size:
            break
    return float(size / np.diff(times).mean())
