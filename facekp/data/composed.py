"""Training data of a face detector: whole images with all their faces, composed at random for every step."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable

import cv2
import numpy as np
import pandas as pd
from paddle.io import Dataset
from tqdm import tqdm

from facekp.data.dataset import Draw, FilesDataset, Pipeline
from facekp.data.transforms import Cover
from facekp.errors import UserError
from facekp.io.images import read_image
from facekp.landmarks import IBUG68
from facekp.vision import boxes, geometry

#: Number of rows of a label: the maximum number of faces in a composed image.
MAX_FACES = 32

#: Trust in an unchecked box of another detector.
UNCHECKED = 0.5

#: Minimum visible fraction of a face's box, and its minimum longer side in pixels; other faces are ignored in training.
MIN_VISIBLE, MIN_SIDE = 0.55, 12.0

#: An image without faces is scaled as if it had a face of this fraction of its longer side.
FACE_SHARE = 0.25

#: Optional file in the folder of the `.pts` files: boxes of faces that have no points.
BOXES_FILE = "faces.csv"


@dataclass(frozen=True)
class FaceOutline:
    """Location of a face in an image.

    Attributes:
        points: (M, 2) pixels: points whose bounding box is the face's box at any rotation of the image; or, for a face
            that has only a box, its four corners.
        trust: Confidence in the label, 0 to 1.
        is_box: Whether the points are the corners of a box. The corners of a rotated box lie outside the face.
    """

    points: np.ndarray
    trust: float = 1.0
    is_box: bool = False

    def box(self, matrix: np.ndarray) -> np.ndarray:
        """Return the face's box in a transformed image; rotation does not enlarge a face that is only a box.

        Args:
            matrix: (2, 3) as in `facekp.vision.geometry`, from the image to the transformed one.

        Returns:
            (4,) float64 x0, y0, x1, y1.
        """
        moved = geometry.apply(matrix, self.points.astype(np.float64))
        if not self.is_box:
            return geometry.bounding_box(moved)
        half = np.sqrt(abs(np.linalg.det(matrix[:, :2]))) * np.ptp(self.points, axis=0) / 2
        return np.concatenate([moved.mean(0) - half, moved.mean(0) + half])


@dataclass(frozen=True)
class LabelledImage:
    """An image and its faces.

    Attributes:
        path: The file.
        faces: All faces in the image; may be empty.
    """

    path: Path
    faces: list[FaceOutline]


def images_of(part: FilesDataset) -> list[LabelledImage]:
    """Return the images of a data set, each once with all its faces, including the boxes in `faces.csv`.

    Args:
        part: The data set; its rows select the images.

    Raises:
        UserError: A `faces.csv` in its folder cannot be read.
    """
    unchecked = read_unchecked_boxes(part.source / BOXES_FILE) if (part.source / BOXES_FILE).is_file() else {}
    faces: dict[Path, list[FaceOutline]] = {}
    for index, row in enumerate(part.rows):
        box = part.box_alone(index)
        outline = FaceOutline(part.schema.around(part.points[row])) if box is None else _outline(box)
        faces.setdefault(part.image_path(index), []).append(outline)
    return [
        LabelledImage(path, own + [_outline(box, UNCHECKED) for box in unchecked.get(path, [])])
        for path, own in faces.items()
    ]


def _outline(box: np.ndarray, trust: float = 1.0) -> FaceOutline:
    return FaceOutline(box[[0, 1, 2, 1, 2, 3, 0, 3]].reshape(4, 2).astype(np.float32), trust, is_box=True)


def read_unchecked_boxes(path: Path) -> dict[Path, list[np.ndarray]]:
    """Read the boxes that another detector predicted for faces without points.

    Args:
        path: A CSV with the columns image, x0, y0, x1, y1 and source; only rows with the source "detector" are used.

    Returns:
        Path of the image -> its boxes, (4,) x0, y0, x1, y1 each.

    Raises:
        UserError: The file is not such a CSV, or names an image that does not exist.
    """
    try:
        table = pd.read_csv(path)
        table = table[table["source"] == "detector"]
        boxes_of = table[["x0", "y0", "x1", "y1"]].to_numpy(np.float64)
        names = table["image"]
    except (OSError, KeyError, TypeError, ValueError, pd.errors.ParserError) as error:
        raise UserError(f"{path}: needs columns image, x0, y0, x1, y1 and source ({error})") from error
    found: dict[Path, list[np.ndarray]] = {}
    for row, (name, box) in enumerate(zip(names, boxes_of)):
        if not isinstance(name, str) or not (box[2:] > box[:2]).all():  # also refuses NaN
            raise UserError(f"{path}: row {table.index[row] + 1}: needs an image, x0 < x1 and y0 < y1")
        if not (path.parent / name).is_file():
            raise UserError(f"{path}: row {table.index[row] + 1}: there is no image {name} beside it")
        found.setdefault(path.parent / name, []).append(box)
    return found


class ComposedDataset(Dataset):
    """Squares composed of 1, 2 x 2 or 3 x 3 tiles, each of which shows an image.

    The image of a tile is rotated, scaled and shifted so that one of its faces has a random size; some tiles show any
    part of their image instead, with or without faces. Each tile takes one matrix and one warp. An image without faces
    is scaled as if it had one, see `FACE_SHARE`, and placed at random.

    A sample is the square, (size, size, 3) BGR uint8 before the transform, and (MAX_FACES, 5) float32: x0, y0, x1, y1
    around a face's points, in pixels of the square, and the trust in the box, 0 for a box to ignore. Rows without a
    face are zero.

    Args:
        images: Images to compose; kept in memory, decoded, at no more than the largest scale they are shown at.
        size: Side of the squares in pixels.
        transform: Transform of the pixels only; called with (image, coords).
        roll: Maximum rotation in degrees.
        min_face: Minimum face size to sample, in pixels: the longer side of the box around the points.
        max_face: Maximum face size to sample, as a fraction of the tile's side.
        tiles: Relative frequencies of 1, 2 x 2 and 3 x 3 tiles.
        anywhere: Probability that a tile shows any part of its image.
        filling: Probability that an image is scaled to fill most of its tile.
        covered: Probability that a face with points is partly covered by `facekp.data.transforms.Cover`.
        turn: Transform that turns the head in images that show a single face of 68 points.
        progress: Show a progress bar.
    """

    def __init__(
        self,
        images: Sequence[LabelledImage],
        size: int,
        transform: Pipeline | None = None,
        roll: float = 45.0,
        min_face: float = 14.0,
        max_face: float = 0.85,
        tiles: Sequence[float] = (0.55, 0.3, 0.15),
        anywhere: float = 0.25,
        filling: float = 0.9,
        covered: float = 0.0,
        turn: Callable[[tuple[np.ndarray, np.ndarray]], tuple[np.ndarray, np.ndarray, np.ndarray]] | None = None,
        progress: bool = False,
    ) -> None:
        super().__init__()
        self.turn, self.cover = turn, Cover(covered) if covered else None
        self.size, self.transform = size, transform
        self.roll, self.min_face, self.max_face = roll, min_face, max_face
        self.tiles, self.anywhere, self.filling = list(tiles), anywhere, filling
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # OpenCV releases the GIL while it decodes
            read = pool.map(self._shrunk, images)
            bar = tqdm(read, "reading images", len(images), leave=False, disable=None if progress else True)
            self.images: list[LabelledImage] = []
            self._pixels: list[np.ndarray] = []
            for image, pixels in bar:
                self.images.append(image)
                self._pixels.append(pixels)

    def _shrunk(self, image: LabelledImage) -> tuple[LabelledImage, np.ndarray]:
        """Read an image, and shrink it if even its smallest face is larger than it is ever shown."""
        pixels = read_image(image.path)
        sides = [float(np.ptp(face.points, axis=0).max()) for face in image.faces]
        smallest = min(sides, default=FACE_SHARE * max(pixels.shape[:2]))
        scale = self.max_face * self.size / max(smallest, 1.0)
        if scale >= 1:
            return image, pixels
        height, width = pixels.shape[:2]
        target = geometry.scaled_size((width, height), scale)
        matrix = geometry.resizing((width, height), target)
        faces = [replace(face, points=geometry.apply(matrix, face.points)) for face in image.faces]
        return LabelledImage(image.path, faces), cv2.resize(pixels, target, interpolation=cv2.INTER_AREA)

    def __len__(self) -> int:
        return len(self.images)

    def name(self, index: int) -> str:
        """Return the file name."""
        return self.images[index].path.name

    def __getitem__(self, key: int | Draw) -> tuple[np.ndarray, np.ndarray]:
        """Return one transformed square and its label."""
        index, seed = key[:2] if isinstance(key, Draw) else (key, key)
        if not 0 <= index < len(self):
            raise IndexError(index)
        random.seed(seed)
        np.random.seed(seed % 2**32)
        image, label = self.compose(index)
        if self.transform is not None:
            image, _ = self.transform((image, np.zeros((0, 2), np.float32)))
        return image, label

    def compose(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Compose a square whose first tile shows the image `index`; samples from Python's `random`."""
        count = random.choices([1, 2, 3], self.tiles)[0]
        edges = np.linspace(0, self.size, count + 1).round().astype(int)
        square = np.empty((self.size, self.size, 3), np.uint8)
        rows: list[np.ndarray] = []
        chosen = [index, *random.choices(range(len(self)), k=count * count - 1)]
        for number, each in enumerate(chosen):
            (top, bottom), (left, right) = (edges[i : i + 2] for i in divmod(number, count))
            pixels, image = self._varied(each)
            matrix = self._place(pixels, image, min(bottom - top, right - left))
            border = random.choice(["constant", "replicate"])
            size = (int(right - left), int(bottom - top))
            square[top:bottom, left:right] = geometry.warp(pixels, matrix, size, border)
            tile = np.array([left, top, right - 1, bottom - 1], np.float64)
            rows += self._label(image, geometry.compose(matrix, geometry.translation(left, top)), tile)
        rows.sort(key=lambda row: -boxes.area(row[:4]))
        label = np.zeros((MAX_FACES, 5), np.float32)
        for number, row in enumerate(rows[:MAX_FACES]):
            label[number] = row
        return square, label

    def _varied(self, index: int) -> tuple[np.ndarray, LabelledImage]:
        """Return an image unchanged, or with its head turned or faces covered."""
        pixels, image = self._pixels[index], self.images[index]
        faces = list(image.faces)
        if self.turn is not None and len(faces) == 1 and len(faces[0].points) == IBUG68.num_points:
            pixels, points, _ = self.turn((pixels, faces[0].points))
            faces = [replace(faces[0], points=points)]
        if self.cover is not None:
            for face in faces:
                if not face.is_box:
                    pixels = self.cover((pixels, face.points, np.ones(len(face.points), np.float32)))[0]
        return pixels, replace(image, faces=faces)

    def _place(self, pixels: np.ndarray, image: LabelledImage, side: int) -> np.ndarray:
        """Sample the matrix from an image to a tile whose corner is the origin."""
        height, width = pixels.shape[:2]
        if image.faces:
            face = geometry.bounding_box(random.choice(image.faces).points)
            wide = float(max(face[2:] - face[:2]))
        else:
            wide = FACE_SHARE * max(height, width)
        least, most = self.min_face / wide, self.max_face * side / wide
        if random.random() < self.filling:
            least = max(least, 0.6 * side / max(height, width))
        scale = np.exp(random.uniform(np.log(min(least, most)), np.log(most)))
        # Position of the face's centre in the tile; about half of the face may be cut off.
        target = np.array([random.uniform(0.15, 0.85), random.uniform(0.15, 0.85)]) * side
        if random.random() < self.anywhere or not image.faces:
            centre = np.array([random.uniform(0, width), random.uniform(0, height)])
        else:
            centre = (face[:2] + face[2:]) / 2
        angle = random.uniform(-self.roll, self.roll) * random.choice([0.2, 1.0])
        flip = geometry.scaling(random.choice([-1, 1]), 1)
        return geometry.compose(
            geometry.translation(-centre[0], -centre[1]),
            flip,
            geometry.rotation(angle),
            geometry.scaling(scale),
            geometry.translation(*target),
        )

    def _label(self, image: LabelledImage, matrix: np.ndarray, tile: np.ndarray) -> list[np.ndarray]:
        rows = []
        for face in image.faces:
            trust, box = face.trust, face.box(matrix)
            visible = boxes.part_inside(box, tile)
            if visible < 0.05:
                continue
            if visible < MIN_VISIBLE or max(box[2:] - box[:2]) < MIN_SIDE:
                trust, box = 0.0, np.clip(box, tile[[0, 1, 0, 1]], tile[[2, 3, 2, 3]])
            rows.append(np.append(box, trust))
        return rows
