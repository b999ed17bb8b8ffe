"""Evaluate weights on the validation split of a config: a table, JSON, the error curve, the ten worst faces."""

import argparse
import json
from pathlib import Path

import numpy as np

from facekp import viz
from facekp.cli import atomic_path, run
from facekp.errors import UserError
from facekp.evaluation import predict_dataset, summarise
from facekp.images import write_image
from facekp.training.config import load_config
from facekp.training.data import build_data, validation_loader
from facekp.weights import load_weights


def main() -> None:
    """Read top to bottom."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-w", "--weights", default="output/sam_googlenet_bn/best.safetensors", help="(%(default)s)")
    parser.add_argument("-c", "--config", help="the recipe (config.yml beside the weights)")
    parser.add_argument("-o", "--option", action="append", default=[], metavar="KEY=VALUE",
                        help="replace a value of the config, for example -o data.split=person")  # fmt: skip
    parser.add_argument("--output", help="folder for the results (evaluation_SPLIT beside the weights)")
    args = parser.parse_args()

    weights = Path(args.weights)
    network, recipe = load_weights(weights)
    config = load_config(args.config or weights.with_name("config.yml"), args.option)
    if recipe.size != config.size or recipe.pixels != config.data.pixels:
        raise UserError(
            f"{weights}: trained with size {recipe.size} and other data.pixels than {config.name}, which has size "
            f"{config.size}; give the config of the training"
        )
    output = Path(args.output or weights.parent / f"evaluation_{config.data.split}")
    if output.exists() and not output.is_dir():
        raise UserError(f"{output}: is a file; choose another --output")
    data = build_data(config, progress=True)
    codec = recipe.build_codec()
    data.validation.codec = codec  # that of the training, whatever data.root holds now
    predictions = predict_dataset(network, validation_loader(data.validation, config), codec, progress=True)
    table = summarise(predictions)

    with atomic_path(output / "metrics.json") as temporary:
        temporary.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
    errors = predictions.errors()
    viz.save_error_curve(errors, output / "error_curve.png")
    worst = np.argsort(-errors)[:10]
    sheet = viz.comparison_sheet(
        np.stack([data.validation[int(i)][0] for i in worst]),
        predictions.truth[worst],
        predictions.predicted[worst],
        [f"{errors[i] * 100:.1f} %  {data.validation.name(int(i))}" for i in worst],
        columns=5,
    )
    write_image(output / "worst.png", sheet)

    print(f"{weights} on {config.data.root} ({config.data.labels}, split {config.data.split})")
    for name, value in table.items():
        print(f"{name:12} {value:8}" if name == "faces" else f"{name:12} {value * 100:8.2f} %")
    print(f"written to {output}")


if __name__ == "__main__":
    run(main)
