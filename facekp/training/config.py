"""Configs: what can be set, and how a yml, its base and `-o key=value` become one checked object.

Everything can be built from Python without a yml; the yml only names what Python offers.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Optional, Union

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, model_validator

from facekp.errors import UserError
from facekp.losses import BOX_LOSSES, LOSSES
from facekp.models import DETECTORS, NETWORKS


class _Section(BaseModel):
    """Unknown keys are errors."""

    model_config = ConfigDict(extra="forbid")


class ComposeConfig(_Section):
    """How the squares that a detector learns from are composed; see `facekp.data.pictures.PictureDataset`."""

    roll: float = Field(45.0, ge=0, le=180)
    least_face: float = Field(14.0, gt=0, allow_inf_nan=False)
    most_face: float = Field(0.85, gt=0, allow_inf_nan=False)
    tiles: tuple[float, float, float] = (0.55, 0.3, 0.15)
    anywhere: float = Field(0.25, ge=0, le=1)
    filling: float = Field(0.9, ge=0, le=1)

    @model_validator(mode="after")
    def _some_tiles(self) -> ComposeConfig:
        if not (min(self.tiles) >= 0 and 0 < sum(self.tiles) < float("inf")):
            raise ValueError("tiles says how often there are 1, 2 x 2 and 3 x 3: not negative, not only zeros")
        return self


class DataConfig(_Section):
    """Which faces, and what is done to them."""

    #: csv68: the 68-point CSVs. pts: folders of .pts files, 300-W's layout. five: CUHK's five-point lists. drawn: faces
    #: that the package draws.
    labels: Literal["csv68", "pts", "five", "drawn"] = "csv68"
    #: csv68: folder with training/, test/ and their two CSVs (python tools/prepare_data.py makes it).
    #: pts: folder that is searched for .pts files; a tenth of its pictures is held out.
    #: five: folder with trainImageList.txt and testImageList.txt.
    root: str = "data"
    #: document: its training and test files, which show the same people.
    #: person: a tenth of the people of both files is held out, nobody is on both sides.
    #: strict: validation as with person, training without the test file as well, so that all three can be measured.
    split: Literal["document", "person", "strict"] = "document"
    #: A folder as of labels: pts, to learn from as well.
    pts_root: Optional[str] = None
    #: How often an epoch shows a face of pts_root, when it shows every other face once.
    pts_weight: float = Field(1.0, gt=0, allow_inf_nan=False)
    #: An epoch shows one square without a face for so many faces, to teach the network's score; 0 shows none.
    faces_per_no_face: int = Field(0, ge=0)
    #: Decode every picture once and keep the faces in memory; needs transforms that begin with FaceCrop.
    keep_crops: bool = False
    skip_damaged: bool = False
    #: Drawn faces only: how many for training and for validation.
    drawn: tuple[PositiveInt, PositiveInt] = (2000, 200)
    #: Detectors only, which learn from whole pictures.
    compose: ComposeConfig = ComposeConfig()
    #: Transforms of training and validation, and those that both end with. See facekp/data/transforms.py.
    train: list[dict[str, Any]]
    validation: list[dict[str, Any]] = []
    pixels: list[dict[str, Any]] = [{"type": "GrayNormalize", "channels": 3}, {"type": "ToCHW"}]
    #: Loader processes for each of training and validation; 0 loads in the training process.
    workers: int = Field(2, ge=0)


class OptimizerConfig(_Section):
    """How the weights move."""

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
    #: cosine: down to zero at the end. plateau: times plateau_factor when the validation NME has not improved for more
    #: than plateau_patience epochs.
    schedule: Literal["cosine", "plateau"] = "cosine"
    plateau_factor: float = Field(0.3, gt=0, lt=1)
    plateau_patience: int = Field(3, ge=0)
    #: The rate after train.freeze_epochs, where the cosine begins; a tenth of lr by default.
    thawed_lr: Optional[float] = Field(None, gt=0, allow_inf_nan=False)


class TrainConfig(_Section):
    """How long, and in which portions."""

    epochs: int = Field(50, gt=0)
    #: Of one process.
    batch_size: int = Field(64, gt=0)
    #: Stop after this epoch, with the schedule of all epochs; --resume goes on.
    stop_after: Optional[int] = Field(None, gt=0)
    #: For so many epochs only the head learns; the rest stays as pretrained, its running statistics too.
    freeze_epochs: int = Field(0, ge=0)
    #: O1: half precision where it is safe, on a GPU; O0: none.
    amp: Literal["O0", "O1"] = "O0"
    #: Judge and keep the weights' moving average over about 1 / (1 - ema) steps; 0: the weights themselves.
    ema: float = Field(0.0, ge=0, lt=1)


class Config(_Section):
    """One training run."""

    #: Also the name of the run's folder.
    name: str = Field(pattern=r"^\w[\w.-]*$")
    seed: int = Field(0, ge=0)
    #: The run's folder is output/NAME.
    output: str = "output"
    #: Side in pixels of the square that the network sees.
    size: int = Field(224, ge=96)
    data: DataConfig
    network: dict[str, Any]
    #: Where the weights begin: at random; true: at Paddle's, trained on ImageNet (networks of paddle.vision); or a path
    #: of weights of the same network, whose head may have another size.
    pretrained: Union[bool, str] = False
    #: standard: the document's. unit: fractions of the crop. mean_face: percent of the crop, from the mean face.
    codec: Literal["standard", "unit", "mean_face"] = "standard"
    loss: str = "smooth_l1"
    optimizer: OptimizerConfig = OptimizerConfig()
    train: TrainConfig = TrainConfig()

    @property
    def finds_boxes(self) -> bool:
        """Whether this trains a face detector, not a network of points."""
        return self.network.get("type") in DETECTORS

    @model_validator(mode="after")
    def _fits_together(self) -> Config:
        if self.network.get("type") not in {*NETWORKS, *DETECTORS}:
            raise ValueError(f"network.type: unknown network {self.network.get('type')!r}; "
                             f"known are {', '.join([*NETWORKS, *DETECTORS])}")  # fmt: skip
        losses = BOX_LOSSES if self.finds_boxes else LOSSES
        if self.loss not in losses:
            raise ValueError(f"loss: unknown loss {self.loss!r}; "
                             f"known to {self.network['type']} are {', '.join(losses)}")  # fmt: skip
        points_only = (
            self.data.keep_crops,
            self.data.faces_per_no_face,
            self.data.validation,
            self.codec != "standard",
        )
        if self.finds_boxes and any(points_only):
            raise ValueError(f"{self.network['type']} looks at whole pictures, so data.keep_crops, "
                             "data.faces_per_no_face, data.validation and codec do not go with it")  # fmt: skip
        if self.finds_boxes and (self.size % 32 or self.data.labels not in ("csv68", "pts")):
            raise ValueError(f"{self.network['type']} needs a size of whole 32 pixels, and data.labels csv68 or pts")
        if not self.finds_boxes and self.data.compose != ComposeConfig():
            raise ValueError(f"data.compose goes with {', '.join(DETECTORS)}: networks of points see single faces")
        if not self.finds_boxes and not self.data.validation:
            raise ValueError("data.validation: a network of points needs its transforms")
        if self.optimizer.warmup_epochs >= self.train.epochs:
            raise ValueError("optimizer.warmup_epochs must be less than train.epochs")
        first = [pipeline[0].get("type") if pipeline else None for pipeline in (self.data.train, self.data.validation)]
        if self.data.keep_crops and first != ["FaceCrop", "FaceCrop"]:
            raise ValueError("data.keep_crops needs data.train and data.validation to begin with FaceCrop")
        if self.network.get("score") and self.codec != "mean_face":
            raise ValueError("network.score needs codec: mean_face")
        if self.data.faces_per_no_face and not self.network.get("score"):
            raise ValueError("data.faces_per_no_face needs network.score: true")
        if self.data.faces_per_no_face and self.data.labels == "five":
            raise ValueError("data.faces_per_no_face needs faces of 68 points")
        if self.train.freeze_epochs >= self.train.epochs:
            raise ValueError("train.freeze_epochs must be less than train.epochs")
        if self.train.freeze_epochs and (self.optimizer.warmup_epochs or self.optimizer.schedule == "plateau"):
            raise ValueError("train.freeze_epochs goes with optimizer.schedule: cosine and without warmup_epochs")
        if self.optimizer.schedule == "plateau" and self.optimizer.warmup_epochs:
            raise ValueError("optimizer.schedule: plateau knows no optimizer.warmup_epochs")
        if self.optimizer.cosine_steps and (self.optimizer.schedule == "plateau" or self.train.freeze_epochs):
            raise ValueError("optimizer.cosine_steps goes with optimizer.schedule: cosine and without freeze_epochs")
        if self.optimizer.thawed_lr is not None and not self.train.freeze_epochs:
            raise ValueError("optimizer.thawed_lr needs train.freeze_epochs")
        return self


def load_config(path: str | os.PathLike[str], options: Sequence[str] = ()) -> Config:
    """Read a config.

    Args:
        path: A yml. Its `_base_`, a path relative to it, is read first; what the yml says replaces that, key
            by key. A mapping that names another `type` than the base's replaces it whole.
        options: `key.key=value`, as after `-o`; values are read as YAML.

    Returns:
        The checked config.

    Raises:
        UserError: A file is missing or no YAML, a key is unknown (the valid ones are listed) or a value wrong.

    Example:
        >>> load_config("configs/sam_googlenet_bn.yml", ["train.epochs=3"]).train.epochs
        3
    """
    values = _read(Path(path))
    for option in options:
        key, equals, text = option.partition("=")
        if not equals or not key:
            raise UserError(f"-o {option}: write it as key=value, for example -o train.epochs=3")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise UserError(f"-o {option}: the value is no YAML ({error})") from error
        for part in reversed(key.split(".")):
            value = {part: value}
        values = _merge(values, value)
    return parse_config(values, str(path), options)


def parse_config(values: dict[str, Any], source: str, options: Sequence[str] = ()) -> Config:
    """Check plain values; `source` names them in messages, or the one of the `options` that set what is wrong."""
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        for option in options:
            if f"{key}.".startswith(option.partition("=")[0] + "."):
                source = f"-o {option}"
        if first["type"] == "extra_forbidden":
            valid = ", ".join(_fields(first["loc"][:-1]))
            raise UserError(f"{source}: unknown key {key}; valid here are {valid}") from error
        message = first["msg"].replace("Value error, ", "")
        given = "" if first["type"] == "missing" or not key else f" (it is {first['input']!r})"
        raise UserError(f"{source}: {key}{': ' if key else ''}{message}{given}") from error


def _fields(location: Sequence[str | int]) -> list[str]:
    model: type[BaseModel] = Config
    for part in location:
        model = model.model_fields[str(part)].annotation  # type: ignore[assignment]
    return list(model.model_fields)


def _read(path: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    if path.resolve() in seen:
        raise UserError(f"{path}: its _base_ leads back to itself")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); configs are in configs/") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: no valid YAML ({error})") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: a config is a mapping of keys to values")
    base = values.pop("_base_", None)
    if base is not None and not isinstance(base, str):
        raise UserError(f"{path}: _base_ must be the path of another yml, not {base!r}")
    return values if base is None else _merge(_read(path.parent / base, (*seen, path.resolve())), values)


def _merge(base: dict[str, Any], update: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in update.items():
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(value, dict) and value.get("type", old.get("type")) == old.get("type"):
            value = _merge(old, value)
        merged[key] = value
    return merged
