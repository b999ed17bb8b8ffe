"""Callbacks for what `paddle.Model.fit` lacks: epoch metrics, the best checkpoint, resuming, the remaining time.

The order matters: `InStep` synchronises the processes, `History` computes the metrics of an epoch, `Dashboard` (see
dashboard.py) and `ProgressBar` show them, `BestWeights` saves the best weights, `MovingAverage` restores the trained
weights, and `Checkpoints` ends the epoch. Of several processes only the first has `Dashboard`, `ProgressBar` and
`BestWeights`.
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
from paddle.callbacks import Callback, LRScheduler
from tqdm import tqdm

from facekp.errors import UserError
from facekp.models.weights import save_weights
from facekp.paddle_internals import fix_statistics, metrics_of, optimizer_of, schedule_of
from facekp.recipes import AnyRecipe
from facekp.training.checkpoint import RunState, save_checkpoint
from facekp.training.logs import GROWING_FILES, METRICS_FILE
from facekp.training.processes import Processes


class InStep(Callback):
    """Copies the first process's weights and running statistics to all processes after every epoch.

    The running statistics of batch norm depend on the images that a process has seen. With the copy, all processes
    evaluate, and later resume from, exactly what the first one saves.

    Args:
        processes: Processes of the run.
        average: The `average` of `MovingAverage`, if it is used.
    """

    def __init__(self, processes: Processes, average: dict[str, Tensor] | None = None) -> None:
        super().__init__()
        self.processes, self.average = processes, average

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Wait for the first process, which plots and saves the previous epoch."""
        self.processes.gather(None)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Copy weights, running statistics and the moving average from the first process."""
        network = self.model.network.state_dict()
        self.processes.take_from_first([*network.values(), *(self.average or {}).values()])


class History(Callback):
    """Averages the losses over the epoch (Paddle reports the last batch's) and records a row for each epoch.

    Args:
        state: The run's state; its step is updated here.
        folder: The run's folder; rows are appended to its `metrics.csv`.
        processes: Processes of the run; a row covers all of them together.
        seed: Seed of the run.
    """

    def __init__(self, state: RunState, folder: Path, processes: Processes, seed: int = 0) -> None:
        super().__init__()
        self.state, self.folder, self.processes, self.seed = state, folder, processes, seed
        self.row: dict[str, float] = {}

    @property
    def metric(self) -> str:
        """Name of the first metric, which selects the best weights; lower is better."""
        return metrics_of(self.model)[0].name()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Seed Paddle for the epoch, and reset the timer and the mean losses."""
        # Dropout, if any, is the same after a resume, and differs between processes.
        paddle.seed((self.seed << 20) + self.state.epoch * self.processes.count + self.processes.rank)
        self._start, self._train, self._validation = time.perf_counter(), _Mean(), _Mean()

    def on_train_batch_end(self, step: int, logs: dict[str, Any]) -> None:
        """Add a batch's loss; later callbacks see the loss and metrics of all processes."""
        self.state.step += 1
        loss, *sums = self.processes.add_up([scalar_of(logs["loss"]), *self._sums()])
        logs["loss"] = loss / self.processes.count
        for metric, total, count in zip(metrics_of(self.model), sums[::2], sums[1::2]):
            logs[metric.name()] = total / count if count else float("nan")
        self._train.add(logs)
        if not np.isfinite(self._train.total):  # in all processes at once
            raise UserError(f"the loss is no longer a number at step {self.state.step}; lower optimizer.lr")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        """Store the training metrics; validation follows."""
        self._training = {"train_loss": self._train.value()}
        self._training.update({f"train_{metric.name()}": logs[metric.name()] for metric in metrics_of(self.model)})
        self._seconds = time.perf_counter() - self._start

    def on_eval_batch_end(self, step: int, logs: dict[str, Any]) -> None:
        """Add a batch's validation loss."""
        self._validation.add(logs)

    def on_eval_end(self, logs: dict[str, Any]) -> None:
        """Append the epoch's row to `metrics.csv`."""
        row: dict[str, float] = {"epoch": self.state.epoch + 1, "step": self.state.step, **self._training}
        # Paddle computes metrics over the faces of all processes, each once, but the loss of this process only.
        row["val_loss"] = self.processes.add_up([self._validation.value()])[0] / self.processes.count
        row.update({f"val_{metric.name()}": logs[metric.name()] for metric in metrics_of(self.model)})
        # The values that `paddle.Model.fit` itself prints as the losses of an epoch.
        row["train_last_loss"], row["val_last_loss"] = self._train.last, self._validation.last
        row["seconds"] = round(self._seconds, 1)
        self.row = row
        if not self.processes.first:
            return
        path = self.folder / METRICS_FILE
        pd.DataFrame([row]).to_csv(path, mode="a", header=not path.exists(), index=False)

    def _sums(self) -> list[float]:
        """Return, for each training metric, the sum over the samples so far and their number."""
        counts = [getattr(metric, "count", 1) for metric in metrics_of(self.model)]  # Paddle's own have no count
        values = [metric.accumulate() if count else 0.0 for metric, count in zip(metrics_of(self.model), counts)]
        return [part for value, count in zip(values, counts) for part in (value * count, float(count))]


class Freeze(Callback):
    """Freezes everything but the head, including running statistics, during the first epochs.

    Args:
        state: The run's state.
        network: Network with a sublayer named `head`.
        epochs: Number of frozen epochs.
    """

    def __init__(self, state: RunState, network: nn.Layer, epochs: int) -> None:
        super().__init__()
        self.state, self.epochs = state, epochs
        body = [layer for name, layer in network.named_sublayers() if name.partition(".")[0] != "head"]
        self.norms = [layer for layer in body if isinstance(layer, nn.BatchNorm2D)]
        named = network.named_parameters()
        self.weights = [p for name, p in named if not name.startswith("head.") and not p.stop_gradient]
        self.frozen: bool | None = None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Freeze or unfreeze the layers, if this epoch changes their state."""
        frozen = self.state.epoch < self.epochs
        if frozen == self.frozen:
            return
        self.frozen = frozen
        for weight in self.weights:
            weight.stop_gradient = frozen
        for norm in self.norms:
            fix_statistics(norm, frozen)
        until = f"until the end of epoch {self.epochs}, only the head is trained"
        tqdm.write(f"epoch {self.state.epoch + 1}: {until if frozen else 'all layers are trained'}")


class Plateau(LRScheduler):
    """Steps a `ReduceOnPlateau` schedule with the validation metric of each epoch.

    Args:
        history: The run's `History`; must precede this callback in the list.
        freeze_epochs: Number of frozen epochs, whose metrics are ignored.
        thawed_lr: Learning rate after the frozen epochs.
    """

    def __init__(self, history: History, freeze_epochs: int = 0, thawed_lr: float = 0.0) -> None:
        super().__init__(by_step=False)  # Paddle's default steps it after every batch
        self.history, self.freeze_epochs, self.thawed_lr = history, freeze_epochs, thawed_lr

    def on_eval_end(self, logs: Any = None) -> None:
        """Step the schedule, or set the rate after the last frozen epoch."""
        schedule, epoch = schedule_of(optimizer_of(self.model)), self.history.row["epoch"]
        if epoch > self.freeze_epochs:
            schedule.step(self.history.row[f"val_{self.history.metric}"])
        elif epoch == self.freeze_epochs:
            schedule.last_lr = self.thawed_lr


class MovingAverage(Callback):
    """Evaluates, displays and saves an exponential moving average of the weights in their place.

    Args:
        state: The run's state.
        network: Network whose parameters and running statistics are averaged.
        decay: Decay of the average, which spans about 1 / (1 - decay) steps; fewer at the beginning.

    Attributes:
        average: Name -> tensor, as in the network's `state_dict`.
    """

    def __init__(self, state: RunState, network: nn.Layer, decay: float) -> None:
        super().__init__()
        self.state, self.network, self.decay = state, network, decay
        self.average = {name: tensor.clone().detach() for name, tensor in network.state_dict().items()}

    def on_train_batch_end(self, step: int, logs: Any = None) -> None:
        """Update the average with the current weights."""
        new = 1 - min(self.decay, (1 + self.state.step) / (10 + self.state.step))
        with paddle.no_grad():
            for name, tensor in self.network.state_dict().items():
                self.average[name].lerp_(tensor, new)

    def on_eval_begin(self, logs: Any = None) -> None:
        """Load the average into the network."""
        self._trained = {name: tensor.clone() for name, tensor in self.network.state_dict().items()}
        self.network.set_state_dict(self.average)

    def on_eval_end(self, logs: Any = None) -> None:
        """Restore the trained weights."""
        self.network.set_state_dict(self._trained)


class BestWeights(Callback):
    """Saves the weights with the lowest validation metric as `best.safetensors`, for inference.

    Args:
        state: The run's state; its best value is updated here.
        history: The run's `History`; must precede this callback in the list.
        folder: The run's folder.
        recipe: Recipe that is saved with the weights.
    """

    def __init__(self, state: RunState, history: History, folder: Path, recipe: AnyRecipe) -> None:
        super().__init__()
        self.state, self.history, self.folder, self.recipe = state, history, folder, recipe

    def on_eval_end(self, logs: Any = None) -> None:
        """Save the weights if the metric has improved."""
        name = f"val_{self.history.metric}"
        value = self.history.row[name]
        if value < self.state.best:
            self.state.best = value
            notes = {**self.recipe.notes, "epoch": self.state.epoch + 1, name: value}
            recipe = dataclasses.replace(self.recipe, notes=notes)
            save_weights(self.folder / "best.safetensors", self.model.network, recipe)


class Checkpoints(Callback):
    """Writes `last.safetensors`, the checkpoint to resume from; an epoch counts as finished once it is written.

    Args:
        state: The run's state; its epoch is updated here.
        folder: The run's folder.
        processes: Processes of the run; the first one writes.
        average: The `average` of `MovingAverage`, if it is used.
        stop_after: Number of finished epochs after which training stops.
    """

    def __init__(
        self,
        state: RunState,
        folder: Path,
        processes: Processes,
        average: dict[str, Tensor] | None = None,
        stop_after: int | None = None,
    ) -> None:
        super().__init__()
        self.state, self.folder, self.processes = state, folder, processes
        self.average, self.stop_after = average, stop_after

    def on_eval_end(self, logs: Any = None) -> None:
        """Count the epoch, and write the checkpoint."""
        self.state.epoch += 1
        if self.processes.first:
            self.state.log_sizes = {name: (self.folder / name).stat().st_size for name in GROWING_FILES}
            network, optimizer = self.model.network, optimizer_of(self.model)
            save_checkpoint(self.folder / "last.safetensors", network, optimizer, self.state, self.average)
        if self.stop_after is not None and self.state.epoch >= self.stop_after:
            self.model.stop_training = True


class ProgressBar(Callback):
    """Shows a progress bar for each epoch, then prints one line with its losses and the remaining time.

    Args:
        state: Progress of the run.
        history: Losses and metrics of the epochs.
        epochs: Number of epochs of the whole run.
        steps: Number of batches per epoch.
    """

    def __init__(self, state: RunState, history: History, epochs: int, steps: int) -> None:
        super().__init__()
        self.state, self.history, self.epochs, self.steps = state, history, epochs, steps
        self._durations: list[float] = []
        self.bar = tqdm(disable=True)  # until the first epoch

    def close(self) -> None:
        """Close the bar, also when training ends with an error."""
        self.bar.close()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Open the bar."""
        self._start = time.perf_counter()
        self._epoch = self.state.epoch + 1
        self.bar = tqdm(
            total=self.steps, desc=f"epoch {self._epoch}/{self.epochs}", unit="batch", leave=False, disable=None
        )

    def on_train_batch_end(self, step: int, logs: dict[str, Any]) -> None:
        """Advance the bar, and show the loss and the metric."""
        name = self.history.metric
        self.bar.set_postfix(loss=f"{scalar_of(logs['loss']):.4f}", **{name: f"{logs[name]:.4f}"}, refresh=False)
        self.bar.update()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Show that validation is running."""
        self.bar.set_description(f"epoch {self._epoch}/{self.epochs}: validating")

    def on_eval_end(self, logs: Any = None) -> None:
        """Close the bar, and print the line of the epoch."""
        self.bar.close()
        row = self.history.row
        self._durations.append(time.perf_counter() - self._start)
        left = (self.epochs - self._epoch) * float(np.mean(self._durations))
        name = self.history.metric
        print(
            f"epoch {self._epoch}/{self.epochs}  train loss {row['train_loss']:.4f} {name} {row[f'train_{name}']:.4f}"
            f"  validation loss {row['val_loss']:.4f} {name} {row[f'val_{name}']:.4f}"
            f"  {self._durations[-1]:.0f} s, {_clock(left)} left",
            flush=True,
        )


class _Mean:
    """Mean loss over batches of unequal size."""

    def __init__(self) -> None:
        self.total, self.count, self.last = 0.0, 0, float("nan")

    def add(self, logs: dict[str, Any]) -> None:
        self.last = scalar_of(logs["loss"])
        self.total += self.last * logs["batch_size"]
        self.count += logs["batch_size"]

    def value(self) -> float:
        return self.total / max(self.count, 1)


def scalar_of(value: Any) -> float:
    """Convert a loss that Paddle passes to callbacks, possibly a list of one, to a float."""
    return float(np.asarray(value).reshape(-1)[0])


def _clock(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}"
