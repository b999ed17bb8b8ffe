"""The 68-point CSV of the reference document (Udacity's YouTube-Faces frames)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from facekp.data.dataset import FilesDataset
from facekp.data.source import Source, Split
from facekp.errors import UserError
from facekp.io.images import SUFFIXES, read_image
from facekp.landmarks import IBUG68

NUM_POINTS = IBUG68.num_points


class Csv68Source(Source):
    """Source for a folder with training/, test/ and their two CSVs, as made by `facekp prepare-data`."""

    root: str = "data"
    #: document: the document's training and test files, which show the same people.
    #: person: a tenth of the people of both files is held out; no person is in both parts.
    #: strict: validation as with person; training also omits the test file, so that weights can be evaluated on all
    #: three splits.
    split: Literal["document", "person", "strict"] = "document"

    def load(self) -> Split:
        """See `Source`."""
        root = Path(self.root)
        files = [(root / f"{name}_frames_keypoints.csv", root / name) for name in ("training", "test")]
        training, test = (FacialKeypointsDataset(csv, folder) for csv, folder in files)
        if self.split == "document":
            return Split([training], [test])
        names = training.names + test.names
        parts = []
        for purpose, rows in zip(("train", "validation"), split_people(names)):
            first = [row for row in rows if row < len(training.names)]
            second = [row - len(training.names) for row in rows if row >= len(training.names)]
            if self.split == "strict" and purpose == "train":
                second = []
            chosen = [FacialKeypointsDataset(*file, rows=part) for file, part in zip(files, (first, second)) if part]
            parts.append(chosen)
        return Split(*parts)


class FacialKeypointsDataset(FilesDataset):
    r"""Data set of a 68-point CSV and its folder of images.

    The CSV's first column holds file names, the following 136 hold x0, y0, ..., x67, y67 in pixels.

    Args:
        csv_file: Path of the CSV.
        folder: Folder of the images.
        rows: Use only these rows of the CSV (0 is the first below the header).

    Raises:
        UserError: The CSV is missing or invalid, holds a value that is not a number, or names a file twice.

    Example:
        >>> import cv2, tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> _ = cv2.imwrite(str(root / "a.png"), np.zeros((50, 40, 3), np.uint8))
        >>> row = "a.png," + ",".join(["20"] * 136)
        >>> _ = (root / "faces.csv").write_text("," + ",".join(map(str, range(136))) + "\n" + row)
        >>> image, points = FacialKeypointsDataset(root / "faces.csv", root)[0]
        >>> image.shape, points.shape
        ((50, 40, 3), (68, 2))
    """

    kind = "csv68"

    def __init__(
        self,
        csv_file: str | os.PathLike[str],
        folder: str | os.PathLike[str],
        rows: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.source, self.folder = Path(csv_file), Path(folder)
        self.names, self.points = read_points_csv(self.source)
        self.rows = list(range(len(self.names))) if rows is None else list(rows)

    def where(self, index: int) -> str:
        """Return the CSV and the row, counted from 1 below the header."""
        return f"{self.source}: row {self.rows[index] + 1} ({self.name(index)})"

    def name(self, index: int) -> str:
        """Return the file name."""
        return self.names[self.rows[index]]

    def image_path(self, index: int) -> Path:
        """See `FilesDataset`."""
        return self.folder / self.name(index)

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Read one image and its points."""
        return read_image(self.image_path(index)), self.points[self.rows[index]].copy()


def read_points_csv(path: Path) -> tuple[list[str], np.ndarray]:
    """Read a 68-point CSV.

    Args:
        path: The file.

    Returns:
        The file names, and their points as (N, 68, 2) float32.

    Raises:
        UserError: See `FacialKeypointsDataset`. Rows are counted from 1, below the header.
    """
    try:
        table = pd.read_csv(path, dtype={0: str})
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; get the data set with facekp prepare-data") from error
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise UserError(f"{path}: cannot be read as a CSV ({error})") from error
    expected = 1 + 2 * NUM_POINTS
    if table.shape[1] != expected:
        raise UserError(
            f"{path}: {table.shape[1]} columns, but a file name and {2 * NUM_POINTS} numbers need {expected}"
        )
    if table.empty:
        raise UserError(f"{path}: has a header but no rows")
    if Path(str(table.columns[0])).suffix.lower() in SUFFIXES:
        raise UserError(f"{path}: its first line is a face, {table.columns[0]}, not a header; put one above it")
    names = table.iloc[:, 0]
    if names.isna().any():
        raise UserError(f"{path}: row {int(names.isna().argmax()) + 1}: no file name")
    if names.duplicated().any():
        row = int(names.duplicated().argmax())
        raise UserError(f"{path}: row {row + 1}: {names[row]} is named a second time; keep one of its rows")
    numbers = table.iloc[:, 1:].apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    finite = np.isfinite(numbers)
    if not finite.all():
        row, column = (int(v) for v in np.argwhere(~finite)[0])
        raise UserError(f"{path}: row {row + 1} ({names[row]}): column {table.columns[column + 1]} is not a number")
    return names.tolist(), numbers.astype(np.float32).reshape(-1, NUM_POINTS, 2)


def person(name: str) -> str:
    """Return the person's name: the file name up to the last underscore.

    Example:
        >>> person("Luis_Fonsi_21.jpg")
        'Luis_Fonsi'
    """
    return name.rsplit("_", 1)[0]


def split_people(names: Sequence[str], every: int = 10) -> tuple[list[int], list[int]]:
    """Split rows so that no person is in both parts.

    Every `every`-th person of the sorted list goes to validation: the same people on every machine and for every
    seed.

    Args:
        names: File names.
        every: Step between held-out people; 10 holds out a tenth of them.

    Returns:
        Indices for training, indices for validation.

    Example:
        >>> split_people(["a_1.jpg", "b_1.jpg", "a_2.jpg", "c_1.jpg"], every=3)
        ([1, 3], [0, 2])
    """
    held_out = set(sorted({person(name) for name in names})[::every])
    validation = [i for i, name in enumerate(names) if person(name) in held_out]
    return [i for i, name in enumerate(names) if person(name) not in held_out], validation
