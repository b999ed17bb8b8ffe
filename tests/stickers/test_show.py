"""Previews: a sheet shows faces of any schema."""

import numpy as np
from tests_support import noise, turned

from facekp.inference.faces import Faces
from facekp.landmarks import IBUG68, load_schema
from facekp.stickers import Sticker, load_sticker
from facekp.stickers.show import sheet


def test_a_sheet_of_other_points():
    schema = load_schema("wflw98")
    points = IBUG68.converted(turned().points, schema)
    faces = Faces.from_arrays(points, schema.face_box(points[0])[None], np.ones(1), schema)
    shown, usual = (sheet(noise(), each, [load_sticker("sunglasses")], 128, 1) for each in (faces, turned()))
    assert shown.shape == usual.shape and (shown != sheet(noise(), faces, [Sticker([])], 128, 1)).any()
    assert np.abs(shown.astype(int) - usual).mean() < 20
