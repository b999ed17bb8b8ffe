"""Train a landmark network, or a face detector: config, data, network, optimizer, fit."""

import argparse
from contextlib import ExitStack, closing

import facekp  # noqa: F401 (before Paddle: it keeps a warning of its import off stderr)

# isort: split
import paddle
from paddle.callbacks import Callback
from paddle.static import InputSpec

from facekp.cli import run
from facekp.training.callbacks import (
    BestWeights,
    Checkpoints,
    Dashboard,
    Freeze,
    History,
    InStep,
    MovingAverage,
    Plateau,
    ProgressBar,
)
from facekp.training.checkpoint import RunState, cut_logs, load_checkpoint
from facekp.training.config import load_config
from facekp.training.data import build_data, training_loader, validation_loader
from facekp.training.processes import Processes
from facekp.training.run import (
    build_optimizer,
    build_schedule,
    check_network,
    describe_device,
    essentials,
    find_run_folder,
    load_pretrained,
    prepare_amp,
    seed_everything,
    start_run_folder,
)


def main() -> None:
    """Read top to bottom."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-c", "--config", default="configs/sam_googlenet_bn.yml", help="the recipe (%(default)s)")
    parser.add_argument("-o", "--option", action="append", default=[], metavar="KEY=VALUE",
                        help="replace a value of the config, for example -o train.epochs=3")  # fmt: skip
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="go on after the last finished epoch")
    again.add_argument("--overwrite", action="store_true", help="delete an earlier run of this name")
    args = parser.parse_args()

    config = load_config(args.config, args.option)
    processes = Processes.start()
    folder = find_run_folder(config, args.resume, args.overwrite)
    data = build_data(config, progress=processes.first)
    seed_everything(config.seed)

    state = RunState(processes=processes.count)
    train_loader = training_loader(data, config, state, processes)
    steps, epochs = len(train_loader), config.train.epochs

    network = data.recipe.build_network()
    if not args.resume:
        load_pretrained(network, config.pretrained)
    freeze_epochs = config.train.freeze_epochs
    schedule = build_schedule(config.optimizer, epochs, steps, processes.count, freeze_epochs)
    optimizer = build_optimizer(config.optimizer, schedule, network)
    image, label = data.validation[0]
    check_network(network, image, label)
    ema = MovingAverage(state, network, config.train.ema) if config.train.ema else None
    average = ema.average if ema else None
    if args.resume:
        load_checkpoint(folder / "last.safetensors", network, optimizer, state, average)
    processes.agree({"faces": (len(data.train), len(data.validation)), "finished epochs": state.epoch,
                     **essentials(config)})  # fmt: skip
    if processes.first:
        cut_logs(folder, state)
    if state.epoch >= (config.train.stop_after or epochs):
        if processes.first:
            print(f"{folder}: already trained for {state.epoch} epochs")
        return
    if processes.first:
        start_run_folder(folder, config, args.resume)
    # Without the specs Paddle would count the inputs of forward() and take the label for one of them.
    model = paddle.Model(
        network,
        inputs=[InputSpec([None, *image.shape], "float32", "image")],
        labels=[InputSpec([None, *label.shape], "float32", "label")],
    )
    model.prepare(
        optimizer,
        data.loss,
        data.metrics,
        amp_configs=prepare_amp(config.train.amp, network),
    )

    freeze = [Freeze(state, network, freeze_epochs, processes)] if freeze_epochs else []
    history = History(state, folder, processes)
    with ExitStack() as stack:
        stack.enter_context(processes.end_together())
        reports: list[Callback] = []
        if processes.first:
            parameters = sum(int(p.size) for p in network.parameters())
            print(f"{config.name}: {parameters:,} weights, {len(data.train)} samples to learn from, "
                  f"{len(data.validation)} to check, {steps} steps an epoch", flush=True)  # fmt: skip
            print(describe_device(config, processes), flush=True)
            reports = [
                Dashboard(state, history, folder, data.validation, data.draw),
                stack.enter_context(closing(ProgressBar(state, history, config.train.stop_after or epochs, steps))),
                BestWeights(state, history, folder, data.recipe),
            ]
        model.fit(
            train_loader,
            validation_loader(data.validation, config, processes),
            epochs=epochs - state.epoch,
            verbose=0,
            callbacks=[
                InStep(processes, average),
                *freeze,
                history,
                *reports,
                *([Plateau(history)] if config.optimizer.schedule == "plateau" else []),
                *([ema] if ema else []),
                Checkpoints(state, folder, processes, average, config.train.stop_after),
            ],
        )
    if processes.first:
        print(f"best validation {history.metric} {state.best:.4f}: {folder / 'best.safetensors'}")


if __name__ == "__main__":
    run(main)
