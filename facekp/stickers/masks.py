"""Stickers made from the face in a photo."""

from __future__ import annotations

import os

import cv2
import numpy as np

from facekp.errors import UserError
from facekp.inference.tracking import Landmarks
from facekp.stickers.photo import Photo
from facekp.stickers.sticker import Layer, Sticker
from facekp.stickers.texture import Texture
from facekp.stickers.triangles import mesh_points


def load_face(path: str | os.PathLike[str], landmarker: Landmarks) -> Sticker:
    """Make a sticker from the largest face in a photo; its colours are matched to those of the wearer.

    Args:
        path: Photo; where it is transparent, the wearer is visible.
        landmarker: Finds the face.

    Raises:
        UserError: The photo cannot be read or contains no face, or its points do not convert to the 68.
    """
    photo = Photo.read(path)
    faces = landmarker(np.ascontiguousarray(photo.image[..., :3]))
    if not len(faces):
        raise UserError(f"{path}: no face found to wear; take a larger or clearer image of it")
    if not np.isfinite(faces.whole).all():
        raise UserError(f"{path}: a face is fitted by 68 points, which {faces.schema.name} does not give; choose "
                        "another --source")  # fmt: skip
    image = photo.image if photo.image.shape[2] == 4 else cv2.cvtColor(photo.image, cv2.COLOR_BGR2BGRA)
    pixels = mesh_points(faces.whole[0], faces.pose.of(0))
    return Sticker([Layer("face", (Texture(image),), (), pixels, "face", order=3, match=True)], "face", "")
