"""Configs: the available keys, and how a YAML file, its base and `-o key=value` become one validated object.

Everything can be built from Python without a file; the file only names what Python offers.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Optional, Union

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SerializeAsAny, ValidationError, model_validator

from facekp.codecs.points import CODECS
from facekp.data.formats import parse_source
from facekp.data.source import Source
from facekp.errors import UserError, first_problem
from facekp.io.files import read_bytes
from facekp.io.unique_keys import UniqueKeys
from facekp.registry import check_name, type_name
from facekp.tasks import TASKS, Task
from facekp.vision.pixels import PIXELS

_HERE = Path(__file__).resolve().parent

#: Maximum size in bytes of a config file, and maximum depth of `_base_` files.
MAX_BYTES, MAX_DEPTH = 1 << 20, 10

#: Keys of `data` before facekp 0.2 -> their replacements.
_REPLACED = {
    "labels": "data.sources: [{type: LABELS, ...}]",
    "root": "the root of a source, data.sources: [{type: csv68, root: DIR}] or -o data.sources.0.root=DIR",
    "split": "the split of a source, data.sources: [{type: csv68, split: person}] or -o data.sources.0.split=person",
    "pts_root": "a second source, data.sources: [..., {type: pts, root: DIR}]",
    "pts_weight": "the weight of a source, data.sources: [{type: pts, weight: 1.5}]",
    "drawn": "the numbers of a source, data.sources: [{type: drawn, train: 2000, validation: 200}]",
}


class _Section(BaseModel):
    """Base class of the sections of a config; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid")


class ComposeConfig(_Section):
    """Composition of the squares that a detector is trained on; see `facekp.data.composed.ComposedDataset`."""

    roll: float = Field(45.0, ge=0, le=180)
    min_face: float = Field(14.0, gt=0, allow_inf_nan=False)
    max_face: float = Field(0.85, gt=0, allow_inf_nan=False)
    tiles: tuple[float, float, float] = (0.55, 0.3, 0.15)
    anywhere: float = Field(0.25, ge=0, le=1)
    filling: float = Field(0.9, ge=0, le=1)
    covered: float = Field(0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _some_tiles(self) -> ComposeConfig:
        if not (min(self.tiles) >= 0 and 0 < sum(self.tiles) < float("inf")):
            raise ValueError("tiles are the weights of 1, 2 x 2 and 3 x 3 tiles: none negative, not all zero")
        return self


class TurnedConfig(_Section):
    """Turning of heads in training; see `facekp.data.turned.TurnHead`. Minimum and maximum angles in degrees."""

    every: float = Field(2, ge=1, allow_inf_nan=False)
    yaw: tuple[float, float] = (15.0, 60.0)
    pitch: tuple[float, float] = (-15.0, 12.0)

    @model_validator(mode="after")
    def _angles(self) -> TurnedConfig:
        if not (0 <= self.yaw[0] <= self.yaw[1] <= 80 and -45 <= self.pitch[0] <= self.pitch[1] <= 45):
            raise ValueError("yaw is a minimum and a maximum angle from 0 to 80, pitch from -45 to 45")
        return self


class PhotosConfig(_Section):
    """A folder of unlabelled photos; see `facekp.data.photos.PhotosDataset`."""

    root: str
    #: Whether every photo shows a face, or none does.
    faces: bool
    #: Weight, as of a source.
    weight: float = Field(1.0, gt=0, le=1000, allow_inf_nan=False)


class FinalConfig(_Section):
    """Transforms of the last epochs, where those of `data.train` are so strong that they limit the network."""

    epochs: int = Field(gt=0)
    train: list[dict[str, Any]] = Field(min_length=1)


def _source(values: Any) -> Source:
    try:
        return parse_source(values)
    except UserError as error:
        raise ValueError(str(error)) from error


class DataConfig(_Section):
    """Data sets and their transforms."""

    #: Sources of the faces: each has a `type` from `facekp.data.formats.FORMATS`, its options, and a `weight`:
    #: how often an epoch shows each of its faces.
    sources: list[SerializeAsAny[Annotated[Source, BeforeValidator(_source)]]] = Field(min_length=1)
    #: Number of faces, of all sources and regardless of their weights, for which an epoch shows one square without a
    #: face, to train the network's score; 0 shows none.
    faces_per_no_face: int = Field(0, ge=0)
    #: Photos without labels. task: points: our face detector finds faces or non-faces in them, which train the
    #: network's score. task: boxes: photos without faces.
    photos: list[PhotosConfig] = []
    #: Render some of the heads as if turned; for 68 points only. None turns none.
    turned: Optional[TurnedConfig] = None
    #: Decode every image once and keep the faces in memory; needs transforms that begin with FaceCrop.
    keep_crops: bool = False
    #: Weight in training of a point that is labelled but hidden (visibility 1): from 0, as if it were missing, to 1, as
    #: if it were visible. It is the fraction of the samples in which the point is known.
    hidden_weight: float = Field(1.0, ge=0, le=1)
    #: Skip rows with a damaged image or an impossible label, instead of stopping.
    skip_damaged: bool = False
    #: Composition of whole images; task: boxes only.
    compose: Optional[ComposeConfig] = None
    #: Transforms of training; `validation` has its own, and both end with `pixels`. See facekp/data/transforms.py.
    train: list[dict[str, Any]]
    #: Replacement for data.train in the last epochs, usually a gentler augmentation; task: points only.
    final: Optional[FinalConfig] = None
    validation: list[dict[str, Any]] = []
    pixels: list[dict[str, Any]] = [{"type": "GrayNormalize", "channels": 3}, {"type": "ToCHW"}]
    #: Number of loader processes for each of training and validation; 0 loads in the training process.
    workers: int = Field(2, ge=0, le=256)

    @model_validator(mode="after")
    def _pixels_in_their_place(self) -> DataConfig:
        final = {} if self.final is None else {"final.train": self.final.train}
        for key, steps in {"train": self.train, "validation": self.validation, **final}.items():
            step = next((name for name in map(type_name, steps) if name in PIXELS), None)
            if step is not None:
                raise ValueError(f"{key}: {step} belongs in data.pixels, which inference runs as well")
        return self


class OptimizerConfig(_Section):
    """Optimizer and learning-rate schedule."""

    type: Literal["momentum", "adam", "adamw"] = "momentum"
    lr: float = Field(0.01, gt=0, allow_inf_nan=False)
    momentum: float = Field(0.9, ge=0, lt=1)
    #: L2 decay (momentum, adam) or decoupled decay (adamw).
    weight_decay: float = Field(2e-3, ge=0, allow_inf_nan=False)
    #: Multiply lr by the number of processes, whose batches add up (the linear scaling rule of Goyal et al., 2017).
    scale_lr: bool = True
    #: Number of epochs over which the rate rises linearly before it decays.
    warmup_epochs: float = Field(0, ge=0, allow_inf_nan=False)
    #: Number of steps after which the cosine reaches zero, and then rises again; None: at the end of training.
    cosine_steps: Optional[int] = Field(None, gt=0)
    #: cosine: decay to zero at the end. plateau: multiply by plateau_factor when the first metric has not improved
    #: for more than plateau_patience epochs.
    schedule: Literal["cosine", "plateau"] = "cosine"
    plateau_factor: float = Field(0.3, gt=0, lt=1)
    plateau_patience: int = Field(3, ge=0)
    #: Learning rate after train.freeze_epochs, where the cosine begins; a tenth of lr by default.
    thawed_lr: Optional[float] = Field(None, gt=0, allow_inf_nan=False)


class TrainConfig(_Section):
    """Training loop: epochs, batch size, processes, logs."""

    epochs: int = Field(50, gt=0)
    #: Batch size of one process.
    batch_size: int = Field(64, gt=0)
    #: Number of processes that train together on this machine, each with a share of every batch; facekp train starts
    #: them. See docs/many_machines.md.
    processes: int = Field(1, gt=0, le=256)
    #: Compute batch norm over the images of all processes; false: of each process.
    sync_batch_norm: bool = False
    #: Stop after this epoch, with the schedule of all epochs; --resume continues.
    stop_after: Optional[int] = Field(None, gt=0)
    #: Number of initial epochs that train only the head; the rest is frozen, including its running statistics.
    freeze_epochs: int = Field(0, ge=0)
    #: O1: half precision where it is safe, on a GPU; O0: none.
    amp: Literal["O0", "O1"] = "O0"
    #: Evaluate and save the weights' moving average over about 1 / (1 - ema) steps; 0: the weights themselves.
    ema: float = Field(0.0, ge=0, lt=1)
    #: Interval in epochs at which histograms, the worst validation faces and the score's confusion matrix are logged,
    #: as well as after the last epoch; 0: never.
    details_every: int = Field(5, ge=0)


class Config(_Section):
    """Config of one training run."""

    #: Name of the run and of its folder.
    name: str = Field(pattern=r"^\w[\w.-]*$", max_length=100)
    #: Task of the network, a key of `facekp.tasks.TASKS`.
    task: str = "points"
    seed: int = Field(0, ge=0, lt=2**31)
    #: Parent folder of the run's folder, output/NAME.
    output: str = "output"
    #: Side length in pixels of the network's square input.
    size: int = Field(224, ge=96, le=2048)
    data: DataConfig
    network: dict[str, Any]
    #: Initial weights. false: random; true: Paddle's, trained on ImageNet (networks of paddle.vision); or a path of
    #: weights of the same network, whose head may have another size.
    pretrained: Union[bool, str] = False
    #: A key of `facekp.codecs.points.CODECS`. standard: the document's. unit: fractions of the crop. mean_face: percent
    #: of the crop, relative to the mean face. percent: percent of the crop, relative to its centre.
    codec: str = "standard"
    #: A name, or a mapping with the name as `type` and options, such as {type: wing, width: 3}.
    loss: Union[str, dict[str, Any]] = "smooth_l1"
    #: Metrics, specified like losses; the first one selects the best weights. None: the task's defaults.
    metrics: Optional[list[Union[str, dict[str, Any]]]] = Field(None, min_length=1)
    optimizer: OptimizerConfig = OptimizerConfig()
    train: TrainConfig = TrainConfig()

    @property
    def what(self) -> Task:
        """The task of this config."""
        return TASKS[self.task]

    @model_validator(mode="after")
    def _fits_together(self) -> Config:
        try:
            check_name(TASKS, self.task, "task")
            check_name(self.what.networks, self.network, "network")
            check_name(self.what.losses, self.loss, "loss")
            check_name(CODECS, self.codec, "codec")
            for metric in self.metrics or ():
                check_name(self.what.metrics, metric, "metric")
        except UserError as error:
            raise ValueError(f"task {self.task}: {error}") from error
        self.what.check(self)
        train, optimizer = self.train, self.optimizer
        if self.data.final is not None and self.data.final.epochs >= train.epochs:
            raise ValueError("data.final.epochs must be less than train.epochs")
        if optimizer.warmup_epochs >= train.epochs:
            raise ValueError("optimizer.warmup_epochs must be less than train.epochs")
        if train.freeze_epochs >= train.epochs:
            raise ValueError("train.freeze_epochs must be less than train.epochs")
        if train.freeze_epochs and optimizer.warmup_epochs:
            raise ValueError("train.freeze_epochs cannot be combined with optimizer.warmup_epochs")
        if train.freeze_epochs and train.processes > 1:
            raise ValueError("train.freeze_epochs works in a single process only: train.processes: 1")
        if optimizer.schedule == "plateau" and (optimizer.warmup_epochs or optimizer.cosine_steps):
            raise ValueError(
                "optimizer.schedule: plateau supports no optimizer.warmup_epochs or optimizer.cosine_steps"
            )
        if optimizer.cosine_steps and train.freeze_epochs:
            raise ValueError("optimizer.cosine_steps cannot be combined with train.freeze_epochs")
        if optimizer.thawed_lr is not None and not train.freeze_epochs:
            raise ValueError("optimizer.thawed_lr needs train.freeze_epochs")
        return self


def configs_folder() -> Path:
    """Return the folder of the shipped configs: in an installed package, or `configs` in a clone."""
    installed, clone = _HERE / "configs_data", _HERE.parents[1] / "configs"
    return installed if installed.is_dir() else clone


def list_configs() -> list[str]:
    """Return the names of the shipped configs, sorted.

    Example:
        >>> "face_crop_light" in list_configs()
        True
    """
    return sorted(path.stem for path in configs_folder().glob("*.yml"))


def load_config(path: str | os.PathLike[str], options: Sequence[str] = ()) -> Config:
    """Read a config.

    Args:
        path: A YAML file, or the name of a shipped config if there is no such file; see `read_config`.
        options: `key.key=value`, as after `-o`; a number in a key is an index into a list; values are YAML.

    Returns:
        The validated config.

    Raises:
        UserError: A file is missing or not YAML, a key is unknown (the valid ones are listed) or a value wrong.

    Example:
        >>> load_config("configs/sam_googlenet_bn.yml", ["train.epochs=3"]).train.epochs
        3
    """
    return parse_config(read_config(path, options), str(path), options)


def read_config(path: str | os.PathLike[str], options: Sequence[str] = ()) -> dict[str, Any]:
    """Read the values of a config, without defaults and without validation.

    Args:
        path: A YAML file; if there is none, the name of a shipped config, with or without `configs/` and `.yml`. Its
            `_base_`, a path relative to it or such a name, is read first; the values of the file override it, key by
            key. A mapping with another `type` than the base's replaces it entirely.
        options: See `load_config`.

    Raises:
        UserError: A file is missing or not YAML.

    Example:
        >>> read_config("resnet18_frozen", ["train.epochs=3"])["train"]["epochs"]
        3
    """
    values = _read(_found(Path(path)))
    for option in options:
        key, equals, text = option.partition("=")
        if not equals or not key:
            raise UserError(f"-o {_short(option)}: write it as key=value, for example -o train.epochs=3")
        try:
            value = _load_yaml(text)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise UserError(f"-o {_short(option)}: the value is not YAML ({_short(error)})") from error
        values = _updated(values, key.split("."), value, f"-o {_short(option)}")
    return values


def show_config(path: str | os.PathLike[str], options: Sequence[str] = ()) -> str:
    """Return a config as one YAML text without `_base_`, for inspection or as a template.

    Raises:
        UserError: See `load_config`.

    Example:
        >>> "train: {epochs: 3, batch_size: 32}" in show_config("quickstart", ["train.epochs=3"])
        True
    """
    load_config(path, options)
    return yaml.safe_dump(read_config(path, options), sort_keys=False, width=100, default_flow_style=None)


def parse_config(values: Any, source: str, options: Sequence[str] = ()) -> Config:
    """Validate plain values; messages name `source`, or the entry of `options` that set the wrong value.

    Raises:
        UserError: A key is unknown or a value wrong.
    """
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key, message = first_problem(error)
        for option in options:
            name = option.partition("=")[0]
            if f"{key}.".startswith(f"{name}.") or f"{name}.".startswith(f"{key}."):
                source = f"-o {_short(option)}"
        if first["type"] == "extra_forbidden" and first["loc"][0] == "data" and first["loc"][-1] in _REPLACED:
            raise UserError(f"{source}: the key {key} was replaced by {_REPLACED[first['loc'][-1]]}") from error
        if first["type"] == "extra_forbidden":
            valid = ", ".join(_fields(first["loc"][:-1]))
            raise UserError(f"{source}: unknown key {key}; valid here are {valid}") from error
        plain = isinstance(first["input"], (str, int, float, bool, list)) and first["type"] != "value_error"
        given = f" (it is {_short(repr(first['input']))})" if plain and key and first["type"] != "missing" else ""
        raise UserError(f"{source}: {key}{': ' if key else ''}{message}{given}") from error
    except RecursionError as error:
        raise UserError(f"{source}: nested too deeply; a config is a few levels of keys") from error


def _fields(location: Sequence[str | int]) -> list[str]:
    model: Any = Config
    for part in location:
        if isinstance(part, int):  # index into a list, whose entry model is known by now
            continue
        model = model.model_fields[part].annotation
        if not hasattr(model, "model_fields"):  # Optional[...], list[...]
            model = next(each for each in model.__args__ if hasattr(each, "model_fields"))
    return list(model.model_fields)


def _found(path: Path, folder: Path = Path()) -> Path:
    """Return the path relative to a folder if it exists, else the shipped config of that name if there is one."""
    place = folder / path
    if "\0" in str(path) or os.path.lexists(place) or path.parent not in (Path(), Path("configs")):
        return place
    shipped = configs_folder() / f"{path.stem if path.suffix == '.yml' else path.name}.yml"
    return shipped if shipped.is_file() else place


def _read(path: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    if "\0" in str(path):
        raise UserError(f"{path}: a name cannot hold a NUL byte")
    if Path(os.path.realpath(path)) in seen:
        raise UserError(f"{path}: its _base_ leads back to itself")
    if len(seen) > MAX_DEPTH:
        raise UserError(f"{path}: more than {MAX_DEPTH} files lead to it by _base_")
    try:
        text = read_bytes(path, MAX_BYTES)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}); facekp train --list names the shipped ones"
        ) from error
    try:
        values = _load_yaml(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: not valid YAML ({_short(error)})") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: a config is a mapping of keys to values")
    base = values.pop("_base_", None)
    if base is not None and not isinstance(base, str):
        raise UserError(f"{path}: _base_ must be the path of another file, not {_short(repr(base))}")
    if base is None:
        return values
    return _merge(_read(_found(Path(base), path.parent), (*seen, Path(os.path.realpath(path)))), values)


class _Loader(UniqueKeys, yaml.SafeLoader):
    """YAML loader of plain values: no dates, and no aliases, which can expand to more than fits into memory."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose a node; raise an error for an alias."""
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise yaml.composer.ComposerError(None, None, f"the alias *{event.anchor} is not allowed", event.start_mark)
        return super().compose_node(parent, index)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _load_yaml(text: str | bytes) -> Any:
    return yaml.load(text, _Loader)


def _short(value: object) -> str:
    return " ".join(str(value).split())[:200]


def _updated(old: Any, keys: Sequence[str], value: Any, source: str) -> Any:
    """Return `old` with the value merged in at a path of keys."""
    if not keys:
        return _merged(old, value) if isinstance(value, dict) else value
    key, rest = keys[0], keys[1:]
    if isinstance(old, list):
        if not key.isdecimal() or int(key) >= len(old):
            raise UserError(f"{source}: there is no entry {key}; the list has the entries 0 to {len(old) - 1}")
        return [_updated(entry, rest, value, source) if i == int(key) else entry for i, entry in enumerate(old)]
    if isinstance(old, str):  # a bare name stands for a mapping with its type
        old = {"type": old}
    old = old if isinstance(old, dict) else {}
    return _merged(old, {key: _updated(old.get(key), rest, value, source)})


def _merged(old: Any, new: dict[str, Any]) -> dict[str, Any]:
    if isinstance(old, dict) and new.get("type", old.get("type")) == old.get("type"):
        return _merge(old, new)
    return new


def _merge(base: dict[str, Any], update: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in update.items():
        merged[key] = _merged(merged.get(key), value) if isinstance(value, dict) else value
    return merged
