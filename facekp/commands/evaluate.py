"""Evaluate weights on the validation split of a config: a table, JSON, the error curve, the ten worst faces.

For a face detector: average precision, recall, and recall of small and of rotated faces. There -w may also name another
detector, such as haar, to evaluate on the same images.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from facekp.commands.networks import check_count
from facekp.errors import UserError

EXAMPLE = "example: facekp evaluate -w output/sam_googlenet_bn/best.safetensors"

#: Metrics that are not fractions.
COUNTS = ("images", "faces", "distance_px", "false_per_image", "false_on_no_faces", "parts_without_a_face")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    parser.add_argument("-w", "--weights", default="output/sam_googlenet_bn/best.safetensors", help="(%(default)s)")
    parser.add_argument("-c", "--config", help="the recipe (config.yml beside the weights)")
    parser.add_argument("-o", "--option", action="append", default=[], metavar="KEY=VALUE",
                        help="replace a value of the config, for example -o data.sources.0.split=person")  # fmt: skip
    parser.add_argument("--boxes", choices=["training", "expanded", "jittered"], default="training",
                        help="training: its crops, in one pass (default). As in use: from the landmarks' boxes "
                             "expanded by a tenth, or jittered: shifted by up to 15 %% and scaled")  # fmt: skip
    parser.add_argument("--passes", type=int, default=2, help="with expanded or jittered boxes (%(default)s)")
    parser.add_argument("--flip", action="store_true", help="with these boxes: average with the mirror image")
    parser.add_argument("--points", metavar="NAME",
                        help="for a face detector: evaluate the faces that a landmarker keeps, with boxes around the "
                             "points and scores of both; a shipped model or a path of weights")  # fmt: skip
    parser.add_argument("--output", type=Path, help="folder for the results (evaluation_HOW beside the weights)")


def run(args: argparse.Namespace) -> None:
    """Evaluate the weights, write the results and print a table."""
    check_count("--passes", args.passes)
    from facekp import zoo
    from facekp.io.files import check_place

    weights = Path(args.weights)
    if weights.is_dir():
        raise UserError(f"{weights}: a folder; give the file of weights of the training, best.safetensors")
    model = zoo.models().get(args.weights)
    if model is not None:
        args.config = args.config or model.config
    if not args.config and not weights.exists():
        raise UserError(f"{weights}: no such weights; another detector needs -c face_detector")
    if not args.config and not weights.with_name("config.yml").is_file():
        raise UserError(f"{weights}: there is no config.yml beside it; give the config of the training with -c")

    from facekp.tasks import EvaluationSettings
    from facekp.training import evaluate, load_config

    config = load_config(args.config or weights.with_name("config.yml"), args.option)
    name = "detector" if weights.exists() else args.weights.partition(":")[0]
    how = args.boxes if config.task == "points" else name + "_points" * bool(args.points)
    place = weights.parent if weights.exists() else Path(config.output)
    output = args.output or place / f"evaluation_{how}"
    check_place(output)  # before the evaluation, not after it
    settings = EvaluationSettings(args.boxes, args.passes, args.flip, args.points, progress=True)
    result = evaluate(config, args.weights if model is None else str(zoo.get(args.weights)), settings, output)
    tables = result.tables

    sources = ", ".join(source.type for source in config.data.sources)
    print(f"{args.weights} on the validation split of {sources} ({how})")
    first = next(iter(tables.values()))
    wide = max(map(len, first)) + 2
    print(" " * wide + "".join(f"{name:>11}" for name in tables))
    for name in first:
        plain = name in COUNTS or name.startswith("faces_")
        values = [table[name] for table in tables.values()]
        shown = ["-" if v is None else f"{v:.4g}" if name in result.further else f"{round(v, 2)}" if plain
                 else f"{v * 100:.2f} %" for v in values]  # fmt: skip
        print(f"{name:{wide}}" + "".join(f"{text:>11}" for text in shown))
    print(f"written to {output}")
