"""The words of a sticker pack's `manifest.json`, and what is said when one of them is wrong.

A pack is a folder, or a `.zip` of its files, that holds `manifest.json` and PNGs with transparency. These
models are the one definition of the format: the published JSON Schema is made from them.
"""

from __future__ import annotations

import json
import lzma
import os
import zipfile
import zlib
from pathlib import Path
from typing import Annotated, Any, Literal, Union

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from facekp.errors import UserError
from facekp.io.files import read_bytes
from facekp.landmarks import anchor_names

#: A folder or the inside of a zip archive: both have `/`, `read_bytes` and `name`.
Place = Union[Path, zipfile.Path]

#: No file of a pack may be larger, packed or unpacked.
MAX_BYTES = 32 * 1024 * 1024

#: Nor an archive.
MAX_ARCHIVE = 8 * MAX_BYTES

#: How many anchors each fit needs at least.
MIN_ANCHORS = {"similarity": 2, "affine": 3, "mesh": 4}

_ANCHOR_NAMES = sorted(anchor_names())


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LayerSpec(_Strict):
    """One picture, or a sequence of pictures, tied to the face."""

    name: str = Field(min_length=1, description="What messages call the layer.")
    frames: list[Annotated[str, Field(pattern=r"^[^/\\:]+\.png$")]] = Field(
        min_length=1, max_length=1000, description="PNG files of the pack, shown one after the other, over and over."
    )
    frame_ms: float = Field(100, gt=0, description="How long each frame is shown, in milliseconds.")
    anchors: dict[str, tuple[float, float]] = Field(
        description="Place of the face -> its x, y in pixels of the PNG.",
        json_schema_extra={"propertyNames": {"enum": [*_ANCHOR_NAMES]}},
    )
    fit: Literal["similarity", "affine", "mesh"] = Field(
        "similarity", description="Turn and scale (2 anchors), stretch too (3), or bend (4 and more)."
    )
    order: int = Field(0, description="Lower layers are drawn first, across all stickers of a face.")
    opacity: float = Field(1.0, ge=0, le=1)
    blend: Literal["normal", "multiply", "screen"] = "normal"
    trigger: Literal["always", "mouth_open"] = Field("always", description="When the layer is shown.")
    behind: Literal["nothing", "face"] = Field("nothing", description="What hides the layer where they overlap.")


class PackSpec(_Strict):
    """A sticker: who drew it, and its layers."""

    schema_: str = Field("", alias="$schema", description="Where this schema lies, for editors.")
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", description="The folder's name.")
    title: str = Field(min_length=1)
    author: str = Field(min_length=1)
    licence: str = Field(min_length=1, description="SPDX identifier, such as CC0-1.0.")
    max_faces: int = Field(100, ge=1, description="How many faces wear it at most, the largest first.")
    layers: list[LayerSpec] = Field(min_length=1, max_length=32)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of `manifest.json`, as published in `assets/stickers/pack.schema.json`.

    Example:
        >>> json_schema()["title"]
        'PackSpec'
    """
    return PackSpec.model_json_schema(by_alias=True)


def open_pack(path: Path) -> Place:
    """The inside of a pack: `path` itself if it is a folder, else what the zip archive holds.

    Archives are read in place and never unpacked, so that no name inside can point outside.

    Raises:
        UserError: `path` is neither.
    """
    if path.is_dir():
        return path
    if path.is_file() and path.stat().st_size <= MAX_ARCHIVE and zipfile.is_zipfile(path):
        try:
            return _content(zipfile.Path(path))
        except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError, OSError) as error:
            raise UserError(f"{path}: a damaged zip archive ({error}); get it again") from error
    raise UserError(f"{path}: no sticker pack; give a folder or a .zip that holds manifest.json")


def _content(archive: zipfile.Path) -> zipfile.Path:
    """The folder of an archive that holds the manifest: itself, or the only one in it."""
    if (archive / "manifest.json").exists():
        return archive
    folders = [place for place in archive.iterdir() if place.is_dir() and not place.name.startswith(("__MACOSX", "."))]
    return folders[0] if len(folders) == 1 and (folders[0] / "manifest.json").exists() else archive


def read_file(pack: Place, name: str) -> bytes:
    """Read one file of a pack.

    Raises:
        UserError: It is missing, leads out of the pack, or is larger than `MAX_BYTES`.
    """
    file = pack / name
    if "\0" in name:
        raise UserError(f"{pack}: the file {name!r} has a NUL byte in its name; rename it")
    if isinstance(pack, Path) and not (pack / name).resolve().is_relative_to(pack.resolve()):
        raise UserError(f"{pack}: the file {name!r} leads out of the pack; put it into the pack")
    try:
        size = os.stat(file).st_size if isinstance(file, Path) else file.root.getinfo(file.at).file_size
        if size > MAX_BYTES:
            raise UserError(f"{file}: {size} bytes is too large; a pack's file has at most {MAX_BYTES}")
        return read_bytes(file, MAX_BYTES) if isinstance(file, Path) else file.read_bytes()
    # RuntimeError: the archive is encrypted. zlib.error: its bytes are damaged.
    except (OSError, KeyError, RuntimeError, EOFError, zipfile.BadZipFile, zlib.error, lzma.LZMAError) as error:
        raise UserError(f"{file}: missing or unreadable; put it into the pack or fix the manifest") from error


def read_manifest(pack: Place) -> PackSpec:
    """Read and check a pack's manifest.

    Raises:
        UserError: One line that names the file, the layer and the key.
    """
    file = pack / "manifest.json"
    try:
        spec = PackSpec.model_validate(json.loads(read_file(pack, "manifest.json").decode()))
    except ValidationError as error:
        raise UserError(f"{file}: {_explain(error)}") from error
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{file}: not valid JSON ({error}); mend that place") from error
    for layer in spec.layers:
        here = f"{file}: layer {layer.name!r}, key 'anchors':"
        unknown = sorted(set(layer.anchors) - set(_ANCHOR_NAMES))
        if unknown:
            raise UserError(f"{here} no place is called {unknown[0]!r}; take of {', '.join(_ANCHOR_NAMES)}")
        if len(layer.anchors) < MIN_ANCHORS[layer.fit]:
            raise UserError(f"{here} fit {layer.fit!r} needs {MIN_ANCHORS[layer.fit]}, not {len(layer.anchors)}")
    return spec


def _explain(error: ValidationError) -> str:
    """The first thing that is wrong: layer, key, what, and what was expected."""
    first = error.errors()[0]
    where = list(first["loc"])
    prefix = ""
    if len(where) > 1 and where[0] == "layers":
        prefix = f"layer {where[1]}, "  # the name itself may be what is missing
        where = where[2:]
    key = ".".join(str(part) for part in where) or "(the whole)"
    known = PackSpec if not prefix else LayerSpec
    hint = first["msg"]
    if first["type"] == "extra_forbidden":
        names = [field.alias or name for name, field in known.model_fields.items()]
        hint = f"unknown; the keys are {', '.join(names)}"
    return f"{prefix}key {key!r}: {hint[0].lower()}{hint[1:]}"
