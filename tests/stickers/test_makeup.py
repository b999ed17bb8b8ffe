"""Make-up: paint colours its region, keeps light and shade, and turns with the head."""

import numpy as np
import pytest
from tests_support import BLACK, noise, turned

from facekp.inference.faces import Faces
from facekp.stickers import Sticker
from facekp.stickers.makeup import REGIONS, Paint


@pytest.mark.parametrize("region", REGIONS)
def test_paint_colours_its_region_and_keeps_light_and_shade(region):
    ground = np.full((400, 400, 3), 150, np.uint8)
    ground[::2] = 110  # stripes: the skin's texture
    faces = turned()
    result = Sticker([Paint("p", region, (20, 20, 200), 1.0)]).apply(ground, faces)
    inside = {"lips": [51, 62], "left_brow": [19], "right_brow": [24]}[region]
    x, y = np.round(faces.points[0, inside].mean(0)).astype(int)
    painted = result[y - 2 : y + 3, x].astype(int)
    assert (painted[:, 2] - painted[:, 0] > 100).all()
    assert np.ptp(painted[:, 1]) >= 15 or np.ptp(painted[:, 2]) >= 15
    changed = (result != ground).any(-1)
    assert 0 < changed.mean() < 0.05
    x, y = np.round(faces.points[0, [62, 66]].mean(0)).astype(int)
    assert not changed[y, x] or region == "lips"


def test_paint_fades_ends_at_the_edge_and_keeps_alpha():
    faces = turned()
    lips = Sticker([Paint("p", "lips", (0, 0, 255), 0.5)])
    picture = np.dstack([np.full((400, 400, 3), 128, np.uint8), noise()[..., 0]])
    result = lips.apply(picture, faces)
    np.testing.assert_array_equal(result[..., 3], picture[..., 3])
    beside = Faces(faces.points + 1000, faces.boxes + 1000, faces.scores)
    np.testing.assert_array_equal(lips.apply(picture, beside), picture)


@pytest.mark.parametrize("yaw", [-55, 30, 55])
def test_a_painted_brow_is_as_thick_on_a_turned_head(yaw):
    def thickness(yaw):
        near = "left_brow" if yaw >= 0 else "right_brow"
        faces = turned(yaw)
        painted = Sticker([Paint("p", near, (20, 20, 200), 1.0)]).apply(BLACK + 150, faces)[..., 2] > 160
        x = round(float(faces.points[0, 19 if yaw >= 0 else 24, 0]))
        return painted[:, x - 1 : x + 2].sum() / 3

    assert thickness(yaw) == pytest.approx(thickness(0), rel=0.15)
