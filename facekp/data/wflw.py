"""WFLW's text lists."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Optional, get_args

from facekp.data.labelled import LabelsSource
from facekp.data.labels import Labels, make_face, parse_numbers, read_text
from facekp.errors import UserError

Attribute = Literal["pose", "expression", "illumination", "make_up", "occlusion", "blur"]

#: Attributes of a face in the order of a row.
ATTRIBUTES: tuple[Attribute, ...] = get_args(Attribute)

#: Number of values in a row: 98 points, a box, six attributes, the image.
_LENGTH = 2 * 98 + 4 + 6 + 1


class WflwSource(LabelsSource):
    """Source for `list_98pt_rect_attr_train.txt` and `..._test.txt`: x y of 98 points, box, six attributes, image name.

    Image names are relative to `images`; by default to a folder WFLW_images in a parent folder of the list.
    """

    implied = "wflw98"
    #: Omit faces with any of these attributes.
    omit: tuple[Attribute, ...] = ()

    def folder_of_images(self, labels: Path) -> Path:
        """See `LabelsSource`."""
        beside: Optional[Path] = next(
            (above / "WFLW_images" for above in labels.parents if (above / "WFLW_images").is_dir()), None
        )
        return Path(self.images) if self.images is not None else beside or labels.parent

    def read(self, path: Path) -> Labels:
        """See `LabelsSource`."""
        schema, folder, faces = self.needed_schema, self.folder_of_images(path), []
        for row, line in enumerate(read_text(path).splitlines(), 1):
            if not line.strip():
                continue
            cells = line.split()
            where = f"{path}: row {row}"
            if len(cells) != _LENGTH:
                raise UserError(f"{where}: {len(cells)} values, but 98 points, a box, six attributes and an image need "
                                f"{_LENGTH}; take list_98pt_rect_attr_train_test")  # fmt: skip
            where = f"{where} ({cells[-1][:80]})"
            values = parse_numbers(cells[:-1], where)
            marks = values[200:206]
            if not ((marks == 0) | (marks == 1)).all():
                raise UserError(f"{where}: an attribute is 0 or 1, not {marks[(marks != 0) & (marks != 1)][0]:g}")
            attributes = [name for name, mark in zip(ATTRIBUTES, marks) if mark]
            if not set(attributes) & set(self.omit):
                image = folder / cells[-1].replace("\\", "/")
                faces.append(make_face(schema, image, values[:196], None, values[196:200], attributes, where))
        return Labels(schema, faces)
