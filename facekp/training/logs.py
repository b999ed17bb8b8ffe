"""Reading what a run wrote down: for its curves, and to compare runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from visualdl import LogReader

from facekp.errors import UserError

#: One row for each epoch.
METRICS_FILE = "metrics.csv"
#: VisualDL's log.
LOG_FILE = "vdlrecords.facekp.log"
#: Those that grow with every epoch.
GROWING_FILES = (METRICS_FILE, LOG_FILE)


@dataclass(frozen=True)
class RunLog:
    """What a run measured.

    Attributes:
        name: The run's.
        steps: Columns `step` and `loss`: the training loss of every step.
        epochs: The run's `metrics.csv`.
        metric: The one that decides, "nme" or "missed"; columns `train_` and `val_` of it.
    """

    name: str
    steps: pd.DataFrame
    epochs: pd.DataFrame
    metric: str = "nme"


def read_run(folder: Path) -> RunLog:
    """Read the logs of a run's folder.

    Args:
        folder: What `tools/train.py` wrote, `output/NAME`.

    Raises:
        UserError: It is no such folder, or no epoch is finished yet, or a log is damaged.
    """
    if not (folder / METRICS_FILE).is_file() or not (folder / LOG_FILE).is_file():
        raise UserError(f"{folder}: no run with a finished epoch; give the folder that tools/train.py wrote")
    try:
        epochs = pd.read_csv(folder / METRICS_FILE)
        records = LogReader(file_path=str(folder / LOG_FILE)).get_data("scalar", "step/train_loss")
        steps = pd.DataFrame({"step": [r.id for r in records], "loss": [r.value for r in records]})
        metric = next(name[6:] for name in epochs if name.startswith("train_") and name != "train_loss")
        columns = ["epoch", "step", *(f"{part}_{name}" for name in ("loss", metric) for part in ("train", "val"))]
        return RunLog(folder.name, steps, epochs[columns], metric)
    except (KeyError, StopIteration, ValueError, RuntimeError) as error:
        raise UserError(f"{folder}: its logs are damaged ({error}); train again, or give another run") from error
