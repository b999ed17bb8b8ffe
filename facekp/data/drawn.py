"""Synthetic faces drawn by the package: a data set without downloads, for the quick start and for tests."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
from pydantic import ConfigDict, Field, PositiveInt

from facekp.data.coco_file import write_coco
from facekp.data.dataset import LandmarkDataset
from facekp.data.labels import Labels, make_face
from facekp.data.source import Source, Split
from facekp.errors import UserError
from facekp.io.images import write_image
from facekp.landmarks import IBUG68, MEAN_FACE, PointSchema, load_schema
from facekp.vision import geometry

LEFT_EYE, RIGHT_EYE = list(range(36, 42)), list(range(42, 48))


def draw_face(seed: int, size: int = 160) -> tuple[np.ndarray, np.ndarray]:
    """Draw a synthetic face whose 68 points are known exactly.

    The mean face varies in width, in the opening of mouth and eyes, in rotation, scale and position; skin, hair and
    background have random colours.

    Args:
        seed: Seed of the face; the same seed draws the same face.
        size: Side of the image in pixels.

    Returns:
        The image, (size, size, 3) uint8 BGR, and its points, (68, 2) float32.

    Example:
        >>> image, points = draw_face(seed=1)
        >>> image.shape, points.shape, bool((points > 0).all() and (points < 160).all())
        ((160, 160, 3), (68, 2), True)
    """
    rng = np.random.default_rng(seed)
    shape = MEAN_FACE.astype(np.float64).copy()
    shape[:, 0] = (shape[:, 0] - 0.5) * rng.uniform(0.85, 1.1) + 0.5
    shape[[65, 66, 67, 55, 56, 57, 58, 59], 1] += rng.uniform(0, 0.12)  # the lower lip: the mouth opens
    shape[[17, 18, 19, 20, 21, 22, 23, 24, 25, 26], 1] += rng.uniform(-0.03, 0.03)
    shape[[40, 41, 46, 47], 1] += rng.uniform(-0.02, 0.02)
    centre = shape.mean(0)
    place = geometry.compose(
        geometry.translation(-centre[0], -centre[1]),
        geometry.rotation(rng.uniform(-25, 25)),
        geometry.scaling(size * rng.uniform(0.4, 0.62)),
        geometry.translation(*(size * rng.uniform(0.46, 0.54, 2))),
    )
    points = geometry.apply(place, shape)

    skin = np.array([120, 150, 190]) * rng.uniform(0.6, 1.25) + rng.uniform(-15, 15, 3)
    dark = rng.uniform(10, 90, 3)
    fine = 4  # draw larger, then shrink once: smooth edges at sub-pixel positions
    image = np.full((size * fine, size * fine, 3), rng.uniform(40, 220, 3), np.float64).astype(np.uint8)
    cv2.rectangle(image, (0, int(size * fine * 0.8)), (size * fine, size * fine), rng.uniform(30, 200, 3).tolist(), -1)

    def outline(indices: list[int]) -> np.ndarray:
        return np.round((points[indices] + 0.5) * fine - 0.5).astype(np.int32)

    head, axes, turn = cv2.fitEllipse(outline(list(range(0, 27))))
    cv2.ellipse(image, (head, (axes[0] * 1.12, axes[1] * 1.15), turn), dark.tolist(), -1)  # hair
    forehead = points[[24, 19]] + 0.25 * (points[[24, 19]] - points[[8, 8]])
    face = np.vstack([points[:17], forehead])
    cv2.fillPoly(image, [np.round((face + 0.5) * fine - 0.5).astype(np.int32)], skin.tolist())
    width = max(1, size * fine // 90)
    for brow in (list(range(17, 22)), list(range(22, 27))):
        cv2.polylines(image, [outline(brow)], False, dark.tolist(), 2 * width, cv2.LINE_AA)
    for nose in (list(range(27, 31)), list(range(31, 36))):
        cv2.polylines(image, [outline(nose)], False, (skin * 0.7).tolist(), width, cv2.LINE_AA)
    for eye in (LEFT_EYE, RIGHT_EYE):
        cv2.fillPoly(image, [outline(eye)], (240, 240, 240), cv2.LINE_AA)
        iris = (points[eye].mean(0) + 0.5) * fine - 0.5
        radius = fine * np.linalg.norm(points[eye[0]] - points[eye[3]]) * 0.2
        cv2.circle(image, [round(float(v)) for v in iris], max(1, round(float(radius))), (60, 40, 30), -1)
    cv2.fillPoly(image, [outline(list(range(48, 60)))], (70, 60, 170), cv2.LINE_AA)
    cv2.fillPoly(image, [outline(list(range(60, 68)))], (30, 20, 60), cv2.LINE_AA)
    small = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
    return np.clip(small + rng.normal(0, 4, small.shape), 0, 255).astype(np.uint8), points.astype(np.float32)


class DrawnSource(Source):
    """Source of synthetic faces that the package draws; needs no data."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    train: PositiveInt = 2000
    validation: PositiveInt = 200
    #: Schema of the points: ibug68, or one that is converted from it.
    schema_name: str = Field("ibug68", alias="schema")

    @property
    def schema_of_points(self) -> PointSchema:
        """See `Source`."""
        return load_schema(self.schema_name)

    def load(self) -> Split:
        """See `Source`."""
        schema = self.schema_of_points
        return Split([DrawnFacesDataset(self.train, schema=schema)],
                     [DrawnFacesDataset(self.validation, first_seed=self.train, schema=schema)])  # fmt: skip


class DrawnFacesDataset(LandmarkDataset):
    """Data set of faces from `draw_face`, always the same ones.

    A network trained on them learns drawings, not people.

    Args:
        count: Number of faces.
        first_seed: Seed of the first face; those of the others follow consecutively.
        size: Side of the images in pixels.
        schema: Schema of the points.

    Raises:
        UserError: The 68 points cannot be converted to `schema`.

    Example:
        >>> image, points = DrawnFacesDataset(count=3, size=96)[2]
        >>> image.shape, points.shape
        ((96, 96, 3), (68, 2))
    """

    kind = "drawn"

    def __init__(self, count: int, first_seed: int = 0, size: int = 160, schema: PointSchema = IBUG68) -> None:
        super().__init__()
        if IBUG68.conversion(schema) is None:
            raise UserError(
                f"no synthetic faces with the points of {schema.name}: add convert_from: ibug68 to the schema"
            )
        self.schema = self._drawn = schema
        self.count, self.first_seed, self.size = count, first_seed, size

    def __len__(self) -> int:
        return self.count

    def name(self, index: int) -> str:
        """Return the name of a sample for messages."""
        return f"drawn face {self.first_seed + index}"

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw one face."""
        image, points = draw_face(self.first_seed + index, self.size)
        return image, IBUG68.converted(points, self._drawn)  # type: ignore[return-value]


def write_drawn_faces(
    folder: str | os.PathLike[str], count: int, schema: PointSchema = IBUG68, size: int = 160
) -> None:
    """Write drawn faces as images with COCO keypoint labels, to try out commands that work on labels.

    Args:
        folder: Output folder; `images/` and `labels.json` are written to it.
        count: Number of faces.
        schema: Schema of the points.
        size: Side of the images in pixels.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> write_drawn_faces(folder, 2)
        >>> sorted(path.name for path in folder.rglob("*.*"))
        ['000000.png', '000001.png', 'labels.json']
    """
    drawn, faces = DrawnFacesDataset(count, size=size, schema=schema), []
    for index in range(count):
        image, points = drawn[index]
        path = Path(folder) / "images" / f"{index:06d}.png"
        write_image(path, image)
        faces.append(make_face(schema, path, points.astype(np.float64).round(2)))
    write_coco(Labels(schema, faces), Path(folder) / "labels.json", Path(folder))
