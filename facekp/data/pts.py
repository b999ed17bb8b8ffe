"""Folders of `.pts` files, as 300-W has them."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
from pydantic import Field

from facekp.codecs.points import Codec
from facekp.data.dataset import Pipeline
from facekp.data.labelled import LabelsDataset, LabelsSource
from facekp.data.labels import MAX_BYTES_OF_ONE, Face, Labels, make_face, parse_numbers, read_bytes, relative, write_pts
from facekp.errors import UserError
from facekp.io.images import SUFFIXES
from facekp.landmarks import IBUG68, PointSchema


class PtsSource(LabelsSource):
    """A folder that is searched for `.pts` files, with as many points as the schema has; 300-W's 68 by default.

    `NAME.pts` or `NAME_1.pts`, `NAME_2.pts`, ... belong to the image `NAME` beside them, or at the same place below
    `images`. Coordinates in a `.pts` file count from 1; the three header lines may be missing.
    """

    labels: str = Field(alias="root")
    implied = "ibug68"
    holds = frozenset({"fractions of a pixel"})

    def read(self, path: Path) -> Labels:
        """See `LabelsSource`."""
        files = sorted(path.rglob("*.pts"))
        if not files:
            raise UserError(f"{path}: no .pts file in it; name the folder that holds 300-W's folders")
        schema, folder = self.needed_schema, self.folder_of_images(path)
        faces = []
        for file in files:
            image = _picture_of(folder / file.relative_to(path))
            faces.append(make_face(schema, image, read_pts(file, schema), where=str(file)))
        return Labels(schema, faces)

    @classmethod
    def write(cls, labels: Labels, path: Path, images: Path) -> None:
        """See `LabelsSource`."""
        by_image: dict[Path, list[Face]] = {}
        for face in labels.faces:
            by_image.setdefault(face.image, []).append(face)
        for image, faces in by_image.items():
            name = Path(relative(image, images))
            if ".." in name.parts:
                raise UserError(f"{image}: not below {images}; give the folder that holds all images with --images")
            for number, face in enumerate(faces, 1):
                stem = name.stem if len(faces) == 1 else f"{name.stem}_{number}"
                write_pts(path / name.with_name(f"{stem}.pts"), face.points)


class PtsDataset(LabelsDataset):
    r"""The faces of a folder of `.pts` files; see `PtsSource`.

    Args:
        root: Searched with all its folders.
        transform: See `LandmarkDataset`.
        codec: See `LandmarkDataset`.

    Raises:
        UserError: There is no `.pts` file, or one does not hold 68 points, or has no image.

    Example:
        >>> import cv2, tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> _ = cv2.imwrite(str(root / "a.png"), np.zeros((50, 40, 3), np.uint8))
        >>> _ = (root / "a_1.pts").write_text("21 31\n" * 68)
        >>> PtsDataset(root)[0][1][0].tolist()
        [20.0, 30.0]
    """

    def __init__(
        self, root: str | os.PathLike[str], transform: Pipeline | None = None, codec: Codec | None = None
    ) -> None:
        labels = PtsSource(type="pts", labels=str(root)).read(Path(root))
        super().__init__(labels, Path(root), "pts", transform, codec)


def read_pts(path: Path, schema: PointSchema = IBUG68) -> np.ndarray:
    """Read the points of a `.pts` file: (K, 2) float64, counted from 0.

    Raises:
        UserError: It does not hold K pairs of numbers.
    """
    text = read_bytes(path, MAX_BYTES_OF_ONE, lambda data: data.decode("utf-8", "replace"))
    if "{" in text:
        text = text[text.index("{") + 1 :].partition("}")[0]
    values = parse_numbers(text.split(), str(path))
    if values.size != 2 * schema.num_points:
        raise UserError(f"{path}: {values.size} numbers, but {schema.num_points} points need {2 * schema.num_points}")
    return np.round(values.reshape(-1, 2) - 1, 9)


def _picture_of(path: Path) -> Path:
    names = (path.stem, re.sub(r"_\d+$", "", path.stem))
    for name in names:
        for suffix in sorted(SUFFIXES):
            if path.with_name(name + suffix).exists():
                return path.with_name(name + suffix)
    raise UserError(f"{path}: no image {names[0]} or {names[1]} beside it; add it or remove the .pts file")
