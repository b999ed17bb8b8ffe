"""Paired transforms: geometric transforms apply to the image and to its points.

They are `paddle.vision.transforms.BaseTransform`s with the keys ("image", "coords"), so they combine with Paddle's own
in a `paddle.vision.transforms.Compose`. The image is BGR uint8 (H, W, 3); the points are float32 (K, 2) pixels. A third
field is optional, ("image", "coords", "visible"): (K,) float32, 1 where a point is seen, 0 where not, NaN where that is
unknown.
Random transforms sample from Python's `random`, as Paddle's do; the data set seeds it for every sample.
"""

from __future__ import annotations

import inspect
import random
from collections.abc import Sequence
from typing import Any, Callable

import cv2
import numpy as np
from paddle.vision.transforms import BaseTransform, ColorJitter, Compose

from facekp import registry
from facekp.errors import UserError
from facekp.landmarks import IBUG68, PointSchema
from facekp.registry import Spec
from facekp.vision import geometry, pixels


class _Geometric(BaseTransform):
    """Transform by one matrix: subclasses return (matrix, (width, height)) from `_get_params`.

    A subclass that returns something else overrides the `_apply` methods, as `RandomFlip` does.
    """

    def __init__(self) -> None:
        super().__init__(keys=("image", "coords", "visible"))

    def _apply_image(self, image: np.ndarray) -> np.ndarray:
        matrix, size = self.params
        return geometry.warp(image, matrix, size)

    def _apply_coords(self, coords: np.ndarray) -> np.ndarray:
        return geometry.apply(self.params[0], coords)

    def _apply_visible(self, visible: np.ndarray) -> np.ndarray:
        return visible


class Resize(_Geometric):
    """Resizes the image so that its shorter side is `size` pixels; keeps the aspect ratio.

    Example:
        >>> image, coords = Resize(50)((np.zeros((100, 200, 3), np.uint8), np.array([[199.5, 99.5]])))
        >>> image.shape, coords.tolist()
        ((50, 100, 3), [[99.5, 49.5]])
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def _get_params(self, inputs: tuple) -> tuple[np.ndarray, tuple[int, int]]:
        height, width = inputs[0].shape[:2]
        scale = self.size / min(height, width)
        target = (round(width * scale), round(height * scale))
        return geometry.resizing((width, height), target), target

    def _apply_image(self, image: np.ndarray) -> np.ndarray:
        _, target = self.params
        shrinking = target[0] < image.shape[1]
        return cv2.resize(image, target, interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR)


class _Crop(_Geometric):
    """Crops a square of `size` pixels at a corner that subclasses choose; no resampling."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def _corner(self, free_x: int, free_y: int) -> tuple[int, int]:
        raise NotImplementedError

    def _get_params(self, inputs: tuple) -> tuple[np.ndarray, tuple[int, int]]:
        height, width = inputs[0].shape[:2]
        if min(height, width) < self.size:
            raise UserError(
                f"{type(self).__name__}: the image, {width}x{height}, is smaller than the crop, {self.size}; "
                f"put a Resize of at least {self.size} before it"
            )
        self.x, self.y = self._corner(width - self.size, height - self.size)
        return geometry.translation(-self.x, -self.y), (self.size, self.size)

    def _apply_image(self, image: np.ndarray) -> np.ndarray:
        return image[self.y : self.y + self.size, self.x : self.x + self.size]


class RandomCrop(_Crop):
    """Crops a square of `size` pixels at a random position. For training; validation uses `CenterCrop`."""

    def _corner(self, free_x: int, free_y: int) -> tuple[int, int]:
        return random.randint(0, free_x), random.randint(0, free_y)


class CenterCrop(_Crop):
    """Crops the central square of `size` pixels."""

    def _corner(self, free_x: int, free_y: int) -> tuple[int, int]:
        return free_x // 2, free_y // 2


class RandomFlip(_Geometric):
    """Mirrors the image with probability `p`, and gives every point the index of its mirrored position.

    Args:
        p: Probability.
        schema: Schema of the points.
    """

    def __init__(self, p: float = 0.5, schema: PointSchema = IBUG68) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError("p is a probability, from 0 to 1")
        if p:
            schema.need_mirror_pairs("RandomFlip")
        self.p, self.schema = p, schema

    def _get_params(self, inputs: tuple) -> tuple[np.ndarray, bool]:
        return geometry.mirror(inputs[0].shape[1]), random.random() < self.p

    def _apply_image(self, image: np.ndarray) -> np.ndarray:
        return cv2.flip(image, 1) if self.params[1] else image

    def _apply_coords(self, coords: np.ndarray) -> np.ndarray:
        matrix, flip = self.params
        return geometry.apply(matrix, coords)[self.schema.flip_order] if flip else coords

    def _apply_visible(self, visible: np.ndarray) -> np.ndarray:
        return visible[self.schema.flip_order] if self.params[1] else visible


class FaceCrop(_Geometric):
    """Crops the square around the face, with all random geometry in one matrix and one warp.

    With all random ranges at zero it is the crop of evaluation and inference.

    Args:
        size: Side of the crop in pixels.
        margin: Margin around the face's box (`PointSchema.face_box`), as a fraction of its longer side.
        rotate: Standard deviation of the rotation in degrees (clipped at two standard deviations).
        scale: The square is scaled by a factor from 1 / (1 + scale) to 1 + scale.
        shift: Maximum shift of the square in x and y, as a fraction of its side.
        flip: Probability of mirroring.
        schema: Schema of the points.

    Example:
        >>> from facekp.landmarks import parse_schema
        >>> corners = parse_schema({"name": "corners", "points": ["first", "last"]}, "an example")
        >>> image, face = np.zeros((90, 90, 3), np.uint8), np.array([[30.0, 30.0], [60.0, 60.0]])
        >>> image, coords = FaceCrop(size=60, margin=0.5, schema=corners)((image, face))
        >>> image.shape, coords.tolist()
        ((60, 60, 3), [[14.5, 14.5], [44.5, 44.5]])
    """

    def __init__(
        self,
        size: int,
        margin: float = 0.15,
        rotate: float = 0.0,
        scale: float = 0.0,
        shift: float = 0.0,
        flip: float = 0.0,
        schema: PointSchema = IBUG68,
    ) -> None:
        super().__init__()
        if size < 1 or margin < -0.25 or min(rotate, scale, shift) < 0 or not 0 <= flip <= 1:
            raise ValueError("size is at least 1, margin at least -0.25, rotate, scale and shift are not negative, and "
                             "flip is a probability, from 0 to 1")  # fmt: skip
        if flip:
            schema.need_mirror_pairs("flip")
        self.size, self.margin = size, margin
        self.rotate, self.scale, self.shift, self.flip = rotate, scale, shift, flip
        self.schema = schema

    @property
    def reach(self) -> float:
        """Maximum distance of a crop from the centre of the face's box, as a fraction of its longer side."""
        turn = np.radians(min(2 * self.rotate, 45))
        return float((0.5 + self.margin) * (1 + 2 * self.shift) * (1 + self.scale) * (np.cos(turn) + np.sin(turn)))

    def _get_params(self, inputs: tuple) -> tuple[np.ndarray, tuple[int, int]]:
        size, middle = self.size, ((self.size - 1) / 2,) * 2
        steps = [geometry.square_crop(self.schema.face_box(inputs[1]).tolist(), self.margin, size)]
        if self.rotate:
            turn = max(-2 * self.rotate, min(2 * self.rotate, random.gauss(0, self.rotate)))
            steps.append(geometry.rotation(turn, middle))
        if self.scale:
            factor = (1 + self.scale) ** random.uniform(-1, 1)
            to_origin = geometry.translation(-middle[0], -middle[1])
            steps += [to_origin, geometry.scaling(factor), geometry.translation(*middle)]
        if self.shift:
            reach = self.shift * size
            steps.append(geometry.translation(random.uniform(-reach, reach), random.uniform(-reach, reach)))
        self.flipped = random.random() < self.flip
        if self.flipped:
            steps.append(geometry.mirror(size))
        return geometry.compose(*steps), (size, size)

    def _apply_coords(self, coords: np.ndarray) -> np.ndarray:
        coords = super()._apply_coords(coords)
        return coords[self.schema.flip_order] if self.flipped else coords

    def _apply_visible(self, visible: np.ndarray) -> np.ndarray:
        return visible[self.schema.flip_order] if self.flipped else visible


class Pixels(BaseTransform):
    """Transform of the image only, by a step of `facekp.vision.pixels`.

    Args:
        step: Step, called with the image.
    """

    def __init__(self, step: Callable[[np.ndarray], np.ndarray]) -> None:
        super().__init__(keys=("image",))
        self.step = step

    def _apply_image(self, image: np.ndarray) -> np.ndarray:
        return self.step(image)


class _Sometimes(BaseTransform):
    """Changes the image, not its points, with probability `p`; subclasses define `_change`."""

    def __init__(self, p: float) -> None:
        super().__init__(keys=("image",))
        if not 0 <= p <= 1:
            raise ValueError("p is a probability, from 0 to 1")
        self.p = p

    def _apply_image(self, image: np.ndarray) -> np.ndarray:
        return self._change(image) if random.random() < self.p else image

    def _change(self, image: np.ndarray) -> np.ndarray:
        raise NotImplementedError


class Blur(_Sometimes):
    """Blurs the image with a Gaussian.

    Args:
        p: Probability.
        max_sigma: Maximum standard deviation in pixels.
    """

    def __init__(self, p: float, max_sigma: float = 2.0) -> None:
        super().__init__(p)
        if not 0 < max_sigma <= 100:
            raise ValueError("max_sigma is a standard deviation in pixels, more than 0 and at most 100")
        self.max_sigma = max_sigma

    def _change(self, image: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(image, (0, 0), random.uniform(0.3, self.max_sigma))


class LowResolution(_Sometimes):
    """Shrinks the image and enlarges it again, as if the face were small in its image.

    Args:
        p: Probability.
        min_scale: Minimum scale.
    """

    def __init__(self, p: float, min_scale: float = 0.25) -> None:
        super().__init__(p)
        if not 0 < min_scale <= 1:
            raise ValueError("min_scale is a scale, more than 0 and at most 1")
        self.min_scale = min_scale

    def _change(self, image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        scale = random.uniform(self.min_scale, 1)
        size = geometry.scaled_size((width, height), scale)
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


class Noise(_Sometimes):
    """Adds Gaussian noise, as a camera does in the dark.

    Args:
        p: Probability.
        max_std: Maximum standard deviation in grey levels.
    """

    def __init__(self, p: float, max_std: float = 12.0) -> None:
        super().__init__(p)
        if not 0 <= max_std <= 255:
            raise ValueError("max_std is a standard deviation in grey levels, from 0 to 255")
        self.max_std = max_std

    def _change(self, image: np.ndarray) -> np.ndarray:
        rng = np.random.default_rng(random.getrandbits(32))
        noise = rng.standard_normal(image.shape[:2], np.float32) * random.uniform(0, self.max_std)
        return np.clip(image + noise[..., None], 0, 255).astype(np.uint8)


class Occlude(_Sometimes):
    """Covers a rectangle with another part of the image, or with one colour.

    Args:
        p: Probability.
        max_side: Maximum width and height, as a fraction of the image's side.
    """

    def __init__(self, p: float, max_side: float = 0.45) -> None:
        super().__init__(p)
        if not 0 < max_side < 1:
            raise ValueError("max_side is a fraction of the image's side, between 0 and 1")
        self.max_side = max_side

    def _change(self, image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        high, wide = (max(1, round(side * random.uniform(0.1, self.max_side))) for side in (height, width))

        def corner() -> tuple[int, int]:
            return random.randint(0, height - high), random.randint(0, width - wide)

        (top, left), (y, x) = corner(), corner()
        colour = [random.randrange(256) for _ in range(image.shape[2])]
        changed = image.copy()
        changed[top : top + high, left : left + wide] = (
            image[y : y + high, x : x + wide] if random.random() < 0.5 else colour
        )
        return changed


class Cover(BaseTransform):
    """Covers a part of a face, as masks, hands, dark glasses and hair do, and marks the points that are hidden.

    One of four shapes covers the face, with a colour or a part of the image: most often the lower face from the nose or
    the mouth down (a mask, a scarf), else a band over the eyes, an ellipse at the edge of the face (a hand, hair), or
    an ellipse anywhere on it. Points under it become 0 in "visible"; if the input has no "visible", the other known
    points become 1. Use it after `FaceCrop`.

    Args:
        p: Probability.
        schema: Schema of the points; the first two shapes need the 68 of `ibug68`, other schemas get ellipses.
    """

    def __init__(self, p: float, schema: PointSchema = IBUG68) -> None:
        super().__init__(keys=("image", "coords", "visible"))
        if not 0 <= p <= 1:
            raise ValueError("p is a probability, from 0 to 1")
        self.p, self.schema = p, schema

    def __call__(self, inputs: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
        """Cover the face, or leave it unchanged; the result includes which points are seen."""
        if len(inputs) == 2:
            known = np.isfinite(inputs[1]).all(-1)
            inputs = (*inputs, np.where(known, np.float32(1), np.float32(np.nan)))
        return super().__call__(inputs)

    def _get_params(self, inputs: tuple) -> np.ndarray | None:
        """Sample the cover, (H, W) uint8, non-zero where it lies; None for no cover."""
        image, points = inputs[:2]
        if random.random() >= self.p or not np.isfinite(points).all():
            return None
        over = np.zeros(image.shape[:2], np.uint8)
        known = self.schema.name == "ibug68" and len(points) == self.schema.num_points
        kind = random.choice(("mask", "mask", "band", "edge", "blob") if known else ("edge", "blob"))
        if kind == "mask":
            top = random.choice((28, 29, 30, 33, 51, 62))  # on the nose's bridge, its tip, the lips
            first = random.randint(1, 4)
            middle = points.mean(0)
            jaw = middle + (points[first : 17 - first] - middle) * random.uniform(1.0, 1.12)
            cv2.fillPoly(over, [np.round(np.vstack([jaw, points[top]])).astype(np.int32)], 255)
        elif kind == "band":
            ends = points[[36, 45]] + (points[[36, 45]] - points[[45, 36]]) * random.uniform(0.1, 0.3)
            wide = max(2, round(float(np.linalg.norm(ends[1] - ends[0])) * random.uniform(0.15, 0.35)))
            cv2.line(over, *(tuple(int(v) for v in end) for end in ends), 255, wide)
        else:
            x0, y0, x1, y1 = self.schema.face_box(points)
            outer = kind == "edge"
            near = 1.0 if outer else 0.5
            angle = random.uniform(0, 2 * np.pi)
            middle = np.array([x0 + x1, y0 + y1]) / 2 + near * np.array([x1 - x0, y1 - y0]) / 2 * [
                np.cos(angle), np.sin(angle)] * (1 if outer else random.random())  # fmt: skip
            axes = np.array([x1 - x0, y1 - y0]) * [random.uniform(0.12, 0.4), random.uniform(0.12, 0.4)]
            cv2.ellipse(over, (middle.tolist(), (2 * axes).tolist(), random.uniform(0, 180)), 255, -1)
        return over

    def _apply_image(self, image: np.ndarray) -> np.ndarray:
        over = self.params
        if over is None:
            return image
        colour = np.array([random.randrange(256) for _ in range(3)])
        if random.random() < 0.4:  # a part of the image itself: skin, cloth
            cover = np.roll(image, (random.randrange(image.shape[0]), random.randrange(image.shape[1])), (0, 1))
        else:
            rng = np.random.default_rng(random.getrandbits(32))
            coarse = rng.normal(0, random.uniform(0, 25), (6, 6, 1)).astype(np.float32)
            folds = cv2.resize(coarse, image.shape[1::-1], interpolation=cv2.INTER_CUBIC)[..., None]
            cover = np.clip(colour + folds, 0, 255).astype(np.uint8)
        share = cv2.GaussianBlur(over, (0, 0), 0.7)[..., None].astype(np.float32) / 255
        return (image * (1 - share) + cover * share).round().astype(np.uint8)

    def _apply_coords(self, coords: np.ndarray) -> np.ndarray:
        self._covered = np.zeros(len(coords), bool)
        if self.params is not None:
            height, width = self.params.shape
            x, y = np.round(np.clip(coords, 0, [width - 1, height - 1])).astype(int).T
            self._covered = self.params[y, x] > 0
        return coords

    def _apply_visible(self, visible: np.ndarray) -> np.ndarray:
        return np.where(self._covered, np.float32(0), visible)


def _pixels(name: str) -> Callable[..., BaseTransform]:
    """Return a function that builds `Pixels` of a step, with the step's options as its signature."""

    def build(**options: Any) -> BaseTransform:
        return Pixels(pixels.build_pixels([{"type": name, **options}]))

    parameters = list(inspect.signature(pixels.PIXELS[name]).parameters.values())[1:]
    build.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters]
    )
    return build


def _paddle_image_transform(kind: type[BaseTransform]) -> Callable[..., BaseTransform]:
    """Return a function that builds one of Paddle's transforms, for the image and not for the points."""

    def build(**options: Any) -> BaseTransform:
        return kind(**options, keys=("image",))

    signature = inspect.signature(kind)
    build.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[p for p in signature.parameters.values() if p.name != "keys"]
    )
    return build


#: Name in a config -> callable that builds the transform.
TRANSFORMS: dict[str, Callable[..., BaseTransform]] = {
    "Resize": Resize,
    "RandomCrop": RandomCrop,
    "CenterCrop": CenterCrop,
    "RandomFlip": RandomFlip,
    "FaceCrop": FaceCrop,
    "ColorJitter": _paddle_image_transform(ColorJitter),
    "Blur": Blur,
    "LowResolution": LowResolution,
    "Noise": Noise,
    "Occlude": Occlude,
    "Cover": Cover,
    **{name: _pixels(name) for name in pixels.PIXELS},
}

#: Names of the transforms that also change the points.
MOVING = tuple(name for name, kind in TRANSFORMS.items() if isinstance(kind, type) and issubclass(kind, _Geometric))


def build_transforms(specs: Sequence[Spec], schema: PointSchema = IBUG68) -> Compose:
    """Build a pipeline from a config's list.

    Args:
        specs: Transforms, each a `type` of `TRANSFORMS` and its options.
        schema: Schema of the points.

    Returns:
        A `paddle.vision.transforms.Compose`; call it with (image, coords).

    Raises:
        UserError: Unknown type or option; the message lists the valid ones.

    Example:
        >>> pipeline = build_transforms([{"type": "Resize", "size": 64}, {"type": "ToCHW"}])
        >>> pipeline((np.zeros((128, 128, 3), np.uint8), np.zeros((68, 2))))[0].shape
        (3, 64, 64)
    """
    return Compose([registry.build(TRANSFORMS, spec, "transform", schema=schema) for spec in specs])
