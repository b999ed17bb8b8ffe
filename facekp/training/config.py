"""Configs: what can be set, and how a YAML file, its base and `-o key=value` become one checked object.

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
from facekp.errors import UserError
from facekp.io.files import read_bytes
from facekp.io.unique_keys import UniqueKeys
from facekp.registry import check_name, type_name
from facekp.tasks import TASKS, Task
from facekp.vision.pixels import PIXELS

_HERE = Path(__file__).resolve().parent

#: A config file is no larger, and its `_base_`s go no deeper.
MAX_BYTES, MAX_DEPTH = 1 << 20, 10

#: Keys of `data` of before facekp 0.2 -> what replaces them.
_REPLACED = {
    "labels": "data.sources: [{type: LABELS, ...}]",
    "root": "the root of a source, data.sources: [{type: csv68, root: DIR}] or -o data.sources.0.root=DIR",
    "split": "the split of a source, data.sources: [{type: csv68, split: person}] or -o data.sources.0.split=person",
    "pts_root": "a second source, data.sources: [..., {type: pts, root: DIR}]",
    "pts_weight": "the weight of a source, data.sources: [{type: pts, weight: 1.5}]",
    "drawn": "the numbers of a source, data.sources: [{type: drawn, train: 2000, validation: 200}]",
}


class _Section(BaseModel):
    """Unknown keys are errors."""

    model_config = ConfigDict(extra="forbid")


class ComposeConfig(_Section):
    """How the squares that a detector learns from are composed; see `facekp.data.composed.ComposedDataset`."""

    roll: float = Field(45.0, ge=0, le=180)
    least_face: float = Field(14.0, gt=0, allow_inf_nan=False)
    most_face: float = Field(0.85, gt=0, allow_inf_nan=False)
    tiles: tuple[float, float, float] = (0.55, 0.3, 0.15)
    anywhere: float = Field(0.25, ge=0, le=1)
    filling: float = Field(0.9, ge=0, le=1)
    covered: float = Field(0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _some_tiles(self) -> ComposeConfig:
        if not (min(self.tiles) >= 0 and 0 < sum(self.tiles) < float("inf")):
            raise ValueError("tiles says how often there are 1, 2 x 2 and 3 x 3: not negative, not only zeros")
        return self


class TurnedConfig(_Section):
    """Heads that training sees turned; see `facekp.data.turned.TurnHead`. Angles in degrees, least and greatest."""

    every: float = Field(2, ge=1, allow_inf_nan=False)
    yaw: tuple[float, float] = (15.0, 60.0)
    pitch: tuple[float, float] = (-12.0, 15.0)

    @model_validator(mode="after")
    def _angles(self) -> TurnedConfig:
        if not (0 <= self.yaw[0] <= self.yaw[1] <= 80 and -45 <= self.pitch[0] <= self.pitch[1] <= 45):
            raise ValueError("yaw is a least and a greatest angle from 0 to 80, pitch from -45 to 45")
        return self


class PhotosConfig(_Section):
    """A folder of photos that nobody labelled; see `facekp.data.photos.PhotosDataset`."""

    root: str
    #: Every photo shows a face, or none does.
    faces: bool
    #: As that of a source.
    weight: float = Field(1.0, gt=0, le=1000, allow_inf_nan=False)


class FinalConfig(_Section):
    """The transforms of the last epochs, where those of `data.train` are so strong that they hold a network back."""

    epochs: int = Field(gt=0)
    train: list[dict[str, Any]] = Field(min_length=1)


def _source(values: Any) -> Source:
    try:
        return parse_source(values)
    except UserError as error:
        raise ValueError(str(error)) from error


class DataConfig(_Section):
    """Which faces, and what is done to them."""

    #: Where the faces come from: each a `type` of `facekp.data.formats.FORMATS`, its options, and a `weight`:
    #: how often an epoch shows each of its faces.
    sources: list[SerializeAsAny[Annotated[Source, BeforeValidator(_source)]]] = Field(min_length=1)
    #: An epoch shows one square without a face for so many faces of all sources, whatever their weights, to teach the
    #: network's score; 0 shows none.
    faces_per_no_face: int = Field(0, ge=0)
    #: Photos without labels. task: points: our face detector finds faces in them, or what is none; they teach the
    #: network's score. task: boxes: photos without faces.
    photos: list[PhotosConfig] = []
    #: Draw some of the heads as they would look turned; 68 points alone. None turns none.
    turned: Optional[TurnedConfig] = None
    #: Decode every image once and keep the faces in memory; needs transforms that begin with FaceCrop.
    keep_crops: bool = False
    #: How much a point counts in training that is labelled but hidden (visibility 1): from 0, as if it were missing, to
    #: 1, as a visible one. It is known in so large a share of the draws.
    hidden_weight: float = Field(1.0, ge=0, le=1)
    #: Omit rows whose image is damaged or whose label cannot be true, in place of stopping.
    skip_damaged: bool = False
    #: task: boxes only, which learns from whole images.
    compose: Optional[ComposeConfig] = None
    #: Transforms of training and validation, and those that both end with. See facekp/data/transforms.py.
    train: list[dict[str, Any]]
    #: In the last so many epochs these replace data.train, most often a gentler augmentation; task: points only.
    final: Optional[FinalConfig] = None
    validation: list[dict[str, Any]] = []
    pixels: list[dict[str, Any]] = [{"type": "GrayNormalize", "channels": 3}, {"type": "ToCHW"}]
    #: Loader processes for each of training and validation; 0 loads in the training process.
    workers: int = Field(2, ge=0, le=256)

    @model_validator(mode="after")
    def _pixels_in_their_place(self) -> DataConfig:
        final = {} if self.final is None else {"final.train": self.final.train}
        for key, steps in {"train": self.train, "validation": self.validation, **final}.items():
            step = next((name for name in map(type_name, steps) if name in PIXELS), None)
            if step is not None:
                raise ValueError(f"{key}: {step} belongs into data.pixels, which inference runs as well")
        return self


class OptimizerConfig(_Section):
    """Optimizer and schedule."""

    type: Literal["momentum", "adam", "adamw"] = "momentum"
    lr: float = Field(0.01, gt=0, allow_inf_nan=False)
    momentum: float = Field(0.9, ge=0, lt=1)
    #: L2 decay (momentum, adam) or decoupled decay (adamw).
    weight_decay: float = Field(2e-3, ge=0, allow_inf_nan=False)
    #: Multiply lr by the number of processes, whose batches add up (the linear rule of Goyal et al., 2017).
    scale_lr: bool = True
    #: The rate climbs linearly over so many epochs before it falls.
    warmup_epochs: float = Field(0, ge=0, allow_inf_nan=False)
    #: The cosine reaches zero after so many steps, and rises again behind them; None: at the end of training.
    cosine_steps: Optional[int] = Field(None, gt=0)
    #: cosine: down to zero at the end. plateau: times plateau_factor when the metric that decides has not improved
    #: for more than plateau_patience epochs.
    schedule: Literal["cosine", "plateau"] = "cosine"
    plateau_factor: float = Field(0.3, gt=0, lt=1)
    plateau_patience: int = Field(3, ge=0)
    #: The rate after train.freeze_epochs, where the cosine begins; a tenth of lr by default.
    thawed_lr: Optional[float] = Field(None, gt=0, allow_inf_nan=False)


class TrainConfig(_Section):
    """How long, and the batch size."""

    epochs: int = Field(50, gt=0)
    #: Of one process.
    batch_size: int = Field(64, gt=0)
    #: Processes that train together on this machine, each with a share of every batch's images; facekp train starts
    #: them. See docs/many_machines.md.
    processes: int = Field(1, gt=0, le=256)
    #: Batch norm over the images of all processes; false: of each process.
    sync_batch_norm: bool = False
    #: Stop after this epoch, with the schedule of all epochs; --resume continues.
    stop_after: Optional[int] = Field(None, gt=0)
    #: For so many epochs only the head learns; the rest stays as pretrained, its running statistics too.
    freeze_epochs: int = Field(0, ge=0)
    #: O1: half precision where it is safe, on a GPU; O0: none.
    amp: Literal["O0", "O1"] = "O0"
    #: Judge and keep the weights' moving average over about 1 / (1 - ema) steps; 0: the weights themselves.
    ema: float = Field(0.0, ge=0, lt=1)
    #: Log histograms, the worst validation faces and the score's confusion after every so many epochs, and the last
    #: one; 0: never.
    details_every: int = Field(5, ge=0)


class Config(_Section):
    """One training run."""

    #: Also the name of the run's folder.
    name: str = Field(pattern=r"^\w[\w.-]*$", max_length=100)
    #: What the network finds, a key of `facekp.tasks.TASKS`.
    task: str = "points"
    seed: int = Field(0, ge=0, lt=2**31)
    #: The run's folder is output/NAME.
    output: str = "output"
    #: Side in pixels of the square that the network sees.
    size: int = Field(224, ge=96, le=2048)
    data: DataConfig
    network: dict[str, Any]
    #: Where the weights begin: at random; true: at Paddle's, trained on ImageNet (networks of paddle.vision); or a path
    #: of weights of the same network, whose head may have another size.
    pretrained: Union[bool, str] = False
    #: A key of `facekp.codecs.points.CODECS`. standard: the document's. unit: fractions of the crop. mean_face: percent
    #: of the crop, from the mean face. percent: of the crop, from its middle.
    codec: str = "standard"
    #: A name, or a mapping of it, `type`, and options, as {type: wing, width: 3}.
    loss: Union[str, dict[str, Any]] = "smooth_l1"
    #: As losses; the first one decides which weights are the best. None: the task's own.
    metrics: Optional[list[Union[str, dict[str, Any]]]] = Field(None, min_length=1)
    optimizer: OptimizerConfig = OptimizerConfig()
    train: TrainConfig = TrainConfig()

    @property
    def what(self) -> Task:
        """What this trains."""
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
            raise ValueError("train.freeze_epochs goes without optimizer.warmup_epochs")
        if train.freeze_epochs and train.processes > 1:
            raise ValueError("train.freeze_epochs works in one process alone: train.processes: 1")
        if optimizer.schedule == "plateau" and (optimizer.warmup_epochs or optimizer.cosine_steps):
            raise ValueError("optimizer.schedule: plateau knows no optimizer.warmup_epochs or optimizer.cosine_steps")
        if optimizer.cosine_steps and train.freeze_epochs:
            raise ValueError("optimizer.cosine_steps goes without train.freeze_epochs")
        if optimizer.thawed_lr is not None and not train.freeze_epochs:
            raise ValueError("optimizer.thawed_lr needs train.freeze_epochs")
        return self


def configs_folder() -> Path:
    """Where the shipped configs lie: inside an installed package, or in `configs` of a clone."""
    installed, clone = _HERE / "configs_data", _HERE.parents[1] / "configs"
    return installed if installed.is_dir() else clone


def list_configs() -> list[str]:
    """Names of the shipped configs, sorted.

    Example:
        >>> "face_crop_light" in list_configs()
        True
    """
    return sorted(path.stem for path in configs_folder().glob("*.yml"))


def load_config(path: str | os.PathLike[str], options: Sequence[str] = ()) -> Config:
    """Read a config.

    Args:
        path: A YAML file, or the name of a shipped config if there is no such file; see `read_config`.
        options: `key.key=value`, as after `-o`; a number in a key counts the entries of a list; values are YAML.

    Returns:
        The checked config.

    Raises:
        UserError: A file is missing or not YAML, a key is unknown (the valid ones are listed) or a value wrong.

    Example:
        >>> load_config("configs/sam_googlenet_bn.yml", ["train.epochs=3"]).train.epochs
        3
    """
    return parse_config(read_config(path, options), str(path), options)


def read_config(path: str | os.PathLike[str], options: Sequence[str] = ()) -> dict[str, Any]:
    """What a config says, without defaults and not yet checked.

    Args:
        path: A YAML file; if there is none, the name of a shipped config, with or without `configs/` and `.yml`. Its
            `_base_`, a path relative to it or such a name, is read first; what the file says replaces that, key by key.
            A mapping that names another `type` than the base's replaces it whole.
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
    """A config as one YAML text, without `_base_`: to look at, or to begin one's own with.

    Raises:
        UserError: See `load_config`.

    Example:
        >>> "train: {epochs: 3, batch_size: 32}" in show_config("quickstart", ["train.epochs=3"])
        True
    """
    load_config(path, options)
    return yaml.safe_dump(read_config(path, options), sort_keys=False, width=100, default_flow_style=None)


def parse_config(values: Any, source: str, options: Sequence[str] = ()) -> Config:
    """Check plain values; `source` names them in messages, or the one of the `options` that set what is wrong.

    Raises:
        UserError: A key is unknown or a value wrong.
    """
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        for option in options:
            name = option.partition("=")[0]
            if f"{key}.".startswith(f"{name}.") or f"{name}.".startswith(f"{key}."):
                source = f"-o {_short(option)}"
        if first["type"] == "extra_forbidden" and first["loc"][0] == "data" and first["loc"][-1] in _REPLACED:
            raise UserError(f"{source}: the key {key} was replaced by {_REPLACED[first['loc'][-1]]}") from error
        if first["type"] == "extra_forbidden":
            valid = ", ".join(_fields(first["loc"][:-1]))
            raise UserError(f"{source}: unknown key {key}; valid here are {valid}") from error
        message = first["msg"].replace("Value error, ", "")
        plain = isinstance(first["input"], (str, int, float, bool, list)) and first["type"] != "value_error"
        given = f" (it is {_short(repr(first['input']))})" if plain and key and first["type"] != "missing" else ""
        raise UserError(f"{source}: {key}{': ' if key else ''}{message}{given}") from error
    except RecursionError as error:
        raise UserError(f"{source}: nested too deeply; a config is a few levels of keys") from error


def _fields(location: Sequence[str | int]) -> list[str]:
    model: Any = Config
    for part in location:
        if isinstance(part, int):  # of a list, whose entries' model is known by now
            continue
        model = model.model_fields[part].annotation
        if not hasattr(model, "model_fields"):  # Optional[...], list[...]
            model = next(each for each in model.__args__ if hasattr(each, "model_fields"))
    return list(model.model_fields)


def _found(path: Path, folder: Path = Path()) -> Path:
    """The file of that path from a folder on, else the shipped config of that name."""
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
    """Plain values alone: no dates, and no anchors, which can stand for more than fits into memory."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Refuse aliases."""
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
    """`old` with the value at a path of keys merged in."""
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
