"""Train a landmark network: config, data, network, optimizer, fit."""

import argparse
from contextlib import closing

import facekp  # noqa: F401 (before Paddle: it keeps a warning of its import off stderr)

# isort: split
import paddle
from paddle.static import InputSpec

from facekp.cli import run
from facekp.losses import build_loss
from facekp.metrics import build_metrics
from facekp.training.callbacks import BestWeights, Checkpoints, Dashboard, History, MovingAverage, ProgressBar
from facekp.training.checkpoint import RunState, cut_logs, load_checkpoint
from facekp.training.config import load_config
from facekp.training.data import build_data, training_loader, validation_loader
from facekp.training.run import (
    build_optimizer,
    build_schedule,
    check_network,
    find_run_folder,
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
    folder = find_run_folder(config, args.resume, args.overwrite)
    data = build_data(config, progress=True)
    seed_everything(config.seed)

    state = RunState()
    train_loader = training_loader(data, config, state)
    steps, epochs = len(train_loader), config.train.epochs

    network = data.recipe.build_network()
    schedule = build_schedule(config.optimizer, epochs, steps)
    optimizer = build_optimizer(config.optimizer, schedule, network)
    image, label = data.validation[0]
    check_network(network, image, label)
    start_run_folder(folder, config, args.resume)
    # Without the specs Paddle would count the inputs of forward() and take the label for one of them.
    model = paddle.Model(
        network,
        inputs=[InputSpec([None, *image.shape], "float32", "image")],
        labels=[InputSpec([None, *label.shape], "float32", "points")],
    )
    model.prepare(
        optimizer, build_loss(config.loss, scored=bool(config.network.get("score"))), build_metrics(data.codec)
    )

    ema = MovingAverage(state, network, config.train.ema) if config.train.ema else None
    average = ema.average if ema else None
    if args.resume:
        load_checkpoint(folder / "last.safetensors", network, optimizer, state, average)
        cut_logs(folder, state)
    if state.epoch >= (config.train.stop_after or epochs):
        print(f"{folder}: already trained for {state.epoch} epochs")
        return
    parameters = sum(int(p.size) for p in network.parameters())
    print(f"{config.name}: {parameters:,} weights, {len(data.train)} faces to learn from, "
          f"{len(data.validation)} to check, {steps} steps an epoch, {config.data.workers} loader processes, "
          f"on {paddle.get_device()}", flush=True)  # fmt: skip

    history = History(state, folder)
    with closing(ProgressBar(state, history, config.train.stop_after or epochs, steps)) as progress_bar:
        model.fit(
            train_loader,
            validation_loader(data.validation, config),
            epochs=epochs - state.epoch,
            verbose=0,
            callbacks=[
                history,
                Dashboard(state, history, folder, data.validation, data.recipe),
                progress_bar,
                BestWeights(state, history, folder, data.recipe),
                *([ema] if ema else []),
                Checkpoints(state, folder, average, config.train.stop_after),
            ],
        )
    print(f"best validation NME {state.best:.4f}: {folder / 'best.safetensors'}")


if __name__ == "__main__":
    run(main)
