"""Face detectors: ours, and those of other projects. Each is called as `facekp.inference.landmarker.Detector` is."""

from facekp.detectors.faces_of import FacesOf
from facekp.detectors.registry import DETECTORS, load_detector

__all__ = ["DETECTORS", "FacesOf", "load_detector"]
