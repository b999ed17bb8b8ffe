"""Evaluate weights on the validation split of a config: a table, JSON, the error curve, the ten worst faces.

Of a face detector: average precision, recall, what it finds when faces are small or turned. There -w may also name
another detector, such as haar, to be judged on the same pictures.
"""

import argparse
import json
from pathlib import Path
from typing import Optional

import numpy as np

from facekp import box_evaluation, viz
from facekp.cli import atomic_path, run
from facekp.data.pictures import Picture, pictures_of
from facekp.errors import UserError
from facekp.evaluation import cut_out, predict_dataset, predict_in_use, summarise
from facekp.images import write_image
from facekp.inference.detectors import FacesOf, load_detector
from facekp.inference.landmarker import load_landmarker
from facekp.training.config import Config, load_config
from facekp.training.data import build_faces, face_parts, validation_loader
from facekp.weights import load_weights

#: Of a table: what is no fraction.
COUNTS = ("pictures", "faces", "distance_px", "false_per_picture", "false_on_no_faces", "parts_without_a_face")


#: Kind of label -> name -> value; None where there was nothing to measure.
Tables = dict[str, dict[str, Optional[float]]]


def main() -> None:
    """Read top to bottom."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-w", "--weights", default="output/sam_googlenet_bn/best.safetensors", help="(%(default)s)")
    parser.add_argument("-c", "--config", help="the recipe (config.yml beside the weights)")
    parser.add_argument("-o", "--option", action="append", default=[], metavar="KEY=VALUE",
                        help="replace a value of the config, for example -o data.split=person")  # fmt: skip
    parser.add_argument("--boxes", choices=["training", "grown", "shaken"], default="training",
                        help="training: its crops, looked at once (default). As in use: from the landmarks' boxes "
                             "grown by a tenth, or those moved by up to 15 %% and scaled by 0.8 to 1.25")  # fmt: skip
    parser.add_argument("--passes", type=int, default=2, help="with grown or shaken boxes (%(default)s)")
    parser.add_argument("--flip", action="store_true", help="with grown or shaken boxes: average with the mirror image")
    parser.add_argument("--points", metavar="NAME",
                        help="of a face detector: judge the faces that a landmarker keeps, boxes around the points and "
                             "scores of both; a shipped model or a path of weights")  # fmt: skip
    parser.add_argument("--output", help="folder for the results (evaluation_SPLIT_BOXES beside the weights)")
    args = parser.parse_args()
    if args.passes < 1:
        raise UserError(f"--passes {args.passes}: at least 1")

    weights = Path(args.weights)
    if not args.config and not weights.exists():
        raise UserError(f"{weights}: no such weights; another detector needs -c configs/face_detector.yml")
    config = load_config(args.config or weights.with_name("config.yml"), args.option)
    if config.finds_boxes and (args.boxes != "training" or args.flip or args.passes != 2):
        raise UserError(f"--boxes, --passes and --flip are about points, but {config.name} finds boxes")
    if args.boxes == "training" and (args.flip or args.passes != 2):
        raise UserError("--passes and --flip need --boxes grown or shaken: the crops of training are looked at once")
    if args.points and not config.finds_boxes:
        raise UserError(f"--points is about face detectors, but {config.name} finds points itself")
    how = args.boxes
    if config.finds_boxes:
        how = ("detector" if weights.exists() else args.weights.partition(":")[0]) + "_points" * bool(args.points)
    place = weights.parent if weights.exists() else Path(config.output)
    output = Path(args.output or place / f"evaluation_{config.data.split}_{how}")
    if output.exists() and not output.is_dir():
        raise UserError(f"{output}: is a file; choose another --output")
    tables = judge_boxes(config, args) if config.finds_boxes else judge_points(config, args, output)

    with atomic_path(output / "metrics.json") as temporary:
        temporary.write_text(json.dumps(tables, indent=2) + "\n", encoding="utf-8")
    print(f"{args.weights} on {config.data.root} ({config.data.labels}, split {config.data.split}"
          f"{'' if config.finds_boxes else f', boxes {args.boxes}'})")  # fmt: skip
    first = next(iter(tables.values()))
    wide = max(map(len, first)) + 2
    print(" " * wide + "".join(f"{name:>11}" for name in tables))
    for name in first:
        plain = name in COUNTS or name.startswith("faces_")
        values = [table[name] for table in tables.values()]
        shown = ["-" if v is None else f"{round(v, 2)}" if plain else f"{v * 100:.2f} %" for v in values]
        print(f"{name:{wide}}" + "".join(f"{text:>11}" for text in shown))
    print(f"written to {output}")


def judge_boxes(config: Config, args: argparse.Namespace) -> Tables:
    """A detector, on the held-out pictures of each kind."""
    detector = load_detector(args.weights)
    if args.points:
        detector = FacesOf(load_landmarker(args.points, detector))
    kinds: dict[str, list[Picture]] = {}
    for part in face_parts(config, progress=True)[1]:
        if len(part):
            kinds.setdefault(part.kind, []).extend(pictures_of(part))
    return {kind: box_evaluation.summarise(detector, pictures, progress=True) for kind, pictures in kinds.items()}


def judge_points(config: Config, args: argparse.Namespace, output: Path) -> Tables:
    """A network of points, on the held-out faces: all, and each kind; and its pictures."""
    weights = Path(args.weights)
    network, recipe = load_weights(weights)
    if recipe.size != config.size or recipe.pixels != config.data.pixels:
        raise UserError(
            f"{weights}: trained with size {recipe.size} and other data.pixels than {config.name}, which has size "
            f"{config.size}; give the config of the training"
        )
    data = build_faces(config, progress=True)
    codec = recipe.build_codec()
    data.validation.codec = codec  # that of the training, whatever data.root holds now
    if args.boxes == "training":
        predictions = predict_dataset(network, validation_loader(data.validation, config), codec, progress=True)
    else:
        landmarker = load_landmarker(weights, passes=args.passes, flip=args.flip)
        predictions = predict_in_use(landmarker, data.validation, args.boxes == "shaken", progress=True)
    kinds = data.validation.kinds()
    tables: Tables = {"all": {**summarise(predictions)}}
    if len(set(kinds)) > 1:
        for kind in dict.fromkeys(kinds.tolist()):
            tables[kind] = {**summarise(predictions.part(kinds == kind))}
    errors = predictions.errors()
    viz.save_error_curve(errors, output / "error_curve.png")
    worst = np.argsort(-errors)[:10]
    captions = [f"{errors[i] * 100:.1f} %  {data.validation.name(int(i))}" for i in worst]
    if args.boxes == "training":
        inputs, shown = np.stack([data.validation[int(i)][0] for i in worst]), predictions.part(worst)
    else:
        inputs, shown = cut_out(data.validation, predictions, worst)
    sheet = viz.comparison_sheet(inputs, shown.truth, shown.predicted, captions, columns=5)
    write_image(output / "worst.png", sheet)
    return tables


if __name__ == "__main__":
    run(main)
