"""Point schemas, read from YAML files: the names and relations of the points of a face."""

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

from facekp.errors import UserError, first_problem
from facekp.io.unique_keys import UniqueKeys
from facekp.vision import geometry

#: Folder of the schemas included in facekp, one YAML file each.
FOLDER = Path(__file__).with_name("schemas")

#: Maximum number of points of a schema, and maximum size of its file in bytes.
MAX_POINTS, MAX_BYTES = 1000, 1 << 20

#: Name or index of a point, or a range of indices such as "0-16", both ends included.
PointReference = Union[Annotated[int, Field(strict=True)], str]

#: "left" or "right" as a separate word in a point's name, as in left_eye, leftEye and eyeLeft; also in Chinese.
_SIDE = re.compile(
    r"(?<![A-Za-z])(?:left|right|Left|Right|LEFT|RIGHT)(?![a-z])|(?<=[a-z\d])(?:Left|Right)(?![a-z])|[左右]"
)
_OTHER_SIDE = {"left": "right", "Left": "Right", "LEFT": "RIGHT", "左": "右"}
_OTHER_SIDE.update({right: left for left, right in _OTHER_SIDE.items()})


@dataclass(frozen=True)
class PointSchema:
    """Definition of the points of a face: their number, names and relations.

    "Left" and "right" are the viewer's: the left eye is the one on the left of the image.

    Attributes:
        name: Name of the schema.
        points: Names of the K points.
        mirror_pairs: (left, right) pairs of points that are swapped when the image is mirrored; others stay.
        regions: Name of a region -> indices of its points.
        normalise: The two points whose distance normalises every error; None: the diagonal of the face box.
        edges: Curves to draw: the points of each, and whether it is closed.
        anchors: Name of an anchor -> the points whose mean it is. See `facekp.landmarks.anchors`.
        mean_face: K pairs x, y; the box around the whole face starts at the origin and is 1 wide. None: unknown until
            the training labels are read.
        whole_face: Whether the points surround the face. If not, the face box is that of the 68-point mean face,
            aligned by `mean_face` or by the anchors that both schemas have.
        convert: Other schema -> for each of its points, the points of this schema whose mean it is.
        convert_from: Other schema -> for each point of this schema, the points of the other whose mean it is.

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
    convert_from: Mapping[str, tuple[tuple[int, ...], ...]] = field(default_factory=dict, hash=False)

    @property
    def num_points(self) -> int:
        """Number of points K."""
        return len(self.points)

    @functools.cached_property
    def flip_order(self) -> np.ndarray:
        """(K,) int: after mirroring the image, `points[flip_order]` has every point at its own index again."""
        order = np.arange(self.num_points)
        for left, right in self.mirror_pairs:
            order[[left, right]] = right, left
        return order

    def need_mirror_pairs(self, what: str) -> None:
        """Check that the mirror pairs are known, before points are mirrored.

        Raises:
            UserError: The schema has no mirror pair; `what` needs them.
        """
        if not self.mirror_pairs and self.num_points > 1:
            raise UserError(f"{what} needs to know which points of the schema {self.name} change places: list "
                            "mirror_pairs in it, or call them left_... and right_...")  # fmt: skip

    @functools.cached_property
    def mean_points(self) -> np.ndarray:
        """`mean_face` as an array, (K, 2) float32.

        Raises:
            ValueError: The schema has no mean face.
        """
        if self.mean_face is None:
            raise ValueError(f"the schema {self.name} has no mean face")
        return np.array(self.mean_face, np.float32)

    def unit(self, points: np.ndarray) -> np.ndarray:
        """Return what errors are divided by: the distance of the normalising pair, or the diagonal of the face box.

        Args:
            points: (..., K, 2); NaN where unknown.

        Returns:
            (...) in the unit of `points`; NaN where unknown.

        Example:
            >>> schema = load_schema("ibug68")
            >>> round(float(schema.unit(schema.mean_points * 100)), 1)
            60.6
        """
        if self.normalise is None:
            return np.linalg.norm(np.fmax.reduce(points, -2) - np.fmin.reduce(points, -2), axis=-1)
        left, right = self.normalise
        return np.linalg.norm(points[..., left, :] - points[..., right, :], axis=-1)

    def across(self, points: np.ndarray) -> np.ndarray:
        """Return the sum of the vectors from the left to the right point of the mirror pairs.

        Args:
            points: (..., K, 2); pairs with an unknown point (NaN) are omitted.

        Returns:
            (..., 2); zero without mirror pairs.

        Example:
            >>> x, y = load_schema("ibug68").across(load_schema("ibug68").mean_points)
            >>> bool(x > 5 * abs(y))
            True
        """
        left, right = np.array(self.mirror_pairs, np.intp).reshape(-1, 2).T
        return np.nansum(points[..., right, :] - points[..., left, :], axis=-2)

    def face_box(self, points: np.ndarray) -> np.ndarray:
        """Return the face box: around the points, or around the whole face if they do not surround it.

        Args:
            points: (K, 2); NaN where unknown.

        Returns:
            (4,) x0, y0, x1, y1.

        Example:
            >>> five, whole = load_schema("five"), load_schema("ibug68")
            >>> box = five.face_box(five.mean_points * 100)
            >>> bool(abs(box - whole.face_box(whole.mean_points * 100)).max() < 1e-3)
            True
        """
        return geometry.bounding_box(self.around(points))

    def around(self, points: np.ndarray) -> np.ndarray:
        """Return points that surround the face: its own, or the 68 of an average face aligned with them.

        Args:
            points: (K, 2); NaN where unknown.

        Returns:
            (M, 2) without NaN, unless all of `points` are NaN.
        """
        if self.whole_face and np.isfinite(points.sum()):  # the usual case; a sum is the fastest test
            return points
        if self.whole_face:
            found = self.completed(points)
        else:
            matrix = _alignment(*self._average(points))
            found = points if matrix is None else geometry.apply(matrix, load_schema("ibug68").mean_points)
        known = np.isfinite(found).all(-1)
        return found[known] if known.any() else found

    def completed(self, points: np.ndarray) -> np.ndarray:
        """Replace unknown points by those of the aligned mean face, if there is one.

        Args:
            points: (K, 2); NaN where unknown.

        Returns:
            (K, 2); known points are unchanged.

        Example:
            >>> five = load_schema("five")
            >>> points = five.mean_points * 100; points[2] = np.nan
            >>> bool(np.allclose(five.completed(points)[2], [50.0, 40.9], atol=0.01))
            True
        """
        known = np.isfinite(points).all(-1)
        matrix = None if known.all() or self.mean_face is None else _alignment(self.mean_points, points)
        return points if matrix is None else np.where(known[:, None], points, geometry.apply(matrix, self.mean_points))

    def _average(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return positions on an average face and the same positions on this one: all points, or the anchors."""
        if self.mean_face is not None:
            return self.mean_points, points
        whole = load_schema("ibug68")
        shared = _shared_anchors(self.anchors)
        return (np.stack([whole.mean_points[list(whole.anchors[name])].mean(0) for name in shared]),
                np.stack([points[list(self.anchors[name])].mean(0) for name in shared]))  # fmt: skip

    def converted(self, points: np.ndarray, to: str | PointSchema) -> np.ndarray | None:
        """Convert points to another schema.

        Args:
            points: (..., K, 2); NaN where unknown.
            to: The other schema, or the name of one of `SCHEMAS`.

        Returns:
            (..., L, 2) in the dtype of `points`, NaN where a point that is needed is unknown; None if the conversion is
            not known.

        Example:
            >>> places = load_schema("ibug68").converted(np.zeros((68, 2)), "wflw98")
            >>> places.shape
            (98, 2)
        """
        means = self.conversion(to)
        if (to if isinstance(to, str) else to.name) == self.name:
            return points
        return None if means is None else np.stack([points[..., list(each), :].mean(-2) for each in means], -2)

    def conversion(self, to: str | PointSchema) -> Sequence[tuple[int, ...]] | None:
        """Return, for each point of another schema, the points of this one whose mean it is; None if unknown.

        Raises:
            UserError: The other schema has the same name but other points, or not the number of points of `convert`.
        """
        name = to if isinstance(to, str) else to.name
        if isinstance(to, str) and to != self.name and to in SCHEMAS:
            to = load_schema(to)
        other = None if isinstance(to, str) else to
        if name == self.name:
            if other is not None and other.points != self.points:
                raise UserError(f"two schemas are called {name}, but have different points; rename one of them")
            return [(i,) for i in range(self.num_points)]
        if name not in self.convert:
            return None if other is None else other.convert_from.get(self.name)
        means = self.convert[name]
        if other is not None and len(means) != other.num_points:
            raise UserError(f"{self.name}: convert.{name}: has {len(means)} entries, but {name} has "
                            f"{other.num_points} points; give one for each")  # fmt: skip
        return means

    def no_conversion(self, to: PointSchema) -> UserError:
        """Return the error for a conversion that is needed but not known."""
        remedy = (f"convert_from: {self.name} to {to.name}" if self.name in SCHEMAS else
                  f"convert: {to.name} to {self.name}")  # fmt: skip
        return UserError(f"no conversion from {self.name} to {to.name} is known; add {remedy}")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON and YAML, which `parse_schema` accepts."""
        values = asdict(self)
        values["edges"] = [{"points": list(points), "closed": closed} for points, closed in self.edges]
        values["normalise"] = "box" if self.normalise is None else list(self.normalise)
        return values


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, (int, str)) else value


def _as_pair(value: Any) -> Any:
    if value != "box" and not (isinstance(value, (list, tuple)) and len(value) == 2):
        raise ValueError("must be box or a list of two points")
    return value


_References = Annotated[list[PointReference], BeforeValidator(_as_list), Field(min_length=1, max_length=MAX_POINTS)]
_Named = Annotated[dict[str, _References], Field(max_length=MAX_POINTS)]
_FaceWidths = Annotated[float, Field(ge=-10, le=10, allow_inf_nan=False)]


class _Edge(BaseModel):
    model_config = ConfigDict(extra="forbid")
    points: _References
    closed: bool = False


class _SchemaFile(BaseModel):
    """Keys of a schema file."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(pattern=r"^[A-Za-z0-9][\w-]*$", max_length=64)  # {0,63} takes 30 ms to compile
    points: list[str] = Field(min_length=1, max_length=MAX_POINTS)
    mirror_pairs: Optional[list[tuple[PointReference, PointReference]]] = None
    regions: _Named = {}
    normalise: Annotated[Union[Literal["box"], tuple[PointReference, PointReference]], BeforeValidator(_as_pair)] = (
        "box"
    )
    edges: list[_Edge] = Field([], max_length=MAX_POINTS)
    anchors: _Named = {}
    mean_face: Optional[list[tuple[_FaceWidths, _FaceWidths]]] = None
    whole_face: bool = True
    convert: dict[str, Annotated[list[_References], Field(max_length=MAX_POINTS)]] = Field({}, max_length=10)
    convert_from: dict[str, Annotated[list[_References], Field(max_length=MAX_POINTS)]] = Field({}, max_length=10)


_FILE = TypeAdapter(_SchemaFile)


def parse_schema(values: Any, source: str) -> PointSchema:
    """Validate plain values and build a schema from them.

    Args:
        values: Keys of a schema file, see docs/own-points.md.
        source: Name of the source for error messages.

    Raises:
        UserError: A key is unknown or missing, a reference to a point is invalid, or a mirror pair is missing or
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
        key, what = first_problem(error)
        if first["type"] == "extra_forbidden":
            keys = (_SchemaFile if len(first["loc"]) == 1 else _Edge).model_fields
            what = f"{what}; valid keys are {', '.join(keys)}"
        raise UserError(": ".join(part for part in (source, key, what) if part)) from error
    names = tuple(file.points)
    index = {name: i for i, name in enumerate(names)}
    if len(index) < len(names):
        repeated = next(name for i, name in enumerate(names) if index[name] != i)
        raise UserError(f"{source}: points: {repeated} is named twice; point names must be unique")

    resolve = _Resolver(names, source)
    one, several = resolve.one, resolve.several
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
            repeated = names[next(i for i in used if used.count(i) > 1)]
            raise UserError(f"{source}: mirror_pairs: {repeated} is in two pairs; each point has one mirror image")
        for name in names:
            mirrored = _mirrored(name)
            if mirrored != name and index[name] not in used:
                raise UserError(f"{source}: mirror_pairs: {name} has no mirror image; add [{name}, {mirrored}]")
    if file.mean_face is not None:
        if len(file.mean_face) != len(names):
            raise UserError(f"{source}: mean_face: needs {len(names)} pairs of numbers, one for each point")
        if not np.ptp(np.array(file.mean_face), axis=0).any():
            raise UserError(f"{source}: mean_face: all points coincide")
    anchors = {name: several(points, f"anchors.{name}") for name, points in file.anchors.items()}
    convert_from = {name: _means_of_other(name, each, len(names), source) for name, each in file.convert_from.items()}
    mean_face = None if file.mean_face is None else tuple(file.mean_face)
    if mean_face is None and "ibug68" in convert_from:
        whole = load_schema("ibug68").mean_points.astype(np.float64)
        mean_face = tuple((float(x), float(y)) for x, y in
                          (whole[list(each)].mean(0).round(5) for each in convert_from["ibug68"]))  # fmt: skip
    if not file.whole_face and mean_face is None and len(_shared_anchors(anchors)) < 2:
        raise UserError(
            f"{source}: whole_face: false needs two anchors that ibug68 has as well, such as left_eye and mouth, or "
            "convert_from: ibug68, or a mean_face: these locate the rest of the face"
        )
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
        anchors=anchors,
        mean_face=mean_face,
        whole_face=file.whole_face,
        convert={name: tuple(several(p, f"convert.{name}") for p in each) for name, each in file.convert.items()},
        convert_from=convert_from,
    )


class _Resolver:
    """Resolves names, indices and ranges in a schema file to indices of points."""

    def __init__(self, names: Sequence[str], source: str) -> None:
        self._names, self._source = names, source
        self._index = {name: i for i, name in enumerate(names)}

    def one(self, reference: PointReference, where: str) -> int:
        found = self._index.get(reference) if isinstance(reference, str) else reference
        if found is None or not 0 <= found < len(self._names):
            raise UserError(f"{self._source}: {where}: there is no point {reference!r}; give a name or an index from "
                            f"0 to {len(self._names) - 1}")  # fmt: skip
        return found

    def several(self, references: PointReference | Sequence[PointReference], where: str) -> tuple[int, ...]:
        found: list[int] = []
        for reference in [references] if isinstance(references, (int, str)) else references:
            span = re.fullmatch(r"(\d{1,4})-(\d{1,4})", str(reference))
            if span and str(reference) not in self._index:
                first, last = (self.one(int(end), where) for end in span.groups())
                found += range(first, last + 1) if first <= last else range(first, last - 1, -1)
            else:
                found.append(self.one(reference, where))
            if len(found) > MAX_POINTS:
                raise UserError(f"{self._source}: {where}: names more than {MAX_POINTS} points")
        return tuple(found)


def _means_of_other(
    other: str, means: Sequence[PointReference | list[PointReference]], count: int, source: str
) -> tuple[tuple[int, ...], ...]:
    """Return the entry of `convert_from` for another schema."""
    if other not in SCHEMAS:
        raise UserError(f"{source}: convert_from: unknown point schema {other!r}; known are {', '.join(SCHEMAS)}")
    if len(means) != count:
        raise UserError(f"{source}: convert_from.{other}: {len(means)} entries for {count} points; give one for each")
    several = _Resolver(load_schema(other).points, source).several
    return tuple(several(each, f"convert_from.{other}") for each in means)


def _alignment(average: np.ndarray, points: np.ndarray) -> np.ndarray | None:
    """Return the matrix (2, 3) from an average face to the known points of one; None if fewer than two are known."""
    known = np.isfinite(points).all(-1)
    if known.sum() < 2 or not np.ptp(average[known], axis=0).any():
        return None
    return geometry.similarity(average[known], points[known])


def _shared_anchors(anchors: Mapping[str, Any]) -> list[str]:
    """Return the anchors that the 68 points also have."""
    return [name for name in anchors if name in load_schema("ibug68").anchors]


def _mirrored(name: str) -> str:
    """Return the name of a point's mirror image."""
    return _SIDE.sub(lambda side: _OTHER_SIDE[side[0]], name)


def _pairs_of_names(names: Sequence[str], index: Mapping[str, int], source: str) -> tuple[tuple[int, int], ...]:
    """Derive mirror pairs from "left" and "right" in the names."""
    pairs = []
    for name in names:
        mirrored = _mirrored(name)
        if mirrored == name:
            continue
        if mirrored not in index:
            raise UserError(f"{source}: points: {name} has no mirror image {mirrored}; add it, or list mirror_pairs")
        if _SIDE.findall(name)[0].lower() in ("left", "左"):
            pairs.append((index[name], index[mirrored]))
    return tuple(pairs)


def load_schema(source: str | os.PathLike[str]) -> PointSchema:
    """Load a point schema.

    Args:
        source: Name of a schema in `SCHEMAS`, or path of a YAML file.

    Raises:
        UserError: There is no such schema, or the file is invalid; see `parse_schema`.

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


class _Loader(UniqueKeys, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Safe YAML loader, written in C where available, which is ten times as fast."""


def _read(path: Path) -> PointSchema:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            raise UserError(f"{path}: larger than {MAX_BYTES >> 20} MiB; not a point schema")
        values = yaml.load(text, _Loader)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}); check --schema, or data.sources.0.schema of a config"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: not valid YAML ({' '.join(str(error).split())[:200]})") from error
    return parse_schema(values, str(path))


#: Name -> schema, or path of its file. Add your own schema to use it by name.
SCHEMAS: dict[str, PointSchema | Path] = {path.stem: path for path in sorted(FOLDER.glob("*.yml"))}
#: The JD-landmark challenge and the LaPa data set number their 106 points identically.
SCHEMAS["jd106"] = SCHEMAS["lapa106"]

#: The default schema, 68 points.
IBUG68 = load_schema("ibug68")
