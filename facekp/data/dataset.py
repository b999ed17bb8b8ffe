"""Data sets of faces with points: what all of them share, whatever their labels' format."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Callable, NamedTuple

import numpy as np
from paddle.io import Dataset
from tqdm import tqdm

from facekp.codecs.points import Codec
from facekp.errors import UserError, one_line
from facekp.io.images import only_sound_images
from facekp.landmarks import IBUG68, PointSchema
from facekp.vision import geometry

#: Called with (image, coords), or with which points are seen behind them; returns them transformed, and perhaps says
#: which points are seen.
Pipeline = Callable[[tuple[np.ndarray, ...]], tuple[np.ndarray, ...]]

#: A label that lies farther outside than this share of the image's longer side is taken for a mistake.
FARTHEST_OUTSIDE = 0.25

#: And so is a face that spans fewer pixels: its coordinates are in another unit.
LEAST_FACE = 5.0


class Draw(NamedTuple):
    """A sample and the seed of everything random about it: one training step's view of a face.

    Attributes:
        sample: Its index.
        seed: Of its random transforms.
        final: The transforms of the last epochs are meant.
    """

    sample: int
    seed: int
    final: bool = False


class LandmarkDataset(Dataset):
    """Pairs of an image and its points. Subclasses give `__len__`, `name` and `load`.

    Args:
        transform: Called with (image, coords); see `facekp.data.transforms`. None leaves them as they are.
        codec: Turns the points into what the network predicts. None leaves them as points.

    Attributes:
        kind: The format of its labels, as a config names it; tables of results are divided by it.
        schema: What its points are.
        final_transform: Replaces the transform where a `Draw` says so.
        hidden_weight: How much a point counts that is labelled but hidden: from 0 to 1, the share of the draws in which
            it is known. The others take its label for missing.
        with_visibility: Behind the points' coordinates a label says which of them are seen: K numbers, 1 or 0, NaN
            where neither labels that mark hidden points nor the transforms know.
    """

    kind: str = ""
    schema: PointSchema = IBUG68
    final_transform: Pipeline | None = None
    hidden_weight: float = 1.0
    with_visibility: bool = False

    def __init__(self, transform: Pipeline | None = None, codec: Codec | None = None) -> None:
        super().__init__()
        self.transform = transform
        self.codec = codec

    def __len__(self) -> int:
        raise NotImplementedError

    def name(self, index: int) -> str:
        """What to call a sample in a message or under an image."""
        raise NotImplementedError

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """The untouched sample: BGR uint8 (H, W, 3) and float32 (K, 2) in its pixels."""
        raise NotImplementedError

    def visibility(self, index: int) -> np.ndarray | None:
        """(K,) uint8 of a sample: 0 missing, 1 hidden, 2 visible; None if its labels do not tell."""
        return None

    def has_face(self, index: int) -> bool:
        """False: the points only say which part of the image to look at, and the label becomes NaN."""
        return True

    def has_points(self, index: int) -> bool:
        """False: there is a face, but the points only say where; the label becomes infinite."""
        return True

    def __getitem__(self, key: int | Draw) -> tuple[np.ndarray, np.ndarray]:
        """One sample, transformed and encoded.

        Args:
            key: A `Draw`, whose seed makes the random transforms repeatable in whichever process they run; or an
                index, which is then its own seed.
        """
        index, seed, final = key if isinstance(key, Draw) else (key, key, False)
        transform = self.final_transform if final else self.transform
        if not 0 <= index < len(self):
            raise IndexError(index)
        image, points = self.load(index)
        if self.hidden_weight < 1:
            points = self._without_hidden(index, points, seed)
        seen = self._marked(index) if self.with_visibility else []
        if transform is not None:
            random.seed(seed)  # Python's and numpy's own generators: Paddle's transforms know no other
            np.random.seed(seed % 2**32)
            image, points, *seen = transform((image, points, *seen))
        label = points if self.codec is None else self.codec.encode(points)
        if self.with_visibility:
            label = np.concatenate([label, seen[0] if seen else np.full(len(points), np.nan, np.float32)])
        if not self.has_face(index):
            label = np.full_like(label, np.nan)
        elif not self.has_points(index):
            label = np.full_like(label, np.inf)
        return image, label

    def _without_hidden(self, index: int, points: np.ndarray, seed: int) -> np.ndarray:
        visibility = self.visibility(index)
        if visibility is None:
            return points
        dropped = np.random.default_rng([seed, index]).random(len(points)) >= self.hidden_weight
        left = np.where((dropped & (visibility == 1))[:, None], np.float32(np.nan), points)
        box = self.schema.face_box(left)
        return left if (box[2:] > box[:2]).any() else points  # too few are left to say where the face is

    def _marked(self, index: int) -> list[np.ndarray]:
        """Which points are seen, for the transforms, where the labels of a face mark hidden ones."""
        visibility = self.visibility(index)
        if visibility is None or not (visibility == 1).any():  # "visible" is then only what nobody has marked
            return []
        return [np.array([np.nan, 0, 1], np.float32)[visibility]]


class FilesDataset(LandmarkDataset):
    """What the data sets on disk share: rows that can be omitted, and the check of all of them.

    Attributes:
        source: The file or folder that messages name.
        points: (M, K, 2) float32, of all rows.
        rows: Those of the M rows that are used.
    """

    source: Path
    points: np.ndarray
    rows: list[int]

    def __len__(self) -> int:
        return len(self.rows)

    def where(self, index: int) -> str:
        """Where the label of a sample stands, for messages."""
        raise NotImplementedError

    def image_path(self, index: int) -> Path:
        """The file of a sample's image."""
        raise NotImplementedError

    def faces_beside(self, index: int) -> np.ndarray:
        """(M, K, 2) points of all labelled faces of a sample's image."""
        return self.points[self.rows[index]][None]

    def box_alone(self, index: int) -> np.ndarray | None:
        """(4,) x0, y0, x1, y1 of a face that has a box in place of points; None: its points say where it is."""
        return None

    def check(self, skip_damaged: bool = False, progress: bool = False) -> None:
        """Read every image once, before the first step, and compare it with its points.

        Args:
            skip_damaged: Omit the rows that are wrong, and say so, instead of raising.
            progress: Show a progress bar.

        Raises:
            UserError: A file is missing or damaged, or its points lie far outside; names the first such row.
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
        """What is wrong with a sample, naming its row; None if nothing is seen.

        Args:
            index: Of the sample.
            sample: What `load` returns for it, if it has been read.
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
        if sides.max() < LEAST_FACE:
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
    """Whether points lie as in a mean face whose x and y were exchanged, and far worse as in the mean face itself."""
    known = np.isfinite(points).all(-1)
    if schema.mean_face is None or known.sum() < 4:
        return False
    mean, found = schema.mean_points[known].astype(np.float64), points[known].astype(np.float64)
    straight, turned = (_misfit(mean, each) for each in (found, found[:, ::-1]))
    return turned < SWAPPED * straight


#: Of the misfit of points as they stand: with x and y exchanged it is less than this part where they are exchanged.
SWAPPED = 0.4


def _misfit(mean: np.ndarray, points: np.ndarray) -> float:
    """How far points lie from a mean face that is turned, scaled and shifted onto them, in parts of their spread."""
    apart = geometry.apply(geometry.similarity(mean, points), mean) - points
    return float(np.sqrt((apart**2).sum() / max(((points - points.mean(0)) ** 2).sum(), 1e-9)))
