"""labelme's JSON files, one per image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from facekp.data.labelled import LabelsSource
from facekp.data.labels import HIDDEN, VISIBLE, Face, Labels, make_face, numbers, read_json
from facekp.errors import UserError
from facekp.landmarks import PointSchema

#: Maximum size of a file; labelme embeds the whole image in it.
MAX_BYTES = 1 << 27


class LabelmeSource(LabelsSource):
    """Source for a folder of JSON files, in which points are labelled by name, those of a face with one `group_id`.

    A rectangle of the same group is the face's box. A point whose flag `hidden` or `occluded` is set is hidden.
    """

    def read(self, path: Path) -> Labels:
        """See `LabelsSource`."""
        files = sorted(path.rglob("*.json")) if path.is_dir() else [path]
        if not files:
            raise UserError(f"{path}: no .json file in it; give the folder of labelme's files")
        schema = self.needed_schema
        return Labels(schema, [face for file in files for face in self._faces(file, schema)])

    def _faces(self, file: Path, schema: PointSchema) -> list[Face]:
        values = read_json(file, MAX_BYTES)
        name, shapes = values.get("imagePath"), values.get("shapes")
        if not isinstance(name, str) or not isinstance(shapes, list):
            raise UserError(f"{file}: has no imagePath and shapes; is it a labelme file?")
        image = (Path(self.images) if self.images else file.parent) / name.replace("\\", "/")
        groups: dict[Any, list[tuple[str, dict[str, Any]]]] = {}
        for number, shape in enumerate(shapes):
            if not isinstance(shape, dict) or not isinstance(shape.get("group_id"), (int, str, type(None))):
                raise UserError(f"{file}: shapes.{number}: must be an object, its group_id a number")
            groups.setdefault(shape.get("group_id"), []).append((f"{file}: shapes.{number}", shape))
        return [_face(image, shapes, schema, f"{file}: group_id {key}") for key, shapes in groups.items()]


def _face(image: Path, shapes: list[tuple[str, dict[str, Any]]], schema: PointSchema, face: str) -> Face:
    points = np.full((schema.num_points, 2), np.nan)
    visibility = np.zeros(schema.num_points)
    box = None
    for where, shape in shapes:
        label, kind, places = shape.get("label"), shape.get("shape_type"), shape.get("points")
        rows = places if isinstance(places, list) else []
        corners = [numbers(row, f"{where}.points") for row in rows]
        if any(len(corner) != 2 for corner in corners) or len(corners) != {"point": 1, "rectangle": 2}.get(str(kind)):
            raise UserError(f"{where}: must be a point, or a rectangle for the face's box, each place x, y; "
                            f"it is a {str(kind)[:40]} of {len(corners)} places")  # fmt: skip
        if kind == "rectangle":
            box = [*np.min(corners, 0), *np.max(corners, 0)]
            continue
        if not isinstance(label, str) or label not in schema.points:
            raise UserError(f"{where}: {str(label)[:40]!r} is not a point of {schema.name}, which has "
                            f"{', '.join(schema.points[:4])}, ...; rename it, or give another schema")  # fmt: skip
        index = schema.points.index(label)
        if visibility[index]:
            raise UserError(f"{where}: {label} occurs twice in this face; give each face a group_id of its own")
        flags = shape.get("flags")
        hidden = isinstance(flags, dict) and any(flags.get(name) is True for name in ("hidden", "occluded"))
        points[index], visibility[index] = corners[0], HIDDEN if hidden else VISIBLE
    return make_face(schema, image, points, visibility, box, (), face)
