"""A sticker: layers tied to faces, and the one verb that puts them on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from facekp.errors import UserError
from facekp.inference.faces import Faces
from facekp.landmarks import IBUG68, anchor_names, anchors, mouth_openness
from facekp.stickers.composite import composite
from facekp.stickers.fit import Placement, fit
from facekp.stickers.hide import hide_behind_face
from facekp.stickers.texture import Texture

#: From this gap between the lips on (over the mouth's width) the mouth counts as open.
MOUTH_OPEN = 0.3


@dataclass(frozen=True)
class Layer:
    """One picture, or a sequence of them, tied to places of the face.

    Attributes:
        name: What messages call it.
        frames: The pictures, all of one size.
        places: K names out of `facekp.landmarks.anchors`.
        pixels: (K, 2) where those places lie in the pictures.
        fit: "similarity" (K >= 2), "affine" (K >= 3) or "mesh" (K >= 4).
        frame_ms: How long each frame is shown.
        order: Lower layers are drawn first.
        opacity: 0..1.
        blend: "normal", "multiply" or "screen".
        trigger: "always" or "mouth_open".
        behind: "nothing", or "face": hidden where the face is.
        max_faces: How many faces wear it at most, the largest first.
    """

    name: str
    frames: tuple[Texture, ...]
    places: tuple[str, ...]
    pixels: np.ndarray
    fit: str = "similarity"
    frame_ms: float = 100.0
    order: int = 0
    opacity: float = 1.0
    blend: str = "normal"
    trigger: str = "always"
    behind: str = "nothing"
    max_faces: int = 100

    def place(self, face: dict[str, np.ndarray]) -> Placement | None:
        """Where the layer lies on a face of these `anchors`; None if the face is too small to show it."""
        return fit(self.fit, self.pixels, np.array([face[name] for name in self.places]))

    def frame(self, seconds: float) -> Texture:
        """The picture to show `seconds` after the start."""
        return self.frames[int(seconds * 1000 / self.frame_ms) % len(self.frames)]


class Sticker:
    """Layers that are put on faces together.

    Args:
        layers: In any order; `Layer.order` says which is drawn first.
        name: The pack's name.
        title: What people call it.
        fade: Scores between which a face's sticker goes from invisible to its full opacity.

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
        self, layers: Iterable[Layer], name: str = "", title: str = "", fade: tuple[float, float] = (0.2, 0.4)
    ) -> None:
        self.layers = tuple(sorted(layers, key=lambda layer: layer.order))
        self.name, self.title, self.fade = name, title, fade

    def apply(self, image: np.ndarray, faces: Faces, seconds: float = 0.0) -> np.ndarray:
        """Put the sticker on the faces of a picture, the largest face last.

        Args:
            image: (H, W, 3) BGR or (H, W, 4) BGRA, uint8.
            faces: As the landmarker returns them.
            seconds: Time since the start, for layers of several frames.

        Returns:
            A new picture, shape and dtype of `image`.

        Raises:
            ValueError: `image` is no uint8 picture of three or four channels.
            UserError: The points of the faces do not give a place that a layer is tied to.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (3, 4):
            raise ValueError(f"stickers need (H, W, 3 or 4) uint8, not {image.shape} {image.dtype}")
        missing = {place for layer in self.layers for place in layer.places} - anchor_names(faces.schema)
        if missing:
            raise UserError(
                f"sticker {self.name}: needs the anchor {sorted(missing)[0]}, which the points of {faces.schema.name} "
                "do not give; choose another sticker or --source"
            )
        result = image.copy()
        low, high = self.fade
        for index in reversed(range(len(faces))):
            visible = float(np.clip((faces.scores[index] - low) / max(high - low, 1e-6), 0, 1))
            if visible > 0 and np.isfinite(faces.points[index]).all():
                self._put(result, faces, index, visible, seconds)
        return result

    def _put(self, image: np.ndarray, faces: Faces, rank: int, visible: float, seconds: float) -> None:
        """Draw all layers on one face, in place."""
        face = anchors(faces.points[rank], faces.schema)
        points = faces.schema.converted(faces.points[rank], IBUG68.name)  # None: no mouth and no outline to go by
        for layer in self.layers:
            if rank >= layer.max_faces:
                continue
            if layer.trigger == "mouth_open" and (points is None or mouth_openness(points) < MOUTH_OPEN):
                continue
            texture, placement = layer.frame(seconds), layer.place(face)
            if texture.empty or placement is None:
                continue
            drawn = placement.draw(texture, (image.shape[1], image.shape[0]))
            if drawn is None:
                continue
            patch, origin = drawn
            if layer.behind == "face" and points is not None:
                hide_behind_face(patch, origin, points)
            composite(image, patch, origin, layer.blend, layer.opacity * visible)


def combine(stickers: Iterable[Sticker]) -> Sticker:
    """Several stickers as one: their layers mix by `Layer.order`, so a hat sits over any pair of glasses.

    Example:
        >>> combine([Sticker([], "a"), Sticker([], "b")]).name
        'a+b'
    """
    stickers = list(stickers)
    layers = [layer for sticker in stickers for layer in sticker.layers]
    return Sticker(layers, "+".join(s.name for s in stickers), " + ".join(s.title for s in stickers))
