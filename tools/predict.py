"""Find faces on pictures: draw their points, and write them as CSV."""

import argparse
import csv
import sys
from pathlib import Path

from facekp import load_landmarker, viz
from facekp.cli import atomic_path, run
from facekp.errors import UserError
from facekp.images import find_files, read_image, write_image


def main() -> None:
    """Read top to bottom."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("input", nargs="+", help="pictures and folders of pictures")
    parser.add_argument("--source", help="name of a shipped model, or path of weights")
    parser.add_argument("-o", "--output", default="predictions", help="folder for the results (%(default)s)")
    args = parser.parse_args()

    paths = find_files(args.input)
    output = Path(args.output)
    targets = [output / f"{path.stem}_points.png" for path in paths]
    taken = {path.resolve() for path in paths}
    for target in targets:
        if target.resolve() in taken:
            raise UserError(f"{target}: would be written twice, or over an input; choose another -o, or fewer inputs")
        taken.add(target.resolve())
    landmarker = load_landmarker(args.source)
    count, failed = 0, 0
    with atomic_path(output / "points.csv") as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file)
        names = [f"{axis}{i}" for i in range(landmarker.recipe.num_points) for axis in "xy"]
        writer.writerow(["image", "face", "score", "box_x0", "box_y0", "box_x1", "box_y1", *names])
        for path, target in zip(paths, targets):
            try:
                image = read_image(path)
            except UserError as error:
                if len(paths) == 1:
                    raise
                print(f"skipped: {error}", file=sys.stderr)
                failed += 1
                continue
            faces = landmarker(image)
            for number, (points, box, score) in enumerate(faces):
                values = [f"{v:.2f}" for v in (*box, *points.reshape(-1))]
                writer.writerow([path, number, f"{score:.3f}", *values])
                image = viz.draw_points(image, points)
            write_image(target, image)
            count += len(faces)
        if failed == len(paths):
            raise UserError(f"none of the {len(paths)} pictures could be read; the lines above say why")
    print(f"{count} faces in {len(paths) - failed} pictures, {failed} unreadable: {output / 'points.csv'}")


if __name__ == "__main__":
    run(main)
