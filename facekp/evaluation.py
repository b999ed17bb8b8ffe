"""Judging a network on a data set: all errors, then the tables made from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

import numpy as np
import paddle
from paddle import nn
from paddle.io import DataLoader
from tqdm import tqdm

from facekp import geometry, pixels
from facekp.codec import Codec, split_score
from facekp.data.datasets import LandmarkDataset
from facekp.inference.faces import Faces
from facekp.landmarks import NUM_POINTS, REGIONS, face_box
from facekp.metrics import build_metrics, point_errors

#: How much larger than the landmarks' box a detector's box is taken to be.
BOX_GROWTH = 1.1
#: Boxes that are shaken are moved by up to this part of their sides, and scaled by a factor in this range.
SHAKE_SHIFT, SHAKE_SCALE = 0.15, (0.8, 1.25)


@dataclass(frozen=True)
class Predictions:
    """What a network said about a data set, in the data set's order.

    Attributes:
        predicted: (N, K, 2) pixels of the crop, or of the picture.
        truth: (N, K, 2) in the same pixels.
    """

    predicted: np.ndarray
    truth: np.ndarray

    def errors(self) -> np.ndarray:
        """(N,) NME of each face."""
        return point_errors(self.predicted, self.truth).mean(1)

    def part(self, chosen: np.ndarray) -> Predictions:
        """Those of some faces, by indices or by (N,) booleans."""
        return Predictions(self.predicted[chosen], self.truth[chosen])


def predict_dataset(network: nn.Layer, loader: DataLoader, codec: Codec, progress: bool = False) -> Predictions:
    """Run a network over all batches of a loader, once for each face, on the crops of training.

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


def predict_in_use(
    landmarker: Callable[[np.ndarray, np.ndarray], Faces],
    dataset: LandmarkDataset,
    shake: bool = False,
    seed: int = 0,
    progress: bool = False,
) -> Predictions:
    """Find the points as in use: from a detector's box, in as many passes as the landmarker takes.

    The box is that of the landmarks, `BOX_GROWTH` times as wide and high.

    Args:
        landmarker: Called with (image, boxes).
        dataset: Its pictures are taken untouched.
        shake: Move and scale the boxes at random, see `SHAKE_SHIFT` and `SHAKE_SCALE`.
        seed: Of the shaking.
        progress: Show a progress bar.

    Returns:
        In pixels of the pictures.
    """
    rng = np.random.default_rng(seed)
    predicted, truth = [], []
    for index in tqdm(range(len(dataset)), "evaluating", leave=False, disable=None if progress else True):
        image, points = dataset.load(index)
        box = face_box(points)
        centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 * BOX_GROWTH
        if shake:
            centre = centre + half * 2 * rng.uniform(-SHAKE_SHIFT, SHAKE_SHIFT, 2)
            half = half * np.exp(rng.uniform(*np.log(SHAKE_SCALE)))
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
        matrix = geometry.square_crop(face_box(pair[1]).tolist(), 0.25, size)
        square = geometry.warp(dataset.load(int(index))[0], matrix, (size, size))
        squares.append(pixels.to_chw(pixels.gray_normalize(square, 1)))
        points.append([geometry.apply(matrix, p) for p in pair])
    predicted, truth = np.stack(points, 1)
    return np.stack(squares), Predictions(predicted, truth)


def summarise(predictions: Predictions) -> dict[str, float]:
    """NME (mean and median), failure rates, AUC, and NME by region of 68 points, all fractions; the distance in pixels.

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
    table["distance_px"] = float(np.linalg.norm(predictions.predicted - predictions.truth, axis=-1).mean())
    if predictions.truth.shape[1] == NUM_POINTS:
        each = point_errors(predictions.predicted, predictions.truth)
        table.update({f"nme_{region}": float(each[:, indices].mean()) for region, indices in REGIONS.items()})
    return table
