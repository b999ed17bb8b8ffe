"""Data sets of faces with points: checked as a whole before the first step."""

from __future__ import annotations

import copy
import os
import random
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Callable, NamedTuple

import cv2
import numpy as np
import pandas as pd
from paddle.io import Dataset
from tqdm import tqdm

from facekp import geometry
from facekp.codec import Codec
from facekp.errors import UserError
from facekp.images import SUFFIXES, read_image
from facekp.landmarks import EYE_PAIRS, MEAN_FACE, NUM_POINTS, eye_distance, face_box

#: Called with (image, coords), returns the two transformed.
Pipeline = Callable[[tuple[np.ndarray, np.ndarray]], tuple[np.ndarray, np.ndarray]]

#: A label that lies farther outside than this part of the picture's longer side is taken for a mistake.
FARTHEST_OUTSIDE = 0.25


class Draw(NamedTuple):
    """A sample and the seed of everything random about it: one training step's view of a face."""

    sample: int
    seed: int


class LandmarkDataset(Dataset):
    """Pairs of a picture and its points. Subclasses give `__len__`, `name` and `load`.

    Args:
        transform: Called with (image, coords); see `facekp.data.transforms`. None leaves them as they are.
        codec: Turns the points into what the network predicts. None leaves them as points.

    Attributes:
        kind: What sort of labels it has, as a config names it; tables of results are divided by it.
    """

    kind: str = ""

    def __init__(self, transform: Pipeline | None = None, codec: Codec | None = None) -> None:
        super().__init__()
        self.transform = transform
        self.codec = codec

    def __len__(self) -> int:
        raise NotImplementedError

    def name(self, index: int) -> str:
        """What to call a sample in a message or under a picture."""
        raise NotImplementedError

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """The untouched sample: BGR uint8 (H, W, 3) and float32 (K, 2) in its pixels."""
        raise NotImplementedError

    def has_face(self, index: int) -> bool:
        """False: the points only say which part of the picture to look at, and the label becomes NaN."""
        return True

    def __getitem__(self, key: int | Draw) -> tuple[np.ndarray, np.ndarray]:
        """One sample, transformed and encoded.

        Args:
            key: A `Draw`, whose seed makes the random transforms repeatable in whichever process they run; or an
                index, which is then its own seed.
        """
        index, seed = key if isinstance(key, Draw) else (key, key)
        if not 0 <= index < len(self):
            raise IndexError(index)
        image, points = self.load(index)
        if self.transform is not None:
            random.seed(seed)  # Python's and numpy's own generators: Paddle's transforms know no other
            np.random.seed(seed % 2**32)
            image, points = self.transform((image, points))
        label = points if self.codec is None else self.codec.encode(points)
        return image, label if self.has_face(index) else np.full_like(label, np.nan)


class FilesDataset(LandmarkDataset):
    """What the data sets on disk share: rows that can be left out, and the check of all of them.

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

    def picture(self, index: int) -> Path:
        """The file of a sample's picture."""
        raise NotImplementedError

    def faces_beside(self, index: int) -> np.ndarray:
        """(M, K, 2) points of all labelled faces of a sample's picture."""
        return self.points[self.rows[index]][None]

    def check(self, skip_damaged: bool = False, progress: bool = False) -> None:
        """Read every picture once, before the first step, and compare it with its points.

        Args:
            skip_damaged: Leave out the rows that are wrong, and say so, instead of raising.
            progress: Show a progress bar.

        Raises:
            UserError: A file is missing or damaged, or its points lie far outside; names the first such row.
        """
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # OpenCV decodes without holding Python's lock
            results = pool.map(self._problem, range(len(self)))
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
            raise UserError(f"{first}{more}; mend the row, or set data.skip_damaged=true to leave such rows out")
        for problem in wrong.values():
            tqdm.write(f"left out: {problem}")
        self.rows = [row for index, row in enumerate(self.rows) if index not in wrong]

    def _problem(self, index: int) -> str | None:
        where = self.where(index)
        try:
            image, points = self.load(index)
        except UserError as error:
            return f"{where}: {error}"
        if eye_distance(points) < 1e-3:
            first, second = EYE_PAIRS[len(points)]
            return f"{where}: the eyes, points {first} and {second}, lie on each other"
        size = np.array([image.shape[1], image.shape[0]])
        outside = np.maximum(-points, points - size).max() / size.max()
        if outside > FARTHEST_OUTSIDE:
            worst = int(np.maximum(-points, points - size).max(1).argmax())
            x, y = points[worst]
            return f"{where}: point {worst} at ({x:g}, {y:g}) is far outside the {size[0]}x{size[1]} picture"
        return None


class FacialKeypointsDataset(FilesDataset):
    r"""The 68-point CSV and its folder of pictures.

    The CSV's first column holds file names, the following 136 hold x0, y0, ..., x67, y67 in pixels.

    Args:
        csv_file: Path of the CSV.
        folder: Folder of the pictures.
        transform: See `LandmarkDataset`.
        codec: See `LandmarkDataset`.
        rows: Use only these rows of the CSV (0 is the first below the header).

    Raises:
        UserError: The CSV is missing, is no such CSV, holds a value that is no number, or names a file twice.

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
        transform: Pipeline | None = None,
        codec: Codec | None = None,
        rows: Sequence[int] | None = None,
    ) -> None:
        super().__init__(transform, codec)
        self.source, self.folder = Path(csv_file), Path(folder)
        self.names, self.points = read_points_csv(self.source)
        self.rows = list(range(len(self.names))) if rows is None else list(rows)

    def where(self, index: int) -> str:
        """The row, counted from 1 below the header."""
        return f"{self.source}: row {self.rows[index] + 1} ({self.name(index)})"

    def name(self, index: int) -> str:
        """The file's name."""
        return self.names[self.rows[index]]

    def picture(self, index: int) -> Path:
        """See `FilesDataset`."""
        return self.folder / self.name(index)

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Read one picture and its points."""
        return read_image(self.picture(index)), self.points[self.rows[index]].copy()


class PtsDataset(FilesDataset):
    r"""Folders of pictures with `.pts` files beside them, as 300-W comes: one file for each face.

    `NAME.pts` or `NAME_1.pts`, `NAME_2.pts`, ... belong to the picture `NAME`. Coordinates in a `.pts` file
    count from 1; the three header lines may be missing.

    Args:
        root: Searched with all its folders.
        transform: See `LandmarkDataset`.
        codec: See `LandmarkDataset`.

    Raises:
        UserError: There is no `.pts` file, or one does not hold 68 points, or has no picture.

    Example:
        >>> import cv2, tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> _ = cv2.imwrite(str(root / "a.png"), np.zeros((50, 40, 3), np.uint8))
        >>> _ = (root / "a_1.pts").write_text("21 31\n" * 68)
        >>> PtsDataset(root)[0][1][0].tolist()
        [20.0, 30.0]
    """

    kind = "pts"

    def __init__(
        self, root: str | os.PathLike[str], transform: Pipeline | None = None, codec: Codec | None = None
    ) -> None:
        super().__init__(transform, codec)
        self.source = Path(root)
        self.files = sorted(self.source.rglob("*.pts"))
        if not self.files:
            raise UserError(f"{root}: no .pts file in it; name the folder that holds 300-W's folders")
        self.points = np.stack([read_pts(file) for file in self.files])
        self.pictures = [_picture_of(file) for file in self.files]
        self.rows = list(range(len(self.files)))

    def where(self, index: int) -> str:
        """The `.pts` file."""
        return str(self.files[self.rows[index]])

    def name(self, index: int) -> str:
        """The picture's path below the root."""
        return str(self.picture(index).relative_to(self.source))

    def picture(self, index: int) -> Path:
        """See `FilesDataset`."""
        return self.pictures[self.rows[index]]

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Read one picture and one of its faces."""
        return read_image(self.picture(index)), self.points[self.rows[index]].copy()

    def faces_beside(self, index: int) -> np.ndarray:
        """See `FilesDataset`."""
        return self.points[[p == self.picture(index) for p in self.pictures]]

    def split(self, every: int = 10) -> tuple[PtsDataset, PtsDataset]:
        """Hold out all faces of every `every`-th picture: (for training, for validation)."""
        held_out = set(sorted(set(self.pictures))[::every])
        parts = copy.copy(self), copy.copy(self)
        for part, wanted in zip(parts, (False, True)):
            part.rows = [row for row in self.rows if (self.pictures[row] in held_out) == wanted]
        return parts


class FivePointDataset(FilesDataset):
    r"""The CUHK five-point lists: a row holds a picture's path, the face's box and its five points.

    `folder\name.jpg x1 x2 y1 y2` and the x y of the left eye, the right eye, the nose and the left and right corner of
    the mouth, in pixels of the picture. A sample is the square around the box, which is what the network looks at.

    Args:
        list_file: `trainImageList.txt` or `testImageList.txt`; its paths lead from its own folder.
        transform: See `LandmarkDataset`.
        codec: See `LandmarkDataset`.

    Raises:
        UserError: The list is missing, or a row does not hold a path and fourteen numbers, or its box is empty.

    Example:
        >>> import cv2, tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> _ = cv2.imwrite(str(root / "a.png"), np.zeros((50, 40, 3), np.uint8))
        >>> _ = (root / "list.txt").write_text("a.png 10 29 20 39 15 25 24 25 20 30 16 35 23 35")
        >>> image, points = FivePointDataset(root / "list.txt")[0]
        >>> image.shape, points[0].tolist()
        ((20, 20, 3), [5.0, 5.0])
    """

    kind = "five"

    def __init__(
        self, list_file: str | os.PathLike[str], transform: Pipeline | None = None, codec: Codec | None = None
    ) -> None:
        super().__init__(transform, codec)
        self.source = Path(list_file)
        self.names, self.boxes, self.points = read_five_points(self.source)
        self.rows = list(range(len(self.names)))

    def where(self, index: int) -> str:
        """The row, counted from 1."""
        return f"{self.source}: row {self.rows[index] + 1} ({self.name(index)})"

    def name(self, index: int) -> str:
        """The path of the list, with slashes."""
        return self.names[self.rows[index]]

    def picture(self, index: int) -> Path:
        """See `FilesDataset`."""
        return self.source.parent / self.name(index)

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Read one picture, and cut out the square around the box; beyond the picture it is black.

        Raises:
            UserError: The picture cannot be read, or the box reaches out of it.
        """
        row = self.rows[index]
        image = read_image(self.picture(index))
        x0, y0, x1, y1 = self.boxes[row]
        height, width = image.shape[:2]
        if min(x0, y0) < 0 or x1 >= width or y1 >= height:
            raise UserError(f"the box x {x0} to {x1}, y {y0} to {y1} reaches out of the {width}x{height} picture")
        side = int(max(x1 - x0, y1 - y0)) + 1
        left, top = (x0 + x1 + 1 - side) // 2, (y0 + y1 + 1 - side) // 2
        matrix = geometry.translation(-left, -top)
        return geometry.warp(image, matrix, (side, side)), geometry.apply(matrix, self.points[row])


class KeptCrops(LandmarkDataset):
    """The faces of another data set, decoded once and kept in memory, with room around them for `FaceCrop`.

    Args:
        dataset: Its transform and codec are not used.
        face_side: Larger faces are shrunk to so many pixels.
        reach: What is kept around the face's box, as a part of its longer side.
        progress: Show a progress bar.
    """

    def __init__(self, dataset: LandmarkDataset, face_side: int, reach: float = 0.75, progress: bool = False) -> None:
        super().__init__()
        self._names = [dataset.name(index) for index in range(len(dataset))]
        self._has_face = [dataset.has_face(index) for index in range(len(dataset))]
        self.kind = dataset.kind
        self._face_side, self._reach = face_side, reach
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # OpenCV decodes without holding Python's lock
            crops = pool.map(lambda index: self._cut(*dataset.load(index)), range(len(dataset)))
            self._samples = list(
                tqdm(crops, "reading crops", len(dataset), leave=False, disable=None if progress else True)
            )

    def __len__(self) -> int:
        return len(self._samples)

    def name(self, index: int) -> str:
        """The other data set's name for it."""
        return self._names[index]

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """The kept crop and its points."""
        image, points = self._samples[index]
        return image, points.copy()

    def has_face(self, index: int) -> bool:
        """As the other data set says."""
        return self._has_face[index]

    def _cut(self, image: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x0, y0, x1, y1 = face_box(points)
        side = max(x1 - x0, y1 - y0)
        reach = side * self._reach
        left, top = max(0, int(x0 - reach)), max(0, int(y0 - reach))
        crop = image[top : int(y1 + reach) + 1, left : int(x1 + reach) + 1]
        matrix = geometry.translation(-left, -top)
        if side > self._face_side:
            height, width = crop.shape[:2]
            scale = self._face_side / side
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
            matrix = geometry.compose(matrix, geometry.resizing((width, height), size))
            crop = cv2.resize(crop, size, interpolation=cv2.INTER_AREA)
        return crop.copy(), geometry.apply(matrix, points)


class NoFacesDataset(LandmarkDataset):
    """Squares of other data sets' pictures with no labelled face in them, or only a part of one.

    They teach a network's score to say no. A face that nobody labelled may be among them; that is rare.

    Args:
        datasets: Their pictures are used.
        every: Use every so many of their faces.
        seed: Of the squares' places.
    """

    #: Of the squares' sides, in the longer sides of the labelled face's box.
    _SIDES = (0.4, 1.6)

    def __init__(self, datasets: Sequence[FilesDataset], every: int = 1, seed: int = 0) -> None:
        super().__init__()
        self._sources = [(dataset, index) for dataset in datasets for index in range(0, len(dataset), every)]
        self._seed = seed

    def __len__(self) -> int:
        return len(self._sources)

    def name(self, index: int) -> str:
        """The picture's name."""
        dataset, source = self._sources[index]
        return f"no face of {dataset.name(source)}"

    def has_face(self, index: int) -> bool:
        """None of them."""
        return False

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """The picture, and the mean face laid into the square."""
        dataset, source = self._sources[index]
        image, points = dataset.load(source)
        rng = np.random.default_rng([self._seed, index])
        faces = [geometry.bounding_box(face) for face in dataset.faces_beside(source)]
        box = geometry.bounding_box(points)
        side = float(max(box[2:] - box[:2]))
        height, width = image.shape[:2]
        square = box
        for _ in range(30):
            wide = side * np.exp(rng.uniform(*np.log(self._SIDES)))
            x, y = rng.uniform(-wide / 4, [width - wide * 3 / 4, height - wide * 3 / 4])
            square = np.array([x, y, x + wide, y + wide])
            if all(_covered(square, face) < 0.15 for face in faces):
                break
        else:  # the face fills the picture: a corner of it
            wide = side * rng.uniform(0.25, 0.4)
            x, y = box[:2] + rng.uniform(-0.1, 0.7, 2) * side
            square = np.array([x, y, x + wide, y + wide])
        mean = MEAN_FACE - geometry.bounding_box(MEAN_FACE)[:2]
        return image, (square[:2] + mean * (square[2] - square[0]) / mean.max()).astype(np.float32)


def _covered(square: np.ndarray, face: np.ndarray) -> float:
    """How much of the smaller one of two boxes lies in the other."""
    inside = np.clip(np.minimum(square[2:], face[2:]) - np.maximum(square[:2], face[:2]), 0, None).prod()
    return float(inside / min((square[2:] - square[:2]).prod(), (face[2:] - face[:2]).prod()))


class JoinedDataset(LandmarkDataset):
    """Several data sets one after the other, under one transform and one codec.

    Args:
        parts: Their own transforms and codecs are not used.
        transform: See `LandmarkDataset`.
        codec: See `LandmarkDataset`.
    """

    def __init__(
        self, parts: Sequence[LandmarkDataset], transform: Pipeline | None = None, codec: Codec | None = None
    ) -> None:
        super().__init__(transform, codec)
        self.parts = list(parts)
        self._ends = np.cumsum([len(part) for part in parts])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def name(self, index: int) -> str:
        """The part's name for it."""
        part, rest = self._locate(index)
        return part.name(rest)

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """The part's sample."""
        part, rest = self._locate(index)
        return part.load(rest)

    def has_face(self, index: int) -> bool:
        """As the part says."""
        part, rest = self._locate(index)
        return part.has_face(rest)

    def kinds(self) -> np.ndarray:
        """(N,) the kind of each sample's part."""
        return np.repeat([part.kind for part in self.parts], [len(part) for part in self.parts])

    def _locate(self, index: int) -> tuple[LandmarkDataset, int]:
        number = int(np.searchsorted(self._ends, index, side="right"))
        return self.parts[number], index - int(self._ends[number]) + len(self.parts[number])


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
        raise UserError(f"{path}: no such file; get the data set with python tools/prepare_data.py") from error
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise UserError(f"{path}: cannot be read as a CSV ({error})") from error
    expected = 1 + 2 * NUM_POINTS
    if table.shape[1] != expected:
        raise UserError(
            f"{path}: {table.shape[1]} columns, but a file name and {2 * NUM_POINTS} numbers need {expected}"
        )
    if table.empty:
        raise UserError(f"{path}: has a header but no rows")
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


def read_five_points(path: Path) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Read a CUHK five-point list.

    Args:
        path: The file.

    Returns:
        The paths with slashes, (N, 4) int boxes as x0, y0, x1, y1, and (N, 5, 2) float32 points.

    Raises:
        UserError: See `FivePointDataset`.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); data.root is the folder of the two lists") from error
    names, boxes, points = [], [], []
    for row, line in enumerate(lines, 1):
        if not line.strip():
            continue
        name, *numbers = line.split()
        try:
            values = np.array(numbers, np.float64)
        except ValueError as error:
            raise UserError(f"{path}: row {row} ({name}): holds something that is no number ({error})") from error
        if len(values) != 14 or not np.isfinite(values).all():
            raise UserError(
                f"{path}: row {row} ({name}): {len(values)} numbers, but a box and five points need 14: "
                "x1 x2 y1 y2, and five times x y"
            )
        x0, x1, y0, y1 = values[:4].round().astype(int)
        if x1 <= x0 or y1 <= y0:
            raise UserError(f"{path}: row {row} ({name}): the box x {x0} to {x1}, y {y0} to {y1} is empty")
        names.append(name.replace("\\", "/"))
        boxes.append((x0, y0, x1, y1))
        points.append(values[4:].reshape(5, 2))
    if not names:
        raise UserError(f"{path}: holds no row")
    return names, np.array(boxes), np.array(points, np.float32)


def read_pts(path: Path) -> np.ndarray:
    """Read the 68 points of a `.pts` file: (68, 2) float32, counted from 0.

    Raises:
        UserError: It does not hold 68 pairs of numbers.
    """
    text = path.read_text(encoding="utf-8", errors="replace")
    if "{" in text:
        text = text[text.index("{") + 1 :].partition("}")[0]
    try:
        values = np.array(text.split(), np.float64)
    except ValueError as error:
        raise UserError(f"{path}: holds something that is no number ({error})") from error
    if values.size != 2 * NUM_POINTS or not np.isfinite(values).all():
        raise UserError(f"{path}: {values.size} numbers, but {NUM_POINTS} points need {2 * NUM_POINTS}")
    return (values.reshape(-1, 2) - 1).astype(np.float32)


def _picture_of(path: Path) -> Path:
    names = (path.stem, re.sub(r"_\d+$", "", path.stem))
    for name in names:
        for suffix in sorted(SUFFIXES):
            if path.with_name(name + suffix).exists():
                return path.with_name(name + suffix)
    raise UserError(f"{path}: no picture {names[0]} or {names[1]} beside it; add it or remove the .pts file")


def person(name: str) -> str:
    """Whose face it is: the file name up to the last underscore.

    Example:
        >>> person("Luis_Fonsi_21.jpg")
        'Luis_Fonsi'
    """
    return name.rsplit("_", 1)[0]


def split_people(names: Sequence[str], every: int = 10) -> tuple[list[int], list[int]]:
    """Split rows so that nobody is on both sides.

    Every `every`-th person of the sorted list goes to validation: the same people on every machine, and
    whatever the seed.

    Args:
        names: File names.
        every: 10 holds out a tenth of the people.

    Returns:
        Indices for training, indices for validation.

    Example:
        >>> split_people(["a_1.jpg", "b_1.jpg", "a_2.jpg", "c_1.jpg"], every=3)
        ([1, 3], [0, 2])
    """
    held_out = set(sorted({person(name) for name in names})[::every])
    validation = [i for i, name in enumerate(names) if person(name) in held_out]
    return [i for i, name in enumerate(names) if person(name) not in held_out], validation
