"""Evaluation of a network on a data set: the errors, and tables computed from them."""

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

from facekp.codecs.points import Codec, OutputDecoder
from facekp.data.combine import JoinedDataset
from facekp.data.dataset import FilesDataset, LandmarkDataset
from facekp.data.loader import Loader
from facekp.errors import UserError
from facekp.inference.faces import Faces
from facekp.landmarks import IBUG68, PointSchema
from facekp.landmarks.pose import head_pose
from facekp.metrics import AUC, NME, FailureRate, point_errors
from facekp.vision import geometry, pixels
from facekp.vision.boxes import iou

#: Assumed size of a detector's box relative to the box of the landmarks.
BOX_EXPANSION = 1.1
#: Maximum shift of jittered boxes as a fraction of their sides, and range of their scale factor.
JITTER_SHIFT, JITTER_SCALE = 0.15, (0.8, 1.25)

#: Lower limits in degrees of the yaw ranges by which faces are evaluated.
YAWS = (0, 15, 30, 45, 60)

#: Minimum intersection over union of the boxes around the points at which a labelled face counts as found.
FOUND = 0.4


@dataclass(frozen=True)
class Predictions:
    """Predictions of a network on a data set, in the order of the data set.

    Attributes:
        predicted: (N, K, 2) predicted points in pixels of the crop or of the image.
        truth: (N, K, 2) labelled points in the same pixels.
        sigma: (N, K) distance from the truth that the network expects, in the same pixels; None if not predicted.
    """

    predicted: np.ndarray
    truth: np.ndarray
    sigma: np.ndarray | None = None

    def errors(self, schema: PointSchema = IBUG68) -> np.ndarray:
        """Return the NME of each face, (N,); NaN where its normalising pair is not labelled."""
        errors = point_errors(self.predicted, self.truth, schema)
        return np.nansum(errors, 1) / np.where(np.isfinite(errors).any(1), np.isfinite(errors).sum(1), np.nan)

    def part(self, chosen: np.ndarray) -> Predictions:
        """Return the predictions of some faces, chosen by indices or by (N,) booleans."""
        sigma = None if self.sigma is None else self.sigma[chosen]
        return Predictions(self.predicted[chosen], self.truth[chosen], sigma)

    def within(self, sigmas: float) -> float:
        """Return the fraction of the labelled points that lie within `sigmas` sigmas of the truth.

        The loss models distances as exponential with scale sigma: 63.2 % of them lie within one sigma, 86.5 % within
        two.
        """
        assert self.sigma is not None
        distance = np.linalg.norm(self.predicted - self.truth, axis=-1)
        known = np.isfinite(distance)
        return float((distance[known] <= sigmas * self.sigma[known]).mean())


def predict_dataset(
    network: nn.Layer,
    dataset: JoinedDataset,
    decoder: OutputDecoder,
    batch_size: int = 32,
    workers: int = 0,
    progress: bool = False,
) -> Predictions:
    """Run a network once on every sample of a data set, on the same crops as in training.

    Args:
        network: Network to evaluate; it is set to evaluation mode.
        dataset: Data set of (image, encoded points).
        decoder: Decodes the labels and the network's outputs.
        batch_size: Number of samples per batch.
        workers: Number of loader processes; 0 loads in this process.
        progress: Show a progress bar.
    """
    network.eval()
    loader = Loader(dataset, BatchSampler(dataset, batch_size=batch_size), workers)
    predicted, truth, sigma = [], [], []
    with paddle.no_grad():
        for image, label in tqdm(loader, "evaluating", unit="batch", leave=False, disable=None if progress else True):
            outputs = decoder(network(image).numpy())
            predicted.append(outputs.points)
            truth.append(decoder.label_points(label.numpy()))
            if outputs.sigma is not None:
                sigma.append(outputs.sigma)
    return Predictions(np.concatenate(predicted), np.concatenate(truth), np.concatenate(sigma) if sigma else None)


def predict_in_use(
    landmarker: Callable[[np.ndarray, np.ndarray], Faces],
    dataset: LandmarkDataset,
    jitter: bool = False,
    seed: int = 0,
    progress: bool = False,
) -> Predictions:
    """Predict the points as in use: from a box like a detector's, with all passes of the landmarker.

    The box is that of the landmarks, `BOX_EXPANSION` times as wide and high.

    Args:
        landmarker: Called with (image, boxes).
        dataset: Data set whose images are used without transforms.
        jitter: Shift and scale the boxes randomly, see `JITTER_SHIFT` and `JITTER_SCALE`.
        seed: Seed of the jitter.
        progress: Show a progress bar.

    Returns:
        The predictions in pixels of the images.
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
    """Predict faces and their points as in use, with the landmarker's own detector.

    A labelled face is found if its box and that of a predicted face have an intersection over union of `FOUND` or more.

    Args:
        landmarker: Called with an image.
        dataset: Data set whose images are used without transforms.
        progress: Show a progress bar.

    Returns:
        The predictions in pixels of the images; NaN where a face was not found.
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
    """Crop squares around some faces from their images, to inspect predictions on whole images.

    Args:
        dataset: Data set of the predictions.
        predictions: Predictions in pixels of its images, in its order.
        indices: Indices of the faces.
        size: Side length of the squares in pixels.

    Returns:
        (N, 1, size, size) float32 grey images, 0 to 1, and the predictions in pixels of these.
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
    """Compute NME (mean and median), failure rates, AUC and NME by region as fractions, and the distance in pixels.

    Faces whose normalising pair is not labelled and points that are not labelled are ignored. If the network predicts
    sigmas, the fractions of points within one and two sigmas are included, see `Predictions.within`.

    Args:
        predictions: Predictions of at least one face whose normalising pair is labelled.
        schema: Schema of the points.

    Returns:
        Name -> value, in the order of the table; None where no point is labelled.

    Raises:
        UserError: No face has labels for the normalising pair.

    Example:
        >>> truth = np.zeros((1, 68, 2)); truth[0, 45, 0] = 10
        >>> round(summarise(Predictions(truth + [0.5, 0], truth))["nme"], 3)
        0.05
    """
    predictions = predictions.part(np.isfinite(schema.unit(predictions.truth)))
    errors = predictions.errors(schema)
    predictions, errors = predictions.part(np.isfinite(errors)), errors[np.isfinite(errors)]
    if not len(errors):
        raise UserError(f"no face to evaluate: none has labels for the normalising pair of {schema.name}")
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
    """Compute metrics batch by batch, as in training.

    Args:
        predictions: Predictions of at least one face.
        metrics: Metrics to compute; they are reset first.
        codec: Codec that the metrics were built with.
        batch_size: Number of faces per batch.

    Returns:
        Name of the metric -> its value.

    Example:
        >>> from facekp.codecs.points import PercentCodec
        >>> truth = np.zeros((1, 68, 2)); truth[0, 45, 0] = 10
        >>> codec = PercentCodec(100)
        >>> round(by_metrics(Predictions(truth + [0.5, 0], truth), [NME(codec)], codec)["nme"], 3)
        0.05
    """
    encoded, label = (codec.encode(points) for points in (predictions.predicted, predictions.truth))
    for metric in metrics:
        metric.reset()
        for start in range(0, len(encoded), batch_size):
            batch = (paddle.to_tensor(each[start : start + batch_size]) for each in (encoded, label))
            computed = metric.compute(*batch)
            parts = computed if isinstance(computed, (tuple, list)) else [computed]
            metric.update(*(part.numpy() for part in parts))
    return {metric.name(): float(metric.accumulate()) for metric in metrics}


def by_region(predictions: Predictions, schema: PointSchema = IBUG68) -> dict[str, Optional[float]]:
    """Return the NME of each region of the schema as a fraction; None where no point of the region is labelled.

    Example:
        >>> truth = np.zeros((1, 68, 2)); truth[0, 45, 0] = 10
        >>> [round(error, 3) for error in by_region(Predictions(truth + [0.5, 0], truth)).values()]
        [0.05, 0.05, 0.05, 0.05, 0.05]
    """
    each = point_errors(predictions.predicted, predictions.truth, schema)
    return {region: _known_mean(each[:, list(indices)]) for region, indices in schema.regions.items()}


def by_yaw(predictions: Predictions, schema: PointSchema = IBUG68) -> dict[str, float]:
    """Return the NME of the faces by absolute yaw of the head, as estimated from the labels.

    Args:
        predictions: Predictions; faces whose points are not all labelled are omitted, because their pose is unknown.
        schema: Schema of the points.

    Returns:
        "FROM-TO" in degrees or "60 up" -> NME as a fraction, for the ranges of `YAWS` that have faces; empty if the
        schema's points cannot be converted to the 68 that the pose is estimated from.

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
