"""Find faces on pictures: write their points as CSV or Parquet, and draw them."""

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from facekp import load_landmarker, viz
from facekp.cli import run
from facekp.errors import UserError
from facekp.images import find_files, write_image
from facekp.inference.many import PointsTable, find_on_many


def main() -> None:
    """Read top to bottom."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("input", nargs="+", help="pictures and folders of pictures")
    parser.add_argument("--source", help="name of a shipped model, path of weights, or hub: PaddleHub's")
    parser.add_argument(
        "--detector", help="faces from: haar, mediapipe, yunet:MODEL, or path of weights (default: ours)"
    )
    parser.add_argument("-o", "--output", default="predictions", type=Path,
                        help="NAME.csv or NAME.parquet for the points alone; else a folder for points.csv and the "
                             "pictures with their points drawn (%(default)s)")  # fmt: skip
    parser.add_argument("--resume", action="store_true", help="skip the pictures that are in the output already")
    parser.add_argument("--threads", type=int, help="decode so many pictures at once (one on each core)")
    args = parser.parse_args()
    if args.threads is not None and args.threads < 1:
        raise UserError(f"--threads {args.threads}: at least 1")

    paths = find_files(args.input)
    draw = args.output.suffix.lower() not in (".csv", ".parquet")
    output = args.output / "points.csv" if draw else args.output
    if draw:
        _check_targets(args.output, paths)
    landmarker = load_landmarker(args.source, args.detector)
    with PointsTable(output, landmarker.num_points, str(args.source), args.resume) as table:
        left = [path for path in paths if str(path) not in table]
        bar = tqdm(total=len(paths), initial=len(paths) - len(left), unit="picture", disable=None)
        with bar:
            try:
                for seen in find_on_many(left, landmarker, args.threads):
                    if isinstance(seen.found, UserError):
                        if len(paths) == 1:
                            raise seen.found
                        bar.write(f"skipped: {seen.found}", file=sys.stderr)
                    elif draw and seen.image is not None:
                        image = seen.image
                        for points, _, _ in seen.found:
                            image = viz.draw_points(image, points)
                        write_image(_target(args.output, seen.path), image)
                    table.add(str(seen.path), seen.found)
                    bar.update()
            except KeyboardInterrupt:
                bar.write(f"{bar.n} of {len(paths)} pictures are done; --resume goes on", file=sys.stderr)
                raise
        failed, faces = table.finish()
    print(f"{faces} faces in {len(paths) - len(failed)} pictures, {len(failed)} unreadable: {output}")
    if failed:
        print(f"which and why: {table.failures}")


def _target(folder: Path, path: Path) -> Path:
    return folder / f"{path.stem}_points.png"


def _check_targets(folder: Path, paths: list[Path]) -> None:
    taken = {path.resolve() for path in paths}
    for target in (_target(folder, path) for path in paths):
        if target.resolve() in taken:
            raise UserError(f"{target}: would be written twice, or over an input; choose another -o, or fewer inputs")
        taken.add(target.resolve())


if __name__ == "__main__":
    run(main)
