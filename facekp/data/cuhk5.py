"""CUHK's five-point lists."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from facekp.data.dataset import FilesDataset
from facekp.data.source import Source, Split
from facekp.errors import UserError
from facekp.io.images import read_image
from facekp.landmarks import PointSchema, load_schema
from facekp.vision import geometry

FIVE = load_schema("five")


class Cuhk5Source(Source):
    """Source for a folder with trainImageList.txt and testImageList.txt."""

    root: str = "data/cuhk5"

    @property
    def schema_of_points(self) -> PointSchema:
        """See `Source`."""
        return FIVE

    def load(self) -> Split:
        """See `Source`."""
        train, validation = (FivePointDataset(Path(self.root) / f"{name}ImageList.txt") for name in ("train", "test"))
        return Split([train], [validation])


class FivePointDataset(FilesDataset):
    r"""Data set of a CUHK five-point list, whose rows hold an image path, the face's box and its five points.

    A row is `folder\name.jpg x1 x2 y1 y2`, then the x y of the left eye, the right eye, the nose and the left and right
    corner of the mouth, in pixels of the image. A sample is the square around the box, which is the network's input.

    Args:
        list_file: `trainImageList.txt` or `testImageList.txt`; its paths are relative to its own folder.

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

    kind = "cuhk5"
    schema = FIVE

    def __init__(self, list_file: str | os.PathLike[str]) -> None:
        super().__init__()
        self.source = Path(list_file)
        self.names, self.boxes, self.points = read_five_points(self.source)
        self.rows = list(range(len(self.names)))

    def where(self, index: int) -> str:
        """Return the list and the row, counted from 1."""
        return f"{self.source}: row {self.rows[index] + 1} ({self.name(index)})"

    def name(self, index: int) -> str:
        """Return the image path in the list, with forward slashes."""
        return self.names[self.rows[index]]

    def image_path(self, index: int) -> Path:
        """See `FilesDataset`."""
        return self.source.parent / self.name(index)

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Read one image and cut out the square around the box, which is black outside the image.

        Raises:
            UserError: The image cannot be read, or the box extends beyond it.
        """
        image = read_image(self.image_path(index))
        x0, y0, x1, y1 = self.boxes[self.rows[index]]
        height, width = image.shape[:2]
        if min(x0, y0) < 0 or x1 >= width or y1 >= height:
            raise UserError(f"the box x {x0} to {x1}, y {y0} to {y1} extends beyond the {width}x{height} image")
        matrix, side = self._square(index)
        return geometry.warp(image, matrix, (side, side)), self.faces_beside(index)[0]

    def faces_beside(self, index: int) -> np.ndarray:
        """Return the points, (1, 5, 2), in pixels of the square."""
        return geometry.apply(self._square(index)[0], super().faces_beside(index))

    def _square(self, index: int) -> tuple[np.ndarray, int]:
        """Return the matrix from the image to the square, and the side of the square."""
        x0, y0, x1, y1 = self.boxes[self.rows[index]]
        side = int(max(x1 - x0, y1 - y0)) + 1
        return geometry.translation(-((x0 + x1 + 1 - side) // 2), -((y0 + y1 + 1 - side) // 2)), side


def read_five_points(path: Path) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Read a CUHK five-point list.

    Args:
        path: The file.

    Returns:
        The paths with forward slashes, (N, 4) int boxes as x0, y0, x1, y1, and (N, 5, 2) float32 points.

    Raises:
        UserError: See `FivePointDataset`.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path}: cannot be read ({error}); the root of the source is the folder of the two lists"
        ) from error
    names, boxes, points = [], [], []
    for row, line in enumerate(lines, 1):
        if not line.strip():
            continue
        name, *numbers = line.split()
        try:
            values = np.array(numbers, np.float64)
        except ValueError as error:
            raise UserError(f"{path}: row {row} ({name}): holds something that is not a number ({error})") from error
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
