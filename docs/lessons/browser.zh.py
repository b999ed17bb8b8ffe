# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
# ---

# %% [markdown]
# # 从训练到浏览器
#
# 训练一个小网络，导出，再加载到在浏览器中给人脸加贴纸的页面里。人脸由程序绘制，所以网络学到的是画出的脸，不是真人的脸；
# 换成自己的数据，其他步骤不变。

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
# ## 训练
#
# 使用配置 `quickstart`，600 张人脸、六轮，而不是 1,500 张、八轮。

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
# ## 导出
#
# 导出的网络自行解码关键点：输出就是裁剪图中的像素坐标。`recipe.json` 说明如何裁剪；除此之外，
# 浏览器只需要 `model.onnx`。

# %%
from facekp.inference.export import export

for path in export(summary.weights, "exported"):
    print(f"{path}  {path.stat().st_size / 1e6:.2f} MB")

# %% [markdown]
# 导出的网络与权重得到的点相同，而 ONNX Runtime（浏览器以 WebAssembly 运行它）更快：

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
# ## 在浏览器中
#
# ```bash
# facekp serve --weights output/quickstart/best.safetensors
# ```
#
# 页面若尚未构建则先构建（需要 [Node](../web.zh.md#build)），再用自己的网络替换自带的网络，并打开页面。
# `facekp serve --build site/ --weights ...` 把同样的内容写成一个文件夹，可放到任意网站服务器上。在已经打开的页面上，
# 用“网络（文件夹）”加载文件夹 `exported`。
#
# ![使用这种网络的页面](../images/page.jpg)
#
# 下面是同一个网络和同样的贴纸包在三张合成人脸上的结果，在 Python 中绘制：

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
