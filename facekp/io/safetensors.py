"""Safetensors files: arrays by name and texts, nothing that could run code."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from facekp.errors import UserError
from facekp.io.files import atomic_path, open_regular


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
        arrays = {}
        for name in file.keys():  # noqa: SIM118
            kind = file.get_slice(name).get_dtype()
            if kind not in _KINDS:
                raise UserError(f"{path}: holds numbers of the type {kind}; known are {', '.join(_KINDS)}")
            arrays[name] = file.get_tensor(name)
        return arrays, file.metadata() or {}


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """Read the texts of a safetensors file and none of its arrays.

    Raises:
        UserError: The file is missing or damaged.
    """
    with _open(path) as file:
        return file.metadata() or {}


#: Types of numbers; there are more, such as BF16, that NumPy does not know or that no network of ours has.
_KINDS = ("F16", "F32", "F64", "I32", "I64", "U8", "BOOL")

#: A file has no more bytes, and its header no more: names, shapes and texts.
MAX_BYTES, MAX_HEADER = 2 << 30, 16 << 20


@contextmanager
def _open(path: str | os.PathLike[str]) -> Iterator[Any]:
    if not os.path.exists(path):
        raise UserError(f"{path}: no such weights; check the name")
    try:
        with open(open_regular(path), "rb") as file:
            size, start = os.fstat(file.fileno()).st_size, file.read(8)
        if size > MAX_BYTES or int.from_bytes(start, "little") > MAX_HEADER:
            raise UserError(f"{path}: not a safetensors file of ours, or damaged: it claims to be too large")
        with safe_open(str(path), "np") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: not a safetensors file, or damaged ({error}); fetch or train it again") from error
