"""MATLAB's .mat files, read with scipy or, for version 7.3, h5py; both are in the extra [mat]."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from facekp.errors import UserError
from facekp.extras import missing
from facekp.io.files import read_start

#: Maximum size of a file in bytes.
MAX_BYTES = 1 << 32


def read_mat(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Read variables of a .mat file.

    Args:
        path: The file.
        names: Names of the variables; missing ones are not in the result.

    Returns:
        Name -> array, with the shape as in MATLAB; cell arrays have the dtype object.

    Raises:
        UserError: The file is missing, damaged or not a .mat file, or scipy or h5py is missing.
    """
    try:
        head, size = read_start(path, 128), path.stat().st_size
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the name") from error
    if size > MAX_BYTES:
        raise UserError(f"{path}: larger than {MAX_BYTES >> 30} GiB, so it belongs to no known data set")
    try:
        if head.startswith(b"MATLAB 7.3"):
            return _read_hdf5(path, names)
        from scipy.io import loadmat
    except ImportError as error:
        raise missing(error.name, f"{path}: a .mat file") from error
    try:
        found = loadmat(str(path), variable_names=list(names))
    except Exception as error:  # scipy raises many types of exceptions for a damaged file
        raise UserError(f"{path}: not a .mat file, or damaged ({' '.join(str(error).split())[:80]})") from error
    return {name: found[name] for name in names if name in found}


def _read_hdf5(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    import h5py

    found = {}
    try:
        with h5py.File(path, "r") as file:
            for name in names:
                if name not in file:
                    continue
                value = file[name][()]
                if value.dtype == h5py.ref_dtype or value.dtype.kind == "O":
                    cells = np.empty(value.size, object)
                    for i, reference in enumerate(value.ravel()):
                        cells[i] = file[reference][()].T  # MATLAB is column-major
                    value = cells.reshape(value.shape)
                found[name] = value.T
    except Exception as error:  # h5py raises many types of exceptions for a damaged file
        raise UserError(f"{path}: not a .mat file, or damaged ({' '.join(str(error).split())[:80]})") from error
    return found


def table(found: dict[str, np.ndarray], name: str, columns: int, path: Path) -> np.ndarray:
    """Return a variable as (N, columns) float64.

    Args:
        found: Variables of the file, see `read_mat`.
        name: Name of the variable.
        columns: Expected number of columns.
        path: The file, for messages.

    Raises:
        UserError: The variable is missing, or has another shape or type.
    """
    value: Any = found.get(name)
    if value is None:
        raise UserError(f"{path}: has no variable {name}; is it from another data set?")
    if value.dtype.kind not in "fiub" or value.ndim != 2 or value.shape[1] != columns:
        raise UserError(f"{path}: {name} is {value.dtype} {value.shape}, but N x {columns} numbers are needed")
    return value.astype(np.float64)
