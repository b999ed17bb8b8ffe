"""Points on pictures, contact sheets, curves. Colours are told apart by colour-blind eyes (Okabe and Ito)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import cv2
import matplotlib
import numpy as np
import pandas as pd

from facekp.cli import atomic_path
from facekp.errors import UserError
from facekp.landmarks import CURVES, NUM_POINTS

matplotlib.use("Agg")  # files only: works without a screen
from matplotlib import pyplot as plt

#: BGR.
TRUTH = (115, 158, 0)  # bluish green
PREDICTED = (0, 94, 213)  # vermilion
BLUE, ORANGE = "#0072B2", "#D55E00"
#: Of runs side by side.
COLOURS = (BLUE, ORANGE, "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")

#: Name of a metric -> what stands beside its axis.
_METRICS = {"nme": "NME, % of the eye distance", "missed": "missed at one false face in ten pictures, %"}


class RunLog(Protocol):
    """What curves are drawn from; see `facekp.training.logs.RunLog`."""

    @property
    def name(self) -> str:
        """The run's name."""

    @property
    def steps(self) -> pd.DataFrame:
        """Columns `step` and `loss`."""

    @property
    def epochs(self) -> pd.DataFrame:
        """Columns `epoch` and `step`, and `train_` and `val_` of `loss` and the metric."""

    @property
    def metric(self) -> str:
        """Name of the metric that decides."""


def draw_points(
    image: np.ndarray,
    points: np.ndarray,
    colour: tuple[int, int, int] = PREDICTED,
    radius: float | None = None,
) -> np.ndarray:
    """Draw one face's points, and the curves between them where there are 68.

    Args:
        image: BGR uint8 (H, W, 3); stays as it is.
        points: (K, 2) pixels.
        colour: BGR.
        radius: Of the dots, in pixels; by default it follows the size of the face.

    Returns:
        A new picture.

    Example:
        >>> bool(draw_points(np.zeros((50, 50, 3), np.uint8), np.full((5, 2), 25.0)).any())
        True
    """
    canvas = image.copy()
    shift = 4  # OpenCV takes fractions of a pixel as integers shifted by so many bits
    fixed = np.round(np.asarray(points, np.float64) * 2**shift).astype(np.int64)
    fixed = np.clip(fixed, -(2**24), 2**24).astype(np.int32)
    size = float(np.ptp(points, axis=0).max())
    radius = max(1.0, size / 110) if radius is None else radius
    if len(points) == NUM_POINTS:
        for indices, closed in CURVES:
            cv2.polylines(canvas, [fixed[indices]], closed, colour, max(1, round(radius / 2)), cv2.LINE_AA, shift)
    for x, y in fixed:
        cv2.circle(canvas, (int(x), int(y)), round(radius * 2**shift), colour, -1, cv2.LINE_AA, shift)
    return canvas


def network_input_to_bgr(image: np.ndarray) -> np.ndarray:
    """Show what the network sees: (C, H, W) float32, grey or RGB -> (H, W, 3) uint8 BGR.

    Values that were normalised, beyond 0 to 1, are shown from their smallest to their largest.
    """
    if image.min() < 0 or image.max() > 1:
        image = (image - image.min()) / max(float(np.ptp(image)), 1e-6)
    levels = (image * 255).round().astype(np.uint8)
    return cv2.cvtColor(levels.transpose(1, 2, 0), cv2.COLOR_RGB2BGR if len(image) == 3 else cv2.COLOR_GRAY2BGR)


def comparison_sheet(
    inputs: np.ndarray,
    truth: np.ndarray,
    predicted: np.ndarray,
    captions: Sequence[str] | None = None,
    columns: int = 4,
    side: int = 224,
) -> np.ndarray:
    """A sheet of faces with true (green) and predicted (red) points.

    Args:
        inputs: (N, C, H, W) as the network sees them.
        truth: (N, K, 2) pixels of the crop.
        predicted: (N, K, 2) pixels of the crop.
        captions: A line under each face.
        columns: Faces in a row.
        side: Pixels of a face on the sheet.

    Returns:
        BGR uint8.
    """
    footer = 0 if captions is None else 22
    rows = -(-len(inputs) // columns)
    sheet = np.full((rows * (side + footer), columns * side, 3), 255, np.uint8)
    for i, image in enumerate(inputs):
        scale = side / image.shape[-1]
        face = cv2.resize(network_input_to_bgr(image), (side, side), interpolation=cv2.INTER_LINEAR)
        face = draw_points(face, (truth[i] + 0.5) * scale - 0.5, TRUTH, 1.4)
        face = draw_points(face, (predicted[i] + 0.5) * scale - 0.5, PREDICTED, 1.4)
        y, x = (i // columns) * (side + footer), (i % columns) * side
        sheet[y : y + side, x : x + side] = face
        if captions is not None:
            place = (x + 4, y + side + 15)
            cv2.putText(sheet, captions[i], place, cv2.FONT_HERSHEY_SIMPLEX, 0.38, (0, 0, 0), 1, cv2.LINE_AA)
    return sheet


def box_sheet(inputs: np.ndarray, truth: np.ndarray, predicted: Sequence[np.ndarray], columns: int = 4) -> np.ndarray:
    """A sheet of pictures with true (green; grey where they are ignored) and predicted (red) boxes.

    Args:
        inputs: (N, C, H, W) as the network sees them.
        truth: (N, faces, 5): x0, y0, x1, y1 and the trust; rows of zeros are none.
        predicted: For each picture (M, 4).
        columns: Pictures in a row.

    Returns:
        BGR uint8.
    """
    height, width = inputs.shape[2:]
    sheet = np.full((-(-len(inputs) // columns) * height, columns * width, 3), 255, np.uint8)
    for i, (image, faces, boxes) in enumerate(zip(inputs, truth, predicted)):
        picture = network_input_to_bgr(image)
        for *box, trust in faces[faces[:, 2] > faces[:, 0]]:
            draw_box(picture, np.array(box), TRUTH if trust == 1 else (160, 160, 160), 2)
        for found in boxes:
            draw_box(picture, found, PREDICTED, 1)
        y, x = (i // columns) * height, (i % columns) * width
        sheet[y : y + height, x : x + width] = picture
    return sheet


def draw_box(image: np.ndarray, box: np.ndarray, colour: tuple[int, int, int] = PREDICTED, thickness: int = 1) -> None:
    """Draw a box (4,) into a picture."""
    x0, y0, x1, y1 = (int(v) for v in np.clip(np.round(box), -(2**15), 2**15))
    cv2.rectangle(image, (x0, y0), (x1, y1), colour, thickness, cv2.LINE_AA)


def save_curves(runs: Sequence[RunLog], path: Path) -> None:
    """Draw the loss by step and the metric by epoch, training and validation, of one run or of several.

    Args:
        runs: At least one, of one metric; each gets a colour where there are several.
        path: The PNG.

    Raises:
        UserError: They are of different metrics.
    """
    first = runs[0]
    for run in runs:
        if run.metric != first.metric:
            raise UserError(f"{first.name} is judged by {first.metric}, {run.name} by {run.metric}; draw them apart")
    figure, (losses, errors) = plt.subplots(1, 2, figsize=(11, 4.2), constrained_layout=True)
    for run, colour in zip(runs, itertools.cycle(COLOURS)):
        training, validation = (colour, colour) if len(runs) > 1 else (BLUE, ORANGE)
        prefix = f"{run.name}, " if len(runs) > 1 else ""
        if len(runs) == 1:
            losses.plot(run.steps["step"], run.steps["loss"], color=training, alpha=0.25, linewidth=0.7)
        smooth = run.steps["loss"].rolling(max(1, len(run.steps) // 50), center=True, min_periods=1).mean()
        epochs = run.epochs
        losses.plot(run.steps["step"], smooth, "--", color=training, linewidth=1.2, label=f"{prefix}training")
        losses.plot(epochs["step"], epochs["val_loss"], "-o", color=validation, markersize=3,
                    label=f"{prefix}validation")  # fmt: skip
        errors.plot(epochs["epoch"], epochs[f"train_{run.metric}"] * 100, "--", color=training, linewidth=1.2,
                    label=f"{prefix}training")  # fmt: skip
        errors.plot(epochs["epoch"], epochs[f"val_{run.metric}"] * 100, "-o", color=validation, markersize=3,
                    label=f"{prefix}validation")  # fmt: skip
    losses.set(xlabel="step", ylabel="loss (log)", yscale="log")
    errors.set(xlabel="epoch", ylabel=f"{_METRICS[first.metric]} (log)", yscale="log")
    errors.xaxis.get_major_locator().set_params(integer=True)
    for axis in (losses, errors):
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_formatter("{x:g}")
        axis.tick_params(axis="y", which="minor", labelsize=7)
        axis.grid(alpha=0.3, which="both")
        axis.legend(fontsize=8)
    _save(figure, path)


def save_error_curve(errors: np.ndarray, path: Path, most: float = 0.15) -> None:
    """Draw the cumulative error curve: the part of the faces (y) with at most an error (x).

    Args:
        errors: (N,) NME of each face, fractions.
        path: The PNG.
        most: Right end of the x axis, a fraction.
    """
    figure, axis = plt.subplots(figsize=(5, 4), constrained_layout=True)
    ordered = np.sort(errors) * 100
    share = np.arange(1, len(ordered) + 1) / len(ordered) * 100
    axis.step(np.concatenate([[0], ordered]), np.concatenate([[0], share]), where="post", color=BLUE)
    axis.axvline(8, color="0.5", linestyle="--", linewidth=1)
    axis.set_xlim(0, most * 100)
    axis.set_ylim(0, 100)
    axis.set_xlabel("NME, % of the eye distance")
    axis.set_ylabel("faces, %")
    axis.grid(alpha=0.3)
    _save(figure, path)


def _save(figure: plt.Figure, path: Path) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120)
    plt.close(figure)
