"""Folders of `.pts` files, as 300-W has them."""

from __future__ import annotations

import copy
import os
import re
from collections import defaultdict
from pathlib import Path

import numpy as np
from pydantic import Field

from facekp.codecs.points import Codec
from facekp.data.dataset import FilesDataset, Pipeline
from facekp.data.source import Source, Split
from facekp.errors import UserError
from facekp.io.images import SUFFIXES, read_image
from facekp.landmarks import IBUG68

NUM_POINTS = IBUG68.num_points


class PtsSource(Source):
    """A folder that is searched for `.pts` files; a tenth of its images is held out."""

    root: str
    #: Every so many images, one is held out.
    hold_out: int = Field(10, ge=2)

    def load(self) -> Split:
        """See `Source`."""
        train, validation = PtsDataset(self.root).split(self.hold_out)
        return Split([train], [validation])


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
        self._beside: dict[Path, list[int]] = defaultdict(list)
        for row, picture in enumerate(self.pictures):
            self._beside[picture].append(row)

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
        return self.points[self._beside[self.picture(index)]]

    def split(self, every: int = 10) -> tuple[PtsDataset, PtsDataset]:
        """Hold out all faces of every `every`-th picture: (for training, for validation)."""
        held_out = set(sorted(set(self.pictures))[::every])
        parts = copy.copy(self), copy.copy(self)
        for part, wanted in zip(parts, (False, True)):
            part.rows = [row for row in self.rows if (self.pictures[row] in held_out) == wanted]
        return parts


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
