# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
# ---

# %% [markdown]
# # 十分钟定义自己的关键点
#
# 用 12 个点代替 68 个：点集定义（schema）说明它们是什么，`check_labels` 找出标注中的错误，一个小网络学习这些点，
# 最后在这些点上画胡子。人脸是合成的，无需下载任何数据；换成自己的照片和标注，做法相同。
# 对应的命令见[自定义关键点](../own-points.zh.md)。

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
# ## 点集定义
#
# 只写点的名称就够了，其余各项按需要添加：`normalise` 用于计算误差，`regions` 用于查看误差出在哪里，`anchors` 用于贴纸，
# `convert_from` 用于从 68 点的人脸得到这些点。

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
# 镜像点对由名称自动推出。
#
# ## 标注
#
# 200 张合成人脸，旁边是它们的 COCO 关键点标注，格式与 CVAT 或 Label Studio 导出的相同。

# %%
from facekp.data.drawn import write_drawn_faces

write_drawn_faces("faces", 200, schema)
labels = json.loads(Path("faces/labels.json").read_text())
print(labels["annotations"][0]["keypoints"][:6], "...")

# %% [markdown]
# 左右互换是常见的标注错误。我们在一个标注中交换两个嘴角，检查能否被发现。

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
# `facekp check-labels` 把同样的结果写成带图像的网页。它只提出建议，不改动任何内容。下面继续使用正确的标注。
#
# ## 训练
#
# 使用配置 `own_points` 和我们的标注，训练 12 轮，而不是 25 轮。

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
# 以上是误差最大的几张人脸：绿色为真实点，红色为预测点。
#
# ## 使用
#
# 权重中保存着点集定义，因此 landmarker 也知道它；只要点集定义给出了贴纸所需的位置，自带的贴纸就能使用。

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
# 如果点集定义缺少某个位置，错误信息会指出是哪一个：

# %%
from facekp.errors import UserError

try:
    load_sticker("sunglasses").apply(image, found)
except UserError as error:
    print(error)
