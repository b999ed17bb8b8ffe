"""Report of the findings of `check_labels`, as one HTML file and one CSV file."""

from __future__ import annotations

import csv
import html
import io
from pathlib import Path

import cv2
import numpy as np

from facekp import viz
from facekp.data.dataset import FilesDataset
from facekp.errors import UserError
from facekp.evaluation.labels import KINDS, Checked, Finding
from facekp.io.files import atomic_path, check_html, check_own
from facekp.io.images import jpeg_base64
from facekp.landmarks import PointSchema
from facekp.vision import geometry

#: BGR colours of left, right and middle points, and of the ring around the points that a finding concerns.
LEFT, RIGHT, MIDDLE, MEANT = (233, 180, 86), (0, 94, 213), (255, 255, 255), (66, 228, 240)

#: Side length of the faces on the page in pixels.
SIDE = 240

#: Columns of the CSV file.
_COLUMNS = ("kind", "split", "image", "label", "score", "points", "finding")

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; } td, th { padding: .2rem .8rem; text-align: left; border-bottom: 1px solid #ddd; }
.faces { display: flex; flex-wrap: wrap; gap: 1rem; } figure { margin: 0; width: 240px; overflow-wrap: anywhere; }
figure img { width: 240px; height: 240px; } figcaption { font-size: .8rem; }
"""


def write_report(checked: Checked, path: Path, max_findings: int = 60) -> Path:
    """Write the HTML page, and beside it a CSV file with all findings.

    Args:
        checked: Result of `check_labels`.
        path: Path of the page; ends in `.html`.
        max_findings: Maximum number of findings of each kind on the page; the CSV file has all.

    Returns:
        Path of the CSV file.

    Raises:
        UserError: See `check_name`; or a file cannot be written.
    """
    table = check_name(path)
    with atomic_path(table) as temporary:
        temporary.write_text(_csv(checked), encoding="utf-8")
    with atomic_path(path) as temporary:
        temporary.write_text(_page(checked, max_findings), encoding="utf-8")
    return table


def check_name(path: Path) -> Path:
    """Return the path of the CSV file beside a page.

    Raises:
        UserError: The page's name does not end in `.html`, or the CSV would replace another file, such as the labels.
    """
    check_html(path)
    table = path.with_suffix(".csv")
    check_own(table, ",".join(_COLUMNS), "a list of findings")
    return table


def _csv(checked: Checked) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for finding in checked.findings:
        names = " ".join(checked.schema.points[i] for i in finding.points)
        writer.writerow([finding.kind, finding.split, finding.image, finding.where, f"{finding.score:.4g}",
                         names, finding.text])  # fmt: skip
    return text.getvalue()


def _page(checked: Checked, max_findings: int) -> str:
    counts = {split: sum(len(part) for s, part in checked.parts if s == split) for split in ("train", "validation")}
    parts = [
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Labels</title>',
        f"<style>{_STYLE}</style><h1>Labels</h1>",
        f"<p>{counts['train']} faces for training and {counts['validation']} for validation, with the "
        f"{checked.schema.num_points} points of {html.escape(checked.schema.name)}. The following labels may be "
        "wrong; check them, then fix or remove them. Nothing was changed.</p>",
        "<table><tr><th>kind<th>found<th>meaning",
    ]
    for kind, meaning in KINDS.items():
        parts.append(f'<tr><td><a href="#{kind}">{kind}</a><td>{len(checked.of_kind(kind))}<td>{meaning}')
    parts.append(
        "</table><h2>The mirror order</h2><p>Left points (of the viewer) are blue and belong on the left, right ones "
        'are red, those without a mirror image are white; lines join the pairs.</p><div class="faces">'
    )
    for part, index in _examples(checked):
        parts.append(_figure(part, index, checked.schema, part.name(index)))
    for kind in KINDS:
        found = checked.of_kind(kind)
        shown = f", the first {max_findings}" if len(found) > max_findings else ""
        parts.append(f'</div><h2 id="{kind}">{kind} ({len(found)}{shown})</h2><div class="faces">')
        for finding in found[:max_findings]:
            caption = f"{finding.text} · {finding.split}: {finding.where}"
            parts.append(_figure(finding.part, finding.index, checked.schema, caption, finding))
    return "\n".join([*parts, "</div></html>", ""])


def _examples(checked: Checked, count: int = 12) -> list[tuple[FilesDataset, int]]:
    """Return at most `count` faces, evenly spread over all data sets."""
    faces = [(part, index) for _, part in checked.parts for index in range(len(part))]
    return faces[:: max(1, -(-len(faces) // count))]


def _figure(part: FilesDataset, index: int, schema: PointSchema, caption: str, finding: Finding | None = None) -> str:
    try:
        image, points = part.load(index)
        matrix = geometry.square_crop(schema.face_box(points).tolist(), 0.35, SIDE)
        face = geometry.warp(image, matrix, (SIDE, SIDE))
    except (UserError, ValueError):
        return f"<figure><figcaption>{html.escape(caption)}</figcaption></figure>"
    placed = geometry.apply(matrix, points)
    predicted = None if finding is None else finding.predicted
    if predicted is not None:
        face = viz.draw_points(face, geometry.apply(matrix, predicted), viz.PREDICTED, 1.5, schema)
        face = viz.draw_points(face, placed, viz.TRUTH, 1.5, schema)
    else:
        _draw_order(face, placed, schema, () if finding is None else finding.points)
    return (f'<figure><img alt="" loading="lazy" src="data:image/jpeg;base64,{jpeg_base64(face, 80)}">'
            f"<figcaption>{html.escape(caption)}</figcaption></figure>")  # fmt: skip


def _draw_order(face: np.ndarray, points: np.ndarray, schema: PointSchema, meant: tuple[int, ...]) -> None:
    """Draw the points and mirror pairs of a face, and rings around the points that a finding concerns."""
    known = np.isfinite(points).all(-1)
    pixels = [(int(x), int(y)) for x, y in np.clip(np.nan_to_num(points).round(), -(2**14), 2**14)]
    colours = dict.fromkeys(range(schema.num_points), MIDDLE)
    for left, right in schema.mirror_pairs:
        colours[left], colours[right] = LEFT, RIGHT
        if known[left] and known[right]:
            cv2.line(face, pixels[left], pixels[right], (160, 160, 160), 1, cv2.LINE_AA)
    for i in np.flatnonzero(known):
        if i in meant and len(meant) < schema.num_points:
            cv2.circle(face, pixels[i], 7, MEANT, 2, cv2.LINE_AA)
        cv2.circle(face, pixels[i], 3, (0, 0, 0), -1, cv2.LINE_AA)
        cv2.circle(face, pixels[i], 2, colours[int(i)], -1, cv2.LINE_AA)
