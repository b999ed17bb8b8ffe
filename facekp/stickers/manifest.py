"""Data models of a sticker pack's `manifest.json`, and its validation.

A pack is a folder, or a `.zip` of its files, that contains `manifest.json` and PNGs with transparency. These
models are the only definition of the format: the published JSON Schema is generated from them.
"""

from __future__ import annotations

import codecs
import lzma
import os
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Union

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    Tag,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import core_schema

from facekp.errors import UserError
from facekp.io.files import read_bytes
from facekp.landmarks import SIGNALS, anchor_names
from facekp.stickers.composite import Blend
from facekp.stickers.fit import Fit
from facekp.stickers.makeup import REGIONS
from facekp.stickers.triggers import Mode
from facekp.stickers.wearer import Side

#: Folder on disk or in a zip archive: both have `/`, `read_bytes` and `name`.
Place = Union[Path, zipfile.Path]

#: Maximum size of a file of a pack in bytes, uncompressed.
MAX_BYTES = 32 * 1024 * 1024

#: Maximum size of an archive in bytes.
MAX_ARCHIVE = 8 * MAX_BYTES

#: Fit -> minimum number of anchors.
MIN_ANCHORS = {"similarity": 2, "affine": 3, "mesh": 4, "face": 3}

_ANCHOR_NAMES = sorted(anchor_names())


class _Strict(BaseModel):
    # Strict: "0.5" and true are not accepted as numbers, as in the web page.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class _OneOf:
    """Annotation of a string that must be one of the given names."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = [*names]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> Any:
        def check(value: str) -> str:
            if value not in self.names:
                raise ValueError(f"unknown value {value!r}; known are {', '.join(self.names)}")
            return value

        return core_schema.no_info_after_validator_function(check, handler(source))

    def __get_pydantic_json_schema__(self, core: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "enum": self.names}


#: Integer that may be written as 3.0, as in JSON Schema and in the web page.
_Whole = Annotated[
    int, BeforeValidator(lambda value: int(value) if isinstance(value, float) and value.is_integer() else value)
]


class TriggerSpec(_Strict):
    """What the face must do for the layer to be shown."""

    signal: Annotated[str, _OneOf(SIGNALS)] = Field(description="Signal of the face, 0 to 1.")
    on: float = Field(0.5, gt=0, le=1, description="The layer appears when the signal rises to this value.")
    off: float = Field(
        0.35, ge=0, le=1, description="The layer disappears when the signal falls to this value.", validate_default=True
    )
    hold_ms: float = Field(0, ge=0, description="Minimum duration in milliseconds.")
    mode: Mode = Field(
        "while",
        description="while: frames repeat as long as it lasts; burst: once, or for `hold_ms` if that is longer.",
    )

    @field_validator("off")
    @classmethod
    def _below_on(cls, off: float, info: ValidationInfo) -> float:
        if off > info.data.get("on", 1):
            raise ValueError(f"{off:g} is above 'on', {info.data['on']:g}; make it smaller")
        return off


# With explicit tags, pydantic does not try every variant and report the errors of all of them.
_Trigger = Annotated[
    Union[
        Annotated[str, _OneOf(["always", *SIGNALS]), Tag("<name>")],
        Annotated[TriggerSpec, Tag("<trigger>")],
    ],
    Discriminator(lambda value: "<name>" if isinstance(value, str) else "<trigger>"),
]


class _Worn(_Strict):
    name: str = Field(min_length=1, description="Name of the layer in messages.")
    order: _Whole = Field(0, description="Lower layers are drawn first, across all stickers of a face.")
    trigger: _Trigger = Field(
        "always", description="When the layer is shown: name of a signal, or an object with thresholds."
    )


class LayerSpec(_Worn):
    """One image, or a sequence of images, tied to the face."""

    frames: list[Annotated[str, Field(pattern=r"^[^/\\:]+\.png$")]] = Field(
        min_length=1, max_length=1000, description="PNG files of the pack, shown one after the other in a loop."
    )
    frame_ms: float = Field(100, ge=1, description="How long each frame is shown, in milliseconds.")
    anchors: dict[str, tuple[float, float]] = Field(
        description="Place of the face -> its x, y in pixels of the PNG.",
        json_schema_extra={"propertyNames": {"enum": [*_ANCHOR_NAMES]}},
    )
    fit: Fit = Field(
        "similarity",
        description="Rotate and scale (2 anchors), also stretch (3), bend (4 and more), or a whole face, drawn over "
        "the mean face, fitted by all points (3).",
    )
    opacity: float = Field(1.0, ge=0, le=1)
    blend: Blend = "normal"
    behind: Literal["nothing", "face"] = Field("nothing", description="What hides the layer where they overlap.")
    within: Literal["anywhere", "face"] = Field(
        "anywhere", description="Where the layer is visible; 'face' cannot be combined with `behind`."
    )
    side: Side = Field("none", description="The side of the head, as the viewer sees it, that carries the layer.")
    hidden_from: float = Field(
        20, ge=0, le=90, description="Degrees of yaw from which that side is hidden; it fades over the 15 before."
    )

    @field_validator("within")
    @classmethod
    def _visible(cls, within: str, info: ValidationInfo) -> str:
        if within == info.data.get("behind") == "face":
            raise ValueError("'behind' hides what lies there; change one of the two")
        return within


class PaintSpec(_Worn):
    """Make-up: colour on a region of the face."""

    region: Annotated[str, _OneOf(REGIONS)] = Field(description="Region of the face.")
    colour: str = Field(pattern=r"^#[0-9a-fA-F]{6}$", description="As in HTML: #rrggbb.")
    opacity: float = Field(0.6, ge=0, le=1)

    @field_validator("trigger")
    @classmethod
    def _lasting(cls, trigger: str | TriggerSpec) -> str | TriggerSpec:
        if isinstance(trigger, TriggerSpec) and trigger.mode == "burst" and not trigger.hold_ms:
            raise ValueError("make-up has no frames that a burst could play; give it 'hold_ms'")
        return trigger


_Layer = Annotated[
    Union[Annotated[LayerSpec, Tag("<image>")], Annotated[PaintSpec, Tag("<paint>")]],
    Discriminator(lambda value: "<paint>" if isinstance(value, dict) and "region" in value else "<image>"),
]


class PackSpec(_Strict):
    """Sticker pack: its author, licence and layers."""

    schema_: str = Field("", alias="$schema", description="Location of this schema, for editors.")
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", description="The folder's name.")
    title: str = Field(min_length=1)
    author: str = Field(min_length=1)
    licence: str = Field(min_length=1, description="SPDX identifier, such as CC0-1.0.")
    max_faces: _Whole = Field(100, ge=1, description="Maximum number of faces that wear it, the largest first.")
    layers: list[_Layer] = Field(min_length=1, max_length=32)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of `manifest.json`, as published in `assets/stickers/pack.schema.json`.

    Example:
        >>> json_schema()["title"]
        'PackSpec'
    """
    return PackSpec.model_json_schema(by_alias=True)


def open_pack(path: Path) -> Place:
    """Open a pack: return `path` itself if it is a folder, else the content of the zip archive.

    Archives are read in place and never extracted, so that no name inside can point outside.

    Raises:
        UserError: `path` is neither a folder nor a readable zip archive.
    """
    if path.is_dir():
        return path
    if path.is_file() and path.stat().st_size <= MAX_ARCHIVE and zipfile.is_zipfile(path):
        try:
            return _content(zipfile.Path(path))
        except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError, OSError) as error:
            raise UserError(f"{path}: a damaged zip archive ({error}); download it again") from error
    raise UserError(f"{path}: not a sticker pack; give a folder or a .zip that contains manifest.json")


def _content(archive: zipfile.Path) -> zipfile.Path:
    """Return the folder of an archive that contains the manifest: its root, or the only folder in it."""
    if (archive / "manifest.json").exists():
        return archive
    folders = [place for place in archive.iterdir() if place.is_dir() and not place.name.startswith(("__MACOSX", "."))]
    return folders[0] if len(folders) == 1 and (folders[0] / "manifest.json").exists() else archive


def read_file(pack: Place, name: str) -> bytes:
    """Read one file of a pack.

    Raises:
        UserError: The file is missing or unreadable, lies outside the pack, or is larger than `MAX_BYTES`.
    """
    file = pack / name
    if "\0" in name:
        raise UserError(f"{pack}: the file {name!r} has a NUL byte in its name; rename it")
    if isinstance(pack, Path) and not (pack / name).resolve().is_relative_to(pack.resolve()):
        raise UserError(f"{pack}: the file {name!r} leads out of the pack; put it into the pack")
    try:
        size = os.stat(file).st_size if isinstance(file, Path) else file.root.getinfo(file.at).file_size
        if size > MAX_BYTES:
            raise UserError(f"{file}: {size} bytes is too large; the maximum is {MAX_BYTES}")
        return read_bytes(file, MAX_BYTES) if isinstance(file, Path) else file.read_bytes()
    # RuntimeError: the archive is encrypted. zlib.error: its bytes are damaged.
    except (OSError, KeyError, RuntimeError, EOFError, zipfile.BadZipFile, zlib.error, lzma.LZMAError) as error:
        raise UserError(f"{file}: missing or unreadable; put it into the pack or fix the manifest") from error


def read_manifest(pack: Place) -> PackSpec:
    """Read and validate a pack's manifest.

    Raises:
        UserError: The manifest is invalid; one line that names the file, the layer and the key.
    """
    file = pack / "manifest.json"
    try:
        spec = PackSpec.model_validate_json(read_file(pack, "manifest.json").removeprefix(codecs.BOM_UTF8))
    except ValidationError as error:
        raise UserError(f"{file}: {_explain(error)}") from error
    for layer in spec.layers:
        if not isinstance(layer, LayerSpec):
            continue
        here = f"{file}: layer {layer.name!r}, key 'anchors':"
        unknown = sorted(set(layer.anchors) - set(_ANCHOR_NAMES))
        if unknown:
            raise UserError(f"{here} unknown anchor {unknown[0]!r}; known are {', '.join(_ANCHOR_NAMES)}")
        if len(layer.anchors) < MIN_ANCHORS[layer.fit]:
            raise UserError(f"{here} fit {layer.fit!r} needs {MIN_ANCHORS[layer.fit]}, not {len(layer.anchors)}")
    return spec


def _explain(error: ValidationError) -> str:
    """Describe the first error: the layer, the key, what is wrong and what is expected."""
    first = error.errors(include_url=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        return f"not valid JSON ({first['ctx']['error']}); fix it"
    # The tags of the variants of layers and triggers are internal and not shown.
    kinds = [part for part in first["loc"] if isinstance(part, str) and part.startswith("<")]
    where = [part for part in first["loc"] if part not in kinds]
    prefix = ""
    if len(where) > 1 and where[0] == "layers":
        prefix = f"layer {where[1]}, "  # by index, as the name itself may be missing
        where = where[2:]
    key = ".".join(str(part) for part in where) or "(the whole)"
    hint = first["msg"].removeprefix("Value error, ")
    if first["type"] == "string_pattern_mismatch":
        hint = _PATTERNS[str(where[0])]
    if first["type"] == "extra_forbidden":
        fields = _KEYS[kinds[-1] if kinds else ""].model_fields
        hint = f"unknown key; known are {', '.join(field.alias or name for name, field in fields.items())}"
    return f"{prefix}key {key!r}: {hint[0].lower()}{hint[1:]}"


#: Key -> hint for a value that does not match its pattern.
_PATTERNS = {
    "name": "take a-z, 0-9, _ and - for it, a letter or digit first",
    "frames": "name an image beside the manifest, such as a.png",
    "colour": "write it as #rrggbb",
}

_KEYS: dict[str, type[BaseModel]] = {
    "": PackSpec, "<image>": LayerSpec, "<paint>": PaintSpec, "<trigger>": TriggerSpec
}  # fmt: skip
