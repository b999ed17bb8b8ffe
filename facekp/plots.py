"""Plots of training curves and errors, as files. No backend is chosen: a notebook that imports this keeps its own."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from facekp.errors import UserError, one_line
from facekp.io.files import atomic_path

BLUE, ORANGE = "#0072B2", "#D55E00"
#: Colours of several runs in one plot.
COLOURS = (BLUE, ORANGE, "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")

#: Name of a metric -> label of its axis.
_METRICS = {"nme": "NME, %", "missed": "missed at 0.1 false positives per image, %"}


def is_fraction(column: str) -> bool:
    """Return whether a column of a run's table, with or without `train_` and `val_`, is a fraction, shown as percent.

    Example:
        >>> is_fraction("val_nme"), is_fraction("val_loss"), is_fraction("distance_px")
        (True, False, False)
    """
    return not column.endswith(("loss", "_px"))


class RunLog(Protocol):
    """Data of the curves; see `facekp.training.logs.RunLog`."""

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
        """Name of the metric that selects the best weights."""


def save_curves(runs: Sequence[RunLog], path: Path) -> None:
    """Draw the loss by step and the metric by epoch, training and validation, of one run or of several.

    Args:
        runs: At least one run, all of one metric; several runs get one colour each.
        path: A PNG, SVG or PDF file.

    Raises:
        UserError: The runs have different metrics.
    """
    first = runs[0]
    for run in runs:
        if run.metric != first.metric:
            raise UserError(f"{first.name} is evaluated by {first.metric}, {run.name} by {run.metric}; plot each alone")
    scale, unit = (100, ", %") if is_fraction(first.metric) else (1, "")
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    losses, errors = figure.subplots(1, 2)
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
        errors.plot(epochs["epoch"], epochs[f"train_{run.metric}"] * scale, "--", color=training, linewidth=1.2,
                    label=f"{prefix}training")  # fmt: skip
        errors.plot(epochs["epoch"], epochs[f"val_{run.metric}"] * scale, "-o", color=validation, markersize=3,
                    label=f"{prefix}validation")  # fmt: skip
    losses.set(xlabel="step", ylabel="loss (log)", yscale="log")
    errors.set(xlabel="epoch", ylabel=f"{_METRICS.get(first.metric, first.metric + unit)} (log)", yscale="log")
    errors.xaxis.get_major_locator().set_params(integer=True)
    for axis in (losses, errors):
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_formatter("{x:g}")
        axis.tick_params(axis="y", which="minor", labelsize=7)
        axis.grid(alpha=0.3, which="both")
        axis.legend(fontsize=8)
    _save(figure, path)


def save_error_curve(errors: np.ndarray, path: Path, max_error: float = 0.15) -> None:
    """Draw the cumulative error curve: the fraction of the faces (y) with at most an error (x).

    Args:
        errors: (N,) NME of each face, fractions.
        path: A PNG, SVG or PDF file.
        max_error: Right end of the x axis, a fraction.
    """
    figure = Figure(figsize=(5, 4), layout="constrained")
    axis = figure.subplots()
    ordered = np.sort(errors) * 100
    share = np.arange(1, len(ordered) + 1) / len(ordered) * 100
    axis.step(np.concatenate([[0], ordered]), np.concatenate([[0], share]), where="post", color=BLUE)
    axis.axvline(8, color="0.5", linestyle="--", linewidth=1)
    axis.set_xlim(0, max_error * 100)
    axis.set_ylim(0, 100)
    axis.set_xlabel("NME, %")
    axis.set_ylabel("faces, %")
    axis.grid(alpha=0.3)
    _save(figure, path)


def draw_scores(faces: np.ndarray, others: np.ndarray, confusion: np.ndarray) -> np.ndarray:
    """Draw how a network's score separates faces from non-faces: both distributions, and the counts.

    Args:
        faces: (N,) scores of faces, 0 to 1.
        others: (M,) scores of non-faces.
        confusion: (2, 2) counts: rows are faces and others, columns are classified as a face or not.

    Returns:
        Image, BGR uint8.
    """
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    shares, counts = figure.subplots(1, 2, width_ratios=(1.5, 1))
    bins = np.linspace(0, 1, 21)
    for scores, name, colour in ((faces, "faces", BLUE), (others, "no faces", ORANGE)):
        weights = np.full(len(scores), 100 / max(len(scores), 1))
        shares.hist(scores, bins, weights=weights, color=colour, alpha=0.6, label=f"{name} ({len(scores)})")
    shares.axvline(0.5, color="0.5", linestyle="--", linewidth=1)
    shares.set(xlabel="score", ylabel="share, %", xlim=(0, 1))
    shares.legend(fontsize=8, loc="upper center")
    rates = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    counts.imshow(rates, cmap="Blues", vmin=0, vmax=1)
    for row, column in itertools.product(range(2), range(2)):
        text = f"{confusion[row, column]}\n{rates[row, column]:.1%}"
        counts.text(column, row, text, ha="center", va="center", color="white" if rates[row, column] > 0.6 else "black")
    counts.set_xticks((0, 1), ("0.5 or more", "less"))
    counts.set_yticks((0, 1), ("face", "no face"))
    counts.set_xlabel("score")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., 2::-1].copy()


#: Fonts with Chinese, Japanese and Korean characters on common systems; the first installed one is used.
_WIDE_FONTS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Serif CJK SC", "Noto Serif CJK JP", "Source Han Sans SC",
    "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Droid Sans Fallback", "PingFang SC", "Hiragino Sans GB", "Heiti TC",
    "Microsoft YaHei", "SimHei", "Arial Unicode MS", "Unifont",
)  # fmt: skip


@functools.lru_cache(maxsize=1)
def _fonts() -> tuple[list[str], frozenset[int]]:
    """Return the font families to draw with, and the code points that they cover."""
    for file in font_manager.findSystemFonts():  # matplotlib's own list may be older than a font
        if re.search(r"CJK|wqy|SimHei|msyh|PingFang|Hiragino|Unifont", file, re.IGNORECASE):
            with suppress(RuntimeError):  # an unsupported font format
                font_manager.fontManager.addfont(file)
    installed = {font.name for font in font_manager.fontManager.ttflist}
    families = ["DejaVu Sans", *[name for name in _WIDE_FONTS if name in installed][:1]]
    files = [font_manager.findfont(name) for name in families]
    return families, frozenset().union(*(font_manager.get_font(file).get_charmap() for file in files))


def _drawable(text: str) -> str:
    """Escape the characters of a text that no font covers; they would be drawn as empty boxes."""
    covered = _fonts()[1]
    return "".join(c if ord(c) in covered else c.encode("unicode_escape").decode() for c in one_line(text))


def _save(figure: Figure, path: Path) -> None:
    families = _fonts()[0]
    for text in figure.findobj(Text):
        text.set_text(_drawable(text.get_text()) if "$" not in text.get_text() else text.get_text())
        text.set_fontfamily(families)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120)
