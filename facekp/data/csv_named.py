"""CSV with a header that names the points."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import numpy as np

from facekp.data.labelled import LabelsSource
from facekp.data.labels import (
    HIDDEN,
    MISSING,
    VISIBLE,
    Face,
    Labels,
    in_order,
    make_face,
    parse_numbers,
    plain,
    read_text,
    relative,
)
from facekp.errors import UserError
from facekp.io.files import atomic_path
from facekp.landmarks import PointSchema

_BOX = ["box_x0", "box_y0", "box_x1", "box_y1"]

#: Columns of `predict`'s tables that are not used in training.
_IGNORED = ("face", "score")


class CsvSource(LabelsSource):
    """Source for a CSV with a row per face: `image`, and for each point `NAME_x`, `NAME_y` and optionally `NAME_v`.

    `x0`, `y0`, ..., as written by `predict`, are accepted too. Points without numbers are missing; `NAME_v` is 0
    (missing), 1 (hidden) or 2 (visible). `box_x0`, `box_y0`, `box_x1`, `box_y1` and `attributes`, words separated by
    spaces, are optional.
    """

    holds = frozenset({"missing points", "hidden points", "boxes", "fractions of a pixel", "attributes"})

    def read(self, path: Path) -> Labels:
        """See `LabelsSource`."""
        rows = csv.reader(io.StringIO(read_text(path), newline=""))
        try:
            header = [name.strip() for name in next(rows, [])]
            columns = self._columns(header, path)
            folder = self.folder_of_images(path)
            faces = []
            for number, row in enumerate(rows, 1):
                if any(cell.strip() for cell in row):
                    faces.append(_face(row, header, columns, self.needed_schema, folder, f"{path}: row {number}"))
        except csv.Error as error:
            raise UserError(f"{path}: not a CSV ({error})") from error
        return Labels(self.needed_schema, faces)

    def _columns(self, header: list[str], path: Path) -> np.ndarray:
        """Return the columns of x, y and visibility of each point, (K, 3); -1 for a missing column."""
        if "image" not in header or any(re.fullmatch(r"[-+.\d]+(e[-+]?\d+)?", name, re.I) for name in header):
            raise UserError(f"{path}: needs a header: image, NAME_x, NAME_y, ...; this begins with "
                            f"{', '.join(header[:3])[:80] or 'nothing'}")  # fmt: skip
        if len(set(header)) < len(header):
            twice = next(name for name in header if header.count(name) > 1)
            raise UserError(f"{path}: has two columns {twice[:40]!r}; remove one of them")
        place = {name: i for i, name in enumerate(header)}
        known = {"image", "attributes", *_BOX, *_IGNORED}
        names: dict[str, str] = {}  # point -> format of its column names, {} for the axis
        for column in header:
            match = re.fullmatch(r"(.+)_[xyv]|[xyv](\d{1,4})", column)
            if column in known:
                continue
            if match is None:
                raise UserError(f"{path}: unknown column {column[:40]!r}; known are image, NAME_x, NAME_y, NAME_v, "
                                f"{', '.join(_BOX)} and attributes")  # fmt: skip
            names.setdefault(match[1] or match[2], "{}" + match[2] if match[2] else match[1] + "_{}")
        for name, form in names.items():
            missing = next((form.format(axis) for axis in "xy" if form.format(axis) not in place), None)
            if missing:
                raise UserError(f"{path}: the point {name} has no column {missing}")
        if any(name in place for name in _BOX) and not all(name in place for name in _BOX):
            raise UserError(f"{path}: a box needs the four columns {', '.join(_BOX)}")
        if self.boxes and not names:
            return np.full((self.needed_schema.num_points, 3), -1)
        listed = list(names)
        order = in_order(listed, self.needed_schema, str(path))
        return np.array([[place.get(names[listed[i]].format(axis), -1) for axis in "xyv"] for i in order])

    @classmethod
    def write(cls, labels: Labels, path: Path, images: Path) -> None:
        """See `LabelsSource`."""
        boxes = any(face.box is not None for face in labels.faces)
        marked = any(face.attributes for face in labels.faces)
        axes = "xyv" if any((face.visibility == HIDDEN).any() for face in labels.faces) else "xy"
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["image", *(_BOX if boxes else ()), *(["attributes"] if marked else ()),
                         *(f"{name}_{axis}" for name in labels.schema.points for axis in axes)])  # fmt: skip
        for face in labels.faces:
            row: list[object] = [relative(face.image, images)]
            if boxes:
                row += [""] * 4 if face.box is None else [plain(v) for v in face.box]
            if marked:
                phrase = next((name for name in face.attributes if name.split() != [name]), None)
                if phrase is not None:
                    raise UserError(f"{face.where or face.image}: the attribute {phrase[:40]!r} is not one word, which "
                                    "a CSV needs; rename it, or choose another format")  # fmt: skip
                row.append(" ".join(face.attributes))
            for (x, y), seen in zip(face.points, face.visibility):
                row += ["", ""] if seen == MISSING else [plain(x), plain(y)]
                if axes == "xyv":
                    row.append(int(seen))
            writer.writerow(row)
        with atomic_path(path) as temporary:
            temporary.write_text(text.getvalue(), encoding="utf-8")


def _face(
    row: list[str], header: list[str], columns: np.ndarray, schema: PointSchema, folder: Path, where: str
) -> Face:
    if len(row) != len(header):
        raise UserError(f"{where}: {len(row)} cells, but the header has {len(header)}")
    cell = dict(zip(header, (text.strip() for text in row)))
    if not cell["image"]:
        raise UserError(f"{where}: no image name")
    where = f"{where} ({cell['image'][:80]})"
    cells = np.array([text.strip() for text in row] + [""])  # the last cell, -1, is that of missing columns
    points = np.full((schema.num_points, 2), np.nan)
    given = cells[columns[:, :2]] != ""
    half = given.any(1) & ~given.all(1)
    if half.any():
        raise UserError(f"{where}: the point {schema.points[int(half.argmax())]} has only one of its two coordinates")
    known = given.all(1)
    points[known] = parse_numbers(cells[columns[known, :2]].ravel().tolist(), where).reshape(-1, 2)
    visibility = np.where(known, VISIBLE, MISSING).astype(np.float64)
    seen = columns[:, 2]
    for index in np.flatnonzero(cells[seen] != ""):
        visibility[index] = parse_numbers([cells[seen[index]]], where)[0]
    corners = [cell[name] for name in _BOX if cell.get(name)]
    box = parse_numbers(corners, where) if corners else None
    return make_face(schema, folder / cell["image"], points, visibility, box, cell.get("attributes", "").split(), where)
