"""AFLW labels from `AFLWinfo_release.mat`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from facekp.data.labelled import LabelsDataset, LabelsSource
from facekp.data.labels import HIDDEN, MISSING, VISIBLE, Labels, make_face
from facekp.data.mat import read_mat, table
from facekp.data.source import Split
from facekp.errors import UserError

#: Number of faces for training, the first ones in the file's own order; the rest is for testing.
TRAINING_FACES = 20_000


class AflwSource(LabelsSource):
    """Source for `AFLWinfo_release.mat`: 19 points with visibility; trains on the first 20,000 faces of its order.

    With `validation` or `hold_out` it is split like other formats. Image names are relative to `images`, AFLW's folder
    data/flickr.
    """

    implied = "aflw19"

    def read(self, path: Path) -> Labels:
        """See `LabelsSource`."""
        faces = self._faces(path)[0]
        return faces

    def _faces(self, path: Path) -> tuple[Labels, np.ndarray]:
        found = read_mat(path, ("data", "mask_new", "bbox", "nameList", "ra"))
        places, seen, boxes = (table(found, name, n, path) for name, n in (("data", 38), ("mask_new", 19), ("bbox", 4)))
        names, order = found.get("nameList"), found.get("ra")
        if names is None or order is None or not len(places) == len(seen) == len(boxes) == names.size == order.size:
            raise UserError(f"{path}: data, mask_new, bbox, nameList and ra must have an entry for each face")
        if order.dtype.kind not in "fiu" or sorted(order.ravel().tolist()) != list(range(1, len(places) + 1)):
            raise UserError(f"{path}: ra is not a permutation of its {len(places)} faces")
        schema, folder, faces = self.needed_schema, self.folder_of_images(path), []
        for row, (values, marks, (left, right, top, bottom)) in enumerate(zip(places, seen, boxes)):
            name = names.ravel()[row]
            while isinstance(name, np.ndarray) and name.size == 1:
                name = name.ravel()[0]
            where = f"{path}: face {row + 1} ({str(name)[:80]})"
            if not isinstance(name, str):
                raise UserError(f"{where}: its entry in nameList is not an image name")
            points = values.reshape(2, 19).T
            visibility = np.where((points <= 0).all(1), MISSING, np.where(marks == 1, VISIBLE, HIDDEN))
            box = [left, top, right, bottom]
            faces.append(make_face(schema, folder / name, points, visibility, box, (), where))
        return Labels(schema, faces), order.ravel().astype(int) - 1

    def load(self) -> Split:
        """See `Source`."""
        if self.validation is not None or self.hold_out is not None:
            return super().load()
        path = Path(self.labels)
        labels, order = self._faces(path)
        parts: list[LabelsDataset] = []
        for rows in (order[:TRAINING_FACES], order[TRAINING_FACES:]):
            part = self._part(path, labels)
            part.rows = sorted(set(part.rows) & set(rows.tolist()))
            parts.append(part)
        return Split([parts[0]], [parts[1]])
