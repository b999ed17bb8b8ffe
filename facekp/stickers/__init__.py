"""Stickers on faces.

Example:
    >>> import numpy as np
    >>> from facekp.inference.faces import Faces
    >>> from facekp.stickers import load_sticker
    >>> photo = np.zeros((80, 120, 3), np.uint8)
    >>> load_sticker("sunglasses").apply(photo, Faces.none()).shape
    (80, 120, 3)
"""

from facekp.stickers.packs import list_stickers, load_sticker
from facekp.stickers.sticker import Layer, Sticker, combine
from facekp.stickers.texture import Texture

__all__ = ["Layer", "Sticker", "Texture", "combine", "list_stickers", "load_sticker"]
