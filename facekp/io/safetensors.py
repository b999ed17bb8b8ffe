"""Safetensors files: named arrays and text metadata, no executable code."""

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
    """Write named arrays and text metadata atomically.

    Raises:
        UserError: The file cannot be written, or the disk is full.
    """
    try:
        with atomic_path(path) as temporary:
            save_file(arrays, str(temporary), metadata)
    except SafetensorError as error:
        raise UserError(f"{path}: cannot be written ({error}); check the free space") from error


def read_safetensors(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read the named arrays and the metadata of a safetensors file.

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
    """Read the metadata of a safetensors file, without its arrays.

    Raises:
        UserError: The file is missing or damaged.
    """
    with _open(path) as file:
        return file.metadata() or {}


#: Supported data types; others, such as BF16, are unknown to NumPy or not used by our networks.
_KINDS = ("F16", "F32", "F64", "I32", "I64", "U8", "BOOL")

#: Maximum size in bytes of a file, and of its header with names, shapes and metadata.
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
