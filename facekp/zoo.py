"""The model zoo: networks by name, from the package, the `zoo/` of a clone, or a download cache.

`facekp/shipped/index.json` has an entry for every model; see docs/zoo.md for how to add one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Literal

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from facekp.errors import UserError
from facekp.io.files import atomic_path, local_errors, sha256_of

#: Folder of the models in the package: `NAME.safetensors`, and the same network for ONNX Runtime, `NAME.onnx`.
SHIPPED = Path(__file__).resolve().parent / "shipped"
#: Weights of the face detector among them.
SHIPPED_DETECTOR = SHIPPED / "face_detector.safetensors"
#: Folder of the other models, in a clone of the repository.
CLONE = Path(__file__).resolve().parent.parent / "zoo"

#: Environment variables: the mirror, a folder or a URL; and the folder for downloads.
MIRROR, CACHE = "FACEKP_ZOO", "FACEKP_CACHE"

#: Suffixes of the files of each model.
SUFFIXES = ("safetensors", "onnx")
#: Suffix of the ONNX file in eight bits, which a model also has if that costs hardly any accuracy (`Model.int8`).
INT8 = "int8.onnx"

_INDEX = SHIPPED / "index.json"


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class File(_Entry):
    """Expected size and checksum of a file.

    Attributes:
        size: Size in bytes.
        sha256: SHA-256 as 64 hexadecimal digits.
    """

    size: int = Field(gt=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Model(_Entry):
    """A model's entry in the index.

    Attributes:
        finds: What the network finds.
        about: Short description.
        nme: Set of faces -> normalised mean error in percent, as given in the card.
        licence: Licence of the weights.
        card: Location of the model card, with accuracy, training data and weaknesses.
        config: Name of the shipped config that it was trained with, and is evaluated with.
        urls: URLs of its files, tried in this order; `{file}` stands for the file name. One without a host is relative
            to the mirror.
        int8: Whether it also has an ONNX file in eight bits, which is the default.
        files: Suffix -> size and checksum, for each of `suffixes`; written by `facekp export --shipped`.
    """

    finds: Literal["points", "boxes"]
    about: str
    nme: dict[str, float] = {}
    licence: str
    card: str
    config: str
    urls: list[str] = Field(min_length=1)
    int8: bool = False
    files: dict[Literal["safetensors", "onnx", "int8.onnx"], File] = {}

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Suffixes of its files."""
        return (*SUFFIXES, INT8) if self.int8 else SUFFIXES

    @property
    def size(self) -> int:
        """Total size of its files in bytes."""
        return sum(file.size for file in self.files.values())


_INDEX_TYPE = TypeAdapter(dict[str, Model])


@lru_cache
def models() -> dict[str, Model]:
    """Return name -> entry for all models.

    Raises:
        UserError: The index of the models is missing or damaged.

    Example:
        >>> models()["face_crop_light"].finds
        'points'
    """
    try:
        return _INDEX_TYPE.validate_json(_INDEX.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ": ".join(str(part) for part in first["loc"])
        raise UserError(f"{_INDEX}: is damaged ({where}: {first['msg']}); install facekp again") from error
    except OSError as error:
        raise UserError(f"{_INDEX}: cannot be read ({error.strerror}); install facekp again") from error


def find(name: str) -> Path | None:
    """Return the path of a model's weights, `NAME.safetensors` beside its ONNX files; None if it is not local.

    Example:
        >>> find("face_crop_light").name
        'face_crop_light.safetensors'
        >>> find("no_such_model")
    """
    if name not in models():
        return None
    for folder in (SHIPPED, CLONE, _folder(name)):
        if all((folder / f"{name}.{suffix}").is_file() for suffix in models()[name].suffixes):
            return folder / f"{name}.safetensors"
    return None


def get(name: str) -> Path:
    """Return the path of a model's weights, which are downloaded if necessary.

    Each file is checked against the index before it appears in the cache, complete. The next call continues an
    interrupted download. If several processes call this at once, one of them downloads.

    Args:
        name: A key of `models()`.

    Returns:
        Path of `NAME.safetensors`, with its ONNX files beside it.

    Raises:
        UserError: There is no such model, it cannot be downloaded, or the download does not match the index.

    Example:
        >>> get("face_crop_light").name
        'face_crop_light.safetensors'
    """
    if name not in models():
        raise UserError(f"{name[:200]}: no such model; known are {', '.join(models())}")
    path = find(name)
    if path is not None:
        return path
    if not models()[name].files:
        raise UserError(f"{name}: its entry in {_INDEX} has no files yet; run facekp export --shipped")
    folder = _folder(name)
    with local_errors(folder, f"set {CACHE} to another folder"):
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(str(folder / ".lock")):
            for suffix, file in models()[name].files.items():
                target = folder / f"{name}.{suffix}"
                if not target.is_file():  # not downloaded by the process that held the lock before
                    _fetch(name, target, file)
    return folder / f"{name}.safetensors"


def is_published(path: Path) -> bool:
    """Return whether weights are those of a model, whose ONNX file beside them is known to be the same network."""
    path = path.resolve()
    return path.parent in (SHIPPED, CLONE) or _cache().resolve() in path.parents


def verify(name: str) -> None:
    """Compare the local files of a model with the index.

    Raises:
        UserError: A file differs.
    """
    path = find(name)
    for suffix, file in models()[name].files.items() if path is not None else ():
        _check(path.with_suffix(f".{suffix}"), file, "delete it and download it again")  # type: ignore[union-attr]


def own_weights() -> dict[str, Path]:
    """Return name -> weights for the models in the package and in the clone."""
    return {
        name: folder / f"{name}.safetensors"
        for folder in (SHIPPED, CLONE)
        for name in models()
        if (folder / f"{name}.safetensors").is_file()
    }


def write_index() -> None:
    """Write the sizes and checksums of the models in the package and in the clone into the index."""
    entries = json.loads(_INDEX.read_text(encoding="utf-8"))
    for name, weights in own_weights().items():
        paths = {suffix: weights.with_suffix(f".{suffix}") for suffix in models()[name].suffixes}
        entries[name]["files"] = {
            suffix: {"size": path.stat().st_size, "sha256": sha256_of(path)} for suffix, path in paths.items()
        }
    with atomic_path(_INDEX) as temporary:
        temporary.write_text(json.dumps(entries, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    models.cache_clear()


def _cache() -> Path:
    given, xdg = os.environ.get(CACHE), os.environ.get("XDG_CACHE_HOME")
    return Path(given).expanduser() if given else (Path(xdg) if xdg else Path.home() / ".cache") / "facekp"


def _folder(name: str) -> Path:
    """Return the folder of a download, which depends on the files: a later release does not use the old ones."""
    sums = "".join(file.sha256 for file in models()[name].files.values())
    return _cache() / f"{name}-{sha256(sums.encode()).hexdigest()[:8]}"


def _addresses(name: str, file: str) -> Iterator[str]:
    mirror = os.environ.get(MIRROR, "")
    scheme, _, rest = mirror.partition("://")
    if rest and scheme.lower() not in ("http", "https", "file"):
        raise UserError(f"{MIRROR}: {scheme}:// is not supported; set it to an http or https address, or a folder")
    if rest:
        mirror = f"{scheme.lower()}://{rest}"
    elif mirror:
        mirror = Path(mirror).expanduser().absolute().as_uri()
    for template in models()[name].urls:
        url = template.format(file=file)
        if "://" in url:
            yield url
        elif mirror:
            yield f"{mirror.rstrip('/')}/{url}"


class _WrongFileError(UserError):
    """A file does not match the index."""


def _fetch(name: str, target: Path, file: File) -> None:
    from facekp.io.download import ServerError, download, forget  # imported here because only downloads need http

    part, failures = target.with_name(f"{target.name}.part"), []
    for url in _addresses(name, target.name):
        another = f"set {MIRROR} to another mirror"
        try:
            download(url, part, another, f"set {CACHE} to another folder", file.size)
            _check(part, file, f"{url} is damaged or of another release; {another}")
        except ServerError as error:  # the partial file is kept: the next call continues it
            failures.append(str(error))
        except _WrongFileError as error:
            forget(part)
            failures.append(str(error))
        else:
            os.replace(part, target)
            forget(part)
            return
    raise UserError(
        "; ".join(failures)
        or f"{name}: not part of this installation; set {MIRROR} to a mirror of the models, a URL or a folder such as "
        "zoo/ of a clone, or give the path of its weights"
    )


def _check(path: Path, file: File, remedy: str) -> None:
    size = path.stat().st_size
    if size != file.size:
        raise _WrongFileError(f"{path}: has {size} bytes, not {file.size}; {remedy}")
    digest = sha256_of(path)
    if digest != file.sha256:
        raise _WrongFileError(f"{path}: its SHA-256 is {digest}, not {file.sha256}; {remedy}")
