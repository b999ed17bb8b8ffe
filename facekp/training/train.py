"""Training: config, data, network, optimizer, fit."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack, closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Union

import paddle
from paddle.callbacks import Callback
from paddle.static import InputSpec

from facekp.errors import UserError
from facekp.models import build_network
from facekp.processor import keep_freed_memory
from facekp.training.batch_norm import synchronize
from facekp.training.callbacks import (
    BestWeights,
    Checkpoints,
    Freeze,
    History,
    InStep,
    MovingAverage,
    Plateau,
    ProgressBar,
)
from facekp.training.checkpoint import RunState, cut_logs, load_checkpoint
from facekp.training.config import Config, load_config, parse_config
from facekp.training.dashboard import Dashboard
from facekp.training.loaders import loaders_watched, training_loader, validation_loader
from facekp.training.processes import Processes
from facekp.training.run_folder import essentials, find_run_folder, locked, start_run_folder
from facekp.training.schedules import build_optimizer, build_schedule, thawed_rate
from facekp.training.start import check_network, describe_device, load_pretrained, prepare_amp, seed_everything


@dataclass(frozen=True)
class Summary:
    """Result of a run.

    Attributes:
        folder: Folder of the run.
        epochs: Number of finished epochs.
        metric: Name of the metric that selects the best weights.
        best: Its lowest value on the validation data.
        weights: File of the best weights; None if there is none, because the metric was never a number.
    """

    folder: Path
    epochs: int
    metric: str
    best: float
    weights: Path | None


def train(
    config: Union[Config, Mapping[str, Any], str, os.PathLike[str]], resume: bool = False, overwrite: bool = False
) -> Summary:
    """Train a landmark network or a face detector.

    Args:
        config: A validated config, its plain values, or the path of its file.
        resume: Continue after the last finished epoch of a run of this name.
        overwrite: Delete an earlier run of this name.

    Returns:
        Summary of the run. All other results are in its folder.

    Raises:
        UserError: A value, a file or a label is wrong, or the run's folder is already taken; nothing is written then.

    Example:
        >>> import tempfile
        >>> options = [f"output={tempfile.mkdtemp()}", "data.sources=[{type: drawn, train: 8, validation: 4}]",
        ...            "network.channels=[4, 4]", "train.epochs=1", "data.workers=0"]
        >>> summary = train(load_config("configs/quickstart.yml", options))
        quickstart: ...
        >>> summary.epochs, summary.weights.name
        (1, 'best.safetensors')
    """
    if isinstance(config, (str, os.PathLike)):
        config = load_config(config)
    elif not isinstance(config, Config):
        config = parse_config(config, "config")
    processes = Processes.start()
    if config.train.processes > processes.count:
        raise UserError(f"train.processes: {config.train.processes} need the command, facekp train, "
                        "which starts them")  # fmt: skip
    with locked(config) if processes.first else nullcontext():
        return _train(config, processes, resume, overwrite)


def _train(config: Config, processes: Processes, resume: bool, overwrite: bool) -> Summary:
    """Train, in a folder that this run has locked."""
    folder = find_run_folder(config, resume, overwrite)
    data = config.what.build_data(config, progress=processes.first)
    if getattr(data.metrics[0], "higher_is_better", False):
        raise UserError(
            f"{config.name}: metrics: the first one decides which weights are the best, the lower the better; "
            f"{data.metrics[0].name()} is better where it is higher, so put another first"
        )
    keep_freed_memory()
    seed_everything(config.seed)

    state = RunState(processes=processes.count)
    train_loader = training_loader(data, config, state, processes)
    steps, epochs = len(train_loader), config.train.epochs
    last_epoch = min(config.train.stop_after or epochs, epochs)

    try:
        network = build_network(**data.recipe.network_arguments())
    except UserError as error:
        raise UserError(f"{config.name}: {error}") from error
    if not resume:
        load_pretrained(network, config.pretrained)
    freeze_epochs = config.train.freeze_epochs
    if freeze_epochs and processes.count > 1:  # Paddle reduces gradients of what is trainable at the start
        raise UserError("train.freeze_epochs works in a single process only; train the head first, then continue with "
                        "pretrained: PATH")  # fmt: skip
    schedule = build_schedule(config.optimizer, epochs, steps, processes.count, freeze_epochs)
    optimizer = build_optimizer(config.optimizer, schedule, network)
    image, label = data.validation[0]
    check_network(network, config.what, image, label)
    ema = MovingAverage(state, network, config.train.ema) if config.train.ema else None
    average = ema.average if ema else None
    if resume:
        load_checkpoint(folder / "last.safetensors", network, optimizer, state, average)
    processes.agree({"faces": (len(data.train), len(data.validation)), "finished epochs": state.epoch,
                     **essentials(config)})  # fmt: skip
    if processes.first:
        cut_logs(folder, state)
    if state.epoch >= last_epoch:
        if processes.first:
            print(f"{folder}: already trained for {state.epoch} epochs")
        return _summary(folder, state, data.metrics[0].name())
    if processes.first:
        start_run_folder(folder, config, resume)
    if config.train.sync_batch_norm and processes.count > 1:
        synchronize(network)
    # Without the specs Paddle would count the arguments of forward() and take the label for one of them.
    model = paddle.Model(
        network,
        inputs=[InputSpec([None, *image.shape], "float32", "image")],
        labels=[InputSpec([None, *label.shape], "float32", "label")],
    )
    model.prepare(optimizer, data.loss, data.metrics, amp_configs=prepare_amp(config.train.amp, network))

    history = History(state, folder, processes, config.seed)
    with ExitStack() as stack:
        stack.enter_context(processes.end_together())
        stack.enter_context(loaders_watched())
        reports: list[Callback] = []
        if processes.first:
            parameters = sum(int(p.size) for p in network.parameters())
            print(f"{config.name}: {parameters:,} weights, {len(data.train)} training and {len(data.validation)} "
                  f"validation samples, {steps} steps an epoch", flush=True)  # fmt: skip
            print(describe_device(config, processes), flush=True)
            reports = [
                Dashboard(state, history, folder, data, config),
                stack.enter_context(closing(ProgressBar(state, history, last_epoch, steps))),
                BestWeights(state, history, folder, data.recipe),
            ]
        model.fit(
            train_loader,
            validation_loader(data.validation, config, processes),
            epochs=epochs - state.epoch,
            verbose=0,
            callbacks=[
                InStep(processes, average),
                *([Freeze(state, network, freeze_epochs)] if freeze_epochs else []),
                history,
                *reports,
                *(
                    [Plateau(history, freeze_epochs, thawed_rate(config.optimizer))]
                    if config.optimizer.schedule == "plateau"
                    else []
                ),
                *([ema] if ema else []),
                Checkpoints(state, folder, processes, average, last_epoch),
            ],
        )
    return _summary(folder, state, history.metric)


def _summary(folder: Path, state: RunState, metric: str) -> Summary:
    weights = folder / "best.safetensors"
    return Summary(folder, state.epoch, metric, state.best, weights if weights.is_file() else None)
