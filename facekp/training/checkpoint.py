"""Checkpoints: the state from which a run resumes as if never interrupted, in one safetensors file."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle import Tensor, nn
from paddle.optimizer import Optimizer
from paddle.optimizer.lr import LRScheduler
from pydantic import ConfigDict, NonNegativeInt, PositiveInt, ValidationError
from pydantic.dataclasses import dataclass

from facekp.errors import UserError, first_problem
from facekp.io.safetensors import read_safetensors, write_safetensors
from facekp.models.weights import set_state
from facekp.paddle_internals import accumulators_of, beta_of, schedule_of
from facekp.training.logs import GROWING_FILES


@dataclass(config=ConfigDict(extra="forbid", strict=True))
class RunState:
    """Progress of a run. The callbacks share one object.

    Attributes:
        epoch: Number of finished epochs, which is also the index of the current epoch, counted from 0.
        step: Number of finished training steps.
        best: Lowest validation metric so far: the NME, or the share of faces that a detector misses.
        log_sizes: Sizes in bytes of the run's growing files at the end of the last finished epoch. Later content was
            written by an unfinished epoch, and is truncated when the run resumes. `cut_logs` checks the sizes.
        processes: Number of processes that train together.
    """

    epoch: NonNegativeInt = 0
    step: NonNegativeInt = 0
    best: float = float("inf")
    log_sizes: dict[str, Any] = field(default_factory=dict)
    processes: PositiveInt = 1


def save_checkpoint(
    path: str | os.PathLike[str],
    network: nn.Layer,
    optimizer: Optimizer,
    state: RunState,
    average: dict[str, Tensor] | None = None,
) -> None:
    """Write network, moving average (if there is one), optimizer, schedule and state; all of them or nothing.

    Paddle keys an optimizer's arrays by generated names (conv2d_0.w_0), which differ from process to process;
    here they are stored under the names of the network's own parameters.

    Args:
        path: File to write.
        network: The network.
        optimizer: Its optimizer, with its schedule.
        state: Progress of the run.
        average: Parameter name -> moving average, if there is one.

    Raises:
        UserError: The file cannot be written.
    """
    arrays = {f"network.{name}": tensor.numpy() for name, tensor in network.state_dict().items()}
    arrays.update({f"average.{name}": tensor.numpy() for name, tensor in (average or {}).items()})
    names = {parameter.name: name for name, parameter in network.named_parameters()}
    for key, value in optimizer.state_dict().items():
        if key in ("LR_Scheduler", "master_weights"):
            continue
        parameter = next(p for p in sorted(names, key=len, reverse=True) if key.startswith(f"{p}_"))
        arrays[f"optimizer.{names[parameter]}:{key[len(parameter) + 1 :]}"] = value.numpy()
    schedule = schedule_of(optimizer)
    metadata = {"state": json.dumps(asdict(state))}
    if isinstance(schedule, LRScheduler):
        metadata["schedule"] = json.dumps(schedule.state_dict())
    write_safetensors(path, arrays, metadata)


def load_checkpoint(
    path: str | os.PathLike[str],
    network: nn.Layer,
    optimizer: Optimizer,
    state: RunState,
    average: dict[str, Tensor] | None = None,
) -> None:
    """Restore a checkpoint into newly built objects.

    Args:
        path: File to read.
        network: Network to restore.
        optimizer: Optimizer to restore, with its schedule.
        state: Progress to restore.
        average: Moving average to restore, if there is one.

    Raises:
        UserError: The file is no checkpoint, is damaged, or is of another network or number of processes.
    """
    arrays, metadata = read_safetensors(path)
    if "state" not in metadata:
        raise UserError(f"{path}: not a checkpoint; weights alone cannot be resumed")
    saved = _read_state(metadata["state"], path)
    if saved.processes != state.processes:
        raise UserError(
            f"{path}: the run to resume has {saved.processes} processes, not {state.processes}; start as many as before"
        )
    part: dict[str, dict[str, np.ndarray]] = {"network": {}, "average": {}, "optimizer": {}}
    for name, array in arrays.items():
        kind, _, rest = name.partition(".")
        if kind not in part:
            raise UserError(_damaged(path, f"unexpected array {name[:80]}"))
        part[kind][rest] = array
    schedule = _read_schedule(metadata.get("schedule"), optimizer, path)
    _check_optimizer(part["optimizer"], network, optimizer, path)
    for name, tensor in (average or {}).items():
        if part["average"].get(name, np.zeros(0)).shape != tuple(tensor.shape):
            raise UserError(_damaged(path, f"the moving average of {name} is missing or of another shape"))
    set_state(network, part["network"], path)
    for name, tensor in (average or {}).items():
        tensor.set_value(part["average"][name])
    parameters = {name: parameter.name for name, parameter in network.named_parameters()}
    optimizer_state = {}
    for name, array in _with_fresh_state(part["optimizer"], network, optimizer).items():
        parameter, _, suffix = name.partition(":")
        optimizer_state[f"{parameters[parameter]}_{suffix}"] = paddle.to_tensor(array)
    if schedule is not None:
        optimizer_state["LR_Scheduler"] = schedule
    optimizer.set_state_dict(optimizer_state)
    for each in fields(RunState):
        setattr(state, each.name, getattr(saved, each.name))


def _read_state(text: str, path: str | os.PathLike[str]) -> RunState:
    """Parse and check the run state of a checkpoint.

    Raises:
        UserError: The state is invalid.
    """
    try:
        values = json.loads(text)
        if not isinstance(values, dict):
            raise ValueError("it is not a mapping")
        return RunState(**values)
    except ValidationError as error:
        raise UserError(_damaged(path, f"state.{': '.join(first_problem(error))}")) from error
    except (TypeError, ValueError, RecursionError) as error:
        raise UserError(_damaged(path, f"state: {str(error)[:200]}")) from error


def _read_schedule(text: str | None, optimizer: Optimizer, path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Parse the state of a checkpoint's learning-rate schedule, and check it against the optimizer's schedule.

    Raises:
        UserError: The state is missing, or belongs to another schedule.
    """
    schedule = schedule_of(optimizer)
    if not isinstance(schedule, LRScheduler):
        return None
    try:
        values = json.loads(text or "")
    except (ValueError, RecursionError) as error:
        raise UserError(_damaged(path, "its schedule is missing or not JSON")) from error
    own = schedule.state_dict()
    if not isinstance(values, dict) or set(values) != set(own):
        raise UserError(_damaged(path, f"its schedule is not that of the config, which has {', '.join(own)}"))
    for name, value in values.items():
        if not _alike(value, own[name]):
            raise UserError(_damaged(path, f"schedule.{name}: {str(value)[:40]!r} cannot be"))
    return values


def _alike(value: Any, own: Any) -> bool:
    """Return whether a value can replace another one: both of one type, recursively; None counts as a number."""
    if isinstance(own, dict):
        return isinstance(value, dict) and set(value) == set(own) and all(_alike(value[k], own[k]) for k in own)
    number = (int, float)
    if own is None or (isinstance(own, number) and not isinstance(own, bool)):
        return value is None or (isinstance(value, number) and not isinstance(value, bool))
    return isinstance(value, type(own))


def _check_optimizer(
    arrays: dict[str, np.ndarray], network: nn.Layer, optimizer: Optimizer, path: str | os.PathLike[str]
) -> None:
    """Check that each array of an optimizer belongs to a parameter, and has its shape or a single element.

    Raises:
        UserError: An array does not fit the network.
    """
    shapes = {name: tuple(parameter.shape) for name, parameter in network.named_parameters()}
    known = {f"{name}_0" for name in (*accumulators_of(optimizer), *_ACCUMULATORS)}
    for name, array in arrays.items():
        parameter, _, suffix = name.partition(":")
        if parameter not in shapes or suffix not in known:
            raise UserError(_damaged(path, f"the optimizer has no {name[:80]}"))
        if array.shape not in (shapes[parameter], (1,)) or array.dtype != np.float32:
            raise UserError(_damaged(path, f"optimizer: {name[:80]} is of another shape or type"))


#: Arrays that Paddle's Momentum, Adam and AdamW keep for each parameter.
_ACCUMULATORS = ("velocity", "moment1", "moment2", "beta1_pow_acc", "beta2_pow_acc", "moment2_max")


def _damaged(path: str | os.PathLike[str], reason: str) -> str:
    return f"{path}: damaged, or another run's ({reason}); start anew with --overwrite"


def _with_fresh_state(arrays: dict[str, np.ndarray], network: nn.Layer, optimizer: Optimizer) -> dict[str, np.ndarray]:
    """Return an optimizer's arrays, with initial ones added for parameters that were frozen until now.

    Paddle rejects a state that covers only some of the parameters.
    """
    found = dict(arrays)
    for suffix, like in {name.partition(":")[2]: array for name, array in arrays.items()}.items():
        for name, parameter in network.named_parameters():
            if f"{name}:{suffix}" in arrays:
                continue
            if suffix.startswith("beta"):  # beta1_pow_acc_0: the first power of beta1
                found[f"{name}:{suffix}"] = np.full_like(like, beta_of(optimizer, suffix[:5]))
            else:
                found[f"{name}:{suffix}"] = np.zeros(parameter.shape, like.dtype)
    return found


def cut_logs(folder: Path, state: RunState) -> None:
    """Truncate the run's growing files to the last finished epoch; other files that a checkpoint names are refused.

    Raises:
        UserError: The checkpoint names other files or impossible sizes, or a log is shorter than recorded.
    """
    sizes = state.log_sizes
    if not set(sizes) <= set(GROWING_FILES) or not all(type(size) is int and size >= 0 for size in sizes.values()):
        raise UserError(
            f"{folder / 'last.safetensors'}: damaged, or not a checkpoint of this run: its log_sizes are not those of "
            f"{' and '.join(GROWING_FILES)}; start anew with --overwrite"
        )
    for name, size in sizes.items():
        file = folder / name
        if file.is_symlink() or not file.is_file() or file.stat().st_size < size:
            raise UserError(f"{file}: missing or shorter than when the last epoch ended; start anew with --overwrite")
        os.truncate(file, size)
