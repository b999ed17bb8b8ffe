# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
# ---

# %% [markdown]
# # From training to the browser
#
# Train a small network, export it, and load it in the page that puts stickers on faces in the browser. The faces are
# drawn, so the network learns drawings, not people; with your own data nothing else changes.

# %%
import os
import tempfile
import time

import cv2
import numpy as np
from IPython.display import Image, display

import facekp

os.chdir(tempfile.mkdtemp())  # the lesson writes here


def show(image):
    """Show a BGR image."""
    display(Image(cv2.imencode(".jpg", image)[1].tobytes()))


# %% [markdown]
# ## Train
#
# We use the config `quickstart`, with 600 faces and six epochs instead of 1,500 and eight.

# %%
from facekp.training import load_config, train

options = ["data.sources=[{type: drawn, train: 600, validation: 100}]", "train.epochs=6", "data.workers=0"]
summary = train(load_config("quickstart", options))
print(f"best error: {summary.best:.2%} of the eye distance, in {summary.weights}")

# %%
show(cv2.imread(str(summary.folder / "curves.png")))

# %%
show(cv2.imread(str(summary.folder / "faces.png")))

# %% [markdown]
# ## Export
#
# The exported network decodes its points itself: what comes out is pixels of the crop. `recipe.json` says how the crop
# is cut; `model.onnx` is all that the browser needs besides.

# %%
from facekp.inference.export import export

for path in export(summary.weights, "exported"):
    print(f"{path}  {path.stat().st_size / 1e6:.2f} MB")

# %% [markdown]
# The export and the weights give the same points, and ONNX Runtime, which the browser runs as WebAssembly, is faster:

# %%
from facekp.data.drawn import draw_face

boxes = [[30, 30, 130, 140]]
images = [draw_face(seed)[0] for seed in range(5000, 5020)]
results = {}
for name, source in (("weights, in Paddle", summary.weights), ("exported, in ONNX Runtime", "exported")):
    landmarker = facekp.load_landmarker(source, threads=1)
    landmarker(images[0], boxes=boxes)
    start = time.process_time()
    results[name] = [landmarker(image, boxes=boxes).points for image in images]
    print(f"{name:26} {(time.process_time() - start) / len(images) * 1000:.1f} ms a face")
ours, exported = results.values()
print(f"largest difference: {max(np.abs(a - b).max() for a, b in zip(ours, exported)):.4f} pixels")

# %% [markdown]
# ## In the browser
#
# ```bash
# facekp serve --weights output/quickstart/best.safetensors
# ```
#
# builds the page, if it is not built (that needs [Node](../web.md#build)), puts your network in the place of the
# shipped one and opens it. `facekp serve --build site/ --weights ...` writes the same as a folder for any web host. On
# a page that is open already, *Network (folder)* loads the folder `exported`.
#
# ![The page with such a network](../images/page.jpg)
#
# The same network and the same packs on three synthetic faces, drawn here in Python:

# %%
from facekp.stickers import combine, load_sticker
from facekp.viz import draw_points

landmarker = facekp.load_landmarker("exported")
sticker = combine([load_sticker("heart_glasses"), load_sticker("moustache")])
tiles = []
for seed in (5001, 5002, 5007):
    image, truth = draw_face(seed, 300)
    x0, y0, x1, y1 = *truth.min(0), *truth.max(0)
    found = landmarker(image, boxes=[[x0, y0, x1, y1]])
    tiles.append(np.vstack([draw_points(image, found.points[0]), sticker.apply(image, found)]))
show(np.hstack(tiles))
