"""Swapped points that check-labels finds, planted in a copy of the labels in memory, and false alarms without them.

Left and right are swapped in `--planted` faces: in the whole face, in all pairs of a region, or in a single pair.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from facekp.data.formats import labels_source
from facekp.data.labelled import LabelsDataset
from facekp.data.statistics import with_mean_face
from facekp.evaluation.labels import find_swapped, groups_of_pairs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command line options."""
    parser.add_argument("labels", type=Path, help="file or folder of labels without mistakes, such as 300-W's")
    parser.add_argument("--from", dest="source", default="pts", metavar="FORMAT", help="format of labels (%(default)s)")
    parser.add_argument("--schema", help="schema of the points")
    parser.add_argument("--images", type=Path, help="folder that image names are relative to")
    parser.add_argument("--planted", type=int, default=50, help="faces with swapped points (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="random seed of faces and pairs (%(default)s)")


def run(args: argparse.Namespace) -> None:
    """Swap points, find them and print the results."""
    source = labels_source(args.source, args.labels, args.schema, args.images)
    faces = LabelsDataset(source.read(args.labels), args.labels, args.source)
    points = faces.points[faces.rows].astype(np.float64)
    schema = with_mean_face(faces.schema, points)
    rng = np.random.default_rng(args.seed)
    print(f"{len(points)} faces untouched: {len(find_swapped(schema, points))} false alarms")
    groups = [pairs for _, pairs in groups_of_pairs(schema)]
    choices = {
        "the whole face": [list(schema.mirror_pairs)],
        "a region": [pairs for pairs in groups if len(pairs) > 1],
        "one pair": [pairs for pairs in groups if len(pairs) == 1],
    }
    for name, options in choices.items():
        if not options:
            continue
        swapped = points.copy()
        rows = rng.choice(len(points), min(args.planted, len(points)), replace=False)
        for row in rows:
            left, right = np.array(options[rng.integers(len(options))]).T
            swapped[row, left], swapped[row, right] = points[row, right], points[row, left]
        found = set(find_swapped(schema, swapped))
        print(f"swapped in {name}: {len(found & set(rows.tolist()))} of {len(rows)} found, "
              f"{len(found - set(rows.tolist()))} false alarms")  # fmt: skip
