"""facekp: face landmarks with PaddlePaddle, and stickers that follow them."""

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
    # ONNX Runtime writes a device id into the home folder and sends telemetry; it reads this when imported.
    "ORT_DISABLE_TELEMETRY": "1",
    # No memory is allocated for images whose header declares more pixels; see `facekp.io.images.MAX_PIXELS`.
    "OPENCV_IO_MAX_IMAGE_PIXELS": "178956970",
}.items():
    os.environ.setdefault(_name, _value)

# Paddle warns of this at every import; it matters only for compiling custom operators.
warnings.filterwarnings("ignore", "No ccache found")


def __getattr__(name: str) -> Any:
    # Imported lazily, so that help and version need not wait for NumPy and OpenCV.
    if name == "load_landmarker":
        from facekp.loading import load_landmarker

        return load_landmarker
    if name == "Faces":
        from facekp.inference.faces import Faces

        return Faces
    raise AttributeError(f"module 'facekp' has no attribute {name!r}")
