"""Loading and checking of the data sets in `data.sources`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from facekp.data.combine import JoinedDataset
from facekp.data.composed import ComposedDataset
from facekp.data.dataset import FilesDataset, LandmarkDataset
from facekp.data.turned import HeadShape, TurnHead
from facekp.errors import UserError
from facekp.landmarks import IBUG68, PointSchema


@dataclass(frozen=True)
class Parts:
    """Data sets of a config's sources.

    Attributes:
        train: Data sets for training.
        weights: How often an epoch shows a sample of each training set.
        validation: Data sets for validation.
        schema: Point schema of all data sets.
    """

    train: list[LandmarkDataset]
    weights: list[float]
    validation: list[LandmarkDataset]
    schema: PointSchema


def schema_of(config: Any) -> PointSchema:
    """Return the point schema of a config's sources.

    Args:
        config: A `facekp.training.config.Config`, which is a layer above.

    Raises:
        UserError: The points of two sources differ.
    """
    first, *others = config.data.sources
    for source in others:
        if source.schema_of_points.points != first.schema_of_points.points:
            raise UserError(
                f"{config.name}: data.sources: {first.type} has the points of {first.schema_of_points.name}, "
                f"{source.type} those of {source.schema_of_points.name}; take sources of one schema"
            )
    return first.schema_of_points


def load_parts(config: Any, progress: bool, training: bool = True) -> Parts:
    """Load and check the data sets of a config's sources.

    Args:
        config: A `facekp.training.config.Config`, which is a layer above.
        progress: Show progress bars.
        training: Whether to check the training images; False for evaluation, which does not use them.

    Raises:
        UserError: A file, row or label is wrong, the points of two sources differ, or no face is left.
    """
    parts = Parts([], [], [], schema_of(config))
    for source in config.data.sources:
        split = source.load()
        parts.train.extend(split.train)
        parts.weights.extend([source.weight] * len(split.train))
        parts.validation.extend(split.validation)
    for part in [*(parts.train if training else []), *parts.validation]:
        if isinstance(part, FilesDataset):
            part.check(config.data.skip_damaged, progress)
    weights = [weight for part, weight in zip(parts.train, parts.weights) if len(part)]
    train, validation = ([part for part in split if len(part)] for split in (parts.train, parts.validation))
    for datasets, purpose in ((train, "training"), (validation, "validation")):
        if not datasets and (training or purpose == "validation"):
            raise UserError(
                f"{config.name}: no face left for {purpose}; give more data, or another split of the source"
            )
    return Parts(train, weights, validation, parts.schema)


def labels_of(part: LandmarkDataset) -> np.ndarray:
    """Return the points of all samples, (M, K, 2) float32."""
    if isinstance(part, FilesDataset):
        return part.points[part.rows]
    return np.stack([part.load(i)[1] for i in range(len(part))])


def turning(config: Any, schema: PointSchema, labels: np.ndarray) -> TurnHead | None:
    """Return the transform that `data.turned` configures; None if it is not set.

    Args:
        config: A `facekp.training.config.Config`, which is a layer above.
        schema: Schema of the points.
        labels: (M, K, 2) all training labels, from which the shape of heads is estimated.

    Raises:
        UserError: The points are not the 68, or no shape can be estimated from them.
    """
    turned = config.data.turned
    if turned is None:
        return None
    if schema.points != IBUG68.points:
        raise UserError(f"{config.name}: data.turned supports only the 68 points of ibug68, not those of {schema.name}")
    return TurnHead(HeadShape.learn(labels), **turned.model_dump())


def check_transforms(name: str, dataset: JoinedDataset | ComposedDataset, size: int) -> None:
    """Run a pipeline once, where a wrong option can still be distinguished from a damaged image.

    Args:
        name: Config key, for messages.
        dataset: Data set with the pipeline.
        size: Side length of the network's input images in pixels.

    Raises:
        UserError: The pipeline fails, or its output does not fit the network.
    """
    try:
        image, _ = dataset[0]
    except (cv2.error, AttributeError, IndexError, TypeError, ValueError) as error:
        raise UserError(f"data.{name}: its transforms cannot work on {dataset.name(0)} ({error})") from error
    if image.ndim != 3 or image.shape[1:] != (size, size) or image.dtype != np.float32:
        raise UserError(
            f"data.{name} and data.pixels make {image.dtype} images of the shape {image.shape}, but the network gets "
            f"float32 (channels, {size}, {size}), as size says; fix the last crop, data.pixels or size"
        )
