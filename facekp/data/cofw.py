"""COFW's .mat files, which also contain the images."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from facekp.data.labelled import LabelsDataset, LabelsSource
from facekp.data.labels import HIDDEN, VISIBLE, Labels, make_face
from facekp.data.mat import read_mat, table
from facekp.errors import UserError
from facekp.io.images import read_image, write_image


class CofwSource(LabelsSource):
    """Source for COFW_train.mat and COFW_test.mat, grey or in colour: 29 points, visible or hidden, and the images.

    The images are first written to the folder `images`, by default COFW_train_images next to COFW_train.mat; those that
    exist are kept.
    """

    implied = "cofw29"

    def folder_of_images(self, labels: Path) -> Path:
        """See `LabelsSource`."""
        return Path(self.images) if self.images is not None else labels.with_name(f"{labels.stem}_images")

    def read(self, path: Path) -> Labels:
        """See `LabelsSource`."""
        names = [f"{name}{end}" for name in ("phis", "Is", "bboxes") for end in ("Tr", "T")]
        found = read_mat(path, names)
        end = "Tr" if "phisTr" in found else "T"
        labels = table(found, f"phis{end}", 87, path)
        boxes = table(found, f"bboxes{end}", 4, path)
        cells = found.get(f"Is{end}")
        if cells is None or cells.dtype.kind != "O" or not cells.size == len(labels) == len(boxes):
            raise UserError(f"{path}: Is{end} does not hold an image for each of the {len(labels)} faces")
        schema, folder, faces = self.needed_schema, self.folder_of_images(path), []
        for row, (values, box, image) in enumerate(zip(labels, boxes, cells.ravel())):
            where = f"{path}: face {row + 1}"
            points = values[:58].reshape(2, 29).T - 1  # MATLAB counts from 1
            seen = np.where(values[58:] == 1, HIDDEN, VISIBLE)
            x, y, wide, high = box
            corners = [x - 1, y - 1, x + wide - 1, y + high - 1]
            file = folder / f"{row + 1:04d}.png"
            _write(file, image, where)
            faces.append(make_face(schema, file, points, seen, corners, (), where))
        return Labels(schema, faces)

    def dataset(self, labels: Labels, path: Path) -> LabelsDataset:
        """See `LabelsSource`."""
        return LabelsDataset(labels, self.folder_of_images(path), self.type, boxes=self.boxes)


def _write(file: Path, image: np.ndarray, where: str) -> None:
    good = isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.size
    if not good or not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)):
        raise UserError(f"{where}: its image is not a uint8 array (height, width) or (height, width, 3)")
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR if image.ndim == 3 else cv2.COLOR_GRAY2BGR)
    if file.is_file():
        if not np.array_equal(read_image(file), bgr):
            raise UserError(f"{file}: exists and is a different image; set images to another folder")
    else:
        write_image(file, bgr)
