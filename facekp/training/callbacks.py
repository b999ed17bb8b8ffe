"""What `paddle.Model.fit` lacks: logs worth looking at, the best checkpoint, resuming, time left.

The order matters: `History` measures the epoch, `Dashboard` and `ProgressBar` show it, `BestWeights` keeps it if it
is the best, `MovingAverage` puts the trained weights back, and `Checkpoints` closes it.
"""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pandas as pd
from paddle import Tensor, nn
from paddle.callbacks import Callback
from tqdm import tqdm
from visualdl import LogWriter

from facekp import viz
from facekp.codec import split_score
from facekp.data.datasets import LandmarkDataset
from facekp.errors import UserError
from facekp.training.checkpoint import RunState, save_checkpoint
from facekp.weights import Recipe, save_weights

METRICS_FILE = "metrics.csv"
LOG_FILE = "vdlrecords.facekp.log"


class History(Callback):
    """Averages the losses over the epoch (Paddle reports the last batch's) and keeps a row for each epoch.

    Args:
        state: The run's state; its step is counted here.
        folder: The run's folder; `metrics.csv` grows there, `curves.png` is drawn anew.
    """

    def __init__(self, state: RunState, folder: Path) -> None:
        super().__init__()
        self.state, self.folder = state, folder
        self.row: dict[str, float] = {}

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Start an epoch."""
        paddle.seed(self.state.epoch)  # dropout, if any, is the same after a resume
        self._start, self._train, self._validation = time.perf_counter(), _Mean(), _Mean()

    def on_train_batch_end(self, step: int, logs: dict[str, Any]) -> None:
        """Add a batch's loss."""
        self.state.step += 1
        self._train.add(logs)
        if not np.isfinite(self._train.total):
            raise UserError(f"the loss is no longer a number at step {self.state.step}; lower optimizer.lr")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        """Note what training says; validation follows."""
        self._train_metrics = {name: logs[name] for name in _metric_names(self.model)}
        self._seconds = time.perf_counter() - self._start

    def on_eval_batch_end(self, step: int, logs: dict[str, Any]) -> None:
        """Add a batch's loss."""
        self._validation.add(logs)

    def on_eval_end(self, logs: dict[str, Any]) -> None:
        """Write the epoch's row."""
        row: dict[str, float] = {"epoch": self.state.epoch + 1, "step": self.state.step}
        row["train_loss"] = self._train.value()
        row["train_nme"] = self._train_metrics["nme"]
        row["val_loss"] = self._validation.value()
        row.update({f"val_{name}": logs[name] for name in _metric_names(self.model)})
        row["seconds"] = round(self._seconds, 1)
        self.row = row
        path = self.folder / METRICS_FILE
        pd.DataFrame([row]).to_csv(path, mode="a", header=not path.exists(), index=False)
        viz.save_curves(pd.read_csv(path), self.folder / "curves.png")


class Dashboard(Callback):
    """VisualDL: losses, learning rate, NME, and the same eight validation faces after each epoch.

    Args:
        state: The run's state.
        history: Must stand before this one in the list of callbacks.
        folder: The run's folder, where the log lies.
        validation: Where the eight faces come from, evenly spread.
        recipe: Of the run; its codec decodes the predictions.
    """

    def __init__(
        self, state: RunState, history: History, folder: Path, validation: LandmarkDataset, recipe: Recipe
    ) -> None:
        super().__init__()
        self.state, self.history, self.recipe = state, history, recipe
        self.writer = LogWriter(str(folder), file_name=LOG_FILE, flush_secs=10)
        chosen = np.linspace(0, len(validation) - 1, min(8, len(validation))).round().astype(int)
        self.inputs, self.labels = (np.stack(x) for x in zip(*(validation[int(i)] for i in chosen)))

    def on_train_begin(self, logs: Any = None) -> None:
        """Draw the network's graph, where this Paddle can write it."""
        if paddle.__version__.startswith("2.") and self.state.epoch == 0:
            shape = [None, *self.inputs.shape[1:]]
            self.writer.add_graph(self.model.network, [paddle.static.InputSpec(shape, "float32")])

    def on_train_batch_begin(self, step: int, logs: Any = None) -> None:
        """Note the rate of this step, before the schedule goes on."""
        self._rate = self.model._optimizer.get_lr()

    def on_train_batch_end(self, step: int, logs: dict[str, Any]) -> None:
        """Log the step."""
        self.writer.add_scalar("step/train_loss", _scalar(logs["loss"]), self.state.step)
        self.writer.add_scalar("step/learning_rate", self._rate, self.state.step)

    def on_eval_end(self, logs: Any = None) -> None:
        """Log the epoch."""
        row = self.history.row
        epoch = int(row["epoch"])
        for name in ("train_loss", "train_nme", *(n for n in row if n.startswith("val_"))):
            self.writer.add_scalar(f"epoch/{name}", row[name], epoch)
        predicted = self.model.predict_batch([self.inputs])[0]
        codec = self.recipe.build_codec()
        points, _ = split_score(predicted)
        sheet = viz.comparison_sheet(self.inputs, codec.decode(self.labels), codec.decode(points))
        self.writer.add_image("validation/faces", sheet[..., ::-1], epoch)
        self.flush()

    def on_train_end(self, logs: Any = None) -> None:
        """Close the log."""
        self.writer.close()

    def flush(self) -> None:
        """Write out what VisualDL still holds back."""
        self.writer._get_file_writer().flush()


class MovingAverage(Callback):
    """Evaluates, shows and keeps an exponential moving average of the weights in their place.

    Args:
        state: The run's state.
        network: Whose parameters and running statistics are averaged.
        decay: The average remembers about 1 / (1 - decay) steps; fewer at the beginning.

    Attributes:
        average: Name -> tensor, as in the network's `state_dict`.
    """

    def __init__(self, state: RunState, network: nn.Layer, decay: float) -> None:
        super().__init__()
        self.state, self.network, self.decay = state, network, decay
        self.average = {name: tensor.clone().detach() for name, tensor in network.state_dict().items()}

    def on_train_batch_end(self, step: int, logs: Any = None) -> None:
        """Take a step towards the weights."""
        new = 1 - min(self.decay, (1 + self.state.step) / (10 + self.state.step))
        with paddle.no_grad():
            for name, tensor in self.network.state_dict().items():
                self.average[name].lerp_(tensor, new)

    def on_eval_begin(self, logs: Any = None) -> None:
        """Put the average into the network."""
        self._trained = {name: tensor.clone() for name, tensor in self.network.state_dict().items()}
        self.network.set_state_dict(self.average)

    def on_eval_end(self, logs: Any = None) -> None:
        """Put the weights back."""
        self.network.set_state_dict(self._trained)


class BestWeights(Callback):
    """Keeps the weights with the lowest validation NME, `best.safetensors`, for use.

    Args:
        state: The run's state; its best value is kept here.
        history: Must stand before this one in the list of callbacks.
        folder: The run's folder.
        recipe: Goes into the weights.
    """

    def __init__(self, state: RunState, history: History, folder: Path, recipe: Recipe) -> None:
        super().__init__()
        self.state, self.history, self.folder, self.recipe = state, history, folder, recipe

    def on_eval_end(self, logs: Any = None) -> None:
        """Save if better."""
        nme = self.history.row["val_nme"]
        if nme < self.state.best:
            self.state.best = nme
            notes = {**self.recipe.notes, "epoch": self.state.epoch + 1, "val_nme": nme}
            recipe = dataclasses.replace(self.recipe, notes=notes)
            save_weights(self.folder / "best.safetensors", self.model.network, recipe)


class Checkpoints(Callback):
    """Closes an epoch, which counts as finished once `last.safetensors` is written, to resume from.

    Args:
        state: The run's state; its epoch is kept here.
        folder: The run's folder.
        average: Of `MovingAverage`, if there is one.
        stop_after: Stop when so many epochs are done.
    """

    def __init__(
        self,
        state: RunState,
        folder: Path,
        average: dict[str, Tensor] | None = None,
        stop_after: int | None = None,
    ) -> None:
        super().__init__()
        self.state, self.folder, self.average, self.stop_after = state, folder, average, stop_after

    def on_eval_end(self, logs: Any = None) -> None:
        """Save."""
        self.state.epoch += 1
        growing = (METRICS_FILE, LOG_FILE)
        self.state.log_sizes = {name: (self.folder / name).stat().st_size for name in growing}
        network, optimizer = self.model.network, self.model._optimizer
        save_checkpoint(self.folder / "last.safetensors", network, optimizer, self.state, self.average)
        if self.stop_after is not None and self.state.epoch >= self.stop_after:
            self.model.stop_training = True


class ProgressBar(Callback):
    """One bar for the epoch and one line when it is done, with the time left for all epochs."""

    def __init__(self, state: RunState, history: History, epochs: int, steps: int) -> None:
        super().__init__()
        self.state, self.history, self.epochs, self.steps = state, history, epochs, steps
        self._took: list[float] = []
        self.bar = tqdm(disable=True)  # until the first epoch

    def close(self) -> None:
        """Clear the bar, also when the training ends with an error."""
        self.bar.close()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Open the bar."""
        self._start = time.perf_counter()
        self._done = self.state.epoch + 1
        self.bar = tqdm(total=self.steps, desc=f"epoch {self._done}/{self.epochs}", unit="batch", leave=False)

    def on_train_batch_end(self, step: int, logs: dict[str, Any]) -> None:
        """Move the bar."""
        self.bar.set_postfix(loss=f"{_scalar(logs['loss']):.4f}", nme=f"{logs['nme']:.4f}", refresh=False)
        self.bar.update()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Close the bar."""
        self.bar.set_description(f"epoch {self._done}/{self.epochs}: validating")

    def on_eval_end(self, logs: Any = None) -> None:
        """Print the line."""
        self.bar.close()
        row = self.history.row
        self._took.append(time.perf_counter() - self._start)
        left = (self.epochs - self._done) * float(np.mean(self._took))
        print(
            f"epoch {self._done}/{self.epochs}  train loss {row['train_loss']:.4f} nme {row['train_nme']:.4f}"
            f"  validation loss {row['val_loss']:.4f} nme {row['val_nme']:.4f}"
            f"  {self._took[-1]:.0f} s, {_clock(left)} left",
            flush=True,
        )


class _Mean:
    """Mean of the losses of batches of unequal size."""

    def __init__(self) -> None:
        self.total, self.count = 0.0, 0

    def add(self, logs: dict[str, Any]) -> None:
        self.total += _scalar(logs["loss"]) * logs["batch_size"]
        self.count += logs["batch_size"]

    def value(self) -> float:
        return self.total / max(self.count, 1)


def _scalar(value: Any) -> float:
    return float(np.asarray(value).reshape(-1)[0])


def _metric_names(model: paddle.Model) -> list[str]:
    return [metric.name() for metric in model._metrics]


def _clock(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}"
