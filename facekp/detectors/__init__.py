"""Face detectors: our own and those of other projects, all called like `facekp.inference.landmarker.Detector`."""

from facekp.detectors.faces_of import FacesOf
from facekp.detectors.registry import DETECTORS, load_detector

__all__ = ["DETECTORS", "FacesOf", "load_detector"]
