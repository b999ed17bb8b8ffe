"""Plain functions that tests share."""

import numpy as np


def write_csv(path, names, points):
    """A 68-point CSV with the real one's header."""
    lines = ["," + ",".join(map(str, range(136)))]
    lines += [f"{name}," + ",".join(f"{v:.3f}" for v in p.reshape(-1)) for name, p in zip(names, points)]
    path.write_text("\n".join(lines) + "\n")


def paint_dots(points, shape):
    """White Gaussian dots, 1.5 pixels wide, on black: (H, W, 3) uint8."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    canvas = np.zeros(shape, np.float64)
    for px, py in points:
        canvas = np.maximum(canvas, np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * 1.5**2)))
    return np.repeat((canvas * 255).astype(np.uint8)[..., None], 3, axis=2)


def dot_under(image, point, reach=4):
    """Centre of gravity of what is bright around a point."""
    grey = image[..., 0].astype(np.float64)
    x0, y0 = (max(0, round(float(v)) - reach) for v in point)
    part = grey[y0 : y0 + 2 * reach + 1, x0 : x0 + 2 * reach + 1]
    y, x = np.mgrid[: part.shape[0], : part.shape[1]]
    return np.array([(part * x).sum() + x0 * part.sum(), (part * y).sum() + y0 * part.sum()]) / max(part.sum(), 1e-9)
