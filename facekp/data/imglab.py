"""XML files of dlib's imglab."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

import numpy as np

from facekp.data.labelled import LabelsSource
from facekp.data.labels import MISSING, Face, Labels, box_of, in_order, make_face, parse_numbers, read_text, relative
from facekp.errors import UserError
from facekp.io.files import atomic_path
from facekp.landmarks import PointSchema


class ImglabSource(LabelsSource):
    """Source for imglab's XML, `dataset/images/image/box/part`, in whole pixels. Ignored boxes are omitted.

    Points without a part are missing. The width and height of a box count pixels, so that it ends at left + width - 1.
    """

    holds = frozenset({"missing points", "boxes"})

    def read(self, path: Path) -> Labels:
        """See `LabelsSource`."""
        text = read_text(path)
        if re.search(r"<!\s*(DOCTYPE|ENTITY)", text, re.I):
            raise UserError(f"{path}: has a DOCTYPE, which imglab does not write; remove it")
        try:
            root = ElementTree.fromstring(text)
        except (ElementTree.ParseError, ValueError) as error:
            raise UserError(f"{path}: not valid XML ({error})") from error
        listed = root.find("images")
        if root.tag != "dataset" or listed is None:
            raise UserError(f"{path}: not imglab's XML, which has dataset and images; is it in another format?")
        schema, faces = self.needed_schema, []
        for number, image in enumerate(listed.findall("image"), 1):
            name = image.get("file")
            if not name:
                raise UserError(f"{path}: image {number}: names no file")
            for count, box in enumerate(image.findall("box"), 1):
                if box.get("ignore", "0") != "1":
                    where = f"{path}: image {number} ({name[:80]}), box {count}"
                    faces.append(_face(box, schema, self.folder_of_images(path) / name, where))
        return Labels(schema, faces)

    @classmethod
    def write(cls, labels: Labels, path: Path, images: Path) -> None:
        """See `LabelsSource`."""
        by_image: dict[Path, list[Face]] = {}
        for face in labels.faces:
            by_image.setdefault(face.image, []).append(face)
        lines = ['<?xml version="1.0" encoding="UTF-8"?>', "<dataset>"]
        lines += [f"<name>{labels.schema.name}</name>", "<images>"]
        for image, faces in by_image.items():
            lines.append(f"  <image file={quoteattr(relative(image, images))}>")
            for face in faces:
                x0, y0, x1, y1 = (int(v) for v in _needed_box(face))
                lines.append(f'    <box top="{y0}" left="{x0}" width="{x1 - x0 + 1}" height="{y1 - y0 + 1}">')
                for name, (x, y), seen in zip(labels.schema.points, face.points, face.visibility):
                    if seen != MISSING:
                        lines.append(f'      <part name={quoteattr(name)} x="{int(x)}" y="{int(y)}"/>')
                lines.append("    </box>")
            lines.append("  </image>")
        with atomic_path(path) as temporary:
            temporary.write_text("\n".join([*lines, "</images>", "</dataset>", ""]), encoding="utf-8")


def _needed_box(face: Face) -> np.ndarray:
    box = box_of(face)
    if box is None:
        raise UserError(f"{face.where}: has neither points nor a box, which imglab needs; remove it")
    return box


def _numbers(element: ElementTree.Element, names: tuple[str, ...], where: str) -> np.ndarray:
    texts = [element.get(name) for name in names]
    if None in texts:
        raise UserError(f"{where}: needs {', '.join(names)}")
    return parse_numbers([str(text) for text in texts], where)


def _face(box: ElementTree.Element, schema: PointSchema, image: Path, where: str) -> Face:
    left, top, width, height = _numbers(box, ("left", "top", "width", "height"), where)
    parts: dict[str, np.ndarray] = {}
    for part in box.findall("part"):
        name = part.get("name", "")
        if name in parts:
            raise UserError(f"{where}: the part {name[:40]!r} occurs twice")
        parts[name] = _numbers(part, ("x", "y"), f"{where}, part {name[:40]!r}")
    points = np.full((schema.num_points, 2), np.nan)
    if not set(parts) <= set(schema.points) and all(name.isdigit() and len(name) < 5 for name in parts):
        order = {name: int(name) for name in parts}
        if max(order.values()) >= schema.num_points or len(set(order.values())) < len(order):
            raise UserError(f"{where}: numbers its parts up to {max(order.values())}, but {schema.name} has "
                            f"{schema.num_points} points, from 0; give the schema of these labels")  # fmt: skip
    else:
        strange = next((name for name in parts if name not in schema.points), None)
        if strange is not None:
            in_order([strange], schema, where)
        order = {name: schema.points.index(name) for name in parts}
    for name, place in parts.items():
        points[order[name]] = place
    return make_face(schema, image, points, None, [left, top, left + width - 1, top + height - 1], (), where)
