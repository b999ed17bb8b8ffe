"""Weights in a file: arrays and what is needed to use them, nothing that could run code (safetensors)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, TypeVar, Union

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from facekp.cli import atomic_path
from facekp.codec import Codec, codec_from_dict, codec_to_dict, split_score
from facekp.errors import UserError
from facekp.pixels import build_pixels

if TYPE_CHECKING:  # who runs an exported network reads its recipe without waiting for Paddle
    from paddle import nn

R = TypeVar("R", "Recipe", "DetectorRecipe")

#: Version of the description; raised when old weights can no longer be read.
FORMAT = "facekp-1"


@dataclass(frozen=True)
class DetectorRecipe:
    """All that inference must know about a face detector beside its numbers.

    Attributes:
        network: `type` and options for `build_network`.
        size: Side of the squares that it was trained on, in pixels; it takes pictures of any size.
        pixels: The transforms from a BGR picture to the network's input.
        notes: Anything worth keeping: the config's name, what the validation said.
    """

    network: dict[str, Any]
    size: int
    pixels: list[dict[str, Any]]
    notes: dict[str, Any] = field(default_factory=dict)

    def build_pixels(self) -> Callable[[np.ndarray], np.ndarray]:
        """What makes the network's input (C, H, W) of a BGR picture (H, W, 3)."""
        return build_pixels(self.pixels)

    def blank_batch(self) -> np.ndarray:
        """The network's input for one small black picture: (1, C, 64, 64)."""
        return self.build_pixels()(np.zeros((64, 64, 3), np.uint8))[None]

    def decode(self, outputs: np.ndarray) -> tuple[np.ndarray, None]:
        """What the network predicts, as it is: `boxes.choose_boxes` makes boxes of it."""
        return outputs, None

    def build_network(self) -> nn.Layer:
        """The network with random weights."""
        from facekp.models import build_network

        return build_network(**_as_arguments(self.network))


@dataclass(frozen=True)
class Recipe:
    """All that inference must know about a network of points beside its numbers.

    Attributes:
        network: `type` and options for `build_network`.
        num_points: Points that it predicts.
        size: Side of the crop in pixels.
        pixels: The transforms from a BGR crop to the network's input.
        codec: `codec_to_dict` of the codec.
        face_centre: Where the centre of the face's box lies in the crop, x and y, in fractions of its side.
        face_side: The longer side of the face's box, in fractions of the crop's side.
        notes: Anything worth keeping: the config's name, the validation NME, label mean and std.
    """

    network: dict[str, Any]
    num_points: int
    size: int
    pixels: list[dict[str, Any]]
    codec: dict[str, Any]
    face_centre: tuple[float, float]
    face_side: float
    notes: dict[str, Any] = field(default_factory=dict)

    def build_codec(self) -> Codec:
        """The codec of the training."""
        return codec_from_dict(self.codec)

    def build_pixels(self) -> Callable[[np.ndarray], np.ndarray]:
        """What makes the network's input (C, size, size) of a BGR crop (size, size, 3)."""
        return build_pixels(self.pixels)

    def blank_batch(self) -> np.ndarray:
        """The network's input for one black crop: (1, C, size, size)."""
        return self.build_pixels()(np.zeros((self.size, self.size, 3), np.uint8))[None]

    def decode(self, outputs: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Points (N, K, 2) in pixels of the crop, and scores (N,) or None, of what the network predicts."""
        points, scores = split_score(outputs)
        return self.build_codec().decode(points), scores

    def build_network(self) -> nn.Layer:
        """The network with random weights."""
        from facekp.models import build_network

        return build_network(num_points=self.num_points, **_as_arguments(self.network))

    @classmethod
    def describe(cls, codec: Codec, **values: Any) -> Recipe:
        """A recipe with the codec described."""
        return cls(codec=codec_to_dict(codec), **values)


AnyRecipe = Union[Recipe, DetectorRecipe]

#: What a network finds, as its weights say -> its recipe.
_RECIPES: dict[str, type[Recipe] | type[DetectorRecipe]] = {"points": Recipe, "boxes": DetectorRecipe}


def _as_arguments(network: dict[str, Any]) -> dict[str, Any]:
    """{"type": ...} as `build_network` calls it."""
    return {"name" if key == "type" else key: value for key, value in network.items()}


def _finds(recipe: AnyRecipe) -> str:
    return next(name for name, kind in _RECIPES.items() if isinstance(recipe, kind))


def save_weights(path: str | os.PathLike[str], network: nn.Layer, recipe: AnyRecipe, half: bool = False) -> None:
    """Write a network's parameters and running statistics with its recipe.

    Args:
        path: The file, by custom `.safetensors`.
        network: Its state is written.
        recipe: Written beside it.
        half: Store in half precision: half the size; `load_weights` gives float32 again.
    """
    arrays = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    if half:
        arrays = {name: array.astype(np.float16) for name, array in arrays.items()}
    metadata = {"format": FORMAT, "finds": _finds(recipe), "recipe": json.dumps(asdict(recipe))}
    write_safetensors(path, arrays, metadata)


def write_safetensors(path: str | os.PathLike[str], arrays: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    """Write arrays by name, and texts; all of it or nothing.

    Raises:
        UserError: The place cannot be written to, or is full.
    """
    try:
        with atomic_path(path) as temporary:
            save_file(arrays, str(temporary), metadata)
    except SafetensorError as error:
        raise UserError(f"{path}: cannot be written ({error}); check the free space") from error


def load_weights(path: str | os.PathLike[str]) -> tuple[nn.Layer, Recipe]:
    """Read a network of points that `save_weights` wrote.

    Args:
        path: The file.

    Returns:
        The network, in evaluation mode, and its recipe.

    Raises:
        UserError: The file is missing, damaged, of another program, or does not fit its own recipe; or it holds a
            detector.
    """
    return _load(path, Recipe)


def load_detector_weights(path: str | os.PathLike[str]) -> tuple[nn.Layer, DetectorRecipe]:
    """Read a face detector that `save_weights` wrote; see `load_weights`."""
    return _load(path, DetectorRecipe)


def load_any_weights(path: str | os.PathLike[str]) -> tuple[nn.Layer, AnyRecipe]:
    """Read either; see `load_weights`."""
    with _open(path) as file:
        finds = (file.metadata() or {}).get("finds", "points")
    return _load(path, DetectorRecipe) if finds == "boxes" else _load(path, Recipe)


def _load(path: str | os.PathLike[str], kind: type[R]) -> tuple[nn.Layer, R]:
    arrays, metadata = read_safetensors(path)
    recipe = _recipe(metadata, path, kind)
    try:
        network = recipe.build_network()
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(_damaged(path, error)) from error
    set_state(network, arrays, path)
    network.eval()
    return network, recipe


def save_recipe(path: str | os.PathLike[str], recipe: AnyRecipe) -> None:
    """Write a recipe alone, as readable JSON."""
    with atomic_path(path) as temporary:
        described = {"format": FORMAT, "finds": _finds(recipe), "recipe": asdict(recipe)}
        temporary.write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")


def read_recipe(path: str | os.PathLike[str], kind: type[R] = Recipe) -> R:  # type: ignore[assignment]
    """Read the recipe that `save_recipe` wrote, or that of weights; needs no Paddle.

    Args:
        path: The file.
        kind: `Recipe` or `DetectorRecipe`.

    Raises:
        UserError: See `load_weights`.
    """
    if Path(path).suffix != ".json":
        with _open(path) as file:
            return _recipe(file.metadata() or {}, path, kind)
    try:
        metadata = json.loads(Path(path).read_text(encoding="utf-8"))
        return _recipe({**metadata, "recipe": json.dumps(metadata["recipe"])}, path, kind)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: no readable description of a network ({error}); export again") from error


def _recipe(metadata: Mapping[str, str], source: str | os.PathLike[str], kind: type[R]) -> R:
    if metadata.get("format") != FORMAT:
        raise UserError(f"{source}: not weights of facekp (format {FORMAT}); train or choose others")
    finds = metadata.get("finds", "points")  # older weights all do
    if _RECIPES.get(finds) is not kind:
        wanted = next(name for name, each in _RECIPES.items() if each is kind)
        raise UserError(f"{source}: weights of a network that finds {finds}, not {wanted}; choose others")
    try:
        return kind(**json.loads(metadata["recipe"]))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(_damaged(source, error)) from error


def _damaged(source: str | os.PathLike[str], error: Exception) -> str:
    return f"{source}: its description is damaged ({error}); fetch or train the weights again"


def read_safetensors(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read a safetensors file: arrays by name, and its metadata.

    Raises:
        UserError: The file is missing or damaged.
    """
    with _open(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118


@contextmanager
def _open(path: str | os.PathLike[str]) -> Iterator[Any]:
    if not Path(path).is_file():
        raise UserError(f"{path}: no such weights; check the name")
    try:
        with safe_open(str(path), "np") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: not a safetensors file, or damaged ({error})") from error


def set_state(network: nn.Layer, arrays: dict[str, np.ndarray], source: str | os.PathLike[str]) -> None:
    """Put arrays into a network; names and shapes must be exactly its own.

    Raises:
        UserError: They are another network's.
    """
    import paddle

    own = network.state_dict()
    for name in sorted(set(own) ^ set(arrays)):
        raise UserError(f"{source}: weights of another network: {name} is only in one of the two")
    for name, tensor in own.items():
        if tuple(tensor.shape) != arrays[name].shape:
            raise UserError(
                f"{source}: weights of another network: {name} has the shape {arrays[name].shape}, "
                f"not {tuple(tensor.shape)}"
            )
    network.set_state_dict({k: paddle.to_tensor(v.astype(np.float32)) for k, v in arrays.items()})
