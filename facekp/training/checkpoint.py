"""Checkpoints: all that a run needs to continue as if it had never stopped, in one safetensors file."""

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

from facekp.errors import UserError
from facekp.io.safetensors import read_safetensors, write_safetensors
from facekp.models.weights import set_state
from facekp.paddle_internals import accumulators_of, beta_of, schedule_of
from facekp.training.logs import GROWING_FILES


@dataclass(config=ConfigDict(extra="forbid", strict=True))
class RunState:
    """Where a run stands. The callbacks share one object.

    Attributes:
        epoch: Finished epochs, which is also the number of the running one, counted from 0.
        step: Finished training steps.
        best: Lowest validation metric so far, the NME or what a detector misses.
        log_sizes: Bytes of the run's growing files at the end of the last finished epoch; what stands behind
            them was written by an epoch that did not finish, and is cut off when the run continues.
            `cut_logs` checks them.
        processes: That train together.
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
    """Write network, its moving average if there is one, optimizer, schedule and state; all of it or nothing.

    Paddle keys an optimizer's arrays by automatic names (conv2d_0.w_0), which change from process to process;
    here they stand under the names of the network's own parameters.
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
    """Put a checkpoint back into what was just built: what `save_checkpoint` was given.

    Raises:
        UserError: No checkpoint, damaged, or of another network or number of processes.
    """
    arrays, metadata = read_safetensors(path)
    if "state" not in metadata:
        raise UserError(f"{path}: not a checkpoint; weights alone cannot be resumed")
    saved = _read_state(metadata["state"], path)
    if saved.processes != state.processes:
        raise UserError(
            f"{path}: the run to resume has {saved.processes} processes, not {state.processes}; start as many again"
        )
    part: dict[str, dict[str, np.ndarray]] = {"network": {}, "average": {}, "optimizer": {}}
    for name, array in arrays.items():
        kind, _, rest = name.partition(".")
        if kind not in part:
            raise UserError(_damaged(path, f"there is no place for {name[:80]}"))
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
    """Check what a checkpoint says of the run.

    Raises:
        UserError: It cannot be true.
    """
    try:
        values = json.loads(text)
        if not isinstance(values, dict):
            raise ValueError("it is no mapping")
        return RunState(**values)
    except ValidationError as error:
        first = error.errors()[0]
        reason = f"state.{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
        raise UserError(_damaged(path, reason)) from error
    except (TypeError, ValueError, RecursionError) as error:
        raise UserError(_damaged(path, f"state: {str(error)[:200]}")) from error


def _read_schedule(text: str | None, optimizer: Optimizer, path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Check the state of a checkpoint's learning-rate schedule against the one that is there.

    Raises:
        UserError: It is another schedule's.
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
    """Whether a value can stand in the place of another one: a number for a number, and so on downwards."""
    if isinstance(own, dict):
        return isinstance(value, dict) and set(value) == set(own) and all(_alike(value[k], own[k]) for k in own)
    number = (int, float)
    if own is None or (isinstance(own, number) and not isinstance(own, bool)):
        return value is None or (isinstance(value, number) and not isinstance(value, bool))
    return isinstance(value, type(own))


def _check_optimizer(
    arrays: dict[str, np.ndarray], network: nn.Layer, optimizer: Optimizer, path: str | os.PathLike[str]
) -> None:
    """Compare an optimizer's arrays with the network: each belongs to a parameter, and has its shape or one number.

    Raises:
        UserError: One does not.
    """
    shapes = {name: tuple(parameter.shape) for name, parameter in network.named_parameters()}
    known = {f"{name}_0" for name in (*accumulators_of(optimizer), *_ACCUMULATORS)}
    for name, array in arrays.items():
        parameter, _, suffix = name.partition(":")
        if parameter not in shapes or suffix not in known:
            raise UserError(_damaged(path, f"the optimizer has no {name[:80]}"))
        if array.shape not in (shapes[parameter], (1,)) or array.dtype != np.float32:
            raise UserError(_damaged(path, f"optimizer: {name[:80]} is of another shape or type"))


#: What Paddle's Momentum, Adam and AdamW keep of each parameter.
_ACCUMULATORS = ("velocity", "moment1", "moment2", "beta1_pow_acc", "beta2_pow_acc", "moment2_max")


def _damaged(path: str | os.PathLike[str], reason: str) -> str:
    return f"{path}: damaged, or another run's ({reason}); start anew with --overwrite"


def _with_fresh_state(arrays: dict[str, np.ndarray], network: nn.Layer, optimizer: Optimizer) -> dict[str, np.ndarray]:
    """An optimizer's arrays, and fresh ones for the parameters that were frozen until now.

    Paddle refuses a state that has some parameters and lacks others.
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
    """Cut the run's growing files back to the last finished epoch; no other file, whatever the checkpoint names.

    Raises:
        UserError: The checkpoint names other files or impossible sizes, or a log is shorter than it says.
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
