"""Pseudo-labels: consistent predictions of a network for photos, for training on unlabelled photos.

A face is kept if the network's score is high enough, and if its points hardly move when they are predicted again and in
the mirror image (like "Data distillation", Radosavovic et al., 2018, which combines views of unlabelled images).
"""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from tqdm import tqdm

from facekp.data.labels import write_pts
from facekp.data.pts import unnumbered
from facekp.errors import UserError
from facekp.inference.landmarker import Landmarker
from facekp.inference.many import find_on_many, spelled_out
from facekp.io.files import atomic_path
from facekp.landmarks import IBUG68, PointSchema
from facekp.vision import geometry

#: Name of the list of processed photos, in the folder of the labels.
DONE = "done.csv"

_COLUMNS = ["image", "kept", "dropped", "error"]


@dataclass(frozen=True)
class Labelled:
    """The result of `label_photos`.

    Attributes:
        photos: Number of processed photos, including those of earlier runs.
        kept: Number of faces with a `.pts` file.
        dropped: Number of faces with a low score or inconsistent points.
        failed: Number of photos that could not be read.
    """

    photos: int
    kept: int
    dropped: int
    failed: int


def agreed_points(
    landmarker: Landmarker, image: np.ndarray, points: np.ndarray, min_score: float, max_change: float
) -> np.ndarray | None:
    """Predict points again, also in the mirror image, and return their mean if all agree.

    Args:
        landmarker: Landmarker that found the points.
        image: BGR uint8 (H, W, 3).
        points: (K, 2), points of one face.
        min_score: Minimum score of both new predictions, the network's own.
        max_change: Maximum mean distance between any two of the three, in percent of the face box's longer side.

    Returns:
        (K, 2), the mean of the two new predictions; None if a score is too low or they do not agree.
    """
    width = image.shape[1]
    mirrored = np.ascontiguousarray(image[:, ::-1])
    order = landmarker.schema.flip_order

    def mirror(face: np.ndarray) -> np.ndarray:
        return geometry.apply(geometry.mirror(width), face)[order]

    again, other = landmarker(image, points=points[None]), landmarker(mirrored, points=mirror(points)[None])
    if min(again.scores[0], other.scores[0]) < min_score:
        return None
    views = [points, again.points[0], mirror(other.points[0])]
    x0, y0, x1, y1 = landmarker.schema.face_box(points)
    change = max(np.linalg.norm(a - b, axis=-1).mean() for a in views for b in views)
    return None if change > max_change / 100 * max(x1 - x0, y1 - y0) else (views[1] + views[2]) / 2


def label_photos(
    paths: Sequence[Path],
    landmarker: Landmarker,
    folder: Path,
    min_score: float = 0.9,
    max_change: float = 1.5,
    resume: bool = False,
    threads: int | None = None,
    progress: bool = False,
    source: str = "",
) -> Labelled:
    """Write a folder of photos with `.pts` files beside them, in the format of `facekp.data.pts`.

    Args:
        paths: Paths of the photos; a damaged one is reported and skipped.
        landmarker: Landmarker, which must give scores.
        folder: Output folder; photos without a kept face are not copied into it.
        min_score: See `agreed_points`.
        max_change: See `agreed_points`.
        resume: Skip the photos that are done.
        threads: Number of decoding threads; None for one per core.
        progress: Show a progress bar.
        source: Source of the landmarker; a run is not resumed with another one.

    Raises:
        UserError: The folder holds an earlier run's labels and `resume` is not set, or that run had other settings; two
            photos have the same name, or names that differ by a number, like those of the faces of a photo; or the
            network gives no scores.
    """
    if not landmarker.recipe.scored:
        raise UserError("the network gives no scores, so its points cannot be filtered by confidence; choose another")
    done = folder / DONE
    head = ["facekp pseudo-label", source, str(min_score), str(max_change)]
    if done.is_file() and not resume:
        raise UserError(f"{done}: holds labels of an earlier run; add --resume to continue, or choose another -o")
    rows = _read(done, head) if done.is_file() else {}
    earlier = rows.keys() - {spelled_out(path.name) for path in paths}
    names = {Path(name).stem: Path(name) for name in earlier}
    for path in paths:
        if names.setdefault(path.stem, path) != path:
            raise UserError(f"{path}: another photo is called {path.stem} too, {names[path.stem]}; rename one")
    for stem, path in names.items():
        other = names.get(unnumbered(stem), path)
        if other != path:
            raise UserError(f"{path}: its labels cannot be distinguished from those of {other}; rename one photo")
    left = [path for path in paths if spelled_out(path.name) not in rows]
    quiet = None if progress else True
    with tqdm(total=len(paths), initial=len(paths) - len(left), unit="photo", disable=quiet) as bar:
        for seen in find_on_many(left, landmarker, threads):
            kept, dropped, error = 0, 0, ""
            if seen.image is None or isinstance(seen.found, UserError):
                error = " ".join(str(seen.found).split())
            else:
                for points in seen.found.points:
                    agreed = agreed_points(landmarker, seen.image, points, min_score, max_change)
                    if agreed is None:
                        dropped += 1
                        continue
                    if not kept:  # the photo first: labels without it would stop a training
                        with atomic_path(folder / seen.path.name) as temporary:
                            shutil.copyfile(seen.path, temporary)
                    kept += 1
                    write_pts(folder / f"{seen.path.stem}_{kept}.pts", agreed)
            name = spelled_out(seen.path.name)
            rows[name] = [str(kept), str(dropped), spelled_out(error)]
            _append(done, head, [name, *rows[name]])
            bar.update()
    kept, dropped = (sum(int(row[column]) for row in rows.values()) for column in (0, 1))
    return Labelled(len(rows), kept, dropped, failed=sum(bool(row[2]) for row in rows.values()))


def _append(path: Path, head: list[str], row: list[str]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new = not path.is_file() or not path.stat().st_size
        with path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([head, _COLUMNS, row] if new else [row])
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); fix that and add --resume") from error


def as_source(folder: Path, schema: PointSchema) -> dict[str, str]:
    """Return the entry of such a folder for `data.sources` in a config.

    Args:
        folder: Folder of the labels.
        schema: Schema of the points; written into the folder unless it is the default with 68 points.
    """
    source = {"type": "pts", "root": str(folder)}
    if schema.name != IBUG68.name:
        source["schema"] = str(folder / "schema.yml")
        with atomic_path(source["schema"]) as temporary:
            text = yaml.safe_dump(schema.to_dict(), sort_keys=False, allow_unicode=True)
            temporary.write_text(text, encoding="utf-8")
    return source


def _read(path: Path, head: list[str]) -> dict[str, list[str]]:
    """Return photo -> row of a run that began with `head`; cut off an incomplete last line."""
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        with atomic_path(path) as temporary:
            temporary.write_text(whole, encoding="utf-8")
    rows = list(csv.reader(io.StringIO(whole, newline="")))
    if rows and rows[0][:1] != head[:1]:
        raise UserError(f"{path}: not written by facekp pseudo-label; choose another -o")
    if rows and rows[0] != head:
        raise UserError(f"{path}: was started with {_options(rows[0])}, not {_options(head)}; give the same, or choose "
                        "another -o")  # fmt: skip
    return {row[0]: row[1:] for row in rows[1:] if len(row) == len(_COLUMNS) and row not in (head, _COLUMNS)}


def _options(head: list[str]) -> str:
    names = ("", "--min-score ", "--max-change ")
    return " ".join(name + value for name, value in zip(names, head[1:]) if value)
