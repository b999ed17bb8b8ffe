"""What the points of a face are: a point schema, read from a YAML file."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Optional, Union

import numpy as np
import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from facekp.errors import UserError
from facekp.vision import geometry

#: The schemas that come with facekp, one YAML each.
FOLDER = Path(__file__).with_name("schemas")

#: A schema has no more points, and its file no more bytes.
MAX_POINTS, MAX_BYTES = 1000, 1 << 20

#: A point by its name or index, or several: "0-16" from the first to the last.
PointReference = Union[Annotated[int, Field(strict=True)], str]

_SIDES = {"left": "right", "right": "left"}


@dataclass(frozen=True)
class PointSchema:
    """The points of a face: how many, what they are called, and how they belong together.

    "Left" and "right" are the viewer's: the left eye is the one on the left of the image.

    Attributes:
        name: Of the schema.
        points: Names of the K points.
        mirror_pairs: Points that change places when the image is mirrored, (left, right); others stay.
        regions: Region -> its points.
        normalise: The two points whose distance divides every error; None: the diagonal of the face box.
        edges: Curves to draw, each its points and whether it is closed.
        anchors: Place of the face -> the points whose mean it is. See `facekp.landmarks.anchors`.
        mean_face: K pairs x, y; the box around the whole face begins at the origin and is 1 wide. None: not known
            before the training labels are.
        whole_face: Whether the points reach around the face. If not, the face box is that of the 68-point mean face,
            carried along with `mean_face`.
        convert: Other schema -> for each of its points the points of this one whose mean it is.

    Example:
        >>> schema = load_schema("five")
        >>> schema.num_points, schema.points[0], schema.flip_order.tolist()
        (5, 'left_eye', [1, 0, 2, 4, 3])
    """

    name: str
    points: tuple[str, ...]
    mirror_pairs: tuple[tuple[int, int], ...] = ()
    regions: Mapping[str, tuple[int, ...]] = field(default_factory=dict, hash=False)
    normalise: Optional[tuple[int, int]] = None
    edges: tuple[tuple[tuple[int, ...], bool], ...] = ()
    anchors: Mapping[str, tuple[int, ...]] = field(default_factory=dict, hash=False)
    mean_face: Optional[tuple[tuple[float, float], ...]] = None
    whole_face: bool = True
    convert: Mapping[str, tuple[tuple[int, ...], ...]] = field(default_factory=dict, hash=False)

    @property
    def num_points(self) -> int:
        """K."""
        return len(self.points)

    @functools.cached_property
    def flip_order(self) -> np.ndarray:
        """(K,) int: `points[flip_order]` after mirroring the image puts every point back under its own index."""
        order = np.arange(self.num_points)
        for left, right in self.mirror_pairs:
            order[[left, right]] = right, left
        return order

    @functools.cached_property
    def mean_points(self) -> np.ndarray:
        """`mean_face` as an array, (K, 2) float32.

        Raises:
            ValueError: The schema has none.
        """
        if self.mean_face is None:
            raise ValueError(f"the schema {self.name} has no mean face")
        return np.array(self.mean_face, np.float32)

    def unit(self, points: np.ndarray) -> np.ndarray:
        """What errors are divided by: the distance of the normalising pair, or the diagonal of the face box.

        Args:
            points: (..., K, 2); those that are NaN are not known.

        Returns:
            (...) in the unit of `points`; NaN where it is not known.

        Example:
            >>> schema = load_schema("ibug68")
            >>> round(float(schema.unit(schema.mean_points * 100)), 1)
            60.6
        """
        if self.normalise is None:
            return np.linalg.norm(np.fmax.reduce(points, -2) - np.fmin.reduce(points, -2), axis=-1)
        left, right = self.normalise
        return np.linalg.norm(points[..., left, :] - points[..., right, :], axis=-1)

    def face_box(self, points: np.ndarray) -> np.ndarray:
        """The face's box: around its points, or around the whole face where they do not reach around it.

        Args:
            points: (K, 2); those that are NaN are not known.

        Returns:
            (4,) x0, y0, x1, y1.

        Example:
            >>> five, whole = load_schema("five"), load_schema("ibug68")
            >>> box = five.face_box(five.mean_points * 100)
            >>> bool(abs(box - whole.face_box(whole.mean_points * 100)).max() < 1e-3)
            True
        """
        return geometry.bounding_box(self.outline(points))

    def outline(self, points: np.ndarray) -> np.ndarray:
        """The known points, or the 68-point mean face laid over them where they do not reach around the face.

        Args:
            points: (K, 2); those that are NaN are not known.

        Returns:
            (M, 2) pixels; NaN if no point is known.
        """
        known = np.isfinite(points).all(-1)
        if not known.any():
            return points
        if self.whole_face:
            return points[known]
        whole = load_schema("ibug68").mean_points
        return geometry.apply(geometry.similarity(self.mean_points[known], points[known]), whole)

    def converted(self, points: np.ndarray, to: str) -> np.ndarray | None:
        """The points of another schema; None if the conversion is not known.

        Args:
            points: (..., K, 2).
            to: Name of the other schema.

        Returns:
            (..., L, 2), the dtype of `points`.
        """
        if to == self.name:
            return points
        if to not in self.convert:
            return None
        return np.stack([points[..., list(indices), :].mean(-2) for indices in self.convert[to]], -2)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON and YAML; `parse_schema` takes them."""
        values = asdict(self)
        values["edges"] = [{"points": list(points), "closed": closed} for points, closed in self.edges]
        values["normalise"] = "box" if self.normalise is None else list(self.normalise)
        return values


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, (int, str)) else value


_References = Annotated[list[PointReference], BeforeValidator(_as_list), Field(min_length=1, max_length=MAX_POINTS)]
_Named = Annotated[dict[str, _References], Field(max_length=MAX_POINTS)]
_FaceWidths = Annotated[float, Field(ge=-10, le=10, allow_inf_nan=False)]


class _Edge(BaseModel):
    model_config = ConfigDict(extra="forbid")
    points: _References
    closed: bool = False


class _SchemaFile(BaseModel):
    """The keys of a schema's file."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(pattern=r"^[A-Za-z0-9][\w-]{0,63}$")
    points: list[str] = Field(min_length=1, max_length=MAX_POINTS)
    mirror_pairs: Optional[list[tuple[PointReference, PointReference]]] = None
    regions: _Named = {}
    normalise: Union[Literal["box"], tuple[PointReference, PointReference]] = "box"
    edges: list[_Edge] = Field([], max_length=MAX_POINTS)
    anchors: _Named = {}
    mean_face: Optional[list[tuple[_FaceWidths, _FaceWidths]]] = None
    whole_face: bool = True
    convert: dict[str, Annotated[list[_References], Field(max_length=MAX_POINTS)]] = Field({}, max_length=10)


_FILE = TypeAdapter(_SchemaFile)


def parse_schema(values: Any, source: str) -> PointSchema:
    """Check plain values and make a schema of them.

    Args:
        values: The keys of a schema's file, see docs/own-points.md.
        source: Named in messages.

    Raises:
        UserError: A key is unknown or missing, a point is named that does not exist, a mirror pair is missing or
            asymmetric.

    Example:
        >>> parse_schema({"name": "pair", "points": ["left_ear", "right_ear"]}, "an example").mirror_pairs
        ((0, 1),)
    """
    if not isinstance(values, Mapping):
        raise UserError(f"{source}: not a point schema; it needs the keys name and points, see docs/own-points.md")
    try:
        file = _FILE.validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        keys = (_SchemaFile if len(first["loc"]) == 1 else _Edge).model_fields
        valid = f"; valid keys are {', '.join(keys)}" if first["type"] == "extra_forbidden" else ""
        raise UserError(": ".join(part for part in (source, key, first["msg"] + valid) if part)) from error
    names = tuple(file.points)
    index = {name: i for i, name in enumerate(names)}
    if len(index) < len(names):
        twice = next(name for i, name in enumerate(names) if index[name] != i)
        raise UserError(f"{source}: points: {twice} is named twice; every point needs a name of its own")

    def one(reference: PointReference, where: str) -> int:
        found = index.get(str(reference)) if isinstance(reference, str) else reference
        if found is None or not 0 <= found < len(names):
            raise UserError(f"{source}: {where}: there is no point {reference!r}; give a name or an index from 0 to "
                            f"{len(names) - 1}")  # fmt: skip
        return found

    def several(references: Sequence[PointReference], where: str) -> tuple[int, ...]:
        found: list[int] = []
        for reference in references:
            span = re.fullmatch(r"(\d{1,4})-(\d{1,4})", str(reference))
            if span and str(reference) not in index:
                first, last = (one(int(end), where) for end in span.groups())
                found += range(first, last + 1) if first <= last else range(first, last - 1, -1)
            else:
                found.append(one(reference, where))
            if len(found) > MAX_POINTS:
                raise UserError(f"{source}: {where}: names more than {MAX_POINTS} points")
        return tuple(found)

    if file.name == "ibug68" and len(names) != 68:
        raise UserError(f"{source}: name: ibug68 is the schema of 68 points; choose another name")
    if len(file.convert.get("ibug68", names[:1] * 68)) != 68:
        raise UserError(f"{source}: convert.ibug68: needs 68 entries, one for each of its points")

    if file.mirror_pairs is None:
        pairs = _pairs_of_names(names, index, source)
    else:
        pairs = tuple((one(a, "mirror_pairs"), one(b, "mirror_pairs")) for a, b in file.mirror_pairs)
        used = [i for pair in pairs for i in pair]
        if len(set(used)) < len(used):
            twice = names[next(i for i in used if used.count(i) > 1)]
            raise UserError(f"{source}: mirror_pairs: {twice} stands in two pairs; each point has one mirror image")
    if file.mean_face is not None:
        if len(file.mean_face) != len(names):
            raise UserError(f"{source}: mean_face: needs {len(names)} pairs of numbers, one for each point")
        if not np.ptp(np.array(file.mean_face), axis=0).any():
            raise UserError(f"{source}: mean_face: all points coincide")
    if not file.whole_face and file.mean_face is None:
        raise UserError(f"{source}: whole_face: false needs a mean_face, which says where the rest of the face is")
    normalise = None
    if file.normalise != "box":
        normalise = (one(file.normalise[0], "normalise"), one(file.normalise[1], "normalise"))
        if normalise[0] == normalise[1]:
            raise UserError(f"{source}: normalise: needs two different points")
    return PointSchema(
        name=file.name,
        points=names,
        mirror_pairs=pairs,
        regions={name: several(points, f"regions.{name}") for name, points in file.regions.items()},
        normalise=normalise,
        edges=tuple((several(edge.points, "edges"), edge.closed) for edge in file.edges),
        anchors={name: several(points, f"anchors.{name}") for name, points in file.anchors.items()},
        mean_face=None if file.mean_face is None else tuple(file.mean_face),
        whole_face=file.whole_face,
        convert={name: tuple(several(p, f"convert.{name}") for p in each) for name, each in file.convert.items()},
    )


def _pairs_of_names(names: Sequence[str], index: Mapping[str, int], source: str) -> tuple[tuple[int, int], ...]:
    """Mirror pairs from "left" and "right" in the names, whole words between underscores."""
    pairs = []
    for name in names:
        words = name.split("_")
        mirrored = "_".join(_SIDES.get(word, word) for word in words)
        if mirrored == name:
            continue
        if mirrored not in index:
            raise UserError(f"{source}: points: {name} has no mirror image {mirrored}; add it, or list mirror_pairs")
        if next(word for word in words if word in _SIDES) == "left":
            pairs.append((index[name], index[mirrored]))
    return tuple(pairs)


def load_schema(source: str | os.PathLike[str]) -> PointSchema:
    """Load a point schema.

    Args:
        source: Name of one that comes with facekp or was put into `SCHEMAS`, or path of a YAML file.

    Raises:
        UserError: There is no such schema, or the file is wrong; see `parse_schema`.

    Example:
        >>> load_schema("ibug68").regions["jaw"][:3]
        (0, 1, 2)
    """
    known = SCHEMAS.get(str(source))
    if known is None:
        path = Path(source)
        if path.suffix not in (".yml", ".yaml"):
            raise UserError(
                f"unknown point schema {str(source)!r}; known are {', '.join(SCHEMAS)}, or give a YAML file"
            )
        return _read(path)
    if isinstance(known, Path):
        known = SCHEMAS[str(source)] = _read(known)
    return known


def _read(path: Path) -> PointSchema:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            raise UserError(f"{path}: larger than {MAX_BYTES >> 20} MiB; not a point schema")
        # The loader in C is ten times as fast; both are safe.
        values = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the name") from error
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: not valid YAML ({' '.join(str(error).split())[:200]})") from error
    return parse_schema(values, str(path))


#: Name -> the schema, or the file that holds it. Put your own in to use it by name.
SCHEMAS: dict[str, PointSchema | Path] = {path.stem: path for path in sorted(FOLDER.glob("*.yml"))}

#: The default: 68 points.
IBUG68 = load_schema("ibug68")
