# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
# ---

# %% [markdown]
# # 设计贴纸
#
# 贴纸包是一个文件夹，其中有若干 PNG 和一个 `manifest.json`，后者把 PNG 中的像素固定到人脸的位置上。
# 本课从零开始画一个贴纸：带触发器的星星眼镜。全部键的说明见[贴纸](../stickers.zh.md#packs)。

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
# ## 绘制
#
# 任何能保存透明 PNG 的软件都可以。这里画两颗金色星星和一根鼻梁架，先按四倍大小绘制再缩小，使边缘平滑。

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
# ## 固定到人脸上
#
# 两个锚点构成 `similarity`：图层可以平移、旋转和缩放。眼镜用三个锚点的 `affine` 更能跟随转动的头部：
# 这里第三个锚点是 `above_eyes`，它在眼睛上方，高度等于眼距。锚点要在 PNG 之内，所以我们的 PNG 在上方留了空白。

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
# ## 出错时
#
# 错误信息会指出文件、图层和键。

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
# ## 触发器
#
# 第二个图层：嘴张大时飞出的火花。共三帧，固定在眼睛上，以 `mouth_open` 为触发器。

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
# ## 与其他贴纸一起使用
#
# `order` 决定哪个图层在上面，对不同的贴纸包同样有效。`pretend=True` 把所有触发器都视为已触发，
# 便于在没有表情的人脸上预览设计效果。

# %%
crowned = combine([glasses, load_sticker("crown"), load_sticker("blush")])
show(np.hstack([crowned.apply(photo, found, pretend=pretend)[0:300, 80:380] for pretend in (False, True)]))

# %% [markdown]
# 这个文件夹，或由其中的文件组成的 zip，可用于所有能使用贴纸的地方：
#
# ```bash
# facekp sticker photo.jpg --sticker star_glasses/
# ```
#
# 打成 zip 后，也可以用于[浏览器页面](../web.zh.md)：*贴纸包（.zip）*。如果想用 SVG 在平均脸上绘制，从而不必测量锚点，
# 请看[绘制贴纸](../stickers.zh.md#drawing-one)。
