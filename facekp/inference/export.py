"""Export of a trained network to files that need no training code, for Paddle Inference and ONNX Runtime.

Both formats hold the network with its decode step. Their outputs are the points in pixels of the crop, (N, K, 2), and
the network's other outputs in the order of `OutputLayout.names`, which are also the output names of an ONNX file. The
recipe beside them describes how a crop is cut and how its pixels are normalised.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import paddle
from paddle import Tensor, nn
from paddle.nn import functional as F  # noqa: N812 (the conventional name)
from paddle.static import InputSpec

from facekp.errors import UserError
from facekp.extras import missing
from facekp.inference.backends import ONNX_FILE, PARAMETERS_FILE, PROGRAM_FILES, RECIPE_FILE, Backend
from facekp.io.files import atomic_path
from facekp.io.images import read_image
from facekp.models.weights import load_any_weights
from facekp.recipes import AnyRecipe, PointsRecipe, save_recipe

FORMATS = ("paddle", "onnx")

#: Version of the ONNX operator set: old enough for the runtimes of recent years.
OPSET = 15

#: Initializers with fewer elements, such as biases and the mean face, stay in single precision.
LARGE = 1024


class DecodedNetwork(nn.Layer):
    """A network followed by its decode step.

    Args:
        network: The network, in evaluation mode.
        recipe: Recipe of the network.
    """

    def __init__(self, network: nn.Layer, recipe: PointsRecipe) -> None:
        super().__init__()
        self.network, self.layout = network, recipe.layout
        self.percent = recipe.size / 100
        # Every codec decodes with one factor and one offset per coordinate; two calls determine them.
        codec, count = recipe.build_codec(), 2 * recipe.num_points
        offset = codec.decode(np.zeros(count))
        self.register_buffer("offset", paddle.to_tensor(offset))
        self.register_buffer("factor", paddle.to_tensor((codec.decode(np.full(count, 100.0)) - offset) / 100))
        self.eval()

    def forward(self, crops: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Map crops (N, C, size, size) to points (N, K, 2) and the other outputs, like `PointsRecipe.decode`."""
        outputs = self.layout.split(self.network(crops))
        decoded = [outputs.points.reshape([-1, self.layout.num_points, 2]) * self.factor + self.offset]
        if outputs.score is not None:
            decoded.append(F.sigmoid(outputs.score))
        if outputs.sigma is not None:
            decoded.append(paddle.exp(outputs.sigma) * self.percent)
        if outputs.visibility is not None:
            decoded.append(F.sigmoid(outputs.visibility))
        return decoded[0] if len(decoded) == 1 else tuple(decoded)


def export(
    weights: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    formats: Collection[str] = FORMATS,
    half: bool = False,
    int8: Sequence[np.ndarray] | None = None,
) -> list[Path]:
    """Export a network for inference.

    Args:
        weights: Path of the weights.
        folder: Output folder, which `load_landmarker` can load.
        formats: Formats to write, from `FORMATS`.
        half: Store the ONNX file's weights in half precision, which halves its size; with `int8`, those that are not
            quantised. Computation stays in single precision; weights that were saved with `half` lose nothing.
        int8: Calibration inputs, see `calibration_inputs`, for quantising the ONNX file's convolutions to eight bits.

    Returns:
        Paths of the written files.

    Raises:
        UserError: The weights cannot be read, paddle2onnx is missing or cannot convert the network, or the folder
            cannot be written to.
    """
    network, recipe = load_any_weights(weights)
    if int8 is not None and "onnx" not in formats:
        raise UserError("int8 needs the ONNX format")
    if "onnx" in formats and not can_write_onnx():
        raise missing("paddle2onnx", "the format onnx")
    with tempfile.TemporaryDirectory() as temporary:
        program = write_paddle(network, recipe, Path(temporary))
        made = [program, program.with_name(PARAMETERS_FILE)] if "paddle" in formats else []
        if "onnx" in formats:
            made.append(program.with_name(ONNX_FILE))
            convert_to_onnx(program, made[-1])
            if int8 is not None:
                quantise(made[-1], int8)
            if half:
                store_in_half(made[-1])
            if isinstance(recipe, PointsRecipe):
                name_outputs(made[-1], recipe.layout.names)
        save_recipe(Path(temporary) / RECIPE_FILE, recipe)
        return replace_files(Path(folder), [*made, Path(temporary) / RECIPE_FILE])


def replace_files(folder: Path, made: Sequence[Path]) -> list[Path]:
    """Replace the files of an earlier export, once all new ones are complete.

    The new files are first copied beside the earlier ones, which may fail; then they are renamed. The recipe is removed
    first and renamed last: a folder without one is no export, so that files of two networks are never loaded together.

    Args:
        folder: Output folder; other files in it are kept.
        made: Paths of the new files, the recipe last.

    Returns:
        Paths of the files in the folder.

    Raises:
        UserError: The folder holds a file with one of these names that does not belong to an export.
    """
    names = (RECIPE_FILE, *PROGRAM_FILES, PARAMETERS_FILE, ONNX_FILE)
    strange = None if (folder / RECIPE_FILE).exists() else next((n for n in names if (folder / n).exists()), None)
    if strange is not None:
        raise UserError(f"{folder / strange}: would be replaced, but belongs to no export: there is no {RECIPE_FILE} "
                        "beside it; remove it, or choose another folder")  # fmt: skip
    with ExitStack() as targets:
        for source in reversed(made):  # the recipe is entered first, so that it is renamed last
            shutil.copyfile(source, targets.enter_context(atomic_path(folder / source.name)))
        for name in names:  # files of an earlier export
            (folder / name).unlink(missing_ok=True)
    return [folder / source.name for source in made]


def can_write_onnx() -> bool:
    """Return whether the extra [onnx] is installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("onnx", "paddle2onnx"))


def write_paddle(network: nn.Layer, recipe: AnyRecipe, folder: Path) -> Path:
    """Write a network as a program and its parameters for Paddle Inference.

    Returns:
        Path of the program, `model.json` or `model.pdmodel`, depending on the version of Paddle.
    """
    shape: list[int | None] = [None, *recipe.blank_batch().shape[1:]]
    if isinstance(recipe, PointsRecipe):
        network = DecodedNetwork(network, recipe)
    else:
        shape[2:] = [None, None]  # a detector takes images of any size
    stem = PARAMETERS_FILE.partition(".")[0]
    paddle.jit.save(network, str(folder / stem), [InputSpec(shape, "float32", "crops")])
    return next(folder / name for name in PROGRAM_FILES if (folder / name).is_file())


def convert_to_onnx(program: Path, target: Path) -> None:
    """Convert the program that `write_paddle` wrote to ONNX.

    Args:
        program: Path of the program, with the parameters beside it.
        target: Path of the ONNX file.

    Raises:
        UserError: paddle2onnx cannot convert the network.
    """
    # paddle2onnx aborts its whole process on an unknown operator, so it runs in a process of its own.
    arguments = [str(program), str(program.with_name(PARAMETERS_FILE)), str(target), str(OPSET)]
    code = (
        "import sys, paddle2onnx as p; program, parameters, target, opset = sys.argv[1:]; "
        "p.export(program, parameters, target, opset_version=int(opset))"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    if done.returncode or not target.is_file():
        reason = _reason(done.stdout + done.stderr)
        raise UserError(f"paddle2onnx cannot convert this network ({reason}); write it with --formats paddle alone")


def name_outputs(path: Path, names: Sequence[str]) -> None:
    """Rename the outputs of an ONNX file to `names`, in order."""
    import onnx

    model = onnx.load(str(path))
    new = dict(zip([output.name for output in model.graph.output], names))
    for output in model.graph.output:
        output.name = new[output.name]
    for node in model.graph.node:
        for places in (node.input, node.output):
            for index, name in enumerate(places):
                places[index] = new.get(name, name)
    onnx.save(model, str(path))


def store_in_half(path: Path) -> None:
    """Store the large weights of an ONNX file in half precision, each followed by a cast to single precision."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(str(path))
    casts, kept, rest = [], [], []
    tensors = list(model.graph.initializer)
    for node in model.graph.node:  # networks that paddle2onnx could not simplify keep their weights here
        value = next((a.t for a in node.attribute if a.name == "value"), None) if node.op_type == "Constant" else None
        if value is None:
            rest.append(node)
        else:
            value.name = node.output[0]
            tensors.append(value)
    for tensor in tensors:
        array = numpy_helper.to_array(tensor)
        fits = tensor.data_type == TensorProto.FLOAT and np.abs(array).max(initial=0) <= np.finfo(np.float16).max
        if array.size < LARGE or not fits:
            kept.append(tensor)
            continue
        stored = f"{tensor.name}.half"
        kept.append(numpy_helper.from_array(array.astype(np.float16), stored))
        casts.append(helper.make_node("Cast", [stored], [tensor.name], to=TensorProto.FLOAT))
    nodes = [*casts, *rest]
    for field, values in ((model.graph.initializer, kept), (model.graph.node, nodes)):
        values = list(values)
        del field[:]
        field.extend(values)
    onnx.save(model, str(path))


class Finder(Protocol):
    """Protocol of a landmarker or a face detector."""

    backend: Backend

    def __call__(self, image: np.ndarray) -> Any:
        """Run the network on an image."""


def calibration_inputs(finder: Finder, photos: Sequence[Path], max_inputs: int = 300) -> list[np.ndarray]:
    """Collect a network's inputs for photos: crops of their faces, or the images as a face detector scales them.

    Args:
        finder: Landmarker or detector that runs the network to be quantised.
        photos: Paths of the photos.
        max_inputs: Maximum number of inputs.

    Returns:
        The inputs, (C, H, W) float32 each.

    Raises:
        UserError: A photo cannot be read, or no face is found in the photos.
    """
    inputs: list[np.ndarray] = []

    def record(batch: np.ndarray) -> Any:
        inputs.extend(batch)
        return backend(batch)

    backend, finder.backend = finder.backend, record
    try:
        for photo in photos:
            finder(read_image(photo))
            if len(inputs) >= max_inputs:
                break
    finally:
        finder.backend = backend
    if not inputs:
        raise UserError("no face found in the photos for --int8; give others")
    return inputs[:max_inputs]


def quantise(path: Path, inputs: Sequence[np.ndarray]) -> None:
    """Quantise the convolutions of an ONNX file to eight bits for ONNX Runtime, with one scale per channel.

    The last convolution and all nodes after it are not quantised: the head's linear layers and the decode step.
    Weights have seven bits, so that sums of two products do not overflow 16 bits, as they would with AVX2.

    Args:
        path: Path of the file, which is replaced.
        inputs: Calibration inputs, (C, H, W) float32 each.

    Raises:
        UserError: A package that ONNX Runtime's quantisation tools need is missing.
    """
    try:
        import onnx
        from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError as error:
        raise missing(error.name, "int8") from error

    class Reader(CalibrationDataReader):
        def __init__(self, name: str) -> None:
            self._batches = iter([{name: each[None]} for each in inputs])

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self._batches, None)

    with tempfile.TemporaryDirectory() as temporary:
        prepared, written = Path(temporary, "prepared.onnx"), Path(temporary, "int8.onnx")
        quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)
        model = onnx.load(str(prepared))
        for number, node in enumerate(model.graph.node):
            node.name = node.name or f"node_{number}"
        onnx.save(model, str(prepared))
        quantize_static(
            str(prepared),
            str(written),
            Reader(model.graph.input[0].name),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=_ends(model),
        )
        copy_atomically(written, path)


def _ends(model: Any) -> list[str]:
    """Return the names of the nodes that lead to no convolution: the last one of each branch, and all after it."""
    leading: set[str] = set()  # tensors that a later convolution depends on
    ends = []
    for node in reversed(model.graph.node):
        leads = any(output in leading for output in node.output)
        if not leads:
            ends.append(node.name)
        if leads or node.op_type == "Conv":
            leading.update(node.input)
    return ends


def copy_atomically(source: Path, target: Path) -> Path:
    """Copy a file atomically; return its new path."""
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)
    return target


def _reason(output: str) -> str:
    """Return the line of paddle2onnx's output about operators, or else its last line."""
    lines = [line.rpartition("[Paddle2ONNX]")[2].strip() for line in output.splitlines() if line.strip()]
    return next((line for line in lines if "support" in line), (lines or ["it ended without output"])[-1]).rstrip(".")
