"""Data loader, and the processes that read its samples."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import cv2
import paddle
from paddle.io import BatchSampler, DataLoader, Dataset

from facekp.errors import UserError
from facekp.paddle_internals import default_collate_fn

#: Minimum free shared memory for loader processes to pass images through it; with less, they fail (bus error).
MIN_SHARED_MEMORY = 256 << 20


class Loader(DataLoader):
    """`paddle.io.DataLoader` that passes exceptions from reading a sample on to its caller.

    Paddle reads in a thread, which such an exception ends: without loader processes the caller then waits forever,
    with them it gets a `SystemError` that does not name the sample.

    Args:
        dataset: Data set of tuples of arrays.
        batches: Sampler that yields the indices of each batch.
        workers: Number of loader processes, which live as long as the loader; 0 loads in this one.

    Example:
        >>> from paddle.io import TensorDataset
        >>> dataset = TensorDataset([paddle.arange(5)])
        >>> [batch.tolist() for (batch,) in Loader(dataset, BatchSampler(dataset, batch_size=2))]
        [[0, 1], [2, 3], [4]]
    """

    def __init__(self, dataset: Dataset, batches: BatchSampler, workers: int = 0) -> None:
        shared = Path("/dev/shm")
        sweep_shared_memory(shared)
        super().__init__(
            dataset,
            num_workers=workers,
            persistent_workers=workers > 0,
            use_shared_memory=not shared.exists() or shutil.disk_usage(shared).free > MIN_SHARED_MEMORY,
            worker_init_fn=_start_worker,
            batch_sampler=batches,
        )

    def __iter__(self) -> Iterator[list[paddle.Tensor]]:
        """Iterate over the batches of an epoch.

        Raises:
            UserError: A sample cannot be read.
        """
        if not self.num_workers:
            for indices in self.batch_sampler:
                batch = default_collate_fn([self.dataset[index] for index in indices])
                yield [each if isinstance(each, paddle.Tensor) else paddle.to_tensor(each) for each in batch]
            return
        raised: list[BaseException] = []
        before = threading.excepthook

        def note(thread: threading.ExceptHookArgs) -> None:
            if isinstance(thread.exc_value, UserError):
                raised.append(thread.exc_value)
            else:
                before(thread)

        threading.excepthook = note
        try:
            yield from super().__iter__()
        except SystemError as error:
            if not raised:
                raise
            # Paddle's message is the whole traceback; the last line is the error's own.
            raise UserError(str(raised[0]).rstrip().rpartition(f"{UserError.__name__}: ")[2]) from error
        finally:
            threading.excepthook = before


def sweep_shared_memory(folder: Path = Path("/dev/shm")) -> None:
    """Delete what dead loader processes left in shared memory: this user's files `paddle_PID_...`."""
    if not hasattr(os, "getuid"):
        return
    for file in folder.glob("paddle_*"):
        pid = file.name.split("_")[1]
        with suppress(OSError):  # another process may delete it first
            if pid.isdigit() and file.lstat().st_uid == os.getuid() and not Path("/proc", pid).exists():
                file.unlink()


def _start_worker(_: int) -> None:
    # Ctrl-C reaches all processes of a terminal; the parent ends this one. Paddle has set a handler for SIGTERM.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(0)  # otherwise the workers compete for the cores
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


def _end_with(parent: int) -> None:
    """End this process when `parent` has ended: Paddle's loader processes outlive a training that was killed."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
