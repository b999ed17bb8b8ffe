"""Optional modules that only some commands need, and the extras of facekp that install them."""

from __future__ import annotations

from facekp.errors import UserError

#: Module -> the extra of facekp, in setup.cfg, that installs it. Modules of the light core are not listed.
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
    """Return the command that installs a module.

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
    """Return the error that names the missing module and the extra that installs it.

    Args:
        module: Name of the module, with or without submodules, as in `ImportError.name`.
        what: What needs the module, for the message.

    Example:
        >>> print(missing("scipy.io", "a .mat file"))
        a .mat file needs scipy; pip install "facekp[mat]"
    """
    name = str(module).partition(".")[0]
    return UserError(f"{what} needs {name}; {install(name)}")
