"""LaPa's text files."""

from __future__ import annotations

from pathlib import Path

from facekp.data.labelled import LabelsSource
from facekp.data.labels import MAX_BYTES_OF_ONE, Labels, make_face, parse_numbers, read_text
from facekp.errors import UserError
from facekp.io.images import image_named


class LapaSource(LabelsSource):
    """Source for a folder `train`, `val` or `test` of `images/NAME.jpg` and `landmarks/NAME.txt`: "106", then rows x y.

    JD-landmark uses the same format.
    """

    implied = "lapa106"

    def folder_of_images(self, labels: Path) -> Path:
        """See `LabelsSource`."""
        return Path(self.images) if self.images is not None else labels / "images"

    def read(self, path: Path) -> Labels:
        """See `LabelsSource`."""
        files = sorted((path / "landmarks").glob("*.txt"))
        if not files:
            raise UserError(f"{path}: no file landmarks/*.txt in it; give the folder train, val or test of LaPa")
        schema, faces = self.needed_schema, []
        for file in files:
            lines = read_text(file, MAX_BYTES_OF_ONE).split("\n")
            rows = [line.split() for line in lines if line.strip()]
            if not rows or rows[0] != [str(schema.num_points)]:
                raise UserError(f"{file}: its first row must be {schema.num_points}, the number of its points")
            if len(rows) != schema.num_points + 1 or any(len(row) != 2 for row in rows[1:]):
                raise UserError(f"{file}: needs {schema.num_points} rows x y below the first; it has {len(rows) - 1}")
            values = parse_numbers([cell for row in rows[1:] for cell in row], str(file))
            faces.append(make_face(schema, self._image(path, file), values, where=str(file)))
        return Labels(schema, faces)

    def _image(self, path: Path, file: Path) -> Path:
        folder = self.folder_of_images(path)
        image = image_named(folder / file.stem)
        if image is None:
            raise UserError(f"{file}: no image {file.stem} in {folder}; add it or remove the file")
        return image
