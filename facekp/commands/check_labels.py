"""Find errors in labels before training: an HTML report, and the same as a CSV. The labels are not changed.

It reports left and right swapped, points far from where the others suggest, boxes that do not fit, the same face in
training and validation, damaged images; with --weights, the faces that they predict worst.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from facekp.errors import UserError

EXAMPLE = "example: facekp check-labels labels.json --schema my_points.yml -o check.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    parser.add_argument("labels", nargs="?", type=Path, help="file or folder of labels")
    parser.add_argument("-c", "--config", help="check all sources of a config instead")
    parser.add_argument("--from", dest="source", metavar="FORMAT", help="format of the labels (by suffix, .json: coco)")
    parser.add_argument("--validation", type=Path, help="other labels, for validation (every tenth image)")
    parser.add_argument("--schema", help="what the points are: a name, such as wflw98, or a YAML file")
    parser.add_argument("--images", type=Path, help="folder that image names are relative to")
    parser.add_argument("-w", "--weights", help="show the faces that these weights predict worst")
    parser.add_argument("-o", "--output", type=Path, default=Path("check_labels.html"), help="(%(default)s)")


def run(args: argparse.Namespace) -> None:
    """Check the labels, write the report and print a summary."""
    if (args.labels is None) == (args.config is None):
        raise UserError("give the file or folder of the labels, or a config with -c")
    from facekp.data.dataset import FilesDataset
    from facekp.data.formats import labels_source
    from facekp.evaluation.labels import KINDS, check_labels
    from facekp.evaluation.report import check_name, write_report
    from facekp.loading import load_landmarker

    check_name(args.output)
    if args.config is not None:
        from facekp.tasks.parts import schema_of
        from facekp.training import load_config

        for option in ("source", "validation", "schema", "images"):
            if getattr(args, option) is not None:
                raise UserError(f"--{'from' if option == 'source' else option} has no effect with -c; omit one of them")
        config = load_config(args.config)
        schema_of(config)
        splits = [source.load() for source in config.data.sources]
    else:
        source = labels_source(args.source, args.labels, args.schema, args.images)
        source.validation = None if args.validation is None else str(args.validation)
        splits = [source.load()]
    parts = [("train", part) for split in splits for part in split.train]
    parts += [("validation", part) for split in splits for part in split.validation]
    landmarker = None if args.weights is None else load_landmarker(args.weights)
    checked = check_labels(
        [(split, part) for split, part in parts if isinstance(part, FilesDataset)], landmarker, progress=True
    )
    table = write_report(checked, args.output)
    for kind in KINDS:
        print(f"{kind:11} {len(checked.of_kind(kind))}")
    print(f"written to {args.output} and {table}")
