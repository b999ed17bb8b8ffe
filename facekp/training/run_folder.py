"""The folder of a run, output/NAME."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from facekp.errors import UserError
from facekp.io.files import atomic_path, is_temporary, sweep
from facekp.io.files import locked as locked_path
from facekp.registry import type_name
from facekp.training.config import Config, parse_config
from facekp.training.logs import LOG_FILE


@contextmanager
def locked(config: Config) -> Iterator[None]:
    """Lock a run's folder against other processes until the block ends.

    Raises:
        UserError: Another process has locked it.
    """
    folder = run_folder(config)
    with locked_path(folder, "wait until it finishes, or choose another run with -o name=ANOTHER"):
        yield


def run_folder(config: Config) -> Path:
    """Return the folder of a run, output/NAME."""
    return Path(config.output) / config.name


def find_run_folder(config: Config, resume: bool, overwrite: bool) -> Path:
    """Return a run's folder, output/NAME, after checks that two runs never mix. Nothing is written yet.

    Args:
        config: Config of the run.
        resume: Continue in an existing folder.
        overwrite: `start_run_folder` may delete an existing run.

    Returns:
        The folder.

    Raises:
        UserError: The folder exists and neither option is set; or there is nothing to resume; or the folder
            to overwrite is not a run's folder; or the config differs from that of the run to resume.
    """
    folder = run_folder(config)
    written = folder / "config.yml"
    if resume:
        if not (folder / "last.safetensors").is_file():
            raise UserError(f"{folder}: no finished epoch to resume from; start without --resume (or --overwrite)")
        _same_config(written, config)
    elif folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is a file; choose another name or output")
    elif folder.exists() and not all(map(is_temporary, folder.iterdir())):  # only temporary: killed at the start
        if not overwrite:
            raise UserError(f"{folder}: exists already; add --resume, --overwrite, or -o name=ANOTHER")
        if not _is_run(folder):
            raise UserError(f"{folder}: is not a run's folder, so --overwrite leaves it alone; choose another name")
    return folder


def _is_run(folder: Path) -> bool:
    """Return whether a folder may be deleted as a run: many projects have a config.yml, few also a log of ours."""
    names = {path.name for path in folder.iterdir() if not is_temporary(path)}
    return names == {"config.yml"} or {"config.yml", LOG_FILE} <= names


def start_run_folder(folder: Path, config: Config, resume: bool) -> None:
    """Delete the files of an earlier run, unless it is resumed, and write the resolved config."""
    if folder.exists() and not resume:
        place = folder.resolve()  # a link stays, and its target is created again
        shutil.rmtree(place)
        place.mkdir()
    elif folder.exists():
        sweep(folder)
    with atomic_path(folder / "config.yml") as temporary:
        temporary.write_text(yaml.safe_dump(plain_values(config), sort_keys=False), encoding="utf-8")


def _same_config(written: Path, config: Config) -> None:
    try:
        old = yaml.safe_load(written.read_text(encoding="utf-8"))
        if not isinstance(old, dict):
            raise ValueError("no mapping")
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{written}: missing or damaged ({error}); start anew with --overwrite") from error
    before, now = essentials(parse_config(old, str(written))), essentials(config)
    for key in sorted(set(before) | set(now)):
        if before.get(key) != now.get(key):
            raise UserError(
                f"{written}: the run to resume has {key} = {before.get(key)!r}, not {now.get(key)!r}; "
                "start another run with -o name=ANOTHER"
            )


#: Keys that do not affect the training.
_MAY_DIFFER = {"train.stop_after", "train.details_every", "data.workers", "output"}


def essentials(config: Config) -> dict[str, Any]:
    """Return key -> value of a config, without what may differ on resuming, such as data paths and loader processes."""
    moved = re.compile(r"data\.(sources|photos)\.\d+\.(root|labels|images)")
    values = {key: value for key, value in leaves(plain_values(config)).items()
              if key not in _MAY_DIFFER and not moved.fullmatch(key)}  # fmt: skip
    for key, value in values.items():
        if re.fullmatch(r"data\.sources\.\d+\.(validation|schema_name|convert_to)", key) and isinstance(value, str):
            values[key] = Path(value).name
    return values


def hyperparameters(config: Config) -> dict[str, str | int | float]:
    """Return what makes runs differ, for a table of runs: one column for each key, with numbers or short texts.

    The `type` of a mapping appears under the mapping's key, a list of mappings as all of its types. Keys are joined by
    slashes, because VisualDL shows nothing for a key with a dot. The most frequently tuned keys come first.

    Example:
        >>> from facekp.training.config import load_config
        >>> found = hyperparameters(load_config("configs/quickstart.yml"))
        >>> found["network"], found["optimizer/lr"], found["data/train"], found["train/epochs"]
        ('plain_resnet', 0.5, 'FaceCrop', 8)
    """
    values = plain_values(config)
    first = {key: values[key] for key in ("loss", "optimizer", "train", "network")}
    flat = leaves(_types_of_lists({**first, **values}))
    shown = {key.removesuffix(".type"): value for key, value in flat.items() if key not in {"name", *_MAY_DIFFER}}
    return {key.replace(".", "/"): _short(value) for key, value in shown.items()}


def _types_of_lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _types_of_lists(each) for key, each in value.items()}
    if isinstance(value, list):
        return ", ".join(str(type_name(each)) if isinstance(each, dict) else str(each) for each in value)
    return value


def _short(value: Any) -> str | int | float:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "none"}[value]
    return value


def plain_values(config: Config) -> dict[str, Any]:
    """Convert a config to plain values for YAML and JSON."""
    return config.model_dump(mode="json", serialize_as_any=True)


def leaves(values: Any, key: str = "") -> dict[str, Any]:
    """Flatten nested values: {"a": {"b": 1}} -> {"a.b": 1}."""
    if isinstance(values, list) and values and isinstance(values[0], dict):
        values = {str(index): value for index, value in enumerate(values)}
    if not isinstance(values, dict):
        return {key: values}
    return {k: v for name, value in values.items() for k, v in leaves(value, f"{key}.{name}" if key else name).items()}
