"""Several processes that train one network, as `python -m paddle.distributed.launch` or `launch` starts them.

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
    """Who this process is among those of the run. Every method but `start` must be called by all of them alike.

    Attributes:
        rank: Counted from 0; the first one alone writes and prints.
        count: How many there are, on all machines together.

    Example:
        >>> Processes().first, Processes().add_up([1.0, 2.0])
        (True, [1.0, 2.0])
    """

    rank: int = 0
    count: int = 1

    @classmethod
    def start(cls) -> Processes:
        """Find the others, if Paddle's launcher started this process; call it before anything is put on the device."""
        environment = distributed.ParallelEnv()
        if environment.world_size > 1:
            distributed.init_parallel_env()
        return cls(environment.rank, environment.world_size)

    @property
    def first(self) -> bool:
        """Whether this process writes and prints."""
        return self.rank == 0

    def add_up(self, values: Sequence[float]) -> list[float]:
        """The sums of every process's values."""
        if self.count == 1:
            return list(values)
        total = paddle.to_tensor(list(values), "float64")
        distributed.all_reduce(total)
        return [float(value) for value in total.numpy()]

    def take_from_first(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite every process's tensors with the first one's."""
        if self.count > 1:
            for tensor in tensors:
                distributed.broadcast(tensor.detach(), src=0)  # detached it shares its memory

    def gather(self, value: Any) -> list[Any]:
        """Every process's value, in their order; it must be what JSON can hold.

        Goes through the launcher's store and not through gloo, which waits no longer than 30 seconds for anyone: use
        it where processes may come at different times.
        """
        if self.count == 1:
            return [value]
        store, number = launch_store(), next(_ROUNDS)
        store.set(f"facekp/{number}/{self.rank}", json.dumps(value))
        return [json.loads(store.get(f"facekp/{number}/{rank}")) for rank in range(self.count)]

    def agree(self, values: Mapping[str, Any]) -> None:
        """Wait for all processes, and make sure that they are about to do the same.

        Args:
            values: What must be equal everywhere, by names that a user knows.

        Raises:
            UserError: They differ; every process raises.
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
        """Tell in one line that another process has ended, where this one notices it by a broken connection.

        Raises:
            UserError: It has.
        """
        try:
            yield
        except RuntimeError as error:
            if self.count > 1 and re.search("gloo|nccl|tcp", str(error), re.IGNORECASE):
                raise UserError(
                    f"process {self.rank}: another one has ended or is too slow; the last line of its log says why"
                ) from error
            raise


def launched() -> bool:
    """Whether Paddle's launcher started this process."""
    return "PADDLE_TRAINER_ID" in os.environ


def launch(count: int, arguments: Sequence[str]) -> None:
    """Run `facekp ARGUMENTS` in several processes on this machine, through Paddle's launcher.

    What the first process prints appears as it comes.

    Args:
        count: Of the processes, one thread each.
        arguments: Of the command line, "train" first.

    Raises:
        UserError: They ended with status 2; the message is that of the first one, if it could say it.
        SystemExit: They ended with another status than 0.
    """
    program = Path(__file__).resolve().parents[1] / "commands" / "__main__.py"
    with tempfile.TemporaryDirectory(prefix="facekp-log-") as log:
        options = ["--nproc_per_node", str(count), "--log_dir", log, "--log_level", "ERROR"]
        command = [sys.executable, "-m", "paddle.distributed.launch", *options, str(program), *arguments]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOG_minloglevel": "2"}
        said = Path(log) / "launcher"  # its own words; those of the processes come on stdout
        with said.open("wb") as stderr, subprocess.Popen(command, env=environment, stderr=stderr) as launcher:
            try:
                status = launcher.wait()
            except KeyboardInterrupt:
                launcher.terminate()  # Ctrl-C in a terminal has reached it; a signal to this process alone has not
                launcher.wait()
                raise
        words = said.read_text(encoding="utf-8", errors="replace")
        # The launcher ends the others, too; its status is that of the first one, which may not have been at fault.
        ended = re.search(r"rank (\d+) status failed .* code 2 ", words)
        if status == 2 or (status and ended):
            raise UserError(_last_message(Path(log) / f"workerlog.{0 if status == 2 or ended is None else ended[1]}"))
        if status:
            print(words, file=sys.stderr)
            sys.exit(status)


def _last_message(log: Path) -> str:
    """The last line of a process's log, without the program's name."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
    last = next((line for line in reversed(lines) if line.strip()), "a process ended without a message")
    return re.sub(r"^(facekp train|\S+\.py): ", "", last)
