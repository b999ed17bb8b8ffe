"""COCO keypoints as a source of faces."""

from __future__ import annotations

from pathlib import Path

from facekp.data.coco_file import read_coco, write_coco
from facekp.data.labelled import LabelsSource
from facekp.data.labels import Labels


class CocoSource(LabelsSource):
    """Source for COCO keypoints: a JSON file of images, annotations and categories with named keypoints.

    Coordinates are used unchanged, as in mmpose: integers are pixel centres.
    """

    holds = frozenset({"missing points", "hidden points", "boxes", "fractions of a pixel", "attributes"})

    def read(self, path: Path) -> Labels:
        """See `LabelsSource`."""
        return read_coco(path, self.given_schema, self.folder_of_images(path), self.boxes)

    @classmethod
    def write(cls, labels: Labels, path: Path, images: Path) -> None:
        """See `LabelsSource`."""
        write_coco(labels, path, images)
