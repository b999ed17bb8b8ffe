# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
# ---

# %% [markdown]
# # Design a sticker
#
# A sticker pack is a folder with PNGs and a `manifest.json` that ties pixels of the PNGs to places of the face. This
# lesson draws one from nothing: star glasses with a trigger. The reference of all keys is in
# [stickers](../stickers.md#packs).

# %%
import json
import os
import tempfile
from pathlib import Path

import cv2
import numpy as np
from IPython.display import Image, display

import facekp

CLONE = Path(facekp.__file__).parents[1]
os.chdir(tempfile.mkdtemp())  # the lesson writes here


def show(image):
    """Show a BGR image."""
    display(Image(cv2.imencode(".jpg", image)[1].tobytes()))


# %% [markdown]
# ## Draw
#
# Any program that writes PNGs with transparency will do. We draw two golden stars and a bridge, four times too large
# and then shrunk, which makes smooth edges.

# %%
WIDTH, HEIGHT = 600, 440
LEFT, RIGHT, ABOVE = (150, 320), (450, 320), (300, 20)  # where the eyes are to be, and the place above them


def star(centre, radius, turn=0.0):
    """Corners of a five-pointed star."""
    angles = np.radians(turn - 90 + 36 * np.arange(10))
    radii = np.where(np.arange(10) % 2, 0.55 * radius, radius)
    return np.stack([centre[0] + radii * np.cos(angles), centre[1] + radii * np.sin(angles)], 1)


def draw(shapes, width, height, fine=4):
    """Draw (corners, colour with alpha, closed line or filled) and shrink."""
    image = np.zeros((height * fine, width * fine, 4), np.uint8)
    for corners, colour, line in shapes:
        corners = np.round(np.asarray(corners) * fine).astype(np.int32)
        if line:
            cv2.polylines(image, [corners], True, colour, line * fine, cv2.LINE_AA)
        else:
            cv2.fillPoly(image, [corners], colour)
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


GOLD, GLASS = (40, 180, 245, 255), (120, 40, 150, 150)  # BGR and alpha
bridge = ([(245, 305), (300, 292), (355, 305), (300, 298)], GOLD, 8)
stars = [shape for eye in (LEFT, RIGHT) for shape in ((star(eye, 110), GLASS, 0), (star(eye, 110), GOLD, 12))]
front = draw([bridge, *stars], WIDTH, HEIGHT)

Path("star_glasses").mkdir()
cv2.imwrite("star_glasses/front.png", front)
alpha = front[:, :, 3:] / 255
show((255 * (1 - alpha) + front[:, :, :3] * alpha).astype(np.uint8)[::2, ::2])

# %% [markdown]
# ## Tie it to the face
#
# Two anchors are a `similarity`: the layer is moved, turned and scaled. Glasses follow a turned head better with three,
# `affine`: here the third is `above_eyes`, as high above the eyes as they are apart. Anchors lie inside the PNG, so
# ours has empty space at the top.

# %%
manifest = {
    "name": "star_glasses",
    "title": "Star glasses",
    "author": "You",
    "licence": "CC0-1.0",
    "layers": [
        {
            "name": "front",
            "frames": ["front.png"],
            "fit": "affine",
            "order": 20,
            "anchors": {"left_eye": LEFT, "right_eye": RIGHT, "above_eyes": ABOVE},
        }
    ],
}
Path("star_glasses/manifest.json").write_text(json.dumps(manifest, indent=2))

from facekp.data.drawn import draw_face
from facekp.inference.faces import Faces
from facekp.stickers import combine, load_sticker
from facekp.vision.geometry import bounding_box

landmarker = facekp.load_landmarker()
photo = cv2.imread(str(CLONE / "assets/photos/astronaut.png"))
found = landmarker(photo)


def drawn(seed, size=300):
    """A drawn face and its exact points."""
    image, points = draw_face(seed, size)
    return image, Faces.from_arrays(points[None], bounding_box(points[None]), np.ones(1))


glasses = load_sticker("star_glasses")
show(np.hstack([glasses.apply(photo, found)[0:300, 80:380], *(glasses.apply(*drawn(seed)) for seed in (3, 8))]))

# %% [markdown]
# ## When something is wrong
#
# The message names the file, the layer and the key.

# %%
from facekp.errors import UserError

Path("broken").mkdir()
cv2.imwrite("broken/front.png", front)
broken = {**manifest, "layers": [{**manifest["layers"][0], "anchors": {"left_eye": LEFT, "rigth_eye": RIGHT}}]}
Path("broken/manifest.json").write_text(json.dumps(broken))
try:
    load_sticker("broken")
except UserError as error:
    print(error)

# %% [markdown]
# ## A trigger
#
# A second layer: sparks that fly while the mouth is wide open. Three frames, tied to the eyes, with `mouth_open` as
# their trigger.

# %%
rng = np.random.default_rng(0)
for frame in range(3):
    shapes = []
    for _ in range(40):
        angle, far = rng.uniform(0, 2 * np.pi), rng.uniform(110, 180) + 25 * frame
        centre = (250 + far * np.cos(angle), 250 + far * np.sin(angle))
        colour = [(40, 180, 245, 255), (90, 90, 250, 255), (250, 200, 90, 255)][rng.integers(3)]
        shapes.append((star(centre, rng.uniform(8, 22), rng.uniform(0, 72)), colour, 0))
    cv2.imwrite(f"star_glasses/sparks_{frame}.png", draw(shapes, 500, 500))

manifest["layers"].append(
    {
        "name": "sparks",
        "frames": ["sparks_0.png", "sparks_1.png", "sparks_2.png"],
        "frame_ms": 120,
        "fit": "similarity",
        "order": 30,
        "trigger": {"signal": "mouth_open", "on": 0.7, "off": 0.5, "hold_ms": 300},
        "anchors": {"left_eye": [200, 190], "right_eye": [300, 190]},
    }
)
Path("star_glasses/manifest.json").write_text(json.dumps(manifest, indent=2))
glasses = load_sticker("star_glasses")

for name, someone in (("drawn face 3", drawn(3)[1]), ("drawn face 8", drawn(8)[1]), ("astronaut", found)):
    print(f"{name}: mouth_open {someone.signals['mouth_open'][0]:.2f}")
show(np.hstack([glasses.apply(*drawn(seed)) for seed in (3, 8)]))

# %% [markdown]
# ## Together with others
#
# `order` decides what lies on top, across packs. `pretend=True` shows all triggers as if they had fired, to preview a
# design on a neutral face.

# %%
crowned = combine([glasses, load_sticker("crown"), load_sticker("blush")])
show(np.hstack([crowned.apply(photo, found, pretend=pretend)[0:300, 80:380] for pretend in (False, True)]))

# %% [markdown]
# The folder, or a zip of its files, works in all places where stickers do:
#
# ```bash
# facekp sticker photo.jpg --sticker star_glasses/
# ```
#
# and, as a zip, in [the page in the browser](../web.md): *Sticker pack (.zip)*. To draw over the mean face in SVG, so
# that the anchors need no measuring, see [drawing one](../stickers.md#drawing-one).
