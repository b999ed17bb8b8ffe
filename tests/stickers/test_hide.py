"""Clipping: a blush stays within the face."""

import numpy as np
from tests_support import BLACK, turned

from facekp.stickers import Sticker, load_sticker


def test_within_the_face_a_blush_stays():
    blush = load_sticker("blush").layers[0]
    for yaw in (0, 60):
        changed = (Sticker([blush]).apply(BLACK + 200, turned(yaw)) != 200).any(-1)
        x0, _, x1, _ = turned(yaw).boxes[0]
        columns = np.flatnonzero(changed.any(0))
        assert columns.min() >= x0 - 2
        assert columns.max() <= x1 + 2
