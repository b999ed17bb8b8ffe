"""Judging a network on a data set: all errors, then the tables made from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional

import numpy as np
import paddle
from paddle import nn
from paddle.io import BatchSampler
from paddle.metric import Metric
from tqdm import tqdm

from facekp.codecs.points import Codec, OutputLayout
from facekp.data.dataset import FilesDataset, LandmarkDataset
from facekp.data.loader import Loader
from facekp.errors import UserError
from facekp.inference.faces import Faces
from facekp.landmarks import IBUG68, PointSchema
from facekp.landmarks.pose import head_pose
from facekp.metrics import AUC, NME, FailureRate, point_errors
from facekp.vision import geometry, pixels
from facekp.vision.boxes import iou

#: How much larger than the landmarks' box a detector's box is taken to be.
BOX_EXPANSION = 1.1
#: Jittered boxes are moved by up to this part of their sides, and scaled by a factor in this range.
JITTER_SHIFT, JITTER_SCALE = 0.15, (0.8, 1.25)

#: Degrees from which faces are judged by their yaw, each until the next.
YAWS = (0, 15, 30, 45, 60)

#: Intersection over union of the boxes around the points from which on a labelled face counts as found.
FOUND = 0.4


@dataclass(frozen=True)
class Predictions:
    """What a network said about a data set, in the data set's order.

    Attributes:
        predicted: (N, K, 2) pixels of the crop, or of the image.
        truth: (N, K, 2) in the same pixels.
        sigma: (N, K) in the same pixels, how far from the truth the network expects a point; None if it does not say.
    """

    predicted: np.ndarray
    truth: np.ndarray
    sigma: np.ndarray | None = None

    def errors(self, schema: PointSchema = IBUG68) -> np.ndarray:
        """(N,) NME of each face; NaN where its normalising pair is not labelled."""
        errors = point_errors(self.predicted, self.truth, schema)
        return np.nansum(errors, 1) / np.where(np.isfinite(errors).any(1), np.isfinite(errors).sum(1), np.nan)

    def part(self, chosen: np.ndarray) -> Predictions:
        """Those of some faces, by indices or by (N,) booleans."""
        sigma = None if self.sigma is None else self.sigma[chosen]
        return Predictions(self.predicted[chosen], self.truth[chosen], sigma)

    def within(self, sigmas: float) -> float:
        """The share of the known points that lie within so many sigmas of the truth.

        Of distances as the loss takes them, exponential with the scale sigma, 63.2 % lie within one and 86.5 % within
        two.
        """
        assert self.sigma is not None
        distance = np.linalg.norm(self.predicted - self.truth, axis=-1)
        known = np.isfinite(distance)
        return float((distance[known] <= sigmas * self.sigma[known]).mean())


def predict_dataset(
    network: nn.Layer,
    dataset: LandmarkDataset,
    codec: Codec,
    batch_size: int = 32,
    workers: int = 0,
    progress: bool = False,
    layout: OutputLayout | None = None,
) -> Predictions:
    """Run a network over all samples of a data set, once for each face, on the crops of training.

    Args:
        network: Put into evaluation mode.
        dataset: Gives (image, encoded points).
        codec: Of the labels and of the network.
        batch_size: Samples that go through the network together.
        workers: Loader processes; 0 loads in this one.
        progress: Show a progress bar.
        layout: What the network predicts; None: points, and nothing that would be of interest here.
    """
    network.eval()
    layout = layout or OutputLayout(dataset.schema.num_points)
    one = np.zeros(2 * layout.num_points)
    percent = float((codec.decode(one + 1) - codec.decode(one))[0, 0])  # of the crop, in pixels
    loader = Loader(dataset, BatchSampler(dataset, batch_size=batch_size), workers)
    predicted, truth, sigma = [], [], []
    with paddle.no_grad():
        for image, label in tqdm(loader, "evaluating", unit="batch", leave=False, disable=None if progress else True):
            said = layout.split(network(image).numpy())
            predicted.append(codec.decode(said.points))
            truth.append(codec.decode(label.numpy()[:, : one.size]))  # of the points alone; a label has no score
            if said.sigma is not None:
                sigma.append(np.exp(said.sigma) * percent)
    return Predictions(np.concatenate(predicted), np.concatenate(truth), np.concatenate(sigma) if sigma else None)


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
        dataset: Its images are taken untouched.
        jitter: Move and scale the boxes at random, see `JITTER_SHIFT` and `JITTER_SCALE`.
        seed: Of the jitter.
        progress: Show a progress bar.

    Returns:
        In pixels of the images.
    """
    rng = np.random.default_rng(seed)
    predicted, truth, sigma = [], [], []
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
        if faces.sigma is not None:
            sigma.append(faces.sigma[0])
    return Predictions(np.stack(predicted), np.stack(truth), np.stack(sigma) if sigma else None)


def predict_found(
    landmarker: Callable[[np.ndarray], Faces], dataset: FilesDataset, progress: bool = False
) -> Predictions:
    """Find the faces of images as in use, with the landmarker's own detector, and their points.

    A labelled face is found if the box of a face's points shares at least `FOUND` of its union with that of the labels.

    Args:
        landmarker: Called with an image.
        dataset: Its images are taken untouched.
        progress: Show a progress bar.

    Returns:
        In pixels of the images; NaN where a face was not found.
    """
    rows: dict[Path, list[int]] = {}
    for index in range(len(dataset)):
        rows.setdefault(dataset.image_path(index), []).append(index)
    truth = np.stack([dataset.load(index)[1] for index in range(len(dataset))])
    predicted, sigma = np.full_like(truth, np.nan), np.full(truth.shape[:2], np.nan, np.float32)
    for indices in tqdm(rows.values(), "finding", leave=False, disable=None if progress else True):
        faces = landmarker(dataset.load(indices[0])[0])
        boxes = np.stack([dataset.schema.face_box(truth[index]) for index in indices])
        overlap = iou(boxes[:, None], faces.boxes[None])
        while overlap.size and overlap.max() >= FOUND:
            row, column = np.unravel_index(overlap.argmax(), overlap.shape)
            predicted[indices[row]] = faces.points[column]
            if faces.sigma is not None:
                sigma[indices[row]] = faces.sigma[column]
            overlap[row], overlap[:, column] = 0, 0
    return Predictions(predicted, truth, sigma if np.isfinite(sigma).any() else None)


def cut_out(
    dataset: LandmarkDataset, predictions: Predictions, indices: np.ndarray, size: int = 224
) -> tuple[np.ndarray, Predictions]:
    """Cut the squares around some faces out of their images, to look at predictions made in use.

    Args:
        dataset: What was predicted.
        predictions: In pixels of its images, in its order.
        indices: Of the faces.
        size: Side of the squares in pixels.

    Returns:
        (N, 1, size, size) float32 grey images, 0 to 1, and the predictions in their pixels.
    """
    squares, points = [], []
    for index, pair in zip(indices, zip(predictions.predicted[indices], predictions.truth[indices])):
        matrix = geometry.square_crop(dataset.schema.face_box(pair[1]).tolist(), 0.25, size)
        square = geometry.warp(dataset.load(int(index))[0], matrix, (size, size))
        squares.append(pixels.to_chw(pixels.gray_normalize(square, 1)))
        points.append([geometry.apply(matrix, p) for p in pair])
    predicted, truth = np.stack(points, 1)
    return np.stack(squares), Predictions(predicted, truth)


def summarise(predictions: Predictions, schema: PointSchema = IBUG68) -> dict[str, Optional[float]]:
    """NME (mean and median), failure rates, AUC, and NME by region, all fractions; the distance in pixels.

    Faces whose normalising pair is not labelled, and points that are not, do not count.
    Where the network gives sigmas, also the shares of the points within one and two of them, see `Predictions.within`.

    Args:
        predictions: Of at least one face; those whose normalising pair is not known do not count.
        schema: What the points are.

    Returns:
        Name -> value, in the order of the table; None where nothing was labelled.

    Example:
        >>> truth = np.zeros((1, 68, 2)); truth[0, 45, 0] = 10
        >>> round(summarise(Predictions(truth + [0.5, 0], truth))["nme"], 3)
        0.05
    """
    predictions = predictions.part(np.isfinite(schema.unit(predictions.truth)))
    errors = predictions.errors(schema)
    predictions, errors = predictions.part(np.isfinite(errors)), errors[np.isfinite(errors)]
    if not len(errors):
        raise UserError(f"no face to judge: none has labels for the normalising pair of {schema.name}")
    table: dict[str, Optional[float]] = {"faces": len(errors)}
    for metric in (NME(), FailureRate(0.08), FailureRate(0.10), AUC(0.08)):
        metric.update(errors)
        table[metric.name()] = metric.accumulate()
    table["nme_median"] = float(np.median(errors))
    if predictions.sigma is not None:
        table["within_1_sigma"], table["within_2_sigma"] = predictions.within(1), predictions.within(2)
    table["distance_px"] = float(np.nanmean(np.linalg.norm(predictions.predicted - predictions.truth, axis=-1)))
    table.update({f"nme_{region}": error for region, error in by_region(predictions, schema).items()})
    return table


def by_metrics(
    predictions: Predictions, metrics: Sequence[Metric], codec: Codec, batch_size: int = 32
) -> dict[str, float]:
    """What metrics say, fed as in training.

    Args:
        predictions: Of at least one face.
        metrics: Their sums are forgotten first.
        codec: That they were built with.
        batch_size: Faces that a metric gets at once.

    Returns:
        The metric's name -> its value.

    Example:
        >>> from facekp.codecs.points import PercentCodec
        >>> truth = np.zeros((1, 68, 2)); truth[0, 45, 0] = 10
        >>> codec = PercentCodec(100)
        >>> round(by_metrics(Predictions(truth + [0.5, 0], truth), [NME(codec)], codec)["nme"], 3)
        0.05
    """
    said, label = (codec.encode(points) for points in (predictions.predicted, predictions.truth))
    for metric in metrics:
        metric.reset()
        for start in range(0, len(said), batch_size):
            batch = (paddle.to_tensor(each[start : start + batch_size]) for each in (said, label))
            computed = metric.compute(*batch)
            parts = computed if isinstance(computed, (tuple, list)) else [computed]
            metric.update(*(part.numpy() for part in parts))
    return {metric.name(): float(metric.accumulate()) for metric in metrics}


def by_region(predictions: Predictions, schema: PointSchema = IBUG68) -> dict[str, Optional[float]]:
    """NME of the points of each of the schema's regions, fractions; None where no point of it is labelled.

    Example:
        >>> truth = np.zeros((1, 68, 2)); truth[0, 45, 0] = 10
        >>> [round(error, 3) for error in by_region(Predictions(truth + [0.5, 0], truth)).values()]
        [0.05, 0.05, 0.05, 0.05, 0.05]
    """
    each = point_errors(predictions.predicted, predictions.truth, schema)
    return {region: _known_mean(each[:, list(indices)]) for region, indices in schema.regions.items()}


def by_yaw(predictions: Predictions, schema: PointSchema = IBUG68) -> dict[str, float]:
    """NME of the faces by how far their labels say that the head is turned, to either side.

    Args:
        predictions: Faces whose points are not all labelled are omitted: their pose is not known.
        schema: What the points are.

    Returns:
        "FROM-TO" in degrees or "60 up" -> a fraction, of the ranges of `YAWS` that have faces; empty where the schema's
        points cannot be converted into the 68 that the pose is found from.

    Example:
        >>> truth = IBUG68.mean_points[None].astype(np.float64)
        >>> {name: round(error, 3) for name, error in by_yaw(Predictions(truth + [0.01, 0], truth)).items()}
        {'0-15': 0.017}
    """
    points = schema.converted(predictions.truth, IBUG68)
    if points is None:
        return {}
    yaw, errors = np.abs(head_pose(points).yaw), predictions.errors(schema)
    table = {}
    for low, high in zip(YAWS, (*YAWS[1:], np.inf)):
        chosen = (yaw >= low) & (yaw < high) & np.isfinite(errors)
        if chosen.any():
            table[f"{low}-{high}" if np.isfinite(high) else f"{low} up"] = float(errors[chosen].mean())
    return table


def _known_mean(values: np.ndarray) -> Optional[float]:
    return float(np.nanmean(values)) if np.isfinite(values).any() else None
