"""Base classes of the data sets of faces with points, for all label formats."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Callable, NamedTuple

import numpy as np
from paddle.io import Dataset
from tqdm import tqdm

from facekp.errors import UserError, one_line
from facekp.io.images import only_sound_images
from facekp.landmarks import IBUG68, PointSchema
from facekp.vision import geometry

#: Called with (image, coords) or (image, coords, visible); returns them transformed, and may add `visible`, which
#: tells which points are seen.
Pipeline = Callable[[tuple[np.ndarray, ...]], tuple[np.ndarray, ...]]

#: A label farther outside the image than this fraction of its longer side is regarded as an error.
FARTHEST_OUTSIDE = 0.25

#: A face that spans fewer pixels is regarded as an error too: its coordinates are in another unit.
MIN_FACE = 5.0


class Draw(NamedTuple):
    """A sample of a training step, and the seed of everything random about it.

    Attributes:
        sample: Index of the sample.
        seed: Seed of its random transforms.
        final: Use the transforms of the last epochs.
    """

    sample: int
    seed: int
    final: bool = False


class LandmarkDataset(Dataset):
    """Data set of images and their points. Subclasses define `__len__`, `name` and `load`.

    Its samples are untransformed; `facekp.data.combine.JoinedDataset` transforms and encodes them for a network.

    Attributes:
        kind: Format of its labels, as named in a config; tables of results are grouped by it.
        schema: Schema of its points.
    """

    kind: str = ""
    schema: PointSchema = IBUG68

    def __len__(self) -> int:
        raise NotImplementedError

    def name(self, index: int) -> str:
        """Return the name of a sample for messages and captions."""
        raise NotImplementedError

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the untransformed sample: BGR uint8 (H, W, 3), and float32 (K, 2) in its pixels."""
        raise NotImplementedError

    def visibility(self, index: int) -> np.ndarray | None:
        """Return a sample's visibility, (K,) uint8: 0 missing, 1 hidden, 2 visible; None if it is not labelled."""
        return None

    def has_face(self, index: int) -> bool:
        """Return whether there is a face. If not, the points only locate the crop; a network's label is NaN."""
        return True

    def has_points(self, index: int) -> bool:
        """Return whether the points are known. If not, they only locate the face; a network's label is infinite."""
        return True

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return one untransformed sample; see `load`."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.load(index)


class FilesDataset(LandmarkDataset):
    """Base class of data sets on disk, whose rows can be checked and omitted.

    Attributes:
        source: File or folder of the labels.
        points: (M, K, 2) float32 points of all rows.
        rows: Indices of the M rows that are used.
    """

    source: Path
    points: np.ndarray
    rows: list[int]

    def __len__(self) -> int:
        return len(self.rows)

    def where(self, index: int) -> str:
        """Return the location of a sample's label, for messages."""
        raise NotImplementedError

    def image_path(self, index: int) -> Path:
        """Return the path of a sample's image."""
        raise NotImplementedError

    def faces_beside(self, index: int) -> np.ndarray:
        """Return the points of all labelled faces in a sample's image, (M, K, 2)."""
        return self.points[self.rows[index]][None]

    def box_alone(self, index: int) -> np.ndarray | None:
        """Return the box of a face that has no points, (4,) x0, y0, x1, y1; None for a face with points."""
        return None

    def check(self, skip_damaged: bool = False, progress: bool = False) -> None:
        """Read every image once, before the first step, and check its points against it.

        Args:
            skip_damaged: Omit and report invalid rows instead of raising.
            progress: Show a progress bar.

        Raises:
            UserError: A file is missing or damaged, or its points are invalid; the message names the first such row.
        """
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # OpenCV decodes without holding Python's lock
            results = pool.map(self.problem, range(len(self)))
            bar = tqdm(
                results, f"checking {self.source.name}", len(self), leave=False, disable=None if progress else True
            )
            problems: Iterator[tuple[int, str | None]] = enumerate(bar)
            wrong = {index: problem for index, problem in problems if problem is not None}
        if not wrong:
            return
        if not skip_damaged:
            first = next(iter(wrong.values()))
            more = f" ({len(wrong) - 1} more rows have such faults)" if len(wrong) > 1 else ""
            raise UserError(f"{first}{more}; fix the row, or set data.skip_damaged=true to omit such rows")
        for problem in wrong.values():
            tqdm.write(f"omitted: {one_line(problem)}")
        self.rows = [row for index, row in enumerate(self.rows) if index not in wrong]

    def problem(self, index: int, sample: tuple[np.ndarray, np.ndarray] | None = None) -> str | None:
        """Return what is wrong with a sample, and its row; None if no problem is found.

        Args:
            index: Index of the sample.
            sample: Result of `load` for it, if it has been read.
        """
        where = self.where(index)
        try:
            if sample is None:
                with only_sound_images():
                    sample = self.load(index)
            image, points = sample
        except UserError as error:
            return f"{where}: {error}"
        box = self.box_alone(index)
        if box is None:
            known = int(np.isfinite(points).all(1).sum())
            if known < 2:
                return f"{where}: {known} of its points known; a face needs at least two"
            if float(self.schema.unit(points)) < 1e-3:
                pair = self.schema.normalise
                what = " and ".join(self.schema.points[i] for i in pair) if pair else "all points"
                return f"{where}: {what} coincide"
            if _swapped(points, self.schema):
                return f"{where}: x and y are swapped; each point is x, then y"
        else:
            points = box.reshape(2, 2)
        sides = np.nanmax(points, 0) - np.nanmin(points, 0)
        if sides.max() < MIN_FACE:
            what, they = ("its points span", "points") if box is None else ("its box spans", "boxes")
            return f"{where}: {what} {sides.max():.2g} pixels; {they} are in pixels of the image"
        size = np.array([image.shape[1], image.shape[0]])
        outside = np.nan_to_num(np.maximum(-points, points - size), nan=0.0)
        if outside.max() / size.max() > FARTHEST_OUTSIDE:
            worst = int(outside.max(1).argmax())
            x, y = points[worst]
            what = "corner" if box is not None else "point"
            return f"{where}: {what} {worst} at ({x:g}, {y:g}) is far outside the {size[0]}x{size[1]} image"
        return None


def _swapped(points: np.ndarray, schema: PointSchema) -> bool:
    """Return whether points fit a mean face far better with x and y exchanged than as they are."""
    known = np.isfinite(points).all(-1)
    if schema.mean_face is None or known.sum() < 4:
        return False
    mean, found = schema.mean_points[known].astype(np.float64), points[known].astype(np.float64)
    straight, exchanged = (_misfit(mean, each) for each in (found, found[:, ::-1]))
    return exchanged < SWAPPED * straight


#: x and y are regarded as swapped if exchanging them reduces the misfit to less than this fraction.
SWAPPED = 0.4


def _misfit(mean: np.ndarray, points: np.ndarray) -> float:
    """Return the RMS distance of points from a mean face fitted by a similarity, relative to their spread."""
    residual = geometry.apply(geometry.similarity(mean, points), mean) - points
    return float(np.sqrt((residual**2).sum() / max(((points - points.mean(0)) ** 2).sum(), 1e-9)))
