"""facekp: face landmarks with PaddlePaddle, and stickers that sit on them."""

import os
import warnings
from typing import TYPE_CHECKING, Any

from facekp.processor import choose_kernels
from facekp.version import VERSION

if TYPE_CHECKING:
    from facekp.inference.faces import Faces
    from facekp.loading import load_landmarker

__all__ = ["Faces", "load_landmarker"]
__version__ = VERSION

choose_kernels()
for _name, _value in {
    # ONNX Runtime writes a device id into the home folder and reports home; read when it is imported.
    "ORT_DISABLE_TELEMETRY": "1",
    # What an image's header promises is not given memory beyond that; see `facekp.io.images.MAX_PIXELS`.
    "OPENCV_IO_MAX_IMAGE_PIXELS": "178956970",
}.items():
    os.environ.setdefault(_name, _value)

# Paddle says so at every import; it concerns only those who compile operators of their own.
warnings.filterwarnings("ignore", "No ccache found")


def __getattr__(name: str) -> Any:
    # Who asks for help or a version need not wait for NumPy and OpenCV.
    if name == "load_landmarker":
        from facekp.loading import load_landmarker

        return load_landmarker
    if name == "Faces":
        from facekp.inference.faces import Faces

        return Faces
    raise AttributeError(f"module 'facekp' has no attribute {name!r}")
