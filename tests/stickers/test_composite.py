"""Drawing compared with a slow float64 reference: at most one grey level of difference."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Callable

import cv2
import numpy as np
import pytest

from facekp.stickers import Texture
from facekp.stickers.composite import composite
from facekp.stickers.fit import Warp
from facekp.vision import geometry


def smooth(rng: np.random.Generator, width: int, height: int, channels: int) -> np.ndarray:
    """Return noise without edges: OpenCV rounds coordinates to 1/32 pixel, which edges would turn into whole levels."""
    noise = cv2.resize(rng.uniform(0, 255, (6, 6, channels)), (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(noise, 0, 255).astype(np.uint8)


def reference(image: np.ndarray, sticker: np.ndarray, matrix: np.ndarray, blend: str, opacity: float) -> np.ndarray:
    """Draw a sticker in float64 at every pixel of the image, straight from the definitions."""
    level = sticker.astype(np.float64)
    level[..., :3] *= level[..., 3:] / 255
    scale = np.sqrt(np.linalg.det(matrix[:, :2]))
    halvings = max(int(np.round(-np.log2(scale))), 0)
    for _ in range(halvings):
        level = (level[::2, ::2] + level[1::2, ::2] + level[::2, 1::2] + level[1::2, 1::2]) / 4
    back = geometry.invert(matrix)
    y, x = np.indices(image.shape[:2])
    place = geometry.apply(back, np.stack([x, y], -1).astype(np.float64))
    place = (place + 0.5) / 2**halvings - 0.5
    patch = sample(level, place, cubic if scale > 1.5 else linear)
    if scale > 1.5:
        patch *= 255 / np.maximum(patch[..., 3:], 255)
        patch = np.minimum(np.maximum(patch, 0), np.maximum(patch[..., 3:], 0))
    patch *= opacity
    cover = patch[..., 3:] / 255
    colour = np.divide(patch[..., :3], cover, out=np.zeros_like(patch[..., :3]), where=cover > 0)
    below = image[..., :3].astype(np.float64)
    behind = image[..., 3:] / 255 if image.shape[2] == 4 else np.ones_like(cover)
    mixed = {
        "normal": colour,
        "multiply": colour * below / 255,
        "screen": 255 - (255 - colour) * (255 - below) / 255,
    }[blend]
    total = cover + behind * (1 - cover)
    result = cover * (1 - behind) * colour + cover * behind * mixed + (1 - cover) * behind * below
    result = np.divide(result, total, out=below.copy(), where=total > 0)
    return np.dstack([result, total * 255])[..., : image.shape[2]]


def sample(level: np.ndarray, place: np.ndarray, kernel: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Interpolate `level` at `place` (H, W, 2); it is transparent beyond its borders."""
    padded = np.pad(level, ((3, 3), (3, 3), (0, 0)))
    base = np.floor(place).astype(int)
    result = np.zeros((*place.shape[:2], 4))
    for dy in range(-1, 3):
        for dx in range(-1, 3):
            corner = base + np.array([dx, dy])
            weight = kernel(place - corner).prod(-1, keepdims=True)
            row = np.clip(corner[..., 1] + 3, 0, padded.shape[0] - 1)
            column = np.clip(corner[..., 0] + 3, 0, padded.shape[1] - 1)
            result += weight * padded[row, column]
    return result


def linear(t: np.ndarray) -> np.ndarray:
    return np.clip(1 - np.abs(t), 0, None)


def cubic(t: np.ndarray, a: float = -0.75) -> np.ndarray:
    t = np.abs(t)
    near = (a + 2) * t**3 - (a + 3) * t**2 + 1
    far = a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a
    return np.where(t <= 1, near, np.where(t < 2, far, 0))


@pytest.mark.parametrize("blend", ["normal", "multiply", "screen"])
@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize(("scale", "opacity"), [(0.18, 1.0), (0.3, 0.6), (0.8, 1.0), (1.3, 0.5), (2.2, 1.0)])
def test_at_most_one_level_from_the_reference(blend: str, channels: int, scale: float, opacity: float) -> None:
    rng = np.random.default_rng(int(scale * 100) + channels)
    side = 1024 if scale < 0.5 else 256
    sticker = smooth(rng, side, side, 4)
    # With a soft border, as a hard edge would also be moved by up to 1/64 pixel.
    ramp = np.minimum(np.arange(side), np.arange(side)[::-1]).clip(0, side / 4) / (side / 4)
    sticker[..., 3] = sticker[..., 3] * np.outer(ramp, ramp)
    image = smooth(rng, 240, 210, channels)
    matrix = geometry.compose(
        geometry.translation(-side / 2, -side / 2),
        geometry.scaling(scale, scale * 1.1),
        geometry.rotation(25),
        geometry.translation(120.3, 99.6),
    )
    expected = reference(image, sticker, matrix, blend, opacity)
    drawn = Warp(matrix).draw(Texture(sticker), (240, 210))
    assert drawn is not None
    actual = image.copy()
    composite(actual, *drawn, blend, opacity)
    difference = np.abs(actual - expected)
    if channels == 4:
        difference[..., :3] *= expected[..., 3:] / 255  # weighted by the opacity
    assert difference.max() <= 1


def test_nothing_outside_the_rectangle_is_touched() -> None:
    image = np.full((40, 50, 3), 100, np.uint8)
    composite(image, np.full((5, 6, 4), 255, np.float32), (7, 9))
    assert (image[9:14, 7:13] == 255).all()
    image[9:14, 7:13] = 100
    assert (image == 100).all()


def test_opaque_stays_opaque_and_invisible_keeps_its_bytes() -> None:
    image = np.zeros((4, 4, 4), np.uint8)
    image[..., :3] = 33
    image[0] = (10, 20, 30, 255)
    composite(image, np.zeros((4, 4, 4), np.float32), (0, 0))
    assert (image[0] == (10, 20, 30, 255)).all()
    assert (image[1:] == (33, 33, 33, 0)).all()


def test_unknown_blend() -> None:
    with pytest.raises(ValueError, match="multiply"):
        composite(np.zeros((4, 4, 3), np.uint8), np.zeros((2, 2, 4), np.float32), (0, 0), "dodge")


def test_several_threads_draw_from_one_texture() -> None:
    image = np.random.default_rng(0).integers(0, 256, (256, 256, 4)).astype(np.uint8)
    sides = [Texture(image).level(2.0**-level)[0].shape[0] for level in range(7)]
    with ThreadPoolExecutor(6) as pool:
        for _ in range(30):
            texture, start = Texture(image), threading.Barrier(6)
            list(pool.map(lambda _, t=texture, s=start: (s.wait(), t.level(2.0**-6)), range(6)))
            assert [texture.level(2.0**-level)[0].shape[0] for level in range(7)] == sides
