"""Data-parallel training by several processes, which `python -m paddle.distributed.launch` or `launch` starts.

Each has the whole network and its own share of every batch; Paddle averages the gradients. See docs/many_machines.md.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paddle
from paddle import Tensor, distributed

from facekp.errors import UserError
from facekp.paddle_internals import launch_store

_ROUNDS = itertools.count()


@dataclass(frozen=True)
class Processes:
    """Rank of this process and number of processes of a run; each must call every method but `start`.

    Attributes:
        rank: Rank of this process, counted from 0; only the first process writes and prints.
        count: Number of processes on all machines together.

    Example:
        >>> Processes().first, Processes().add_up([1.0, 2.0])
        (True, [1.0, 2.0])
    """

    rank: int = 0
    count: int = 1

    @classmethod
    def start(cls) -> Processes:
        """Connect to the others, if Paddle's launcher started this process; call it before the device is used."""
        environment = distributed.ParallelEnv()
        if environment.world_size > 1:
            distributed.init_parallel_env()
        return cls(environment.rank, environment.world_size)

    @property
    def first(self) -> bool:
        """Whether this process writes and prints."""
        return self.rank == 0

    def add_up(self, values: Sequence[float]) -> list[float]:
        """Return the values, each summed over all processes."""
        if self.count == 1:
            return list(values)
        total = paddle.to_tensor(list(values), "float64")
        distributed.all_reduce(total)
        return [float(value) for value in total.numpy()]

    def take_from_first(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite the tensors of every process with those of the first one."""
        if self.count > 1:
            for tensor in tensors:
                distributed.broadcast(tensor.detach(), src=0)  # a detached tensor shares the memory

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all processes, in order of rank; they must be JSON-serialisable.

        Uses the launcher's store and not gloo, which waits no longer than 30 seconds for a process: suitable
        where processes arrive at different times.
        """
        if self.count == 1:
            return [value]
        store, number = launch_store(), next(_ROUNDS)
        store.set(f"facekp/{number}/{self.rank}", json.dumps(value))
        return [json.loads(store.get(f"facekp/{number}/{rank}")) for rank in range(self.count)]

    def agree(self, values: Mapping[str, Any]) -> None:
        """Wait for all processes, and check that their settings are equal.

        Args:
            values: Values that must be equal in all processes, by names that users know.

        Raises:
            UserError: The values differ; every process raises.
        """
        everyone = self.gather(dict(values))
        for rank, other in enumerate(everyone):
            for name, value in everyone[0].items():
                if other[name] != value:
                    raise UserError(
                        f"process {rank} has {name} = {other[name]!r}, but process 0 has {value!r}; give all machines "
                        "the same config, the same data and the same run folder"
                    )

    @contextmanager
    def end_together(self) -> Iterator[None]:
        """Report in one line that another process has ended, which this one notices by a broken connection.

        Raises:
            UserError: Another process has ended or is too slow.
        """
        try:
            yield
        except RuntimeError as error:
            if self.count > 1 and re.search("gloo|nccl|tcp", str(error), re.IGNORECASE):
                raise UserError(
                    f"process {self.rank}: another process has ended or is too slow; see the last line of its log"
                ) from error
            raise


def launched() -> bool:
    """Return whether Paddle's launcher started this process."""
    return "PADDLE_TRAINER_ID" in os.environ


def launch(count: int, arguments: Sequence[str]) -> None:
    """Run `facekp ARGUMENTS` in several processes on this machine, through Paddle's launcher.

    The output of the first process appears immediately.

    Args:
        count: Number of processes, one thread each.
        arguments: Arguments of the command line, "train" first.

    Raises:
        UserError: A process ended with status 2; the message is the last line of its log, if there is one.
        SystemExit: The launcher ended with another non-zero status.
    """
    program = Path(__file__).resolve().parents[1] / "commands" / "__main__.py"
    with tempfile.TemporaryDirectory(prefix="facekp-log-") as log:
        options = ["--nproc_per_node", str(count), "--log_dir", log, "--log_level", "ERROR"]
        command = [sys.executable, "-m", "paddle.distributed.launch", *options, str(program), *arguments]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOG_minloglevel": "2"}
        launcher_log = Path(log) / "launcher"  # its own output; that of the first process is on stdout
        with launcher_log.open("wb") as stderr, subprocess.Popen(command, env=environment, stderr=stderr) as launcher:
            try:
                status = launcher.wait()
            except KeyboardInterrupt:
                launcher.terminate()  # Ctrl-C in a terminal reaches it as well; a signal to this process alone does not
                launcher.wait()
                raise
        output = launcher_log.read_text(encoding="utf-8", errors="replace")
        # The launcher ends the others, too; its status is that of the first process, which may not have failed itself.
        ended = re.search(r"rank (\d+) status failed .* code 2 ", output)
        if status == 2 or (status and ended):
            raise UserError(_last_message(Path(log) / f"workerlog.{0 if status == 2 or ended is None else ended[1]}"))
        if status:
            print(output, file=sys.stderr)
            sys.exit(status)


def _last_message(log: Path) -> str:
    """Return the last line of a process's log, without the program name."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
    last = next((line for line in reversed(lines) if line.strip()), "a process ended without a message")
    return re.sub(r"^(facekp train|\S+\.py): ", "", last)
