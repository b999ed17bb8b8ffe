"""The registry of face detectors. A new detector is a file of its own and an entry here."""

from __future__ import annotations

import os
from typing import Callable

from facekp import zoo
from facekp.detectors.haar import HaarDetector
from facekp.detectors.ours import FaceDetector
from facekp.errors import UserError
from facekp.inference.backends import load_backend
from facekp.inference.landmarker import Detector
from facekp.recipes import BoxesRecipe


def _haar(argument: str) -> Detector:
    return HaarDetector()


def _mediapipe(argument: str) -> Detector:
    from facekp.detectors.mediapipe import MediaPipeDetector

    return MediaPipeDetector()


def _yunet(argument: str) -> Detector:
    from facekp.detectors.yunet import YuNetDetector

    if not argument:
        raise UserError("yunet needs a model file: yunet:PATH")
    return YuNetDetector(argument)


#: Name -> function that builds the detector from the text after the colon, as in "yunet:PATH".
DETECTORS: dict[str, Callable[[str], Detector]] = {"haar": _haar, "mediapipe": _mediapipe, "yunet": _yunet}


def load_detector(
    source: str | os.PathLike[str] | None = None, backend: str | None = None, threads: int | None = None
) -> Detector:
    """Load a face detector.

    Args:
        source: None for our own, shipped detector; a name in `DETECTORS`: "haar" for OpenCV's cascades, "mediapipe" if
            it is installed, "yunet:PATH" for OpenCV's YuNet with a model file of your own; or the path of weights
            that `facekp train` wrote, or of a folder that `facekp export` wrote.
        backend: See `facekp.load_landmarker`; for our own detectors only.
        threads: See `facekp.load_landmarker`; for our own detectors only.

    Raises:
        UserError: There is no such detector, or a package or file that it needs is missing.

    Example:
        >>> import cv2
        >>> boxes, scores = load_detector("haar")(cv2.imread("assets/photos/astronaut.png"))
        >>> boxes.shape
        (1, 4)
    """
    source = zoo.SHIPPED_DETECTOR if source is None else source
    name, _, argument = str(source).partition(":")
    if name in DETECTORS:
        return DETECTORS[name](argument)
    if not os.path.exists(source):
        if str(source) in zoo.models():
            return load_detector(zoo.get(str(source)), backend, threads)
        known = ", ".join(DETECTORS)
        raise UserError(
            f"{str(source)[:200]}: neither a detector ({known}), nor a file of weights, nor an exported folder"
        )
    return FaceDetector(*load_backend(source, backend, threads, BoxesRecipe))
