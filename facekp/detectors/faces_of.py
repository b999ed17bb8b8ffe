"""A landmarker as a face detector."""

from __future__ import annotations

from typing import Callable

import numpy as np

from facekp.inference.faces import Faces


class FacesOf:
    """Face detector made of a landmarker: boxes around the points, and the combined scores of detector and points.

    Args:
        landmarker: Function that finds the faces in an image.
    """

    def __init__(self, landmarker: Callable[[np.ndarray], Faces]) -> None:
        self.landmarker = landmarker

    def __call__(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Detector`."""
        faces = self.landmarker(image)
        return faces.boxes, faces.scores
