"""facekp: 68-point face landmarks with PaddlePaddle, and stickers that sit on them."""

import warnings
from typing import Any

from facekp.inference.faces import Faces
from facekp.processor import choose_kernels

__all__ = ["Faces", "load_landmarker"]
__version__ = "0.1.0"

choose_kernels()

# Paddle says so at every import; it concerns only those who compile operators of their own.
warnings.filterwarnings("ignore", "No ccache found")


def __getattr__(name: str) -> Any:
    # Importing Paddle takes seconds; who only wants geometry or stickers need not wait for it.
    if name == "load_landmarker":
        from facekp.inference.landmarker import load_landmarker

        return load_landmarker
    raise AttributeError(f"module 'facekp' has no attribute {name!r}")
