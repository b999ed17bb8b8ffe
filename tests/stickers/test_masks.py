"""Masks: the face of a photo is worn in the wearer's colours."""

import numpy as np
import pytest
from tests_support import turned

from facekp.errors import UserError
from facekp.inference.faces import Faces
from facekp.io.images import write_image
from facekp.stickers.masks import load_face


def test_the_face_of_a_photo_is_worn_in_the_wearers_colours(tmp_path):
    write_image(tmp_path / "blue.png", np.full((400, 400, 3), (220, 60, 30), np.uint8))
    sticker = load_face(tmp_path / "blue.png", lambda image, boxes=None: turned())
    skin = np.full((400, 400, 3), (110, 140, 200), np.uint8)
    result = sticker.apply(skin, turned(10)).astype(int)
    assert np.abs(result - skin).max() <= 3
    with pytest.raises(UserError, match="no face found to wear"):
        load_face(tmp_path / "blue.png", lambda image, boxes=None: Faces.none())
