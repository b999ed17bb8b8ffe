"""Judging a network on a data set: all errors, then the tables made from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import paddle
from paddle import nn
from paddle.io import DataLoader
from tqdm import tqdm

from facekp.codec import Codec, split_score
from facekp.landmarks import REGIONS
from facekp.metrics import build_metrics, point_errors


@dataclass(frozen=True)
class Predictions:
    """What a network said about a data set, in the data set's order.

    Attributes:
        predicted: (N, 68, 2) pixels of the crop.
        truth: (N, 68, 2) pixels of the crop.
    """

    predicted: np.ndarray
    truth: np.ndarray

    def errors(self) -> np.ndarray:
        """(N,) NME of each face."""
        return point_errors(self.predicted, self.truth).mean(1)


def predict_dataset(network: nn.Layer, loader: DataLoader, codec: Codec, progress: bool = False) -> Predictions:
    """Run a network over all batches of a loader.

    Args:
        network: Put into evaluation mode.
        loader: Batches of (image, encoded points), in order.
        codec: Of the labels and of the network.
        progress: Show a progress bar.
    """
    network.eval()
    predicted, truth = [], []
    with paddle.no_grad():
        for image, label in tqdm(loader, "evaluating", unit="batch", leave=False, disable=None if progress else True):
            predicted.append(codec.decode(split_score(network(image).numpy())[0]))
            truth.append(codec.decode(label.numpy()))
    return Predictions(np.concatenate(predicted), np.concatenate(truth))


def summarise(predictions: Predictions) -> dict[str, float]:
    """NME (mean and median), failure rates, AUC, and NME by region; all fractions.

    Args:
        predictions: Of at least one face.

    Returns:
        Name -> value, in the order of the table.

    Example:
        >>> truth = np.zeros((1, 68, 2)); truth[0, 45, 0] = 10
        >>> round(summarise(Predictions(truth + [0.5, 0], truth))["nme"], 3)
        0.05
    """
    errors = predictions.errors()
    table: dict[str, float] = {"faces": len(errors)}
    for metric in build_metrics():
        if metric.name() != "document_nme":  # it depends on the batches: no figure of a model
            metric.update(errors)
            table[metric.name()] = metric.accumulate()
    table["nme_median"] = float(np.median(errors))
    each = point_errors(predictions.predicted, predictions.truth)
    table.update({f"nme_{region}": float(each[:, indices].mean()) for region, indices in REGIONS.items()})
    return table
