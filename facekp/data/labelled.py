"""Base classes of the formats that use `facekp.data.labels`: options, data set, split."""

from __future__ import annotations

import copy
import functools
import warnings
from collections import defaultdict
from pathlib import Path
from typing import ClassVar, Optional, TypeVar

import numpy as np
from pydantic import ConfigDict, Field

from facekp.data.dataset import FilesDataset
from facekp.data.labels import Face, Labels, turned_or_swapped
from facekp.data.source import Source, Split
from facekp.errors import FacekpWarning, UserError
from facekp.io.images import read_image
from facekp.landmarks import IBUG68, PointSchema, load_schema

D = TypeVar("D", bound="LabelsDataset")


class LabelsDataset(FilesDataset):
    """Data set of the faces of `Labels`; those with fewer than two points are omitted with a `FacekpWarning`.

    Args:
        labels: Labels of the faces.
        source: File or folder of the labels.
        kind: See `LandmarkDataset`.
        boxes: Keep faces that have a box and fewer than two points; for face detectors.
    """

    def __init__(self, labels: Labels, source: Path, kind: str, boxes: bool = False) -> None:
        super().__init__()
        self.source, self.kind, self.schema = source, kind, labels.schema
        self.faces, self.points = labels.faces, labels.points
        used = [_has_points(face) or (boxes and face.box is not None) for face in self.faces]
        self.rows = [row for row, use in enumerate(used) if use]
        if omitted := [face for face, use in zip(self.faces, used) if not use]:
            more = f" and {len(omitted) - 1} more" if len(omitted) > 1 else ""
            warnings.warn(f"{omitted[0].where}{more}: fewer than two points are labelled; omitted", FacekpWarning, 2)
        self._beside: dict[Path, list[int]] = defaultdict(list)
        for row in self.rows:
            self._beside[self.faces[row].image].append(row)

    def face(self, index: int) -> Face:
        """Return the labels of a sample."""
        return self.faces[self.rows[index]]

    def where(self, index: int) -> str:
        """See `FilesDataset`."""
        return self.face(index).where

    def name(self, index: int) -> str:
        """Return the image path relative to the labels' folder, or the full path if it is outside."""
        folder = self.source if self.source.is_dir() else self.source.parent
        path = self.image_path(index)
        return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.as_posix()

    def image_path(self, index: int) -> Path:
        """See `FilesDataset`."""
        return self.face(index).image

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Read one image and one of its faces."""
        return read_image(self.image_path(index)), self.points[self.rows[index]].copy()

    def visibility(self, index: int) -> np.ndarray:
        """See `LandmarkDataset`."""
        return self.face(index).visibility

    def faces_beside(self, index: int) -> np.ndarray:
        """See `FilesDataset`."""
        return self.points[self._beside[self.image_path(index)]]

    def box_alone(self, index: int) -> np.ndarray | None:
        """See `FilesDataset`."""
        face = self.face(index)
        return None if _has_points(face) else face.box

    def split(self: D, every: int = 10) -> tuple[D, D]:
        """Hold out all faces of every `every`-th image; return (for training, for validation)."""
        held_out = set(sorted(self._beside)[::every])
        parts = copy.copy(self), copy.copy(self)
        for part, wanted in zip(parts, (False, True)):
            part.rows = [row for row in self.rows if (self.faces[row].image in held_out) == wanted]
        return parts


def _has_points(face: Face) -> bool:
    return bool((face.visibility > 0).sum() > 1)


class LabelsSource(Source):
    """Base class of label formats; `read` reads the labels, and `write` writes them if `holds` is given."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    #: File or folder of labels.
    labels: str
    #: File or folder of labels for validation.
    validation: Optional[str] = None
    #: Without `validation`, one in `hold_out` images is held out; None: as the format defines, or 10.
    hold_out: Optional[int] = Field(None, ge=2)
    #: Folder that image names are relative to; by default that of the labels.
    images: Optional[str] = None
    #: Schema of the points: a name of `facekp.landmarks.SCHEMAS`, or a YAML file.
    schema_name: Optional[str] = Field(None, alias="schema")
    #: Schema to convert the points to.
    convert_to: Optional[str] = None
    #: Also use faces without points that have a box around where the points would be; task: boxes only.
    boxes: bool = False

    #: Schema that the format implies.
    implied: ClassVar[Optional[str]] = None
    #: Keys of `facekp.data.labels.CONTENTS` that a file can hold; None: the format is not written.
    holds: ClassVar[Optional[frozenset[str]]] = None

    @property
    def given_schema(self) -> PointSchema | None:
        """Schema of the option, or the implied one."""
        name = self.schema_name or self.implied
        return None if name is None else load_schema(name)

    @property
    def needed_schema(self) -> PointSchema:
        """Like `given_schema`, or ibug68 with `boxes`; for formats whose labels do not define the schema.

        Raises:
            UserError: There is no schema.
        """
        schema = self.given_schema or (IBUG68 if self.boxes else None)
        if schema is None:
            raise UserError(f"{self.labels}: the format {self.type} does not say what its points are; give schema: the "
                            "name of one, or a YAML file")  # fmt: skip
        return schema

    @property
    def schema_of_points(self) -> PointSchema:
        """See `Source`."""
        if self.convert_to is not None:
            return load_schema(self.convert_to)
        return self.given_schema or self._read_labels.schema

    @functools.cached_property
    def _read_labels(self) -> Labels:
        return self.read(Path(self.labels))

    def folder_of_images(self, labels: Path) -> Path:
        """Return the folder that image names are relative to."""
        if self.images is not None:
            return Path(self.images)
        return labels if labels.is_dir() else labels.parent

    def read(self, path: Path) -> Labels:
        """Read a file or folder of labels.

        Raises:
            UserError: The labels are invalid; the message names the row or key.
        """
        raise NotImplementedError

    @classmethod
    def write(cls, labels: Labels, path: Path, images: Path) -> None:
        """Write labels; a file is written completely or not at all.

        Args:
            labels: Labels with no other contents than those in `holds`.
            path: The file or folder.
            images: Folder that image names are relative to.
        """
        raise NotImplementedError

    def load(self) -> Split:
        """See `Source`."""
        labels = self._part(Path(self.labels), self._read_labels)
        if self.validation is None:
            train, validation = labels.split(self.hold_out or 10)
            return Split([train], [validation])
        path = Path(self.validation)
        return Split([labels], [self._part(path, self.read(path))])

    def _part(self, path: Path, labels: Labels) -> LabelsDataset:
        if not labels.faces:
            raise UserError(f"{path}: contains no labelled face")
        turned = turned_or_swapped(labels)
        if 2 * turned > len(labels.faces):
            raise UserError(f"{path}: left and right lie above one another in {turned} of {len(labels.faces)} faces; "
                            "are x and y swapped, or the images rotated?")  # fmt: skip
        return self.dataset(labels if self.convert_to is None
                            else labels.converted(load_schema(self.convert_to), str(path)), path)  # fmt: skip

    def dataset(self, labels: Labels, path: Path) -> LabelsDataset:
        """Return the data set of labels from `read`."""
        return LabelsDataset(labels, path, self.type, boxes=self.boxes)
