# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
# ---

# %% [markdown]
# # Your own points in ten minutes
#
# Twelve points in place of the 68: a schema says what they are, `check_labels` finds a mistake in the labels, a small
# network learns them, and a moustache is drawn on them. The faces are synthetic, so that nothing has to be
# downloaded; your own photos and labels work in the same way. The commands that do the same are in [points of your
# own](../own-points.md).

# %%
import json
import os
import tempfile
from pathlib import Path

import cv2
import numpy as np
from IPython.display import Image, display

import facekp

os.chdir(tempfile.mkdtemp())  # the lesson writes here


def show(image):
    """Show a BGR image."""
    display(Image(cv2.imencode(".jpg", image)[1].tobytes()))


# %% [markdown]
# ## A schema
#
# Names of the points are enough. The rest is for what one wants to do: `normalise` to measure errors, `regions` to see
# where they are, `anchors` for stickers, `convert_from` to get the points from faces that have 68.

# %%
Path("twelve.yml").write_text("""
name: twelve
points: [
  left_eye_outer, left_eye_inner, right_eye_inner, right_eye_outer, nose_tip, left_nostril, right_nostril,
  left_lip_corner, right_lip_corner, upper_lip, lower_lip, chin
]
regions: {eyes: 0-3, nose: 4-6, mouth: 7-10, chin: chin}
normalise: [left_eye_outer, right_eye_outer]
edges:
  - {points: [left_eye_outer, left_eye_inner]}
  - {points: [right_eye_inner, right_eye_outer]}
  - {points: [left_nostril, nose_tip, right_nostril]}
  - {points: [left_lip_corner, upper_lip, right_lip_corner, lower_lip], closed: true}
anchors:
  left_eye: [0, 1]
  right_eye: [2, 3]
  mouth: 7-10
  mouth_top: upper_lip
  mouth_left: left_lip_corner
  mouth_right: right_lip_corner
whole_face: false
convert_from:
  ibug68: [36, 39, 42, 45, 30, 31, 35, 48, 54, 51, 57, 8]
""")

from facekp.landmarks import load_schema

schema = load_schema("twelve.yml")
print(schema.num_points, "points; mirror pairs:", schema.mirror_pairs)

# %% [markdown]
# The mirror pairs follow from the names.
#
# ## Labels
#
# 200 synthetic faces with COCO keypoints beside them, as CVAT or Label Studio would export them.

# %%
from facekp.data.drawn import write_drawn_faces

write_drawn_faces("faces", 200, schema)
labels = json.loads(Path("faces/labels.json").read_text())
print(labels["annotations"][0]["keypoints"][:6], "...")

# %% [markdown]
# Swapped left and right is a common labelling error. We swap the corners of the mouth in one label and check that it
# is found.

# %%
keypoints = labels["annotations"][41]["keypoints"]
left, right = 3 * schema.points.index("left_lip_corner"), 3 * schema.points.index("right_lip_corner")
keypoints[left : left + 3], keypoints[right : right + 3] = keypoints[right : right + 3], keypoints[left : left + 3]
Path("faces/mistaken.json").write_text(json.dumps(labels))

from facekp.data.formats import labels_source
from facekp.evaluation.labels import check_labels


def check(path):
    """Print what is found in a file of labels."""
    split = labels_source("coco", Path(path), "twelve.yml").load()
    checked = check_labels(
        [("train", part) for part in split.train] + [("validation", part) for part in split.validation]
    )
    print(path, len(checked.findings), "findings")
    for finding in checked.findings:
        print(f"  {finding.kind}: {finding.text}; {finding.image.name}")
    return checked


checked = check("faces/mistaken.json")
check("faces/labels.json")
# %%
from facekp.viz import draw_points

finding = checked.findings[0]
image, points = finding.part.load(finding.index)
picture = cv2.resize(draw_points(image, points, schema=schema), None, fx=3, fy=3)
for point in finding.points:
    x, y = (3 * points[point]).astype(int)
    cv2.putText(
        picture, schema.points[point], (x - 60, y - 12), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA
    )
show(picture)

# %% [markdown]
# `facekp check-labels` writes the same as a page with images. It proposes and changes nothing. We go on with the
# labels that are right.
#
# ## Training
#
# The config `own_points` with our labels, for 12 epochs in place of 25.

# %%
from facekp.training import evaluate, load_config, train

config = load_config(
    "own_points",
    ["data.sources=[{type: coco, labels: faces/labels.json, schema: twelve.yml}]", "data.workers=0", "train.epochs=12"],
)
summary = train(config)

# %%
result = evaluate(config, str(summary.weights))
for name, value in result.tables["all"].items():
    if value is not None and "nme" in name:
        print(f"{name:12} {value:.2%}")
show(result.worst)

# %% [markdown]
# These are the faces with the largest errors: true points in green, predicted ones in red.
#
# ## Use
#
# The weights know their schema, so the landmarker does, and the shipped stickers work where the schema has their
# places.

# %%
from facekp.stickers import load_sticker

landmarker = facekp.load_landmarker(summary.weights)
sticker = load_sticker("moustache")
tiles = []
for path in sorted(Path("faces/images").iterdir())[:8]:
    image = cv2.imread(str(path))
    found = landmarker(image)
    worn = sticker.apply(image, found)
    for points in found.points:
        worn = draw_points(worn, points, schema=found.schema)
    tiles.append(worn)
show(np.vstack([np.hstack(tiles[:4]), np.hstack(tiles[4:])]))

# %% [markdown]
# Where the schema lacks a place, the message names it:

# %%
from facekp.errors import UserError

try:
    load_sticker("sunglasses").apply(image, found)
except UserError as error:
    print(error)
