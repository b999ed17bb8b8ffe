"""Reading the logs of a run, for its curves and for comparisons of runs."""

from __future__ import annotations

import io
import os
import struct
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from google.protobuf.message import DecodeError
from visualdl import LogReader

from facekp.errors import UserError
from facekp.io.files import open_regular, read_bytes

#: One row for each epoch.
METRICS_FILE = "metrics.csv"
#: VisualDL's log.
LOG_FILE = "vdlrecords.facekp.log"
#: Tag of the worst validation images in VisualDL's log.
WORST = "validation/worst"
#: Files that grow with every epoch.
GROWING_FILES = (METRICS_FILE, LOG_FILE)


#: Maximum sizes in bytes of a run's table and of its log.
MAX_METRICS, MAX_LOG = 32 << 20, 1 << 30


@dataclass(frozen=True)
class RunLog:
    """Measurements of a run.

    Attributes:
        name: Name of the run.
        steps: Columns `step` and `loss`: the training loss of every step.
        epochs: The run's `metrics.csv`; it begins with `epoch`, `step`, and `train_` and `val_` of `loss` and `metric`.
        metric: Name of the metric that selects the best weights, such as "nme" or "missed".
    """

    name: str
    steps: pd.DataFrame
    epochs: pd.DataFrame
    metric: str = "nme"


def read_run(folder: Path) -> RunLog:
    """Read the logs of a run's folder.

    Args:
        folder: Folder that `facekp train` wrote, `output/NAME`.

    Raises:
        UserError: It is no such folder, or no epoch is finished yet, or a log is damaged.
    """
    if not os.path.isfile(folder / METRICS_FILE) or not os.path.isfile(folder / LOG_FILE):
        raise UserError(f"{folder}: no run with a finished epoch; give the folder that facekp train wrote")
    try:
        epochs = pd.read_csv(io.BytesIO(read_bytes(folder / METRICS_FILE, MAX_METRICS)))
        _check_records(folder / LOG_FILE)
        records = LogReader(file_path=str(folder / LOG_FILE)).get_data("scalar", "step/train_loss")
        steps = pd.DataFrame({"step": [r.id for r in records], "loss": [r.value for r in records]})
        metric = next(name[6:] for name in epochs if name.startswith("train_") and name != "train_loss")
        columns = ["epoch", "step", *(f"{part}_{name}" for name in ("loss", metric) for part in ("train", "val"))]
        epochs = epochs[[*columns, *epochs.columns.difference(columns, sort=False)]]
        epochs = epochs.apply(pd.to_numeric)  # ValueError where a cell is not a number
        if not len(epochs) or not epochs["epoch"].is_monotonic_increasing:
            raise ValueError(f"{METRICS_FILE} has no epochs, or not in their order")
        return RunLog(folder.name, steps, epochs, metric)
    except OSError as error:
        raise UserError(f"{error.filename or folder}: cannot be read ({error.strerror or error})") from error
    except (KeyError, StopIteration, ValueError, TypeError, RuntimeError, DecodeError, struct.error) as error:
        raise UserError(f"{folder}: its logs are damaged ({error}); train again, or give another run") from error


@dataclass(frozen=True)
class RunDetails:
    """Contents of a run's dashboard other than the curves.

    Attributes:
        groups: Group, such as "region" or "yaw" -> name -> epoch -> fraction.
        worst: Epoch -> sheet of the worst validation images as a PNG.
    """

    groups: dict[str, dict[str, dict[int, float]]]
    worst: dict[int, bytes]


def read_details(folder: Path) -> RunDetails:
    """Read the remaining contents of a log that `read_run` has read; empty for older runs without details.

    Raises:
        UserError: The log is damaged.
    """
    try:
        log = LogReader(file_path=str(folder / LOG_FILE))
        groups: dict[str, dict[str, dict[int, float]]] = {}
        for tag in log.get_tags()["scalar"]:
            group, _, name = tag.partition("/")
            if group not in ("step", "epoch"):
                records = log.get_data("scalar", tag)
                groups.setdefault(group, {})[name] = {int(record.id): float(record.value) for record in records}
        images = log.get_data("image", WORST)
        worst = {int(record.id): bytes(record.image.encoded_image_string) for record in images}
        return RunDetails(groups, worst)
    except (KeyError, ValueError, TypeError, RuntimeError, DecodeError, struct.error) as error:
        raise UserError(f"{folder}: its logs are damaged ({error}); train again, or give another run") from error


def _check_records(path: Path) -> None:
    """Check the length that begins each record of VisualDL's log, before VisualDL's reader trusts it.

    The last record may be incomplete, because the run is in progress or was killed.

    Raises:
        OSError: The file cannot be read.
        ValueError: The file is no such log, or too large.
    """
    with open(open_regular(path), "rb") as file:
        size, place = os.fstat(file.fileno()).st_size, 0
        if size > MAX_LOG:
            raise ValueError(f"{LOG_FILE} is larger than {MAX_LOG >> 20} MiB")
        while place + 8 <= size:
            file.seek(place)
            (length,) = struct.unpack("<Q", file.read(8))
            if length > MAX_RECORD:
                raise ValueError(f"{LOG_FILE} claims a record of {length} bytes")
            place += 8 + length
    if not place:
        raise ValueError(f"{LOG_FILE} holds no record")


#: Maximum size in bytes of a record of VisualDL's log, whose images are a few hundred kilobytes.
MAX_RECORD = 64 << 20
