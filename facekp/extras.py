"""Modules that only some commands need, and the extras of facekp that install them."""

from __future__ import annotations

from facekp.errors import UserError

#: Module -> the extra of facekp, in setup.cfg, that installs it. Those of the light core are not here.
EXTRAS = {
    "av": "video",
    "fastapi": "serve",
    "h5py": "mat",
    "matplotlib": "cpu",
    "ml_dtypes": "onnx",
    "onnx": "onnx",
    "paddle": "cpu",
    "paddle2onnx": "onnx",
    "pandas": "cpu",
    "pyarrow": "parquet",
    "pyvirtualcam": "camera",
    "ray": "ray",
    "requests": "cpu",
    "scipy": "mat",
    "uvicorn": "serve",
    "visualdl": "cpu",
}


def install(module: str) -> str:
    """The command that installs a module.

    Example:
        >>> install("av")
        'pip install "facekp[video]"'
        >>> install("paddle")
        'pip install "facekp[cpu]" (for an NVIDIA card "facekp[gpu]")'
        >>> install("onnxruntime")
        'pip install onnxruntime'
    """
    extra = EXTRAS.get(module)
    if extra is None:
        return f"pip install {module}"
    return f'pip install "facekp[{extra}]"' + ' (for an NVIDIA card "facekp[gpu]")' * (extra == "cpu")


def missing(module: str | None, what: str) -> UserError:
    """The error that tells which extra is missing.

    Args:
        module: Its name, with or without those of its parts, as `ImportError.name` has it.
        what: What needs it.

    Example:
        >>> print(missing("scipy.io", "a .mat file"))
        a .mat file needs scipy; pip install "facekp[mat]"
    """
    name = str(module).partition(".")[0]
    return UserError(f"{what} needs {name}; {install(name)}")
