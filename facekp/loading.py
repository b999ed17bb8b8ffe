"""One function that loads a landmarker from any source."""

from __future__ import annotations

import os

from facekp.detectors import FacesOf, load_detector
from facekp.errors import UserError
from facekp.inference.backends import find_weights, load_backend
from facekp.inference.landmarker import Detector, Landmarker
from facekp.paddlehub.client import HubLandmarker

#: Name of the model that `load_landmarker()` loads.
DEFAULT = "face_crop_light"


def load_landmarker(
    source: str | os.PathLike[str] | None = None,
    detector: Detector | str | os.PathLike[str] | None = None,
    passes: int | None = None,
    flip: bool = False,
    backend: str | None = None,
    threads: int | None = None,
) -> Landmarker | HubLandmarker:
    """Load a landmarker with shipped weights or your own.

    Args:
        source: Name of a shipped model, path of weights that `facekp train` wrote, or of a folder that
            `facekp export` wrote; "hub" for PaddleHub's landmarker, see `facekp.paddlehub.client`, which
            accepts no other argument than `detector`; `DEFAULT` if None.
        detector: Face detector for calls without boxes: a callable like `inference.landmarker.Detector`, or an argument
            of `detectors.load_detector`, such as "haar". None for our own; for PaddleHub, its own. Ours relies on the
            network's score to reject false detections: if the network gives none, the default network's is used.
        passes: See `Landmarker`; 2 if None.
        flip: See `Landmarker`.
        backend: What runs the network: "onnx" (ONNX Runtime), "int8" (the same, in eight bits), "paddle" (Paddle
            Inference) or "dygraph" (Paddle as in training, also on a GPU); None for the fastest that the source has
            files for and that is installed.
        threads: Number of CPU threads of the networks; None for the library's default. OpenCV, which cuts the crops,
            has a setting of its own: `cv2.setNumThreads`.

    Returns:
        A landmarker, to be called with a BGR image.

    Raises:
        UserError: The weights do not exist, are damaged or from another program, or no installed library can run them.

    Example:
        >>> import cv2, facekp
        >>> landmarker = facekp.load_landmarker()
        >>> faces = landmarker(cv2.imread("assets/photos/astronaut.png"))
        >>> faces.points.shape, faces.boxes.shape
        ((1, 68, 2), (1, 4))
    """
    source = DEFAULT if source is None else source
    if isinstance(detector, (str, os.PathLike)):
        detector = load_detector(detector, threads=threads)
    if str(source) == "hub":
        given = {"passes": passes, "flip": flip or None, "backend": backend, "threads": threads}
        for name, value in given.items():
            if value is not None:
                raise UserError(f"{name}: PaddleHub's landmarker has no such setting; omit it, or take another source")
        return HubLandmarker(detector)
    network, recipe = load_backend(find_weights(source), backend, threads)
    if detector is None:
        detector = load_detector(threads=threads) if recipe.scored else FacesOf(load_landmarker(threads=threads))
    return Landmarker(network, recipe, detector, 2 if passes is None else passes, flip)
