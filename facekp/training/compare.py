"""Comparison of runs in one HTML file: curves, final metrics, errors by group, the worst faces, config differences.

The file is self-contained: no scripts, no external resources.
"""

from __future__ import annotations

import base64
import html
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Optional

import numpy as np

from facekp import plots
from facekp.errors import UserError, counted, one_line
from facekp.io.files import atomic_path, check_html
from facekp.io.images import decode_image, jpeg_base64
from facekp.training.config import read_config
from facekp.training.logs import RunDetails, RunLog, read_details, read_run
from facekp.training.run_folder import leaves
from facekp.version import VERSION

#: A table row: one value for each run; None where a run has none.
Row = Sequence[Optional[float]]

#: Group in the dashboard's log -> heading, and description of its values.
GROUPS = {
    "region": ("Errors by region", "NME of the points of each region of the face."),
    "yaw": ("Errors by yaw", "NME by the absolute yaw of the head, in degrees."),
    "width": ("Missed by width", "Share of the faces that score below 0.5, by their width in pixels of the input."),
    "score": ("The score", "Share of faces that score below 0.5, and of non-faces that score 0.5 or more."),
}

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --bar: #0072b233; --best: #009e73; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem; }
h1 { margin-bottom: 0; } h2 { margin-top: 2.5rem; } p { margin: .3rem 0 1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .9rem; border-bottom: 1px solid var(--line); text-align: right; overflow-wrap: anywhere; }
th { background: var(--soft); min-width: 8rem; max-width: 22rem; } th:first-child, td:first-child { text-align: left; }
td.text { text-align: left; max-width: 28rem; font-size: .85rem; font-family: ui-monospace, monospace; }
td.bar { background: linear-gradient(to left, var(--bar) var(--part), transparent var(--part)); }
td.best { font-weight: 700; color: var(--best); }
i.key { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin-right: .4em; }
.curves { width: 100%; background: #fff; border-radius: 6px; }
.sheets { display: flex; flex-wrap: wrap; gap: 1.5rem; } figure { margin: 0; flex: 1 1 22rem; max-width: 38rem; }
figure img { width: 100%; border-radius: 6px; } figcaption { font-size: .9rem; overflow-wrap: anywhere; }
"""


@dataclass(frozen=True)
class _Run:
    """Logs and config of a run.

    Attributes:
        log: Curves of the run; its name is unique among the compared runs.
        details: Further contents of its log.
        config: Key -> value, for example "train.epochs" -> 8.
        best: Epoch of the best weights; the last one if the metric was never a number.
    """

    log: RunLog
    details: RunDetails
    config: dict[str, Any]
    best: int

    def figure(self, column: str) -> float | None:
        """Return a value from `metrics.csv` for the best epoch; None if there is no such column."""
        row = self.log.epochs[self.log.epochs["epoch"] == self.best]
        return float(row[column].iloc[0]) if column in row else None

    def of_group(self, group: str, name: str) -> float | None:
        """Return the last value logged up to the best epoch, else the last one; None if there is no record."""
        found = self.details.groups.get(group, {}).get(name, {})
        epochs = [epoch for epoch in found if epoch <= self.best] or list(found)
        return found[max(epochs)] if epochs else None


def compare(folders: Sequence[Path], path: Path) -> None:
    """Write an HTML page that compares runs.

    Args:
        folders: Folders of one or more runs, `output/NAME`, all of one task and one metric.
        path: Path of the page; ends in `.html`.

    Raises:
        UserError: A folder holds no run, or its logs are damaged; or the runs cannot be compared; or the page cannot be
            written. Nothing is written in these cases.
    """
    check_html(path)
    runs = _read(folders)
    text = _page(runs)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def _read(folders: Sequence[Path]) -> list[_Run]:
    runs: list[_Run] = []
    names = [folder.resolve().name for folder in folders]
    for folder, name in zip(folders, names):
        log = read_run(folder)
        values = leaves(read_config(folder / "config.yml"))
        config = {key.removesuffix(".type"): value for key, value in values.items()}
        column = log.epochs[f"val_{log.metric}"]
        row = column.idxmin() if column.notna().any() else column.index[-1]
        shown = name if names.count(name) == 1 else str(folder)
        runs.append(_Run(replace(log, name=one_line(shown)), read_details(folder), config,
                         int(log.epochs.loc[row, "epoch"])))  # fmt: skip
        first, task = runs[0], config.get("task", "points")
        if task != first.config.get("task", "points"):
            raise UserError(f"{folder}: a run of task {task}, but {folders[0]} is one of task "
                            f"{first.config.get('task', 'points')}; compare runs of one task")  # fmt: skip
        if log.metric != first.log.metric:
            raise UserError(f"{folder}: is evaluated by {log.metric}, but {folders[0]} by {first.log.metric}; "
                            "compare runs of one metric")  # fmt: skip
    return runs


def _page(runs: Sequence[_Run]) -> str:
    title = html.escape(", ".join(run.log.name for run in runs))
    task = html.escape(str(runs[0].config.get("task", "points")))
    parts = [
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>',
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>',
        f"<h1>{title}</h1><p>{counted(len(runs), 'run')} of task {task}, compared by facekp {VERSION}. "
        "Lower is better, except for auc; losses of different kinds cannot be compared.</p>",
        f'<h2>Curves</h2><img class="curves" alt="Loss and {html.escape(runs[0].log.metric)} of each epoch" '
        f'src="data:image/svg+xml;base64,{_curves(runs)}">',
        "<h2>Figures of the best epoch</h2><p>On the validation data, by the weights that were kept.</p>",
        _table(runs, _figures(runs)),
    ]
    for group, (heading, meaning) in GROUPS.items():
        names = {name: None for run in runs for name in run.details.groups.get(group, {})}
        rows = {name: ([run.of_group(group, name) for run in runs], True) for name in names}
        if rows:
            parts += [f"<h2>{heading}</h2><p>{meaning}</p>", _table(runs, rows, bars=True)]
    parts += _worst(runs)
    parts += _configs(runs)
    return "\n".join([*parts, "</html>", ""])


def _curves(runs: Sequence[_Run]) -> str:
    with tempfile.TemporaryDirectory() as folder:
        curves = Path(folder) / "curves.svg"
        plots.save_curves([run.log for run in runs], curves)
        return base64.b64encode(curves.read_bytes()).decode()


def _figures(runs: Sequence[_Run]) -> dict[str, tuple[Row, bool]]:
    """Return name -> value of each run, and whether the values are fractions."""
    columns = {name: None for run in runs for name in run.log.epochs if name.startswith("val_")}
    names = [f"val_{runs[0].log.metric}", *(n for n in columns if n not in (f"val_{runs[0].log.metric}",
                                                                            "val_last_loss"))]  # fmt: skip
    table: dict[str, tuple[Row, bool]] = {}
    for name in names:
        table[name[4:]] = [run.figure(name) for run in runs], plots.is_fraction(name)
    name = runs[0].log.metric
    table[f"training {name}"] = [run.figure(f"train_{name}") for run in runs], plots.is_fraction(name)
    return table


def _table(runs: Sequence[_Run], rows: Mapping[str, tuple[Row, bool]], bars: bool = False) -> str:
    """Return a table with a row for each name and a column for each run; the best of different values is marked."""
    largest = max((value for row, _ in rows.values() for value in row if value is not None), default=0.0)
    lines = [_head(runs)]
    if not bars:
        lines.append("<tr><td>epoch" + "".join(f"<td>{run.best} of {len(run.log.epochs)}" for run in runs))
    for name, (row, fraction) in rows.items():
        known = [value for value in row if value is not None and np.isfinite(value) and name != "loss"]
        best = (max if name.startswith("auc") else min)(known, default=None)
        cells = [f"<tr><td>{html.escape(name)}"]
        for value in row:
            kinds = "best " * (len(set(known)) > 1 and value == best) + "bar" * (bars and value is not None)
            part = f' style="--part: {100 * (value or 0) / largest:.0f}%"' if "bar" in kinds and largest > 0 else ""
            cells.append(f'<td class="{kinds}"{part}>{_number(value, fraction)}')
        lines.append("".join(cells))
    return "\n".join([*lines, "</table></div>"])


def _head(runs: Sequence[_Run]) -> str:
    keys = [f'<i class="key" style="background: {plots.COLOURS[i % len(plots.COLOURS)]}"></i>' * (len(runs) > 1)
            for i in range(len(runs))]  # fmt: skip
    names = "".join(f"<th>{key}{html.escape(run.log.name)}" for key, run in zip(keys, runs))
    return f'<div class="wide"><table><tr><th>{names}'


def _number(value: float | None, fraction: bool) -> str:
    if value is None or not np.isfinite(value):
        return "–"
    return f"{value * 100:.2f} %" if fraction else f"{value:.4g}"


def _worst(runs: Sequence[_Run]) -> list[str]:
    figures = []
    for run in runs:
        for epoch in sorted(run.details.worst, reverse=True)[:1]:
            data = _as_jpeg(run.details.worst[epoch])
            caption = html.escape(f"{run.log.name}, epoch {epoch}")
            figures.append(f'<figure><figcaption>{caption}</figcaption><img alt="The worst faces of {caption}" '
                           f'src="data:image/jpeg;base64,{data}"></figure>' if data else "")  # fmt: skip
    if not any(figures):
        return []
    return ["<h2>The worst validation images</h2><p>Truth in green, prediction in red, the worst one first.</p>",
            '<div class="sheets">', *figures, "</div>"]  # fmt: skip


def _as_jpeg(png: bytes) -> str | None:
    """Convert a PNG of a log to a small JPEG in base64; None if it is no valid image."""
    sheet = decode_image(np.frombuffer(png, np.uint8))
    return None if sheet is None else jpeg_base64(sheet, 85)


def _configs(runs: Sequence[_Run]) -> list[str]:
    """Return a table of the keys whose values differ; for a single run, of all keys."""
    keys = {key: None for run in runs for key in run.config}
    absent = object()
    shown = [key for key in keys if len(runs) == 1 or any(run.config.get(key, absent) != runs[0].config.get(key, absent)
                                                          for run in runs)]  # fmt: skip
    shown = [key for key in shown if len(runs) == 1 or key != "name"]
    heading = "The config" if len(runs) == 1 else "What the configs differ in"
    if not shown:
        return [f"<h2>{heading}</h2><p>Only the name differs.</p>"]
    lines = [f"<h2>{heading}</h2>", _head(runs)]
    for key in shown:
        texts = [html.escape(one_line(_text(run.config[key]))) if key in run.config else "–" for run in runs]
        lines.append(f"<tr><td>{html.escape(one_line(key))}" + "".join(f'<td class="text">{text}' for text in texts))
    return [*lines, "</table></div>"]


def _text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)
