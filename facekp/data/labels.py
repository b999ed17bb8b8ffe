"""In-memory labels, the same for every format: faces with points, each visible, hidden or missing."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Optional

import numpy as np

from facekp.errors import UserError
from facekp.io.files import atomic_path, read_bytes
from facekp.landmarks import SCHEMAS, PointSchema, load_schema
from facekp.vision import geometry

#: Maximum absolute value of a coordinate in pixels.
MAX_COORDINATE = 100_000

#: Maximum size of a file that labels many images, and of one that labels a single image.
MAX_BYTES, MAX_BYTES_OF_ONE = 1 << 29, 1 << 20

#: Visibility of a point.
MISSING, HIDDEN, VISIBLE = 0, 1, 2


@dataclass(frozen=True, eq=False)
class Face:
    """The labels of a face.

    Attributes:
        image: The image file.
        points: (K, 2) float64 pixels; the centre of the first pixel is (0, 0); NaN where missing.
        visibility: (K,) uint8: 0 missing, 1 hidden, 2 visible.
        box: (4,) float64 x0, y0, x1, y1; None: the box around the points.
        attributes: Further attributes of the face.
        where: File and row or key, for messages.
    """

    image: Path
    points: np.ndarray
    visibility: np.ndarray
    box: Optional[np.ndarray] = None
    attributes: tuple[str, ...] = ()
    where: str = ""

    def same(self, other: Face) -> bool:
        """Return whether two labels are equal, to a millionth of a pixel."""
        box, another = (np.zeros(4) if face.box is None else face.box for face in (self, other))
        return (
            self.image.resolve() == other.image.resolve()
            and self.attributes == other.attributes
            and (self.box is None) == (other.box is None)
            and bool((self.visibility == other.visibility).all())
            and np.allclose(self.points, other.points, rtol=0, atol=1e-6, equal_nan=True)
            and np.allclose(box, another, rtol=0, atol=1e-6)
        )


@dataclass(frozen=True, eq=False)
class Labels:
    """The labels of a file or folder.

    Attributes:
        schema: Schema of the points.
        faces: The faces in their order.

    Example:
        >>> five = load_schema("five")
        >>> face = make_face(five, Path("a.png"), five.mean_points * 100, where="an example")
        >>> Labels(five, [face]).faces[0].visibility.tolist()
        [2, 2, 2, 2, 2]
    """

    schema: PointSchema
    faces: list[Face]

    @property
    def points(self) -> np.ndarray:
        """(N, K, 2) float32, NaN where missing."""
        return np.array([face.points for face in self.faces], np.float32).reshape(-1, self.schema.num_points, 2)

    def converted(self, to: PointSchema, where: str) -> Labels:
        """Return the same faces with the points of another schema.

        Raises:
            UserError: The conversion is not known.
        """
        try:
            means = self.schema.conversion(to)
            if means is None:
                raise self.schema.no_conversion(to)
        except UserError as error:
            raise UserError(f"{where}: {error}") from error
        if to.name == self.schema.name:
            return Labels(to, self.faces)
        faces = []
        for face in self.faces:
            points = np.stack([face.points[list(each)].mean(0) for each in means])
            visibility = np.array([face.visibility[list(each)].min() for each in means], np.uint8)
            faces.append(replace(face, points=points, visibility=visibility))
        return Labels(to, faces)


def make_face(
    schema: PointSchema,
    image: Path,
    points: Any,
    visibility: Any = None,
    box: Any = None,
    attributes: Iterable[str] = (),
    where: str = "",
) -> Face:
    """Check the values that were read for a face, and make a `Face` of them.

    Args:
        schema: Schema of the points.
        image: The image file.
        points: K pairs x, y; NaN where missing.
        visibility: K values 0, 1 or 2; None: points that are not NaN are visible.
        box: x0, y0, x1, y1, or None.
        attributes: Further attributes of the face.
        where: Location for messages.

    Raises:
        UserError: A coordinate or visibility is invalid, a visible point has no position, or the box is empty.
    """
    places = np.array(points, np.float64).reshape(-1, 2)
    if len(places) != schema.num_points:
        raise UserError(f"{where}: {len(places)} points, but {schema.name} has {schema.num_points}; "
                        "fix it, or give another schema")  # fmt: skip
    if visibility is None:
        visibility = np.where(np.isnan(places).all(-1), MISSING, VISIBLE)
    seen = np.array(visibility, np.float64)
    if not np.isin(seen, (MISSING, HIDDEN, VISIBLE)).all():
        raise UserError(f"{where}: the visibility of a point is 0 (missing), 1 (hidden) or 2 (visible), not "
                        f"{seen[~np.isin(seen, (0, 1, 2))][0]:g}")  # fmt: skip
    places[seen == MISSING] = np.nan
    wrong = (seen > MISSING) & ~(np.abs(places) <= MAX_COORDINATE).all(-1)
    if wrong.any():
        index = int(wrong.argmax())
        x, y = places[index]
        raise UserError(f"{where}: the point {schema.points[index]} at ({x:g}, {y:g}) is out of range; fix it, or mark "
                        "it as missing")  # fmt: skip
    return Face(image, places, seen.astype(np.uint8), _checked_box(box, places, where), tuple(attributes), where)


def _checked_box(box: Any, points: np.ndarray, where: str) -> np.ndarray | None:
    if box is None:
        return None
    corners = np.array(box, np.float64)
    if corners.shape != (4,) or not (np.abs(corners) <= MAX_COORDINATE).all() or not (corners[:2] <= corners[2:]).all():
        raise UserError(f"{where}: the box {np.round(corners, 2).tolist()} is empty or out of range; fix or remove it")
    known = np.isfinite(points).all(-1)
    if known.any() and np.allclose(geometry.bounding_box(points[known]), corners, rtol=0, atol=1e-6):
        return None  # the same as the box around the points
    return corners


def box_of(face: Face) -> np.ndarray | None:
    """Return the box of a face, (4,), or that around its points; None if there is neither."""
    known = np.isfinite(face.points).all(-1)
    if face.box is not None or not known.any():
        return face.box
    return geometry.bounding_box(face.points[known])


def in_order(names: Sequence[str], schema: PointSchema, where: str) -> list[int]:
    """Return the index of each point of a schema in a file that names its points.

    Args:
        names: Names of the file's points. Consecutive numbers from 0 or 1, with or without a common prefix, mean the
            schema's own order.
        schema: Schema of the points.
        where: Location for messages.

    Raises:
        UserError: The names differ from the schema's, or are too few or too many.

    Example:
        >>> in_order(["chin", "left_ear"], PointSchema("two", ("left_ear", "chin")), "an example")
        [1, 0]
    """
    place = {str(name): i for i, name in enumerate(names)}
    if len(names) == schema.num_points == len(place):
        if all(name in place for name in schema.points):
            return [place[name] for name in schema.points]
        numbers = [re.fullmatch(r"(\D*)(\d{1,4})", str(name)) for name in names]
        found = [(n[1], int(n[2])) for n in numbers if n]
        if found and found in ([(found[0][0], i + first) for i in range(len(names))] for first in (0, 1)):
            return list(range(len(names)))
    strange = next((name for name in place if name not in schema.points), None)
    if len(place) < len(names):
        why = "a point is named twice"
    elif len(names) != schema.num_points:
        why = f"{len(names)} points, but {schema.name} has {schema.num_points}"
    else:
        why = f"{strange!r} is not a point of {schema.name}, which has {', '.join(schema.points[:4])}, ..."
    raise UserError(f"{where}: {why}; give the schema of these labels")


def schema_named(names: Sequence[str]) -> PointSchema | None:
    """Return the known schema with exactly these points in this order, or None."""
    return next((s for s in map(load_schema, SCHEMAS) if s.points == tuple(map(str, names))), None)


def read_text(path: Path, max_bytes: int = MAX_BYTES, errors: str = "strict") -> str:
    """Read a file of labels in UTF-8.

    Args:
        path: The file.
        max_bytes: Maximum size in bytes; larger files are refused.
        errors: How to treat bytes that are not UTF-8, as for `bytes.decode`.

    Raises:
        UserError: The file is missing, not a regular file, too large, or not text.
    """
    try:
        return read_bytes(path, max_bytes).decode("utf-8-sig", errors)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the name") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not a text file in UTF-8; is it in another format?") from error


def read_json(path: Path, max_bytes: int = MAX_BYTES) -> dict[str, Any]:
    """Read a JSON object; NaN and Infinity, which are not valid JSON, are refused.

    Raises:
        UserError: See `read_text`; or the file is not JSON, or not an object.
    """
    try:
        values = json.loads(read_text(path, max_bytes), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not valid JSON ({' '.join(str(error).split())[:120]})") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: holds a JSON {type(values).__name__}, not an object; is it in another format?")
    return values


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number")


def numbers(values: Any, where: str) -> list[float]:
    """Return a list of finite numbers as floats.

    Raises:
        UserError: It is not such a list.
    """
    if not isinstance(values, list) or any(isinstance(v, bool) or not isinstance(v, (int, float)) for v in values):
        raise UserError(f"{where}: must be a list of numbers")
    try:
        found = [float(v) for v in values]
    except OverflowError as error:
        raise UserError(f"{where}: holds a number that is too large") from error
    if not np.isfinite(found).all():
        raise UserError(f"{where}: holds a number that is not finite")
    return found


def parse_numbers(texts: Sequence[str], where: str) -> np.ndarray:
    """Convert strings to float64.

    Raises:
        UserError: One is not a finite number.
    """
    try:
        values = np.array(texts, np.float64)
    except ValueError as error:
        raise UserError(f"{where}: holds something that is not a number ({str(error)[:60]})") from error
    if not np.isfinite(values).all():
        raise UserError(f"{where}: holds a number that is not finite")
    return values


def plain(value: float) -> float | int:
    """Round a coordinate to nine decimals for a file; return an int if it is whole.

    Example:
        >>> plain(3.0), plain(0.1 + 0.2)
        (3, 0.3)
    """
    value = round(float(value), 9)
    return int(value) if value == int(value) else value


def write_pts(path: Path, points: np.ndarray) -> None:
    r"""Write the points of a face, (K, 2) counted from 0, as a `.pts` file, which counts from 1.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "a.pts"
        >>> write_pts(path, np.array([[0, 1.5]])); path.read_text()
        'version: 1\nn_points: 1\n{\n1 2.5\n}\n'
    """
    rows = "\n".join(f"{plain(x + 1)} {plain(y + 1)}" for x, y in points)
    with atomic_path(path) as temporary:
        temporary.write_text(f"version: 1\nn_points: {len(points)}\n{{\n{rows}\n}}\n", encoding="utf-8")


def relative(path: Path, folder: Path) -> str:
    """Return the path of an image relative to a folder, with forward slashes."""
    return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()


#: Content that some formats cannot hold -> whether a face has it.
CONTENTS: dict[str, Callable[[Face], bool]] = {
    "missing points": lambda face: bool((face.visibility == MISSING).any()),
    "hidden points": lambda face: bool((face.visibility == HIDDEN).any()),
    "boxes": lambda face: face.box is not None,
    "fractions of a pixel": lambda face: (
        bool((np.nan_to_num(face.points) % 1 > 0).any()) or (face.box is not None and bool((face.box % 1 > 0).any()))
    ),
    "attributes": lambda face: bool(face.attributes),
}


def reduced(labels: Labels, holds: Iterable[str], lossy: bool, where: str) -> Labels:
    """Reduce labels to what a format can hold.

    Args:
        labels: Labels to reduce.
        holds: Keys of `CONTENTS` that the format can hold.
        lossy: Omit the rest: faces with missing points, the difference between hidden and visible, boxes, fractions,
            attributes.
        where: Location for messages.

    Raises:
        UserError: The format cannot hold everything, and `lossy` is false.
    """
    lost = [name for name in CONTENTS if name not in holds]
    for name in lost:
        face = next((face for face in labels.faces if CONTENTS[name](face)), None)
        if face is not None and not lossy:
            raise UserError(f"{where}: this format holds no {name}, which {face.where or face.image} has; choose "
                            "another, or add --lossy to omit them")  # fmt: skip
    faces = []
    for face in labels.faces:
        if "missing points" in lost and CONTENTS["missing points"](face):
            continue
        if "hidden points" in lost:
            face = replace(face, visibility=np.where(face.visibility == HIDDEN, VISIBLE, face.visibility))
        if "boxes" in lost:
            face = replace(face, box=None)
        if "fractions of a pixel" in lost:
            face = replace(face, points=np.round(face.points), box=None if face.box is None else np.round(face.box))
        if "attributes" in lost:
            face = replace(face, attributes=())
        faces.append(face)
    return Labels(labels.schema, faces)


def turned_or_swapped(labels: Labels) -> int:
    """Count the faces whose mirror pairs lie above one another: x and y are swapped, or the images are rotated."""
    if not labels.faces:
        return 0
    x, y = np.abs(labels.schema.across(labels.points)).T
    return int((y > 2 * x).sum())
