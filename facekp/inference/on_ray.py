"""Landmarks for many images on the workers of a Ray cluster, on one machine or several."""

from __future__ import annotations

import logging
import os
import pickle
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Callable

import numpy as np

from facekp.errors import UserError
from facekp.extras import missing
from facekp.inference.many import Found, Seen, find_on_many

#: Number of images in a task: the work that is lost when a worker dies.
BATCH = 16

#: Address of a private cluster that ends with the program.
LOCAL = "local"


class _Finder:
    """Finds the faces of a batch on a worker."""

    def __init__(self, load: Callable[[], Any], strict: bool) -> None:
        self._landmarker, self._strict = load(), strict

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, Any]:
        paths = [Path(path) for path in batch["path"]]
        found = [seen.found for seen in find_on_many(paths, self._landmarker, 1, self._strict)]
        return {"path": batch["path"], "found": np.array([pickle.dumps(each) for each in found], object)}


def find_on_ray(
    paths: Sequence[Path],
    load: Callable[[], Any],
    address: str = LOCAL,
    workers: int | None = None,
    strict: bool = False,
) -> Iterator[Seen]:
    """Find the faces in images like `facekp.inference.many.find_on_many`, on a Ray cluster with Ray Data.

    The results are in the order of the images, each once: the batch of a worker that dies is given to another one.

    Args:
        paths: Paths of the images, which the workers must be able to read under the same names.
        load: Function that loads the landmarker, on each worker.
        address: Address of the cluster; "local" starts one on this machine that ends with the program.
        workers: Number of worker processes; None for one per core of the cluster.
        strict: Treat images with missing or corrupt parts, which decoders fill in, as damaged.

    Yields:
        Each image's path and the faces found in it, without the image.

    Raises:
        UserError: Ray is not installed, or there is no cluster at the address.
    """
    ray = _connect(address, workers)
    from ray import data

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    items = [{"path": os.path.abspath(path)} for path in paths]
    found = data.from_items(items, override_num_blocks=-(-len(items) // BATCH)).map_batches(
        _Finder,
        fn_constructor_args=(load, strict),
        batch_size=BATCH,
        num_cpus=1,
        compute=data.ActorPoolStrategy(size=workers or int(ray.cluster_resources().get("CPU", 1))),
    )
    for path, row in zip(paths, found.iter_rows()):
        each: Found = pickle.loads(row["found"])  # from our own workers
        yield Seen(path, None, each)


def _connect(address: str, workers: int | None) -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would send usage statistics
    try:
        import ray
    except ImportError as error:
        raise missing("ray", "--ray") from error
    if not ray.is_initialized():
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        if address == LOCAL:  # Ray counts the cores; workers beyond that number would wait indefinitely
            options.update(num_cpus=workers, include_dashboard=False)
        try:
            if address not in (LOCAL, "auto"):  # Ray itself retries for minutes, then exits the program
                host, _, port = address.rpartition(":")
                socket.create_connection((host.rpartition("/")[2], int(port)), 10).close()
            ray.init(address=address, **options)
        except (OSError, ValueError, RuntimeError) as error:
            raise UserError(f"--ray {address}: no Ray cluster ({error}); start one with ray start --head") from error
    return ray
