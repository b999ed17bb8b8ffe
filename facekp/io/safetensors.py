"""Safetensors files: arrays by name and texts, nothing that could run code."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from facekp.errors import UserError
from facekp.io.files import atomic_path


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


def read_safetensors(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read a safetensors file: arrays by name, and its metadata.

    Raises:
        UserError: The file is missing or damaged.
    """
    with _open(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """Read the texts of a safetensors file and none of its arrays.

    Raises:
        UserError: The file is missing or damaged.
    """
    with _open(path) as file:
        return file.metadata() or {}


@contextmanager
def _open(path: str | os.PathLike[str]) -> Iterator[Any]:
    if not Path(path).is_file():
        raise UserError(f"{path}: no such weights; check the name")
    try:
        with safe_open(str(path), "np") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: not a safetensors file, or damaged ({error})") from error
