"""A trained network as files that need no training code: for Paddle Inference, and for ONNX Runtime.

Both hold the network with its decode step, so that what comes out is points in pixels of the crop, (N, K, 2), and what
else the network says, in the order of `OutputLayout.names`; so the outputs of an ONNX file are called. The recipe
beside them says how a crop is cut and how its pixels are put.
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
from paddle.nn import functional as F  # noqa: N812 (the field's name for it)
from paddle.static import InputSpec

from facekp.errors import UserError
from facekp.extras import missing
from facekp.inference.backends import ONNX_FILE, PARAMETERS_FILE, PROGRAM_FILES, RECIPE_FILE, Backend
from facekp.io.files import atomic_path
from facekp.io.images import read_image
from facekp.models.weights import load_any_weights
from facekp.recipes import AnyRecipe, PointsRecipe, save_recipe

FORMATS = ("paddle", "onnx")

#: ONNX's operator set: old enough for any runtime of the last years.
OPSET = 15

#: Initializers with fewer numbers stay in single precision: biases, the mean face.
LARGE = 1024


class DecodedNetwork(nn.Layer):
    """A network with its decode step behind it.

    Args:
        network: In evaluation mode.
        recipe: Of the network.
    """

    def __init__(self, network: nn.Layer, recipe: PointsRecipe) -> None:
        super().__init__()
        self.network, self.layout = network, recipe.layout
        self.percent = recipe.size / 100
        # Every codec decodes by one factor and one offset for each coordinate; two decodings give them.
        codec, count = recipe.build_codec(), 2 * recipe.num_points
        offset = codec.decode(np.zeros(count))
        self.register_buffer("offset", paddle.to_tensor(offset))
        self.register_buffer("factor", paddle.to_tensor((codec.decode(np.full(count, 100.0)) - offset) / 100))
        self.eval()

    def forward(self, crops: Tensor) -> Tensor | tuple[Tensor, ...]:
        """(N, C, size, size) -> points (N, K, 2), and what else the network says; as `PointsRecipe.decode`."""
        said = self.layout.split(self.network(crops))
        decoded = [said.points.reshape([-1, self.layout.num_points, 2]) * self.factor + self.offset]
        if said.score is not None:
            decoded.append(F.sigmoid(said.score))
        if said.sigma is not None:
            decoded.append(paddle.exp(said.sigma) * self.percent)
        if said.visibility is not None:
            decoded.append(F.sigmoid(said.visibility))
        return decoded[0] if len(decoded) == 1 else tuple(decoded)


def export(
    weights: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    formats: Collection[str] = FORMATS,
    half: bool = False,
    int8: Sequence[np.ndarray] | None = None,
) -> list[Path]:
    """Write a network for inference.

    Args:
        weights: A file of weights.
        folder: `load_landmarker` takes it afterwards.
        formats: Of `FORMATS`.
        half: Store the ONNX file's weights in half precision, half the size. They are computed with in single
            precision all the same; weights that were saved with `half` lose nothing.
        int8: Quantise the ONNX file's convolutions to eight bits on these inputs, see `calibration_inputs`.

    Returns:
        The files.

    Raises:
        UserError: The weights cannot be read, paddle2onnx is missing or cannot convert the network, or the folder
            cannot be written to.
    """
    network, recipe = load_any_weights(weights)
    if int8 is not None and ("onnx" not in formats or half):
        raise UserError("int8 is for the ONNX file, and goes without half precision")
    if "onnx" in formats and not can_write_onnx():
        raise missing("paddle2onnx", "the format onnx")
    with tempfile.TemporaryDirectory() as temporary:
        program = write_paddle(network, recipe, Path(temporary))
        made = [program, program.with_name(PARAMETERS_FILE)] if "paddle" in formats else []
        if "onnx" in formats:
            made.append(program.with_name(ONNX_FILE))
            convert_to_onnx(program, made[-1], half, recipe.layout.names if isinstance(recipe, PointsRecipe) else ())
            if int8 is not None:
                quantise(made[-1], int8)
        save_recipe(Path(temporary) / RECIPE_FILE, recipe)
        return replace_files(Path(folder), [*made, Path(temporary) / RECIPE_FILE])


def replace_files(folder: Path, made: Sequence[Path]) -> list[Path]:
    """Put the files of an export in the place of an earlier one's, once all of them are there.

    They are copied beside the earlier ones, which may fail; what follows are renamings. The recipe goes first and
    comes last: a folder without one is no export, so that nobody ever loads the files of two networks.

    Args:
        folder: Other files in it stay.
        made: The new files, the recipe the last one.

    Returns:
        The files in their place.

    Raises:
        UserError: One of these names is that of a file that is not of an export.
    """
    names = (RECIPE_FILE, *PROGRAM_FILES, PARAMETERS_FILE, ONNX_FILE)
    strange = None if (folder / RECIPE_FILE).exists() else next((n for n in names if (folder / n).exists()), None)
    if strange is not None:
        raise UserError(f"{folder / strange}: would be replaced, and is of no export, as there is no {RECIPE_FILE} "
                        "beside it; remove it, or choose another folder")  # fmt: skip
    with ExitStack() as targets:
        for source in reversed(made):  # the recipe first in, so that it is the last one out
            shutil.copyfile(source, targets.enter_context(atomic_path(folder / source.name)))
        for name in names:  # of an earlier export
            (folder / name).unlink(missing_ok=True)
    return [folder / source.name for source in made]


def can_write_onnx() -> bool:
    """Whether the extra [onnx] is installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("onnx", "paddle2onnx"))


def write_paddle(network: nn.Layer, recipe: AnyRecipe, folder: Path) -> Path:
    """Write the program and its parameters for Paddle Inference.

    Returns:
        The program, `model.json` or `model.pdmodel`, as this Paddle has it.
    """
    shape: list[int | None] = [None, *recipe.blank_batch().shape[1:]]
    if isinstance(recipe, PointsRecipe):
        network = DecodedNetwork(network, recipe)
    else:
        shape[2:] = [None, None]  # a detector takes images of any size
    stem = PARAMETERS_FILE.partition(".")[0]
    paddle.jit.save(network, str(folder / stem), [InputSpec(shape, "float32", "crops")])
    return next(folder / name for name in PROGRAM_FILES if (folder / name).is_file())


def convert_to_onnx(program: Path, target: Path, half: bool = False, names: Sequence[str] = ()) -> None:
    """Convert what `write_paddle` wrote.

    Args:
        program: The program; the parameters lie beside it.
        target: The ONNX file.
        half: See `export`.
        names: Of the outputs; none leaves them as paddle2onnx calls them.

    Raises:
        UserError: paddle2onnx cannot.
    """
    # An operator that paddle2onnx does not know aborts its whole process, so it gets one of its own.
    arguments = [str(program), str(program.with_name(PARAMETERS_FILE)), str(target), str(OPSET)]
    code = (
        "import sys, paddle2onnx as p; program, parameters, target, opset = sys.argv[1:]; "
        "p.export(program, parameters, target, opset_version=int(opset))"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    if done.returncode or not target.is_file():
        reason = _reason(done.stdout + done.stderr)
        raise UserError(f"paddle2onnx cannot convert this network ({reason}); write it with --formats paddle alone")
    if half:
        store_in_half(target)
    if names:
        name_outputs(target, names)


def name_outputs(path: Path, names: Sequence[str]) -> None:
    """Give the outputs of an ONNX file names, in their order."""
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
    """Store the large weights of an ONNX file in half precision, each with a cast to single behind it."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(str(path))
    casts, kept, rest = [], [], []
    tensors = list(model.graph.initializer)
    for node in model.graph.node:  # where paddle2onnx could not simplify a network, its weights stand here
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
    """A landmarker or a face detector."""

    backend: Backend

    def __call__(self, image: np.ndarray) -> Any:
        """Run the network on what it looks at in an image."""


def calibration_inputs(finder: Finder, photos: Sequence[Path], most: int = 300) -> list[np.ndarray]:
    """What a network sees of photos: the crops of their faces, or the images as a face detector looks at them.

    Args:
        finder: Runs the network that is to be quantised.
        photos: The files.
        most: As many inputs are enough.

    Returns:
        (C, H, W) float32 each.

    Raises:
        UserError: A photo cannot be read, or there is no face on them.
    """
    inputs: list[np.ndarray] = []

    def watch(batch: np.ndarray) -> Any:
        inputs.extend(batch)
        return backend(batch)

    backend, finder.backend = finder.backend, watch
    try:
        for photo in photos:
            finder(read_image(photo))
            if len(inputs) >= most:
                break
    finally:
        finder.backend = backend
    if not inputs:
        raise UserError("no face on the photos for --int8; give others")
    return inputs[:most]


def quantise(path: Path, inputs: Sequence[np.ndarray]) -> None:
    """Quantise the convolutions of an ONNX file to eight bits, each channel with its scale, as ONNX Runtime runs them.

    The last convolution stays as it is, and what stands behind it: the head's linear layers and the decode step.
    Weights have seven bits, so that no processor's sums of two products overflow 16 bits, as those of AVX2 would.

    Args:
        path: The file, which is replaced.
        inputs: (C, H, W) float32 each, to calibrate on.

    Raises:
        UserError: ONNX Runtime's tools are not complete.
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
        put(written, path)


def _ends(model: Any) -> list[str]:
    """The nodes of an ONNX model that lead to no convolution: the last one of each branch, and all behind it."""
    leading: set[str] = set()  # what a convolution behind it is made of
    ends = []
    for node in reversed(model.graph.node):
        leads = any(output in leading for output in node.output)
        if not leads:
            ends.append(node.name)
        if leads or node.op_type == "Conv":
            leading.update(node.input)
    return ends


def put(source: Path, target: Path) -> Path:
    """Copy a file; it appears whole or not at all."""
    with atomic_path(target) as temporary:
        temporary.write_bytes(source.read_bytes())
    return target


def _reason(output: str) -> str:
    """The line of paddle2onnx's output about operators, or its last one."""
    lines = [line.rpartition("[Paddle2ONNX]")[2].strip() for line in output.splitlines() if line.strip()]
    return next((line for line in lines if "support" in line), (lines or ["it ended without a word"])[-1]).rstrip(".")
