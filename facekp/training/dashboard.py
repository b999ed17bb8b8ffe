"""VisualDL logs of a run. They do not affect training: a run's weights are bit-identical without them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle import Tensor, nn
from paddle.callbacks import Callback
from paddle.io import BatchSampler
from paddle.metric import Metric
from visualdl import LogWriter

from facekp import plots
from facekp.data.loader import Loader
from facekp.io.images import write_image
from facekp.models import build_network
from facekp.paddle_internals import metrics_of, optimizer_of
from facekp.tasks import TaskData
from facekp.training.callbacks import History, scalar_of
from facekp.training.checkpoint import RunState
from facekp.training.config import Config
from facekp.training.logs import LOG_FILE, WORST, read_run
from facekp.training.run_folder import hyperparameters


class Dashboard(Callback):
    """Logs losses, rate, metrics, errors by group, images, histograms, hyperparameters; writes `curves.png`.

    After every epoch: metrics, errors by group, and the same eight validation images. After every
    `train.details_every` epochs, and the last one: histograms of the weights and of the last step's gradients, the 16
    worst validation images, and the confusion matrix of the score.

    Args:
        state: The run's state.
        history: The run's `History`; must precede this callback in the list.
        folder: The run's folder, for the log and the images.
        data: Data of the run.
        config: Config of the run.
    """

    def __init__(self, state: RunState, history: History, folder: Path, data: TaskData, config: Config) -> None:
        super().__init__()
        self.state, self.history, self.folder, self.data, self.config = state, history, folder, data, config
        self.writer = LogWriter(str(folder), file_name=LOG_FILE, flush_secs=10)
        count = len(data.validation)
        chosen = np.linspace(0, count - 1, min(8, count)).round().astype(int)
        self.inputs, self.labels = self._samples(chosen.tolist())

    @property
    def epoch(self) -> int:
        """Number of the current epoch, counted from 1."""
        return self.state.epoch + 1

    @property
    def detailed(self) -> bool:
        """Whether the logs that take time or space are written in this epoch."""
        every = self.config.train.details_every
        return every > 0 and (self.epoch % every == 0 or self.epoch == self.config.train.epochs)

    def on_train_begin(self, logs: Any = None) -> None:
        """Log the hyperparameters, and the network's graph if VisualDL can read Paddle's format; once per run."""
        if self.state.epoch:
            return
        names = [f"epoch/{name}" for name in ("best", *(f"val_{metric.name()}" for metric in metrics_of(self.model)))]
        self.writer.add_hparams(hyperparameters(self.config), names)
        if paddle.__version__.startswith("2."):
            network = build_network(**self.data.recipe.network_arguments())  # add_graph modifies its argument
            network.eval()
            shape = [None, *self.inputs.shape[1:]]
            self.writer.add_graph(network, [paddle.static.InputSpec(shape, "float32")])

    def on_train_batch_begin(self, step: int, logs: Any = None) -> None:
        """Store the rate before the schedule steps, and hook the gradients of the last step."""
        self._rate = optimizer_of(self.model).get_lr()
        self._gradients = None
        if self.detailed and step == self.params["steps"] - 1:
            self._gradients = _Gradients(self.model.network)

    def on_train_batch_end(self, step: int, logs: dict[str, Any]) -> None:
        """Log the loss, the rate and any hooked gradients of the step."""
        self.writer.add_scalar("step/train_loss", scalar_of(logs["loss"]), self.state.step)
        self.writer.add_scalar("step/learning_rate", self._rate, self.state.step)
        if self._gradients is not None:
            for name, values in self._gradients.take().items():
                self._add_histogram(f"gradients/{name}", values)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Log histograms of the weights, before a moving average replaces them."""
        if self.detailed:
            for name, weight in _kernels(self.model.network).items():
                self._add_histogram(f"weights/{name}", weight.numpy())

    def on_eval_begin(self, logs: Any = None) -> None:
        """Start to collect the outputs of the validation."""
        self.data.review.clear()
        self._listener = _Listener(metrics_of(self.model)[0], self.data)

    def on_eval_end(self, logs: Any = None) -> None:
        """Log the results of the epoch."""
        self._listener.stop()
        row, metric = self.history.row, self.history.metric
        for name in ("train_loss", f"train_{metric}", *(n for n in row if n.startswith("val_"))):
            self.writer.add_scalar(f"epoch/{name}", row[name], self.epoch)
        self.writer.add_scalar("epoch/best", np.fmin(self.state.best, row[f"val_{metric}"]), self.epoch)
        for group, values in self.data.review.groups().items():
            for name, value in values.items():
                self.writer.add_scalar(f"{group}/{name}", value, self.epoch)
        sheet = self._draw(self.inputs, self.labels)
        self.writer.add_image("validation/faces", sheet[..., ::-1], self.epoch)
        if self.detailed:
            self._log_worst()
            self._log_scores()
        self.flush()
        write_image(self.folder / "faces.png", sheet)
        plots.save_curves([read_run(self.folder)], self.folder / "curves.png")

    def on_train_end(self, logs: Any = None) -> None:
        """Close the log."""
        self.writer.close()

    def flush(self) -> None:
        """Write the records that VisualDL has buffered."""
        self.writer._get_file_writer().flush()

    def _log_worst(self) -> None:
        worst = self.data.review.worst()
        if worst:
            names = [f"{error}  {self.data.validation.name(index)}" for index, error in worst]
            sheet = self._draw(*self._samples([index for index, _ in worst]), names)
            self.writer.add_image(WORST, sheet[..., ::-1], self.epoch)

    def _log_scores(self) -> None:
        if self.data.no_faces is not None:
            batches = BatchSampler(self.data.no_faces, batch_size=self.config.train.batch_size)
            for image, label in Loader(self.data.no_faces, batches):
                self.data.review.add(self._predict(image), label.numpy())
        scores = self.data.review.scores()
        if scores is not None:
            for name, value in scores.rates().items():
                self.writer.add_scalar(f"score/{name}", value, self.epoch)
            drawn = plots.draw_scores(scores.faces, scores.others, scores.confusion())
            self.writer.add_image("validation/score", drawn[..., ::-1], self.epoch)

    def _samples(self, indices: list[int]) -> tuple[np.ndarray, np.ndarray]:
        inputs, labels = zip(*(self.data.validation[index] for index in indices))
        return np.stack(inputs), np.stack(labels)

    def _draw(self, inputs: np.ndarray, labels: np.ndarray, captions: list[str] | None = None) -> np.ndarray:
        return self.data.draw(inputs, labels, self._predict(paddle.to_tensor(inputs)), captions)

    def _predict(self, inputs: Tensor) -> np.ndarray:
        with paddle.no_grad():  # model.predict_batch would wait for the other processes
            return self.model.network(inputs).numpy()

    def _add_histogram(self, tag: str, values: np.ndarray) -> None:
        values = values[np.isfinite(values)]
        if len(values):
            self.writer.add_histogram(tag, values, self.epoch, buckets=40)


class _Listener:
    """Passes the inputs of a metric to the review: outputs and labels of all processes, each sample once."""

    def __init__(self, metric: Metric, data: TaskData) -> None:
        self.metric, self.review, self.compute = metric, data.review, metric.compute
        metric.compute = self._compute

    def _compute(self, predicted: Tensor, *rest: Tensor) -> Any:
        self.review.add(predicted.numpy(), rest[-1].numpy())
        return self.compute(predicted, *rest)

    def stop(self) -> None:
        del self.metric.compute  # uncovers the method of its class


class _Gradients:
    """Copies the gradients of one step as they are computed; they are cleared after the optimizer's step.

    With several processes they are local to the first one, and with mixed precision they are scaled.
    """

    def __init__(self, network: nn.Layer) -> None:
        self.found: dict[str, np.ndarray] = {}
        trainable = {name: weight for name, weight in _kernels(network).items() if not weight.stop_gradient}
        self.hooks = [weight.register_hook(self._keep(name)) for name, weight in trainable.items()]

    def _keep(self, name: str) -> Any:
        def keep(gradient: Tensor) -> None:
            self.found[name] = gradient.numpy()

        return keep

    def take(self) -> dict[str, np.ndarray]:
        """Remove the hooks, and return the gradients sorted by name."""
        for hook in self.hooks:
            hook.remove()
        return dict(sorted(self.found.items()))


def _kernels(network: nn.Layer) -> dict[str, Tensor]:
    """Return the weights of convolutions and linear layers, without biases and batch-norm scales."""
    return {name: weight for name, weight in network.named_parameters() if weight.ndim > 1}
