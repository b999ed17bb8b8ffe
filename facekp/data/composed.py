"""Whole images with all their faces, composed anew for every step: what a face detector learns from."""

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

#: Of a label's rows: the most faces of a composed image.
MOST_FACES = 32

#: Trust in a box that another detector drew and nobody checked.
UNCHECKED = 0.5

#: A face of which less can be seen, or that has fewer pixels, is neither taught nor forbidden.
LEAST_VISIBLE, LEAST_SIDE = 0.55, 12.0

#: An image without faces is shown as if it had one of this share of its longer side.
FACE_SHARE = 0.25

#: In the folder of the `.pts` files: boxes of faces that have no points, where there are such.
BOXES_FILE = "faces.csv"


@dataclass(frozen=True)
class FaceOutline:
    """Where a face is.

    Attributes:
        points: (M, 2) pixels: points whose bounding box is the face's box, however the image is turned; or, of a face
            that has only a box, its four corners.
        trust: How far to trust it, 0 to 1.
        is_box: The points are the corners of a box. Those of a turned box reach farther than the face in it.
    """

    points: np.ndarray
    trust: float = 1.0
    is_box: bool = False

    def box(self, matrix: np.ndarray) -> np.ndarray:
        """The face's box in an image that is moved; one that is turned does not grow.

        Args:
            matrix: (2, 3), of `facekp.vision.geometry`.

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
        faces: All of them; there may be none.
    """

    path: Path
    faces: list[FaceOutline]


def images_of(part: FilesDataset) -> list[LabelledImage]:
    """The images of a data set of faces, each once with all its faces, and what `faces.csv` says of them.

    Args:
        part: Its rows choose the images.

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
    """Read the boxes that another detector drew where nobody set points.

    Args:
        path: A CSV with the columns image, x0, y0, x1, y1 and source; rows whose source is "detector" count.

    Returns:
        Image -> (4,) x0, y0, x1, y1 of each box.

    Raises:
        UserError: It is no such CSV.
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
        if not isinstance(name, str) or not (box[2:] > box[:2]).all():  # nor is a NaN
            raise UserError(f"{path}: row {table.index[row] + 1}: needs an image, x0 < x1 and y0 < y1")
        if not (path.parent / name).is_file():
            raise UserError(f"{path}: row {table.index[row] + 1}: there is no image {name} beside it")
        found.setdefault(path.parent / name, []).append(box)
    return found


class ComposedDataset(Dataset):
    """Squares composed of images, in tiles: one image, two by two, or three by three.

    Every tile shows another image, turned, scaled and moved so that one of its faces has a size drawn at random; or,
    now and then, any part of it, faces or not. All of it is one matrix and one warp for each tile. An image without
    faces is shown as if it had one, anywhere, see `FACE_SHARE`.

    A sample is the square, (size, size, 3) BGR uint8 before the transform, and (MOST_FACES, 5) float32: x0, y0, x1, y1
    around a face's points, in pixels of the square, and the trust in it; 0 where a box is to be ignored. Rows without a
    face are zero.

    Args:
        images: To compose from; kept in memory, decoded, no larger than their smallest face can be shown.
        size: Side of the squares.
        transform: Of the pixels alone; called with (image, coords).
        roll: Faces are turned by up to so many degrees.
        least_face: Of the sizes to draw, in pixels: the longer side of the box around the points.
        most_face: As a part of the tile's side.
        tiles: How often a square has 1, 2 x 2 and 3 x 3 tiles.
        anywhere: How often a tile shows any part of its image.
        filling: How often an image is large enough to fill most of its tile.
        covered: How often a face with points is partly covered, by `facekp.data.transforms.Cover`.
        turn: Turns the heads of images that show one face of 68 points.
        progress: Show a progress bar.
    """

    def __init__(
        self,
        images: Sequence[LabelledImage],
        size: int,
        transform: Pipeline | None = None,
        roll: float = 45.0,
        least_face: float = 14.0,
        most_face: float = 0.85,
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
        self.roll, self.least_face, self.most_face = roll, least_face, most_face
        self.tiles, self.anywhere, self.filling = list(tiles), anywhere, filling
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # OpenCV decodes without holding Python's lock
            read = pool.map(self._shrunk, images)
            bar = tqdm(read, "reading images", len(images), leave=False, disable=None if progress else True)
            self.images: list[LabelledImage] = []
            self._pixels: list[np.ndarray] = []
            for image, pixels in bar:
                self.images.append(image)
                self._pixels.append(pixels)

    def _shrunk(self, image: LabelledImage) -> tuple[LabelledImage, np.ndarray]:
        """Read an image, and shrink it where even its smallest face is larger than it is ever shown."""
        pixels = read_image(image.path)
        sides = [float(np.ptp(face.points, axis=0).max()) for face in image.faces]
        smallest = min(sides, default=FACE_SHARE * max(pixels.shape[:2]))
        scale = self.most_face * self.size / max(smallest, 1.0)
        if scale >= 1:
            return image, pixels
        height, width = pixels.shape[:2]
        target = (max(1, round(width * scale)), max(1, round(height * scale)))
        matrix = geometry.resizing((width, height), target)
        faces = [replace(face, points=geometry.apply(matrix, face.points)) for face in image.faces]
        return LabelledImage(image.path, faces), cv2.resize(pixels, target, interpolation=cv2.INTER_AREA)

    def __len__(self) -> int:
        return len(self.images)

    def name(self, index: int) -> str:
        """The file's name."""
        return self.images[index].path.name

    def __getitem__(self, key: int | Draw) -> tuple[np.ndarray, np.ndarray]:
        """One square, transformed, and its label."""
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
        """A square, its first tile from the image `index`; draws from Python's `random`."""
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
        label = np.zeros((MOST_FACES, 5), np.float32)
        for number, row in enumerate(rows[:MOST_FACES]):
            label[number] = row
        return square, label

    def _varied(self, index: int) -> tuple[np.ndarray, LabelledImage]:
        """An image as it is, or with its head turned or faces covered."""
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
        """Matrix from an image into a tile whose corner is the origin."""
        height, width = pixels.shape[:2]
        if image.faces:
            face = geometry.bounding_box(random.choice(image.faces).points)
            wide = float(max(face[2:] - face[:2]))
        else:
            wide = FACE_SHARE * max(height, width)
        least, most = self.least_face / wide, self.most_face * side / wide
        if random.random() < self.filling:
            least = max(least, 0.6 * side / max(height, width))
        scale = np.exp(random.uniform(np.log(min(least, most)), np.log(most)))
        # Where the centre of the face comes to lie: half of it may be cut off.
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
            if visible < LEAST_VISIBLE or max(box[2:] - box[:2]) < LEAST_SIDE:
                trust, box = 0.0, np.clip(box, tile[[0, 1, 0, 1]], tile[[2, 3, 2, 3]])
            rows.append(np.append(box, trust))
        return rows
