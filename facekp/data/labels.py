"""Labels in memory, the same for every format: faces with points, each visible, hidden or missing."""

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
from facekp.io import files
from facekp.io.files import atomic_path
from facekp.landmarks import SCHEMAS, PointSchema, load_schema
from facekp.vision import geometry

#: A coordinate that is larger, in pixels, is none.
MAX_COORDINATE = 100_000

#: Of a file that labels many images, and of one that labels a single one.
MAX_BYTES, MAX_BYTES_OF_ONE = 1 << 29, 1 << 20

#: Of a point.
MISSING, HIDDEN, VISIBLE = 0, 1, 2


@dataclass(frozen=True, eq=False)
class Face:
    """The labels of a face.

    Attributes:
        image: The file.
        points: (K, 2) float64 pixels, counted from the centre of the first pixel; NaN where missing.
        visibility: (K,) uint8: 0 missing, 1 hidden, 2 visible.
        box: (4,) float64 x0, y0, x1, y1; None: the box around the points.
        attributes: What else the labels say of it.
        where: The file and row or key, for messages.
    """

    image: Path
    points: np.ndarray
    visibility: np.ndarray
    box: Optional[np.ndarray] = None
    attributes: tuple[str, ...] = ()
    where: str = ""

    def same(self, other: Face) -> bool:
        """Whether two labels say the same, to a millionth of a pixel."""
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
        schema: What the points are.
        faces: In their order.

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
        """The same faces with the points of another schema.

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
    """Check what was read of a face.

    Args:
        schema: What the points are.
        image: The file.
        points: K pairs x, y; NaN where missing.
        visibility: K of 0, 1 and 2; None: what is not NaN is visible.
        box: x0, y0, x1, y1, or None.
        attributes: What else the labels say.
        where: Named in messages.

    Raises:
        UserError: A coordinate cannot be one, a visible point has no place, or the box is empty.
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
        raise UserError(f"{where}: the point {schema.points[index]} at ({x:g}, {y:g}) is in no image; fix it, or mark "
                        "it as missing")  # fmt: skip
    return Face(image, places, seen.astype(np.uint8), _checked_box(box, places, where), tuple(attributes), where)


def _checked_box(box: Any, points: np.ndarray, where: str) -> np.ndarray | None:
    if box is None:
        return None
    corners = np.array(box, np.float64)
    if corners.shape != (4,) or not (np.abs(corners) <= MAX_COORDINATE).all() or not (corners[:2] <= corners[2:]).all():
        raise UserError(f"{where}: the box {np.round(corners, 2).tolist()} is empty or in no image; fix or remove it")
    known = np.isfinite(points).all(-1)
    if known.any() and np.allclose(geometry.bounding_box(points[known]), corners, rtol=0, atol=1e-6):
        return None  # says nothing more than the points
    return corners


def box_of(face: Face) -> np.ndarray | None:
    """(4,) the box of a face, or that of its points; None if there is neither."""
    known = np.isfinite(face.points).all(-1)
    if face.box is not None or not known.any():
        return face.box
    return geometry.bounding_box(face.points[known])


def in_order(names: Sequence[str], schema: PointSchema, where: str) -> list[int]:
    """Where each point of a schema stands in a file that names its points.

    Args:
        names: Of the file's points. Numbers, counted on from 0 or 1 with or without a common word before them, stand
            for the schema's own order.
        schema: What the points are.
        where: Named in messages.

    Raises:
        UserError: The names are others, or too few or too many.

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
        why = f"{strange!r} is no point of {schema.name}, which has {', '.join(schema.points[:4])}, ..."
    raise UserError(f"{where}: {why}; give the schema of these labels")


def schema_named(names: Sequence[str]) -> PointSchema | None:
    """The known schema with just these points, in this order."""
    return next((s for s in map(load_schema, SCHEMAS) if s.points == tuple(map(str, names))), None)


def read_text(path: Path, most: int = MAX_BYTES) -> str:
    """Read a file of labels.

    Args:
        path: The file.
        most: A larger one is refused.

    Raises:
        UserError: It is missing, no regular file, too large, or no text.
    """
    return read_bytes(path, most, lambda data: data.decode("utf-8-sig"))


def read_bytes(path: Path, most: int, parse: Callable[[bytes], Any]) -> Any:
    """Read a regular file and parse it; see `read_text`."""
    try:
        return parse(files.read_bytes(path, most))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the name") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not a text file in UTF-8; is it of another format?") from error


def read_json(path: Path, most: int = MAX_BYTES) -> dict[str, Any]:
    """Read a JSON object; NaN and Infinity, which JSON does not have, are refused.

    Raises:
        UserError: See `read_text`; or it is not JSON, or not an object.
    """
    try:
        values = json.loads(read_text(path, most), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not valid JSON ({' '.join(str(error).split())[:120]})") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: holds a JSON {type(values).__name__}, not an object; is it of another format?")
    return values


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number")


def numbers(values: Any, where: str) -> list[float]:
    """A list of finite numbers as floats.

    Raises:
        UserError: It is none.
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
    """Texts as float64.

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
    """A coordinate as it is written: nine decimals, and none where it is whole.

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
    """The name of an image from a folder, with slashes."""
    return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()


#: What a format may not be able to hold -> whether a face has it.
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
    """What of labels a format can hold.

    Args:
        labels: Whose.
        holds: Keys of `CONTENTS`.
        lossy: Omit what it cannot: faces with missing points, the difference of hidden and visible, boxes,
            fractions, attributes.
        where: Named in messages.

    Raises:
        UserError: It cannot hold all, and not `lossy`.
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
    """In how many faces the mirror pairs lie above one another: x and y are swapped, or the images are turned."""
    if not labels.schema.mirror_pairs or not labels.faces:
        return 0
    left, right = np.array(labels.schema.mirror_pairs).T
    points = labels.points
    across = np.nansum(points[:, right] - points[:, left], 1)
    return int((np.abs(across[:, 1]) > 2 * np.abs(across[:, 0])).sum())
