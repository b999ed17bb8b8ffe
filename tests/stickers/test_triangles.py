"""Triangles: a whole face lands point by point, and its colours are matched."""

import cv2
import numpy as np
from tests_support import BLACK, turned

from facekp.landmarks import MEAN_FACE
from facekp.stickers import Layer, Sticker, Texture
from facekp.stickers.triangles import Triangles, match_colours, mesh_points, triangles


def test_a_whole_face_lands_point_by_point():
    image = np.zeros((300, 300, 4), np.uint8)
    source = mesh_points(MEAN_FACE * 200 + (50, 80))
    image[..., 3] = 255
    for index in (30, 36, 45, 48, 54):
        cv2.circle(image, tuple(np.round(source[index]).astype(int).tolist()), 4, (255, 255, 255, 255), -1)
    worn = Sticker([Layer("f", (Texture(image),), ("forehead",), source, "face")])
    faces = turned(20)
    result = worn.apply(BLACK + 90, faces)
    for index in (30, 36, 45, 48, 54):
        x, y = np.round(faces.points[0, index]).astype(int)
        assert result[y - 1 : y + 2, x - 1 : x + 2].max() > 150
    x, y = np.round(faces.points[0, [62, 66]].mean(0)).astype(int)
    assert result[y, x].tolist() == [90, 90, 90]  # the mouth is the wearer's own


def test_triangles_that_face_away_are_not_drawn():
    source, target = mesh_points(MEAN_FACE * 100), mesh_points(MEAN_FACE * 100)
    texture = Texture(np.full((120, 120, 4), 255, np.uint8))
    front, _ = Triangles(source, target).draw(texture, (120, 120))
    assert front.max() == 255
    assert Triangles(source, target * (-1, 1) + (100, 0)).draw(texture, (120, 120)) is None
    assert Triangles(source, target + 500).draw(texture, (120, 120)) is None
    used = set(triangles().ravel().tolist())
    assert used == set(range(84))


def test_colours_are_matched_where_the_patch_is():
    rng = np.random.default_rng(0)
    patch = np.dstack([rng.uniform(0, 100, (40, 40, 3)), np.full((40, 40), 255)]).astype(np.float32)
    patch[:, :10] = 0
    below = np.clip(rng.normal((60, 110, 190), 12, (40, 40, 3)), 0, 255).astype(np.uint8)
    match_colours(patch, below)
    np.testing.assert_allclose(patch[:, 10:, :3].mean((0, 1)), below[:, 10:].mean((0, 1)), atol=6)
    assert not patch[:, :10].any()
    match_colours(np.zeros((4, 4, 4), np.float32), below[:4, :4])
