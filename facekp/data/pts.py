"""Folders of `.pts` files, as in 300-W."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import Field

from facekp.data.labelled import LabelsDataset, LabelsSource
from facekp.data.labels import MAX_BYTES_OF_ONE, Face, Labels, make_face, parse_numbers, read_text, relative, write_pts
from facekp.errors import UserError
from facekp.io.images import image_named
from facekp.landmarks import IBUG68, PointSchema


class PtsSource(LabelsSource):
    """Source for a folder that is searched for `.pts` files with the points of the schema, by default 300-W's 68.

    `NAME.pts` or `NAME_1.pts`, `NAME_2.pts`, ... belong to the image `NAME` beside them, or at the same relative path
    below `images`. If there is an image `NAME_1`, `NAME_1.pts` belongs to it; this is refused as ambiguous if other
    files number the faces of `NAME` or of `NAME_1`. Coordinates in a `.pts` file count from 1; the three header lines
    may be missing.
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
        images = _images_of([folder / file.relative_to(path) for file in files])
        faces = [make_face(schema, i, read_pts(file, schema), where=str(file)) for file, i in zip(files, images)]
        return Labels(schema, faces)

    @classmethod
    def write(cls, labels: Labels, path: Path, images: Path) -> None:
        """See `LabelsSource`."""
        by_name: dict[Path, list[Face]] = {}
        for face in labels.faces:
            by_name.setdefault(Path(relative(face.image, images)), []).append(face)
        photos: dict[Path, Path] = {}  # without the suffix -> the image
        for name, faces in by_name.items():
            if ".." in name.parts:
                raise UserError(f"{faces[0].image}: not below {images}; give the folder that holds all images with "
                                "--names-from")  # fmt: skip
            if photos.setdefault(name.with_name(name.stem), name) != name:
                raise UserError(f"{name}: the .pts file of {photos[name.with_name(name.stem)]} has the same name; "
                                "rename one of the two images, or choose another format")  # fmt: skip
        for name in by_name:
            other = photos.get(name.with_name(unnumbered(name.stem)), name)
            if other != name and len(by_name[other]) > 1:
                raise UserError(f"{name}: its .pts file would be taken for that of a face of {other}; rename one of "
                                "the two images, or choose another format")  # fmt: skip
        files = {path / name.with_name(f"{name.stem}{'' if len(faces) == 1 else f'_{number}'}.pts"): face
                 for name, faces in by_name.items() for number, face in enumerate(faces, 1)}  # fmt: skip
        left = next((file for file in sorted(path.rglob("*.pts")) if file not in files), None)
        if left is not None:
            raise UserError(f"{left}: would stay among the new ones and be read with them; remove the old .pts files, "
                            "or choose another -o")  # fmt: skip
        for file, face in files.items():
            write_pts(file, face.points)


class PtsDataset(LabelsDataset):
    r"""Data set of a folder of `.pts` files; see `PtsSource`.

    Args:
        root: Folder that is searched recursively.

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

    def __init__(self, root: str | os.PathLike[str]) -> None:
        labels = PtsSource(type="pts", labels=str(root)).read(Path(root))
        super().__init__(labels, Path(root), "pts")


def read_pts(path: Path, schema: PointSchema = IBUG68) -> np.ndarray:
    """Read the points of a `.pts` file: (K, 2) float64, counted from 0.

    Raises:
        UserError: The file does not hold K pairs of numbers.
    """
    text = read_text(path, MAX_BYTES_OF_ONE, "replace")
    if "{" in text:
        text = text[text.index("{") + 1 :].partition("}")[0]
    values = parse_numbers(text.split(), str(path))
    if values.size != 2 * schema.num_points:
        raise UserError(f"{path}: {values.size} numbers, but {schema.num_points} points need {2 * schema.num_points}")
    return np.round(values.reshape(-1, 2) - 1, 9)


def unnumbered(name: str) -> str:
    """Return the name of the image for the name of one of its faces; other names are unchanged.

    Example:
        >>> unnumbered("a_1"), unnumbered("a")
        ('a', 'a')
    """
    return re.sub(r"(?<=.)_\d+$", "", name)


def _images_of(files: Sequence[Path]) -> list[Path]:
    """Return the image of each `.pts` file; see `PtsSource`."""
    found = [(image_named(file.with_suffix("")), image_named(file.with_name(unnumbered(file.stem)))) for file in files]
    numbered = {other for own, other in found if own is None}  # images whose faces certainly have numbers
    images = []
    for file, (own, other) in zip(files, found):
        image = own or other
        if image is None:
            raise UserError(f"{file}: no image {file.stem} or {unnumbered(file.stem)} beside it; add it or remove the "
                            ".pts file")  # fmt: skip
        if own and other and own != other and numbered & {own, other}:
            raise UserError(f"{file}: is it of {own.name}, or of a face of {other.name}? Rename one of the two images "
                            "and its .pts files")  # fmt: skip
        images.append(image)
    return images
