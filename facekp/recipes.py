"""Recipes: what inference needs to know about a network besides its weights, stored with them and with exports.

Reading a recipe needs no Paddle. All values are validated, because the file may come from an untrusted source.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, field, fields
from pathlib import Path
from typing import Annotated, Any, Callable, ClassVar, TypeVar, Union

import numpy as np
from pydantic import BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

from facekp.codecs.points import Codec, OutputDecoder, OutputLayout, Outputs, codec_from_dict
from facekp.errors import UserError, first_problem
from facekp.io.files import atomic_path
from facekp.io.safetensors import read_metadata
from facekp.landmarks import SCHEMAS, PointSchema, load_schema, parse_schema
from facekp.vision.pixels import build_pixels

R = TypeVar("R", "PointsRecipe", "BoxesRecipe")

#: Version of the format; raised when old weights can no longer be read.
FORMAT = "facekp-1"

#: Maximum size of a recipe's JSON.
MAX_BYTES = 4 << 20

_STRICT = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

_Fraction = Annotated[float, Field(ge=-1, le=2, allow_inf_nan=False)]


def _as_schema(value: Any) -> PointSchema:
    return value if isinstance(value, PointSchema) else parse_schema(value, "schema")


@dataclass(frozen=True, config=_STRICT)
class PointsRecipe:
    """Recipe of a network of points.

    Attributes:
        network: `type` and options for `build_network`.
        schema: Schema of the points.
        size: Side of the crop in pixels.
        pixels: The steps from a BGR crop to the network's input.
        codec: The codec as described by `codec_to_dict`.
        face_centre: Position of the face box's centre in the crop, x and y, in fractions of its side.
        face_side: The longer side of the face box, in fractions of the crop's side.
        notes: Additional information: the config's name, the validation NME, label mean and std.
    """

    network: dict[str, Any]
    schema: Annotated[PointSchema, BeforeValidator(_as_schema)]
    size: Annotated[int, Field(ge=16, le=2048)]
    pixels: list[dict[str, Any]]
    codec: dict[str, Any]
    face_centre: tuple[_Fraction, _Fraction]
    face_side: Annotated[float, Field(gt=0, le=2, allow_inf_nan=False)]
    notes: dict[str, Any] = field(default_factory=dict)

    kind: ClassVar[str] = "points"

    @property
    def num_points(self) -> int:
        """Number of points of a face."""
        return self.schema.num_points

    @property
    def layout(self) -> OutputLayout:
        """Layout of the network's outputs."""
        return OutputLayout.of(self.network, self.num_points)

    @property
    def scored(self) -> bool:
        """Whether the network scores its points."""
        return self.layout.score

    @property
    def input_side(self) -> int | None:
        """Side of the network's input in pixels."""
        return self.size

    def build_codec(self) -> Codec:
        """Build the codec that the network was trained with."""
        return codec_from_dict(self.codec)

    def build_pixels(self) -> Callable[[np.ndarray], np.ndarray]:
        """Return the function from a BGR crop (size, size, 3) to the network's input (C, size, size)."""
        return build_pixels(self.pixels)

    def blank_batch(self) -> np.ndarray:
        """Return the network's input for one black crop: (1, C, size, size)."""
        return self.build_pixels()(np.zeros((self.size, self.size, 3), np.uint8))[None]

    def build_decoder(self) -> OutputDecoder:
        """Return the decoder of the network's outputs and labels."""
        return OutputDecoder(self.layout, self.build_codec(), self.size)

    def decode(self, outputs: np.ndarray) -> Outputs:
        """Decode what the network predicts, (N, layout.width); see `Outputs`."""
        return self.build_decoder()(outputs)

    def network_arguments(self) -> dict[str, Any]:
        """Return the arguments of `build_network`."""
        return {**self.network, "num_points": self.num_points}

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as plain values, for JSON."""
        return {**{each.name: getattr(self, each.name) for each in fields(self)}, "schema": self.schema.to_dict()}


@dataclass(frozen=True, config=_STRICT)
class BoxesRecipe:
    """Recipe of a face detector.

    Attributes:
        network: `type` and options for `build_network`.
        size: Side of the square images that it was trained on, in pixels; it accepts images of any size.
        pixels: The steps from a BGR image to the network's input.
        notes: Additional information: the config's name, the validation metric.
    """

    network: dict[str, Any]
    size: Annotated[int, Field(ge=32, le=4096)]
    pixels: list[dict[str, Any]]
    notes: dict[str, Any] = field(default_factory=dict)

    kind: ClassVar[str] = "boxes"

    @property
    def input_side(self) -> int | None:
        """None: a detector accepts images of any size."""
        return None

    def build_pixels(self) -> Callable[[np.ndarray], np.ndarray]:
        """Return the function from a BGR image (H, W, 3) to the network's input (C, H, W)."""
        return build_pixels(self.pixels)

    def blank_batch(self) -> np.ndarray:
        """Return the network's input for one small black image: (1, C, 64, 64)."""
        return self.build_pixels()(np.zeros((64, 64, 3), np.uint8))[None]

    @property
    def layout(self) -> OutputLayout:
        """Layout of the only output, the cells."""
        return OutputLayout(0)

    def decode(self, outputs: np.ndarray) -> Outputs:
        """Return the network's cells unchanged: `facekp.codecs.boxes` converts them to boxes."""
        return Outputs(outputs)

    def network_arguments(self) -> dict[str, Any]:
        """Return the arguments of `build_network`."""
        return dict(self.network)

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as plain values, for JSON."""
        return asdict(self)


AnyRecipe = Union[PointsRecipe, BoxesRecipe]

#: What a network finds, as stored in its weights -> class of its recipe.
RECIPES: dict[str, type[PointsRecipe] | type[BoxesRecipe]] = {kind.kind: kind for kind in (PointsRecipe, BoxesRecipe)}


def describe(recipe: AnyRecipe) -> dict[str, str]:
    """Return the metadata to store with the weights."""
    return {"format": FORMAT, "finds": recipe.kind, "recipe": json.dumps(recipe.to_dict())}


def save_recipe(path: str | os.PathLike[str], recipe: AnyRecipe) -> None:
    """Write a recipe to a file of its own, as readable JSON."""
    with atomic_path(path) as temporary:
        described = {"format": FORMAT, "finds": recipe.kind, "recipe": recipe.to_dict()}
        temporary.write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")


def read_any_recipe(path: str | os.PathLike[str]) -> AnyRecipe:
    """Read the recipe in a file that `save_recipe` wrote, or in weights.

    Args:
        path: Path of the file.

    Raises:
        UserError: The file is missing, damaged or from another program.
    """
    if Path(path).suffix != ".json":
        return parse_recipe(read_metadata(path), path)
    try:
        with open(path, "rb") as file:
            text = file.read(MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            raise ValueError("it is too large")
        described = json.loads(text)
        return parse_recipe({**described, "recipe": json.dumps(described["recipe"])}, path)
    except (OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: no readable description of a network ({_short(error)}); export again") from error


def read_recipe(path: str | os.PathLike[str], kind: type[R] = PointsRecipe) -> R:  # type: ignore[assignment]
    """Read a recipe of one kind.

    Args:
        path: Path of the file, see `read_any_recipe`.
        kind: `PointsRecipe` or `BoxesRecipe`.

    Raises:
        UserError: See `read_any_recipe`; or the recipe is of the other kind.
    """
    return of_kind(read_any_recipe(path), kind, path)


def of_kind(recipe: AnyRecipe, kind: type[R], source: str | os.PathLike[str]) -> R:
    """Return the recipe if it is of the given kind.

    Raises:
        UserError: The recipe is of another kind.
    """
    if not isinstance(recipe, kind):
        raise UserError(f"{source}: weights of a network that finds {recipe.kind}, not {kind.kind}; choose others")
    return recipe


def parse_recipe(metadata: Mapping[str, str], source: str | os.PathLike[str]) -> AnyRecipe:
    """Parse and validate the recipe in the metadata of weights.

    Args:
        metadata: Metadata as returned by `describe`.
        source: Name of the source, for messages.

    Raises:
        UserError: It is not a recipe, or it has invalid values.
    """
    if metadata.get("format") != FORMAT:
        raise UserError(f"{source}: not weights of facekp (format {FORMAT}); train or choose others")
    kind = RECIPES.get(str(metadata.get("finds", "points")))  # all older weights find points
    if kind is None:
        raise UserError(f"{source}: weights of a network that finds {str(metadata['finds'])[:40]!r}; "
                        f"known are {', '.join(RECIPES)}")  # fmt: skip
    try:
        text = metadata["recipe"]
        if len(text) > MAX_BYTES:
            raise ValueError("it is too large")
        recipe = kind(**_with_schema(json.loads(text)))
        if not isinstance(recipe.network.get("type"), str):
            raise ValueError("network: type is missing")
        recipe.build_pixels()
        if isinstance(recipe, PointsRecipe):
            codec = recipe.build_codec()
            if len(getattr(codec, "mean_points", recipe.schema.points)) != recipe.num_points:
                raise ValueError(f"codec: its mean face does not have {recipe.num_points} points")
            size = getattr(codec, "size", recipe.size)
            if size != recipe.size:
                raise ValueError(f"codec: is for crops of {size} pixels, not {recipe.size}")
        return recipe
    except ValidationError as error:
        raise UserError(_damaged(source, ": ".join(first_problem(error)))) from error
    except (KeyError, TypeError, ValueError, RecursionError, UserError) as error:
        raise UserError(_damaged(source, _short(error))) from error


def _with_schema(values: Any) -> dict[str, Any]:
    """Add the schema to values from before facekp 0.2, which have a number of points instead."""
    if not isinstance(values, dict):
        raise ValueError("not a mapping")
    if "num_points" not in values or "schema" in values:
        return values
    number = values["num_points"]
    schema = next((s for s in map(load_schema, ("ibug68", "five")) if s.num_points == number), None)
    if schema is None:
        raise ValueError(f"num_points: {str(number)[:20]} fits none of the schemas {', '.join(SCHEMAS)}")
    return {**{name: value for name, value in values.items() if name != "num_points"}, "schema": schema}


def _damaged(source: str | os.PathLike[str], reason: str) -> str:
    return f"{source}: its description is damaged ({reason}); fetch or train the weights again"


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
