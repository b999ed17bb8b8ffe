"""Stickers: layers of one side fade as the head turns, and some layers need the 68 points."""

import numpy as np
import pytest
from tests_support import BLACK, noise, turned

from facekp.errors import UserError
from facekp.inference.faces import Faces
from facekp.landmarks import load_schema
from facekp.stickers import Layer, Sticker, Texture, load_sticker


@pytest.mark.parametrize(("side", "sign"), [("left", -1), ("right", 1)])
def test_a_side_fades_when_it_turns_away(side, sign):
    dot = Texture(np.full((9, 9, 4), 255, np.uint8))
    pixels = np.array([[2.0, 4.0], [6.0, 4.0]])
    sticker = Sticker([Layer("l", (dot,), ("left_eye", "right_eye"), pixels, side=side, hidden_from=30)])
    brightness = [int(sticker.apply(BLACK, turned(sign * yaw)).max()) for yaw in (-60, 0, 15, 22.5, 30, 60)]
    assert brightness[:3] == [255, 255, 255]
    assert brightness[3] == pytest.approx(128, abs=6)
    assert brightness[4:] == [0, 0]


@pytest.mark.parametrize("name", ["sunglasses", "heart_glasses"])
def test_the_far_arm_of_glasses_does_not_float(name):
    far = Sticker([layer for layer in load_sticker(name).layers if layer.name == "right_arm"])
    near = Sticker([layer for layer in load_sticker(name).layers if layer.name == "left_arm"])
    assert np.ptp(far.apply(BLACK + 90, turned(0))) > 0
    assert np.ptp(far.apply(BLACK + 90, turned(45))) == 0
    assert np.ptp(near.apply(BLACK + 90, turned(45))) > 0


@pytest.mark.parametrize("name", ["moustache", "cat"])
@pytest.mark.parametrize("yaw", [-75, 75])
def test_beyond_a_profile_there_is_nothing(name, yaw):
    layers = [layer for layer in load_sticker(name).layers if layer.name.startswith(("left", "right"))]
    changed = np.flatnonzero((Sticker(layers).apply(BLACK + 90, turned(yaw)) != 90).any((0, 2)))
    nose = float(turned(yaw).points[0, 30, 0])
    beyond = (changed - nose) * np.sign(yaw)
    assert beyond.max() < 20


@pytest.mark.parametrize("name", ["five", "aflw19", "cofw29"])
@pytest.mark.parametrize("sticker", ["tiger", "lipstick", "tongue"])
def test_what_needs_the_68_points_is_told(name, sticker):
    schema = load_schema(name)
    points = schema.mean_points[None] * 160 + 120
    faces = Faces.from_arrays(points, schema.face_box(points[0])[None], np.ones(1), schema)
    with pytest.raises(UserError, match=f"sticker {sticker}: needs the .* {name} do not"):
        load_sticker(sticker).apply(noise(), faces)
