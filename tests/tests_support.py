"""Functions shared by several tests."""

import cv2
import numpy as np

from facekp.data.drawn import draw_face
from facekp.inference.faces import Faces
from facekp.landmarks import IBUG68, MEAN_FACE
from facekp.landmarks.head import HEAD_POINTS
from facekp.landmarks.pose import rotation
from facekp.training.config import load_config
from facekp.vision import geometry


def write_csv(path, names, points):
    """Write a CSV of 68 points with the header of the real one."""
    lines = ["," + ",".join(map(str, range(136)))]
    lines += [f"{name}," + ",".join(f"{v:.3f}" for v in p.reshape(-1)) for name, p in zip(names, points)]
    path.write_text("\n".join(lines) + "\n")


def draw_csv(folder):
    """Write a data folder with drawn faces of six people: 12 for training, 4 for testing."""
    for split, faces in (("training", range(12)), ("test", range(12, 16))):
        (folder / split).mkdir()
        names, points = [], []
        for seed in faces:
            image, face = draw_face(seed, 140)
            names.append(f"person{seed % 6}_{seed:02d}.jpg")
            cv2.imwrite(str(folder / split / names[-1]), image)
            points.append(face)
        write_csv(folder / f"{split}_frames_keypoints.csv", names, points)


def write_pts(path, points):
    """Write a `.pts` file, whose coordinates start at 1."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(f"{x + 1} {y + 1}" for x, y in points))


def paint_dots(points, shape):
    """Return white Gaussian dots with a sigma of 1.5 pixels on black: (H, W, 3) uint8."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    canvas = np.zeros(shape, np.float64)
    for px, py in points:
        canvas = np.maximum(canvas, np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * 1.5**2)))
    return np.repeat((canvas * 255).astype(np.uint8)[..., None], 3, axis=2)


def dot_under(image, point, reach=4):
    """Return the intensity-weighted centroid around a point."""
    grey = image[..., 0].astype(np.float64)
    x0, y0 = (max(0, round(float(v)) - reach) for v in point)
    part = grey[y0 : y0 + 2 * reach + 1, x0 : x0 + 2 * reach + 1]
    y, x = np.mgrid[: part.shape[0], : part.shape[1]]
    return np.array([(part * x).sum() + x0 * part.sum(), (part * y).sum() + y0 * part.sum()]) / max(part.sum(), 1e-9)


def head_in_space():
    """Return the mean face with depth on a paraboloid: (68, 3), symmetric, the nose in front."""
    mean = MEAN_FACE.astype(np.float64)
    mean = (mean + (mean * [-1, 1])[IBUG68.flip_order] + [1, 0]) / 2  # exactly symmetric
    flat = (mean - mean.mean(0)) / (mean[16, 0] - mean[0, 0])
    depth = 0.6 * (flat[:, 0] / 0.5) ** 2 + 0.1 * flat[:, 1] ** 2
    depth[27:36] -= 0.15
    return np.column_stack([flat, depth - depth.mean()])


def seen_from(space, yaw, pitch=0.0, roll=0.0, scale=100.0):
    a, b, c = np.radians([-yaw, pitch, roll])
    around_y = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    around_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    around_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return scale * (space @ (around_z @ around_y @ around_x).T)[:, :2] + 200


#: A black image of the size of `noise`; `turned` is a head in the middle of either.
BLACK = np.zeros((400, 400, 3), np.uint8)


def turned(yaw=0.0, size=200.0):
    """Return the average head, turned by a yaw angle, in the middle of 400x400 pixels."""
    middle = np.array([0.5, 0.4, 0.1])
    points = ((HEAD_POINTS - middle) @ rotation(yaw).T)[None, :, :2] * size + 200
    return Faces.from_arrays(points, geometry.bounding_box(points), np.ones(1))


def noise(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (400, 400, 3), np.uint8)


def quickstart(*options):
    return load_config("configs/quickstart.yml", options)


CROP = '[{"type": "FaceCrop", "size": 96, "margin": 0.2}]'


def config(folder, *options):
    """Return the default config for a folder of drawn faces, with crops of 96 pixels."""
    crops = [f"data.train={CROP}", f"data.validation={CROP}", "size=96", "train.batch_size=5"]
    return load_config("configs/sam_googlenet_bn.yml", [f"data.sources.0.root={folder}", *crops, *options])


def build_data(config):
    return config.what.build_data(config)
