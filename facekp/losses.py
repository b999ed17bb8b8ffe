"""Losses by the name that a config gives them."""

from __future__ import annotations

from typing import Callable

from paddle import nn

#: Name -> loss layer. All take (predicted, label), both (N, 2K), and average over both axes.
LOSSES: dict[str, Callable[[], nn.Layer]] = {
    "smooth_l1": nn.SmoothL1Loss,
    "l1": nn.L1Loss,
    "l2": nn.MSELoss,
}
