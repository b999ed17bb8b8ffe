"""Judging a network on a data set: all errors, then the tables made from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

import numpy as np
import paddle
from paddle import nn
from paddle.io import DataLoader
from tqdm import tqdm

from facekp.codecs.points import Codec, OutputLayout
from facekp.data.dataset import LandmarkDataset
from facekp.inference.faces import Faces
from facekp.landmarks import IBUG68, PointSchema
from facekp.metrics import AUC, NME, FailureRate, point_errors
from facekp.vision import geometry, pixels

#: How much larger than the landmarks' box a detector's box is taken to be.
BOX_EXPANSION = 1.1
#: Jittered boxes are moved by up to this part of their sides, and scaled by a factor in this range.
JITTER_SHIFT, JITTER_SCALE = 0.15, (0.8, 1.25)


@dataclass(frozen=True)
class Predictions:
    """What a network said about a data set, in the data set's order.

    Attributes:
        predicted: (N, K, 2) pixels of the crop, or of the picture.
        truth: (N, K, 2) in the same pixels.
    """

    predicted: np.ndarray
    truth: np.ndarray

    def errors(self, schema: PointSchema = IBUG68) -> np.ndarray:
        """(N,) NME of each face."""
        return np.nanmean(point_errors(self.predicted, self.truth, schema), 1)

    def part(self, chosen: np.ndarray) -> Predictions:
        """Those of some faces, by indices or by (N,) booleans."""
        return Predictions(self.predicted[chosen], self.truth[chosen])


def predict_dataset(
    network: nn.Layer,
    dataset: LandmarkDataset,
    codec: Codec,
    batch_size: int = 32,
    workers: int = 0,
    progress: bool = False,
) -> Predictions:
    """Run a network over all samples of a data set, once for each face, on the crops of training.

    Args:
        network: Put into evaluation mode.
        dataset: Gives (image, encoded points).
        codec: Of the labels and of the network.
        batch_size: Samples that go through the network together.
        workers: Loader processes; 0 loads in this one.
        progress: Show a progress bar.
    """
    network.eval()
    layout = OutputLayout(dataset.schema.num_points)
    loader = DataLoader(dataset, batch_size=batch_size, num_workers=workers)
    predicted, truth = [], []
    with paddle.no_grad():
        for image, label in tqdm(loader, "evaluating", unit="batch", leave=False, disable=None if progress else True):
            predicted.append(codec.decode(layout.split(network(image).numpy()).points))
            truth.append(codec.decode(layout.split(label.numpy()).points))
    return Predictions(np.concatenate(predicted), np.concatenate(truth))


def predict_in_use(
    landmarker: Callable[[np.ndarray, np.ndarray], Faces],
    dataset: LandmarkDataset,
    jitter: bool = False,
    seed: int = 0,
    progress: bool = False,
) -> Predictions:
    """Find the points as in use: from a detector's box, in as many passes as the landmarker takes.

    The box is that of the landmarks, `BOX_EXPANSION` times as wide and high.

    Args:
        landmarker: Called with (image, boxes).
        dataset: Its pictures are taken untouched.
        jitter: Move and scale the boxes at random, see `JITTER_SHIFT` and `JITTER_SCALE`.
        seed: Of the jitter.
        progress: Show a progress bar.

    Returns:
        In pixels of the pictures.
    """
    rng = np.random.default_rng(seed)
    predicted, truth = [], []
    for index in tqdm(range(len(dataset)), "evaluating", leave=False, disable=None if progress else True):
        image, points = dataset.load(index)
        box = dataset.schema.face_box(points)
        centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 * BOX_EXPANSION
        if jitter:
            centre = centre + half * 2 * rng.uniform(-JITTER_SHIFT, JITTER_SHIFT, 2)
            half = half * np.exp(rng.uniform(*np.log(JITTER_SCALE)))
        faces = landmarker(image, np.concatenate([centre - half, centre + half])[None])
        predicted.append(faces.points[0])
        truth.append(points)
    return Predictions(np.stack(predicted), np.stack(truth))


def cut_out(
    dataset: LandmarkDataset, predictions: Predictions, indices: np.ndarray, size: int = 224
) -> tuple[np.ndarray, Predictions]:
    """Cut the squares around some faces out of their pictures, to look at predictions made in use.

    Args:
        dataset: What was predicted.
        predictions: In pixels of its pictures, in its order.
        indices: Of the faces.
        size: Side of the squares in pixels.

    Returns:
        (N, 1, size, size) float32 grey pictures, 0 to 1, and the predictions in their pixels.
    """
    squares, points = [], []
    for index, pair in zip(indices, zip(predictions.predicted[indices], predictions.truth[indices])):
        matrix = geometry.square_crop(dataset.schema.face_box(pair[1]).tolist(), 0.25, size)
        square = geometry.warp(dataset.load(int(index))[0], matrix, (size, size))
        squares.append(pixels.to_chw(pixels.gray_normalize(square, 1)))
        points.append([geometry.apply(matrix, p) for p in pair])
    predicted, truth = np.stack(points, 1)
    return np.stack(squares), Predictions(predicted, truth)


def summarise(predictions: Predictions, schema: PointSchema = IBUG68) -> dict[str, float]:
    """NME (mean and median), failure rates, AUC, and NME by region, all fractions; the distance in pixels.

    Args:
        predictions: Of at least one face; those whose normalising pair is not known do not count.
        schema: What the points are.

    Returns:
        Name -> value, in the order of the table.

    Example:
        >>> truth = np.zeros((1, 68, 2)); truth[0, 45, 0] = 10
        >>> round(summarise(Predictions(truth + [0.5, 0], truth))["nme"], 3)
        0.05
    """
    predictions = predictions.part(np.isfinite(schema.unit(predictions.truth)))
    errors = predictions.errors(schema)
    table: dict[str, float] = {"faces": len(errors)}
    for metric in (NME(), FailureRate(0.08), FailureRate(0.10), AUC(0.08)):
        metric.update(errors)
        table[metric.name()] = metric.accumulate()
    table["nme_median"] = float(np.median(errors))
    table["distance_px"] = float(np.nanmean(np.linalg.norm(predictions.predicted - predictions.truth, axis=-1)))
    each = point_errors(predictions.predicted, predictions.truth, schema)
    for region, indices in schema.regions.items():
        table[f"nme_{region}"] = float(np.nanmean(each[:, list(indices)]))
    return table
