"""Write a trained network for Paddle Inference and ONNX Runtime.

`load_landmarker(DIR)` runs what this wrote, or `load_landmarker(detector=DIR)` if it is a face detector.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

from facekp.errors import UserError
from facekp.extras import install

EXAMPLE = "example: facekp export -w output/face_crop_light/best.safetensors -o exported"

FORMATS = ("paddle", "onnx")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    parser.add_argument(
        "-w", "--weights", default="face_crop_light", help="a file, or the name of a model (%(default)s)"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="folder for the network and its recipe")
    parser.add_argument("--formats", nargs="+", choices=FORMATS,
                        help="(paddle, and onnx where paddle2onnx is installed)")  # fmt: skip
    parser.add_argument("--hub", type=Path, metavar="DIR", help="write a module for `hub install DIR` there")
    parser.add_argument("--half", action="store_true", help="half the ONNX file's size: weights in half precision")
    parser.add_argument("--int8", nargs="+", metavar="PHOTO",
                        help="quantise the ONNX file to eight bits, faster and a little less accurate, on a few "
                             "hundred photos with faces, or folders of them")  # fmt: skip
    parser.add_argument("--shipped", action="store_true",
                        help="for maintainers: write the ONNX files of all models and the index again; those in eight "
                             "bits need --int8")  # fmt: skip


def run(args: argparse.Namespace) -> None:
    """Write the network and print the paths of its files."""
    os.environ.setdefault("GLOG_minloglevel", "2")  # otherwise Paddle reports its own problems with tracing on stderr
    from facekp import zoo
    from facekp.inference.backends import ONNX_FILE, find_weights
    from facekp.inference.export import can_write_onnx, copy_atomically, export
    from facekp.recipes import read_recipe

    if not (args.output or args.hub or args.shipped):
        raise UserError("nowhere to write to; give -o DIR")
    about_onnx = args.half or (args.int8 and not args.shipped)
    if about_onnx and (not args.output or (args.formats and "onnx" not in args.formats)):
        raise UserError("--half and --int8 are about the ONNX file; give -o DIR and no other --formats")
    if args.output and args.output.exists() and not args.output.is_dir():
        raise UserError(f"{args.output}: is a file; choose another -o")
    if args.shipped and not args.int8 and (names := [name for name in zoo.own_weights() if zoo.models()[name].int8]):
        raise UserError(f"{', '.join(names)}: also in eight bits; give photos with faces to --int8")

    if args.output or args.hub:
        weights = find_weights(args.weights)
    if args.output:
        formats = args.formats or (FORMATS if can_write_onnx() else FORMATS[:1])
        inputs = _inputs(weights, args.int8) if args.int8 else None
        for path in export(weights, args.output, formats, args.half, inputs):
            print(f"{path}  {path.stat().st_size / 1e6:.1f} MB")
        if "onnx" not in formats and not args.formats:
            print(f"no ONNX file, three times as fast to run: {install('paddle2onnx')}", file=sys.stderr)
    if args.hub:
        read_recipe(weights)  # it must be a landmark network
        from facekp.paddlehub.module import write_hub_module

        with tempfile.TemporaryDirectory() as temporary:
            network, detector = Path(temporary, "network"), Path(temporary, "detector")
            export(weights, network, ["paddle"])
            export(zoo.SHIPPED_DETECTOR, detector, ["paddle"])
            write_hub_module(args.hub, network, detector)
        print(args.hub)
    if args.shipped:
        for name, path in zoo.own_weights().items():
            for suffix in zoo.models()[name].suffixes[1:]:  # all but the weights
                inputs = _inputs(path, args.int8) if suffix == zoo.INT8 else None
                with tempfile.TemporaryDirectory() as temporary:
                    export(path, temporary, ["onnx"], half=True, int8=inputs)  # the weights are half, too
                    print(copy_atomically(Path(temporary) / ONNX_FILE, path.with_suffix(f".{suffix}")))
        zoo.write_index()


def _inputs(weights: Path, photos: list[str]) -> list[np.ndarray]:
    from facekp.detectors import load_detector
    from facekp.detectors.ours import FaceDetector
    from facekp.inference.export import calibration_inputs
    from facekp.inference.landmarker import Landmarker
    from facekp.io.images import find_files
    from facekp.loading import load_landmarker
    from facekp.recipes import BoxesRecipe, read_any_recipe

    boxes = isinstance(read_any_recipe(weights), BoxesRecipe)
    load = load_detector if boxes else load_landmarker
    finder = load(weights, backend="dygraph")  # not in the eight bits that an earlier call wrote
    assert isinstance(finder, (FaceDetector, Landmarker))
    return calibration_inputs(finder, find_files(photos))
