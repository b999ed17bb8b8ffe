# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
# ---

# %% [markdown]
# # 教程逐步讲解
#
# facekp 起源于一篇教程：用 SAM-GoogLeNet-BN 检测人脸的 68 个关键点，再给人脸戴上眼镜。
# 本课用 facekp 把这篇教程从头到尾做一遍。教程有误之处，会在相应的步骤指出，并用代码演示。
#
# 全部内容只用合成人脸和一张公有领域的照片，单核约一分钟跑完。用
# 3,462 张真实图像得到的结果见[教程复现](../reproduction.zh.md)。

# %%
import os
import tempfile
from pathlib import Path

import cv2
import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Image, display

import facekp

CLONE = Path(facekp.__file__).parents[1]
os.chdir(tempfile.mkdtemp())  # the lesson writes here


def show(image):
    """Show a BGR image."""
    display(Image(cv2.imencode(".jpg", image)[1].tobytes()))


# %% [markdown]
# ## 数据
#
# 教程有 3,462 张训练图像和 770 张测试图像，每张标注 68 个点。`facekp prepare-data` 可以准备这份数据；
# 这里用合成人脸代替。
#
# > **教程有误。** 它用测试图像做验证，但其中的 347 个人全部也出现在训练图像中。
# > 这样得到的误差反映的是网络对这些人记得多牢。数据源 `csv68` 的 `split: person` 则留出一部分人做验证。

# %%
from facekp.data.drawn import DrawnFacesDataset
from facekp.viz import draw_points

faces = DrawnFacesDataset(count=4, size=224)
show(np.hstack([draw_points(image, points) for image, points in (faces[i] for i in range(4))]))

# %% [markdown]
# ## 数据变换
#
# 短边缩放到 256，随机裁剪到 224，转为灰度，除以 255；标注减去 104.47，再除以 43.17。
#
# > **教程有误。** 验证时也随机裁剪，因此同一份权重每次得到的误差都不同。下面是同一张图像的三次验证裁剪：
# > 上排按教程的做法，下排是修正后的做法。
# >
# > **教程的奇怪之处。** 104.47 和 43.17 是图像缩放之前标注的均值和标准差，却用在缩放之后。这并无害处：
# > 换成任何大小相近的两个数都可以。facekp 把这两个数与权重一起保存。

# %%
from facekp.data.transforms import CenterCrop, RandomCrop, Resize

image, points = faces[0]
rows = []
for crop in (RandomCrop(224), CenterCrop(224)):
    row = []
    for _ in range(3):
        cut, moved = crop(Resize(256)((image, points)))
        row.append(draw_points(cut, moved))
    rows.append(np.hstack(row))
show(cv2.resize(np.vstack(rows), None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA))

# %% [markdown]
# ## 网络
#
# GoogLeNet，前四个模块之后各有一个空间注意力，每次池化之后有批归一化。

# %%
import paddle

from facekp.models import build_network

network = build_network("sam_googlenet_bn", num_points=68, attention="argmax")
print(f"{sum(value.size for value in network.state_dict().values()):,} parameters")
print(network(paddle.zeros([1, 3, 224, 224])).shape)

# %% [markdown]
# > **教程有误。** 它的注意力使用通道的均值和 `argmax`，即最强通道的*索引*；而 CBAM 用的是最强通道的*值*。
# > 索引没有大小顺序的含义，梯度也无法通过。
#
# 下图依次为：照片、最大值、最强通道的索引，后两者取自未训练网络的第一个模块之后。

# %%
photo = cv2.imread(str(CLONE / "assets/photos/astronaut.png"))
grey = cv2.cvtColor(photo[0:250, 90:340], cv2.COLOR_BGR2GRAY)
paddle.seed(0)
first = build_network("sam_googlenet_bn", num_points=68).module1
features = first(paddle.to_tensor(np.repeat(grey[None, None] / 255, 3, 1).astype("float32")))
figure, axes = plt.subplots(1, 3, figsize=(9, 3))
for axis, picture, title in zip(axes, (grey, features.max(1)[0], features.argmax(1)[0]), ("photo", "max", "argmax")):
    axis.imshow(np.asarray(picture), cmap="gray" if title == "photo" else "viridis")
    axis.set_title(title)
    axis.axis("off")

# %%
x = paddle.randn([1, 8, 16, 16])
x.stop_gradient = False
for name, strongest in (("argmax", x.argmax(1).astype("float32")), ("max", x.max(1))):
    print(f"{name}: a gradient flows through it: {not strongest.stop_gradient}")

# %% [markdown]
# 使用 `max` 时，注意力可以学会该看哪里。但它仍可能在 0 处饱和，因为它的 sigmoid 的输入没有任何限制。
# 默认配置像 CBAM 的作者那样，在这里使用批归一化（`attention: cbam`）；见[教程复现](../reproduction.zh.md)。
#
# ## 损失函数
#
# L1 的梯度对小误差和大误差都相同；L2 的梯度随误差增大，在训练初期可能非常大；SmoothL1 在误差小时是二次函数，
# 误差大时是线性函数。图中是损失和梯度随误差的变化。

# %%
from facekp.losses import l1, l2, smooth_l1

error = paddle.linspace(-3, 3, 121).reshape([-1, 1])
figure, axes = plt.subplots(1, 2, figsize=(9, 3))
for name, loss in (("L1", l1()), ("L2", l2()), ("SmoothL1", smooth_l1())):
    predicted = error.clone()
    predicted.stop_gradient = False
    values = paddle.concat([loss(predicted[i], paddle.zeros([1])).reshape([1]) for i in range(len(error))])
    values.sum().backward()
    axes[0].plot(error.numpy(), values.numpy(), label=name)
    axes[1].plot(error.numpy(), predicted.grad.numpy(), label=name)
axes[0].set(xlabel="error", ylabel="loss")
axes[1].set(xlabel="error", ylabel="gradient")
axes[0].legend()
figure.tight_layout()

# %% [markdown]
# ## 学习率
#
# 动量优化器，学习率 0.01，沿余弦曲线在 50 轮内下降。
#
# > **教程有误。** 它按 3462 // 64 = 54 计算每轮的步数，因此余弦在 2,700 步时结束。实际上每轮有 55 步，
# > 因为最后一个较小的批次也算一步：最后 50 步学习率又重新上升。

# %%
from facekp.training import load_config
from facekp.training.schedules import build_schedule

figure, axis = plt.subplots(figsize=(6, 3))
for name in ("document_reproduction", "sam_googlenet_bn"):
    config = load_config(name)
    schedule, rates = build_schedule(config.optimizer, epochs=50, steps=55), []
    for _ in range(50 * 55):
        rates.append(schedule())
        schedule.step()
    axis.plot(np.arange(2600, 2750), rates[2600:], label=name)
axis.set(xlabel="step", ylabel="learning rate")
axis.legend()
figure.tight_layout()

# %% [markdown]
# ## 评价指标
#
# NME：各点的平均距离除以两外眼角之间的距离。
#
# > **教程有误。** 它的“NME”在每个批次都把累加和清零，却除以到目前为止的全部人脸数。
# > 它打印的是最后一个批次的误差除以人脸总数：人脸越多，数值越好看。
#
# 下面是 770 张人脸，每张的误差都是眼距的 10%，批次大小为 64：

# %%
from facekp.landmarks import MEAN_FACE
from facekp.metrics import NME, DocumentNME

truth = np.repeat(MEAN_FACE[None], 770, 0).astype("float32")
eyes = np.linalg.norm(MEAN_FACE[45] - MEAN_FACE[36])
predicted = truth + np.array([0.1 * eyes, 0], "float32")
for metric in (DocumentNME(), NME()):
    for start in range(0, 770, 64):
        batch = [paddle.to_tensor(array[start : start + 64]) for array in (predicted, truth)]
        metric.update(metric.compute(*batch))
    print(f"{metric.name():13} {metric.accumulate():.2%}")

# %% [markdown]
# 教程的最好成绩 6.9e-4 来自只有 2 张人脸的最后一个批次：6.9e-4 · 770 / 2，即这两张人脸的误差为眼距的 27%。
#
# ## 训练
#
# 使用修正后的配置 `sam_googlenet_bn`，在 64 张 96 像素的合成人脸上训练。两轮、每轮四步，对这个网络来说远远不够；
# 这里只是展示会打印和保存哪些内容。
#
# > **教程有误。** 它打印的每轮损失其实是最后一个批次的损失，因为 `paddle.Model.fit` 打印的就是它。这个数值忽高忽低。
# > facekp 打印均值，并保存两者。

# %%
from facekp.training import train

small = [
    "size=96",
    "data.sources=[{type: drawn, train: 64, validation: 66}]",
    "data.train=[{type: Resize, size: 110}, {type: RandomCrop, size: 96}]",
    "data.validation=[{type: Resize, size: 110}, {type: CenterCrop, size: 96}]",
    "data.workers=0",
    "train.epochs=2",
    "train.batch_size=16",
    "metrics=[nme, document_nme]",
]
summary = train(load_config("sam_googlenet_bn", small))

# %%
import pandas as pd

table = pd.read_csv(summary.folder / "metrics.csv")
print(table[["epoch", "train_loss", "train_last_loss", "val_loss", "val_nme", "val_document_nme"]].round(4).to_string())

# %% [markdown]
# 教程的数字是百分之几，而 NME 超过 100%。下图中绿色为真实点，红色为预测点，可以看出该相信哪一个。

# %%
show(cv2.imread(str(summary.folder / "faces.png")))

# %% [markdown]
# 这个配置需要在数千张图像上训练 50 轮：见[教程复现](../reproduction.zh.md)。以人脸裁剪为输入的小网络，
# 半分钟就能学会合成人脸：见[从训练到浏览器](browser.py)。facekp 自带的网络同样以人脸裁剪为输入，
# 在两个照片数据集上训练，NME 低于 5%：见[权重与精度](../models.zh.md)。
#
# ## 眼镜
#
# 教程把眼镜放在两眼中心（点 36 与 39、42 与 45）的中点，宽度为两眼间距的两倍，并随两眼连线旋转。
#
# > **教程有误。** 只用四个点无法表现透视：头转向一侧时，这样的眼镜会浮在脸外。facekp 的贴纸包固定在三个位置上，
# > 并有会消失在头后的镜腿。`facekp sticker --glasses` 也可以像教程那样使用普通 PNG。
#
# 同一张照片，依次为：关键点、手工实现的教程规则、一个贴纸包、几个贴纸包一起使用：

# %%
from facekp.stickers import combine, load_sticker
from facekp.stickers.show import sheet

landmarker = facekp.load_landmarker()
found = landmarker(photo)
points = found.points[0]

glasses = cv2.imread(str(CLONE / "assets/stickers/round_glasses/front.png"), cv2.IMREAD_UNCHANGED)
left, right = points[[36, 39]].mean(0), points[[42, 45]].mean(0)
across = right - left
width, height = glasses.shape[1], glasses.shape[0]
scale, turn = 2 * np.linalg.norm(across) / width, np.degrees(np.arctan2(across[1], across[0]))
place = cv2.getRotationMatrix2D((width / 2, height / 2), -turn, scale)
place[:, 2] += (left + right) / 2 - (width / 2, height / 2)
placed = cv2.warpAffine(glasses, place, photo.shape[1::-1])
alpha = placed[:, :, 3:] / 255
by_hand = (photo * (1 - alpha) + placed[:, :, :3] * alpha).astype(np.uint8)

by_pack = load_sticker("round_glasses").apply(photo, found)
dressed = combine([load_sticker("top_hat"), load_sticker("heart_glasses"), load_sticker("moustache")]).apply(
    photo, found
)
show(np.hstack([image[0:300, 80:380] for image in (draw_points(photo, points), by_hand, by_pack, dressed)]))

# %% [markdown]
# 教程最后生成一段视频，每副眼镜显示一秒；`save_animation` 可以写出这样的视频或 GIF。下图是 facekp 自带的全部贴纸：

# %%
from facekp.stickers import list_stickers

show(sheet(photo, found, [load_sticker(name) for name in list_stickers()], side=150, columns=6))
