"""Convert labels from one format to another: writes COCO keypoints, CSV, .pts and imglab's XML, reads all formats.

Nothing is lost: labels that the output format cannot hold are refused, unless --lossy is given.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from facekp.errors import UserError, counted

EXAMPLE = "example: facekp convert-labels labels.json labels.csv --schema my_points.yml"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    parser.add_argument("input", type=Path, help="file or folder of labels")
    parser.add_argument("output", type=Path, help="file, or folder of .pts files, to write")
    parser.add_argument("--from", dest="source", metavar="FORMAT", help="format of the input (by suffix, .json: coco)")
    parser.add_argument("--to", dest="target", metavar="FORMAT", help="format of the output (by suffix; a folder: pts)")
    parser.add_argument("--schema", help="what the points are: a name, such as wflw98, or a YAML file")
    parser.add_argument("--convert-to", metavar="SCHEMA", help="convert the points, such as wflw98 to ibug68")
    parser.add_argument("--images", type=Path, help="folder that image names in the input are relative to")
    parser.add_argument("--names-from", type=Path, metavar="FOLDER",
                        help="folder that image names in the output are relative to (its own)")  # fmt: skip
    parser.add_argument("--lossy", action="store_true", help="omit what the output cannot hold")
    parser.add_argument("--overwrite", action="store_true", help="replace an output that exists")


def run(args: argparse.Namespace) -> None:
    """Read, convert and write the labels, and print a summary."""
    from facekp.data.formats import FORMATS, SUFFIXES, labels_source
    from facekp.data.labels import reduced
    from facekp.landmarks import load_schema

    target = args.target or SUFFIXES.get(args.output.suffix.lower()) or (None if args.output.suffix else "pts")
    written = [name for name, kind in FORMATS.items() if getattr(kind, "holds", None) is not None]
    if target not in written:
        raise UserError(f"{args.output}: this format cannot be written; choose one with --to: {', '.join(written)}")
    if args.output.exists() and not args.overwrite:
        raise UserError(f"{args.output}: exists; choose another name, or add --overwrite")
    reader = labels_source(args.source, args.input, args.schema, args.images)
    labels = reader.read(args.input)
    if args.convert_to:
        labels = labels.converted(load_schema(args.convert_to), str(args.input))
    writer = labels_source(target, args.output)
    kept = reduced(labels, type(writer).holds or (), args.lossy, str(args.output))
    if not kept.faces:
        raise UserError(f"{args.input}: no face that {target} can hold")
    folder = args.output if target == "pts" else args.output.parent
    writer.write(kept, args.output, args.names_from or folder)
    images = len({face.image for face in kept.faces})
    omitted = len(labels.faces) - len(kept.faces)
    faces = f"{counted(len(kept.faces), 'face')} on {counted(images, 'image')}"
    print(f"{faces} written to {args.output}, {omitted} omitted")
