"""Stickers: layers anchored to faces, and their drawing on images."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Optional, Protocol

import numpy as np

from facekp.errors import UserError
from facekp.inference.faces import Faces
from facekp.landmarks import IBUG68, anchor_names
from facekp.stickers.composite import Blend, composite
from facekp.stickers.fit import Fit, Placement, fit
from facekp.stickers.hide import cut
from facekp.stickers.texture import Texture
from facekp.stickers.triangles import match_colours
from facekp.stickers.triggers import Trigger
from facekp.stickers.wearer import Side, Wearer


class Worn(Protocol):
    """Interface of the parts of a sticker: `Layer` or `facekp.stickers.makeup.Paint`.

    Attributes:
        name: Name in messages.
        places: Names of the anchors that it needs.
        whole: Whether it needs all 68 points of a face.
        order: Position in the drawing order; lower values are drawn first.
        trigger: Condition for showing it; None: always shown.
        max_faces: Maximum number of faces that wear it, the largest first.
        length: Total duration of its frames in seconds.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def places(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def whole(self) -> bool: ...  # noqa: D102
    @property
    def order(self) -> int: ...  # noqa: D102
    @property
    def trigger(self) -> Trigger | None: ...  # noqa: D102
    @property
    def max_faces(self) -> int: ...  # noqa: D102
    @property
    def length(self) -> float: ...  # noqa: D102

    def put(self, image: np.ndarray, wearer: Wearer, visible: float, seconds: float) -> None:
        """Draw the layer on one face, in place.

        Args:
            image: (H, W, 3) BGR or (H, W, 4) BGRA, uint8.
            wearer: Face to draw on.
            visible: Factor of the opacity, 0..1.
            seconds: Time in seconds since the start, or since the layer's trigger fired.
        """


@dataclass(frozen=True, eq=False)
class Layer:
    """One image, or a sequence of images, anchored to places of the face.

    Attributes:
        name: Name in messages.
        frames: Images, all of one size.
        places: K names of anchors, see `facekp.landmarks.anchors`.
        pixels: (K, 2) positions of those places in pixels of the images.
        fit: Type of the warp: "similarity" (K >= 2), "affine" (K >= 3), "mesh" (K >= 4), or "face", with which `pixels`
            are the 84 points of `facekp.stickers.triangles.mesh_points`, and `places` do not affect the warp.
        frame_ms: Duration of each frame in milliseconds.
        order: Position in the drawing order; lower values are drawn first.
        opacity: Opacity, 0..1.
        blend: Blend mode, "normal", "multiply" or "screen".
        trigger: Condition for showing it; None: always shown.
        behind: "nothing", or "face": hidden inside the face outline.
        within: "anywhere", or "face": hidden outside the face outline.
        side: Side of the head that carries it, "left", "right" (the viewer's) or "none".
        hidden_from: Degrees of yaw from which that side is hidden; it fades over the 15 degrees before.
        match: Whether the colours are matched to those of the face below.
        max_faces: Maximum number of faces that wear it, the largest first.
    """

    name: str
    frames: tuple[Texture, ...]
    places: tuple[str, ...]
    pixels: np.ndarray
    fit: Fit = "similarity"
    frame_ms: float = 100.0
    order: int = 0
    opacity: float = 1.0
    blend: Blend = "normal"
    trigger: Optional[Trigger] = None
    behind: Literal["nothing", "face"] = "nothing"
    within: Literal["anywhere", "face"] = "anywhere"
    side: Side = "none"
    hidden_from: float = 20.0
    match: bool = False
    max_faces: int = 100

    @property
    def whole(self) -> bool:
        """Whether it needs all 68 points of a face."""
        return self.fit == "face"

    @property
    def length(self) -> float:
        """Total duration of the frames in seconds."""
        return len(self.frames) * self.frame_ms / 1000

    def place(self, wearer: Wearer) -> Placement | None:
        """Return the placement on a face; None if the face is too small or its points are unknown."""
        target = wearer.target(self.places, self.fit)
        return fit(self.fit, self.pixels, target) if np.isfinite(target).all() else None

    def frame(self, seconds: float) -> Texture:
        """Return the image to show `seconds` after the start."""
        # Frame times have rounding errors: 1.2 - 1.0 is less than 0.2.
        return self.frames[int(seconds * 1000 / self.frame_ms + 1e-6) % len(self.frames)]

    def put(self, image: np.ndarray, wearer: Wearer, visible: float, seconds: float) -> None:
        """Draw the layer on one face, in place; see `Worn`."""
        texture, opacity = self.frame(seconds), self.opacity * visible * wearer.facing(self.side, self.hidden_from)
        if texture.empty or not opacity:
            return
        placement = self.place(wearer)
        drawn = placement.draw(texture, (image.shape[1], image.shape[0])) if placement is not None else None
        if drawn is None:
            return
        patch, origin = drawn
        if self.match:
            match_colours(patch, image[origin[1] :, origin[0] :][: len(patch), : patch.shape[1], :3])
        if wearer.complete and self.behind == "face":
            cut(patch, origin, wearer.outline, keep="outside")
        if wearer.complete and self.within == "face":
            cut(patch, origin, wearer.outline, keep="inside")
        composite(image, patch, origin, self.blend, opacity)


class Sticker:
    """Set of layers that are drawn on faces together.

    Args:
        layers: Layers in any order; `Layer.order` determines which is drawn first.
        name: Name of the pack.
        title: Name to display.
        fade: Range of face scores over which the sticker fades from invisible to its full opacity.

    Example:
        >>> from facekp.landmarks import MEAN_FACE
        >>> dot = Texture(np.full((9, 9, 4), 255, np.uint8))
        >>> eyes = np.array([[2.0, 4.0], [6.0, 4.0]])
        >>> white = Sticker([Layer("dot", (dot,), ("left_eye", "right_eye"), eyes)])
        >>> points = MEAN_FACE * 100 + 50
        >>> faces = Faces.from_arrays([points], [[50, 50, 150, 147]], [1.0])
        >>> photo = np.zeros((200, 200, 3), np.uint8)
        >>> int(white.apply(photo, faces)[66, 100, 0]), int(photo.max())
        (255, 0)
    """

    def __init__(
        self, layers: Iterable[Worn], name: str = "", title: str = "", fade: tuple[float, float] = (0.2, 0.4)
    ) -> None:
        self.layers = tuple(sorted(layers, key=lambda layer: layer.order))
        self.name, self.title, self.fade = name, title, fade

    def apply(self, image: np.ndarray, faces: Faces, seconds: float = 0.0, pretend: bool = False) -> np.ndarray:
        """Draw the sticker on the faces of an image, the largest face last.

        Args:
            image: (H, W, 3) BGR or (H, W, 4) BGRA, uint8.
            faces: Faces as returned by the landmarker; those of a tracker keep the state of triggers between frames.
            seconds: Time since the start in seconds, for layers of several frames.
            pretend: Show layers with triggers as if the triggers had fired.

        Returns:
            A new image with the shape and dtype of `image`.

        Raises:
            ValueError: `image` is not a uint8 image of three or four channels.
            UserError: The points of the faces do not provide an anchor that a layer needs, or do not convert to the 68
                that triggers, make-up and whole faces need.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (3, 4):
            raise ValueError(f"stickers need (H, W, 3 or 4) uint8, not {image.shape} {image.dtype}")
        missing = {place for layer in self.layers for place in layer.places} - anchor_names(faces.schema)
        if missing:
            raise UserError(
                f"sticker {self.name}: needs the anchor {sorted(missing)[0]}, which the points of {faces.schema.name} "
                "do not give; choose another sticker or --source"
            )
        whole = any(layer.whole or (layer.trigger is not None and not pretend) for layer in self.layers)
        if whole and faces.schema.conversion(IBUG68) is None:
            raise UserError(
                f"sticker {self.name}: needs the points of {IBUG68.name}, which those of {faces.schema.name} do not "
                "convert to; choose another sticker or --source"
            )
        result = image.copy()
        low, high = self.fade
        for index in reversed(range(len(faces))):
            visible = float(np.clip((faces.scores[index] - low) / max(high - low, 1e-6), 0, 1))
            if visible > 0 and np.isfinite(faces.points[index]).all():
                self._put(result, Wearer(faces, index), visible, seconds, pretend)
        return result

    def _put(self, image: np.ndarray, wearer: Wearer, visible: float, seconds: float, pretend: bool) -> None:
        """Draw all layers on one face, in place."""
        for layer in self.layers:
            if wearer.rank >= layer.max_faces:
                continue
            since: float | None = seconds
            if layer.trigger is not None and pretend:
                since = layer.trigger.at_once(1.0, layer.length)
            elif layer.trigger is not None:
                since = wearer.shown_for(layer, layer.trigger, seconds, layer.length)
            if since is not None:
                layer.put(image, wearer, visible, since)


def combine(stickers: Iterable[Sticker]) -> Sticker:
    """Combine stickers into one: their layers are sorted by `Layer.order`, so a hat is drawn over any pair of glasses.

    Example:
        >>> combine([Sticker([], "a"), Sticker([], "b")]).name
        'a+b'
    """
    stickers = list(stickers)
    layers = [layer for sticker in stickers for layer in sticker.layers]
    return Sticker(layers, "+".join(s.name for s in stickers), " + ".join(s.title for s in stickers))
