"""Backends that run a network: from a batch of crops to points in pixels of the crops, or to a face detector's cells.

Three libraries share one interface. Each is imported only when its backend is built, so that ONNX Runtime needs no
Paddle and Paddle no ONNX Runtime.
"""

from __future__ import annotations

import importlib.util
import os
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Protocol

import numpy as np

from facekp import zoo
from facekp.codecs.points import Outputs
from facekp.errors import UserError
from facekp.extras import install
from facekp.recipes import AnyRecipe, PointsRecipe, R, read_recipe

if TYPE_CHECKING:
    from paddle import nn

#: Names of the files that `facekp export` writes into a folder.
RECIPE_FILE, ONNX_FILE, PARAMETERS_FILE = "recipe.json", "model.onnx", "model.pdiparams"
PROGRAM_FILES = ("model.json", "model.pdmodel")  # Paddle 3, Paddle 2

#: Name of a backend -> the module that it imports, fastest first.
BACKENDS = {"int8": "onnxruntime", "onnx": "onnxruntime", "paddle": "paddle", "dygraph": "paddle"}


def find_weights(source: str | os.PathLike[str]) -> Path:
    """Return the file or folder of a network.

    Args:
        source: Name of a model, see `facekp.zoo`; path of weights, or of a folder that `facekp export` wrote.

    Raises:
        UserError: There is no such model, file or folder.
    """
    if str(source) in zoo.models():
        return zoo.get(str(source))
    if not os.path.exists(source):
        raise UserError(
            f"{str(source)[:200]}: neither a model ({', '.join(zoo.models())}), nor a file of weights, nor an "
            "exported folder"
        )
    return Path(source)


class Backend(Protocol):
    """Protocol of a backend: a callable from a batch of inputs to the network's outputs."""

    def __call__(self, batch: np.ndarray) -> Outputs:
        """Run the network.

        Args:
            batch: (N, C, H, W) float32, as the recipe's `pixels` produce it; for points, H and W are the recipe's size.

        Returns:
            The decoded outputs, float32; for a face detector its cells, (N, cells, 5), in place of points.
        """


class DygraphBackend:
    """Backend that runs a network in Paddle itself, as in training, on the device that Paddle selected.

    Args:
        network: The network, in evaluation mode.
        recipe: Recipe of the network.
        threads: Number of CPU threads of Paddle, for the whole process; None leaves it unchanged.
    """

    def __init__(self, network: nn.Layer, recipe: AnyRecipe, threads: int | None = None) -> None:
        import paddle

        from facekp.paddle_internals import set_threads

        if threads is not None:
            set_threads(threads)
        self._paddle, self._network, self._recipe = paddle, network, recipe

    def __call__(self, batch: np.ndarray) -> Outputs:
        """See `Backend`."""
        with self._paddle.no_grad():
            return self._recipe.decode(self._network(self._paddle.to_tensor(batch)).numpy())


class PaddleBackend:
    """Backend for Paddle Inference on the CPU, with oneDNN where that works.

    oneDNN makes a network 1.4 to 2 times as fast, but Paddle 3.0 to 3.3 cannot run every network with it
    (SAM-GoogLeNet-BN fails with "drr attr [fuse_activation] is not found", the plain one works). Neither the version
    nor the operators predict this, so one blank crop is run as a test.

    Args:
        program: Path of `model.json` or `model.pdmodel`.
        recipe: Recipe of the network.
        threads: Number of CPU threads; None for Paddle's default, one.

    Raises:
        UserError: The files are missing or damaged, or were written by another version of Paddle.
    """

    def __init__(self, program: Path, recipe: AnyRecipe, threads: int | None = None) -> None:
        from paddle import inference

        self._layout = recipe.layout
        self._lock = threading.Lock()
        parameters = program.with_name(PARAMETERS_FILE)
        if not parameters.is_file():
            raise UserError(f"{parameters}: is missing; export again")
        for one_dnn in (True, False):
            config = inference.Config(str(program), str(parameters))
            config.disable_gpu()
            config.disable_glog_info()
            if threads is not None:
                config.set_cpu_math_library_num_threads(threads)
            if one_dnn:
                config.enable_mkldnn()
            elif hasattr(config, "disable_mkldnn"):  # Paddle 3 enables it by default
                config.disable_mkldnn()
            try:
                self._predictor = inference.create_predictor(config)
                self(recipe.blank_batch())
                return
            except (RuntimeError, ValueError, OSError, NotImplementedError) as error:
                reason = str(error).strip().splitlines()[-1]
        raise UserError(f"{program}: Paddle cannot run it ({reason}); export again with the Paddle that is installed")

    def __call__(self, batch: np.ndarray) -> Outputs:
        """See `Backend`."""
        predictor = self._predictor
        with self._lock:  # the predictor holds the input and the outputs
            predictor.get_input_handle(predictor.get_input_names()[0]).copy_from_cpu(batch)
            predictor.run()
            names = predictor.get_output_names()
            return self._layout.named([predictor.get_output_handle(name).copy_to_cpu() for name in names])


class OnnxBackend:
    """Backend for ONNX Runtime on the CPU; needs no Paddle.

    Args:
        model: Path of an ONNX file that `facekp export` wrote.
        recipe: Recipe of the network.
        threads: Number of CPU threads; None for one per core.

    Raises:
        UserError: The file is damaged.
    """

    def __init__(self, model: Path, recipe: AnyRecipe, threads: int | None = None) -> None:
        import onnxruntime

        self._layout = recipe.layout
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = threads or 0
        # Threads that spin while they wait for the next image take CPU time from those that decode it.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its errors have no narrower common base class
            raise UserError(f"{model}: ONNX Runtime cannot run it ({error}); export again") from error
        self._input = self._session.get_inputs()[0].name

    def __call__(self, batch: np.ndarray) -> Outputs:
        """See `Backend`."""
        return self._layout.named(self._session.run(None, {self._input: batch}))


def load_backend(
    path: str | os.PathLike[str],
    name: str | None = None,
    threads: int | None = None,
    kind: type[R] = PointsRecipe,  # type: ignore[assignment]
) -> tuple[Backend, R]:
    """Load weights or an exported network into a backend.

    Args:
        path: A file of weights, or a folder that `facekp export` wrote.
        name: One of `BACKENDS`; None for the fastest that the path has files for and that is installed.
        threads: Number of CPU threads of the network; None for the library's default.
        kind: `PointsRecipe` for points, `BoxesRecipe` for a face detector.

    Returns:
        The backend and the recipe of the network.

    Raises:
        UserError: The files are missing or damaged, or no installed library can run them.
    """
    if name is not None and name not in BACKENDS:
        raise UserError(f"unknown backend {name!r}; known are {', '.join(BACKENDS)}")
    if threads is not None and threads < 1:
        raise UserError(f"threads must be at least 1, not {threads}")
    path = Path(path)
    if path.is_dir() and not (path / RECIPE_FILE).is_file():
        raise UserError(f"{path}: holds no {RECIPE_FILE}, as facekp export writes; name a file of weights in it")
    recipe = read_recipe(path / RECIPE_FILE if path.is_dir() else path, kind)
    found = _forms(path, recipe)
    if name is not None and name not in found:
        raise UserError(
            f"{path}: has no files for the backend {name}; use {' or '.join(found) or 'another path'}, or write it: "
            "facekp export"
        )
    for form in [name] if name is not None else found:
        if importlib.util.find_spec(BACKENDS[form]) is not None:
            return found[form](threads), recipe
    needed = dict.fromkeys(BACKENDS[form] for form in ([name] if name is not None else found))
    raise UserError(f"{path}: nothing installed can run it; {' or '.join(map(install, needed))}")


def _forms(path: Path, recipe: AnyRecipe) -> dict[str, Callable[[int | None], Backend]]:
    """Return the constructors of the backends that the path has files for, fastest first."""
    # An ONNX file beside your own weights may be from an earlier training; those of zoo models are tested to agree.
    files = {}
    if path.is_dir():
        files = {"onnx": path / ONNX_FILE}
    elif zoo.is_published(path):
        files = {"int8": path.with_suffix(f".{zoo.INT8}"), "onnx": path.with_suffix(".onnx")}
    found: dict[str, Callable[[int | None], Backend]] = {
        name: partial(OnnxBackend, file, recipe) for name, file in files.items() if file.is_file()
    }
    if not path.is_dir():
        found["dygraph"] = partial(_load_dygraph, path, recipe)
        return found
    for program in PROGRAM_FILES:
        if (path / program).is_file():
            found["paddle"] = partial(PaddleBackend, path / program, recipe)
    if not found:
        raise UserError(f"{path}: holds a {RECIPE_FILE} and no network; export again")
    return found


def _load_dygraph(path: Path, recipe: AnyRecipe, threads: int | None) -> Backend:
    from facekp.models.weights import load_any_weights

    return DygraphBackend(load_any_weights(path)[0], recipe, threads)
