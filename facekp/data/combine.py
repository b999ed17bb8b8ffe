"""Data sets made of others: samples for a network, face crops kept in memory, and squares without a face."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from tqdm import tqdm

from facekp.codecs.points import Codec
from facekp.data.dataset import Draw, FilesDataset, LandmarkDataset, Pipeline
from facekp.vision import geometry
from facekp.vision.boxes import part_inside


class JoinedDataset(LandmarkDataset):
    """Concatenation of data sets whose samples are transformed and encoded, as a network is trained on them.

    Args:
        parts: Data sets to concatenate, at least one, all with the same schema.
        transform: Called with (image, coords), or (image, coords, visible) if the visibility is known; see
            `facekp.data.transforms`. None leaves them unchanged.
        codec: Encodes the points as the network's targets. None leaves them as points.
        final_transform: Replaces the transform for a `Draw` whose `final` is set.
        hidden_weight: Weight of a point that is labelled but hidden, 0 to 1: the fraction of draws in which its label
            is used. In the others it is treated as missing.
        with_visibility: Append the visibility of the points to a label's coordinates: K numbers, 1 or 0, NaN where it
            is known neither from labels that mark hidden points nor from the transforms.

    Example:
        >>> from facekp.codecs.points import UnitCodec
        >>> from facekp.data.drawn import DrawnFacesDataset
        >>> from facekp.data.transforms import FaceCrop
        >>> faces = JoinedDataset([DrawnFacesDataset(count=3)], FaceCrop(size=96), UnitCodec(96))
        >>> image, label = faces[2]
        >>> image.shape, label.shape
        ((96, 96, 3), (136,))
    """

    def __init__(
        self,
        parts: Sequence[LandmarkDataset],
        transform: Pipeline | None = None,
        codec: Codec | None = None,
        final_transform: Pipeline | None = None,
        hidden_weight: float = 1.0,
        with_visibility: bool = False,
    ) -> None:
        super().__init__()
        self.transform, self.final_transform, self.codec = transform, final_transform, codec
        self.hidden_weight, self.with_visibility = hidden_weight, with_visibility
        self.parts = list(parts)
        self.schema = self.parts[0].schema
        self._ends = np.cumsum([len(part) for part in parts])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def name(self, index: int) -> str:
        """Return the part's name of the sample."""
        part, rest = self._locate(index)
        return part.name(rest)

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the part's untransformed sample."""
        part, rest = self._locate(index)
        return part.load(rest)

    def visibility(self, index: int) -> np.ndarray | None:
        """Return the part's visibility of the points."""
        part, rest = self._locate(index)
        return part.visibility(rest)

    def has_face(self, index: int) -> bool:
        """Return whether the part's sample has a face."""
        part, rest = self._locate(index)
        return part.has_face(rest)

    def has_points(self, index: int) -> bool:
        """Return whether the part's sample has points."""
        part, rest = self._locate(index)
        return part.has_points(rest)

    def kinds(self) -> np.ndarray:
        """Return the kind of each sample's part, (N,)."""
        return np.repeat([part.kind for part in self.parts], [len(part) for part in self.parts])

    def __getitem__(self, key: int | Draw) -> tuple[np.ndarray, np.ndarray]:
        """Return one sample, transformed and encoded.

        Args:
            key: A `Draw`, whose seed makes the random transforms reproducible in any process; or an index, which is
                also the seed.

        Returns:
            The image and its label, which is NaN without a face, and infinite if the face's points are unknown.
        """
        index, seed, final = key if isinstance(key, Draw) else (key, key, False)
        transform = self.final_transform if final else self.transform
        image, points = super().__getitem__(index)
        if self.hidden_weight < 1:
            points = self._without_hidden(index, points, seed)
        seen = self._marked(index) if self.with_visibility else []
        if transform is not None:
            random.seed(seed)  # Python's and NumPy's own generators: Paddle's transforms use no others
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
        return left if (box[2:] > box[:2]).any() else points  # too few are left to locate the face

    def _marked(self, index: int) -> list[np.ndarray]:
        """Return which points are seen, for the transforms; empty if the labels of the face mark no hidden points."""
        visibility = self.visibility(index)
        if visibility is None or not (visibility == 1).any():  # "visible" then only means "not marked"
            return []
        return [np.array([np.nan, 0, 1], np.float32)[visibility]]

    def _locate(self, index: int) -> tuple[LandmarkDataset, int]:
        number = int(np.searchsorted(self._ends, index, side="right"))
        return self.parts[number], index - int(self._ends[number]) + len(self.parts[number])


class KeptCrops(LandmarkDataset):
    """Face crops of another data set, decoded once and kept in memory, with a margin for `FaceCrop`.

    Args:
        dataset: Source of the faces.
        face_side: Maximum side of a face in pixels; larger faces are shrunk.
        reach: Maximum distance of crops from the centre of the face's box, as a fraction of its longer side. At least
            0.75 of that side is kept on every side of the box.
        progress: Show a progress bar.
    """

    def __init__(self, dataset: LandmarkDataset, face_side: int, reach: float = 0.0, progress: bool = False) -> None:
        super().__init__()
        self._names = [dataset.name(index) for index in range(len(dataset))]
        self._has_face = [dataset.has_face(index) for index in range(len(dataset))]
        self._has_points = [dataset.has_points(index) for index in range(len(dataset))]
        self._visibility = [dataset.visibility(index) for index in range(len(dataset))]
        self.kind, self.schema = dataset.kind, dataset.schema
        self._face_side, self._reach = face_side, reach
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # OpenCV releases the GIL while it decodes
            crops = pool.map(lambda index: self._cut(*dataset.load(index)), range(len(dataset)))
            self._samples = list(
                tqdm(crops, "reading crops", len(dataset), leave=False, disable=None if progress else True)
            )

    def __len__(self) -> int:
        return len(self._samples)

    def name(self, index: int) -> str:
        """Return the other data set's name of the sample."""
        return self._names[index]

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the kept crop and its points."""
        image, points = self._samples[index]
        return image, points.copy()

    def visibility(self, index: int) -> np.ndarray | None:
        """Return the other data set's visibility of the points."""
        return self._visibility[index]

    def has_face(self, index: int) -> bool:
        """Return whether the other data set's sample has a face."""
        return self._has_face[index]

    def has_points(self, index: int) -> bool:
        """Return whether the other data set's sample has points."""
        return self._has_points[index]

    def _cut(self, image: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x0, y0, x1, y1 = self.schema.face_box(points)
        side = max(x1 - x0, y1 - y0)
        reach = max(side * 0.75, side * self._reach - min(x1 - x0, y1 - y0) / 2 + 2)
        left, top = max(0, int(x0 - reach)), max(0, int(y0 - reach))
        crop = image[top : int(y1 + reach) + 1, left : int(x1 + reach) + 1]
        matrix = geometry.translation(-left, -top)
        if side > self._face_side:
            height, width = crop.shape[:2]
            scale = self._face_side / side
            size = geometry.scaled_size((width, height), scale)
            matrix = geometry.compose(matrix, geometry.resizing((width, height), size))
            crop = cv2.resize(crop, size, interpolation=cv2.INTER_AREA)
        return crop.copy(), geometry.apply(matrix, points)


class NoFacesDataset(LandmarkDataset):
    """Squares of other data sets' images that contain no labelled face, or only a part of one.

    They are the negative samples for a network's score. In rare cases one contains an unlabelled face.

    Args:
        datasets: Data sets whose images are used.
        every: Step between the faces that are used; 2 uses every second one.
        seed: Seed of the squares' positions and sizes.
    """

    #: Range of the squares' sides, as multiples of the longer side of the labelled face's box.
    _SIDES = (0.4, 1.6)

    def __init__(self, datasets: Sequence[FilesDataset], every: int = 1, seed: int = 0) -> None:
        super().__init__()
        self._sources = [(dataset, index) for dataset in datasets for index in range(0, len(dataset), every)]
        self._seed, self.schema = seed, datasets[0].schema
        mean = self.schema.mean_points
        box = self.schema.face_box(mean)  # the box that `FaceCrop` uses
        self._mean, self._side = mean - box[:2], (box[2:] - box[:2]).max()

    def __len__(self) -> int:
        return len(self._sources)

    def name(self, index: int) -> str:
        """Return a name that includes the image's."""
        dataset, source = self._sources[index]
        return f"no face of {dataset.name(source)}"

    def has_face(self, index: int) -> bool:
        """Return False for every sample."""
        return False

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the image, and the mean face placed in the square."""
        dataset, source = self._sources[index]
        image, points = dataset.load(source)
        rng = np.random.default_rng([self._seed, index])
        faces = np.stack([self.schema.face_box(face) for face in dataset.faces_beside(source)])
        faces[:, 2:] = np.maximum(faces[:, 2:], faces[:, :2] + 1)  # the box of points on one line has no area
        box = self.schema.face_box(points)
        side = float(max(box[2:] - box[:2]))
        height, width = image.shape[:2]
        square = box
        for _ in range(30):
            wide = side * np.exp(rng.uniform(*np.log(self._SIDES)))
            x, y = rng.uniform(-wide / 4, [width - wide * 3 / 4, height - wide * 3 / 4])
            square = np.array([x, y, x + wide, y + wide])
            if all(max(part_inside(square, face), part_inside(face, square)) < 0.15 for face in faces):
                break
        else:  # the face fills the image: take a corner of it
            wide = side * rng.uniform(0.25, 0.4)
            x, y = box[:2] + rng.uniform(-0.1, 0.7, 2) * side
            square = np.array([x, y, x + wide, y + wide])
        placed = square[:2] + self._mean * (square[2] - square[0]) / self._side
        return image, placed.astype(np.float32)
