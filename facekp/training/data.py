"""From a config to data sets, their codec, and loaders."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

import cv2
import numpy as np
from paddle import nn
from paddle.io import BatchSampler, DataLoader, Dataset, DistributedBatchSampler
from paddle.metric import Metric

from facekp import viz
from facekp.boxes import choose_boxes
from facekp.codec import Codec, MeanFaceCodec, StandardCodec, split_score
from facekp.data.datasets import (
    Draw,
    FacialKeypointsDataset,
    FilesDataset,
    FivePointDataset,
    JoinedDataset,
    KeptCrops,
    LandmarkDataset,
    NoFacesDataset,
    PtsDataset,
    split_people,
)
from facekp.data.drawn import DrawnFacesDataset
from facekp.data.pictures import PictureDataset, pictures_of
from facekp.data.statistics import crop_statistics, label_mean_std
from facekp.data.transforms import MOVING, build_transforms
from facekp.errors import UserError
from facekp.losses import BOX_LOSSES, build_loss
from facekp.metrics import MissedFaces, build_metrics
from facekp.training.callbacks import Draw as DrawSheet
from facekp.training.checkpoint import RunState
from facekp.training.config import Config, DataConfig
from facekp.training.processes import Processes
from facekp.weights import DetectorRecipe, Recipe

#: Loader processes hand pictures over in shared memory; with less than this they cannot (bus error).
LEAST_SHARED_MEMORY = 256 << 20

ALONE = Processes()

D = TypeVar("D", JoinedDataset, PictureDataset)
R = TypeVar("R", Recipe, DetectorRecipe)


@dataclass(frozen=True)
class TrainingData(Generic[D, R]):
    """What a run learns from and is judged by: all that differs between points and boxes.

    Attributes:
        train: All parts one after the other.
        sizes: Samples in each of `train`'s parts.
        weights: How often an epoch shows a sample of each part.
        validation: All parts one after the other.
        recipe: Goes into the weights.
        loss: Called with what the network predicts, and the label.
        metrics: The first one decides which weights are the best.
        draw: Makes one picture of (inputs, labels, predictions).
    """

    train: D
    sizes: list[int]
    weights: list[float]
    validation: D
    recipe: R
    loss: nn.Layer
    metrics: Sequence[Metric]
    draw: DrawSheet


def build_data(config: Config, progress: bool = False) -> TrainingData:
    """Build what a config's network learns from, points or boxes.

    Args:
        config: The run's config.
        progress: Show progress bars.

    Raises:
        UserError: A file, row or label is wrong; see `FacialKeypointsDataset`.
    """
    return build_pictures(config, progress) if config.finds_boxes else build_faces(config, progress)


def build_pictures(config: Config, progress: bool = False) -> TrainingData[PictureDataset, DetectorRecipe]:
    """Build the data of a face detector: whole pictures with all their faces. See `build_data`."""
    data = config.data
    train_parts, validation_parts, part_weights = face_parts(config, progress)
    train, validation = ([pictures_of(part) for part in parts] for parts in (train_parts, validation_parts))
    build = partial(PictureDataset, size=config.size, **data.compose.model_dump(), progress=progress)
    pixels = build_transforms(data.pixels)
    recipe = DetectorRecipe(config.network, config.size, data.pixels, {"config": config.name})
    for spec in data.train:
        if spec.get("type") in MOVING:
            raise UserError(f"data.train: {spec['type']} would move faces away from their boxes; see data.compose")
    learned = build(
        pictures=[picture for part in train for picture in part],
        transform=build_transforms([*data.train, *data.pixels]),
    )
    checked = build(pictures=[picture for part in validation for picture in part], transform=pixels, repeatable=True)
    for name, dataset in (("train", learned), ("validation", checked)):
        _check_transforms(name, dataset, config.size)
    return TrainingData(
        train=learned,
        sizes=[len(part) for part in train],
        weights=part_weights,
        validation=checked,
        recipe=recipe,
        loss=BOX_LOSSES[config.loss](config.size),
        metrics=[MissedFaces()],
        draw=partial(_draw_boxes, size=config.size),
    )


def _draw_boxes(inputs: np.ndarray, labels: np.ndarray, predicted: np.ndarray, size: int) -> np.ndarray:
    return viz.box_sheet(inputs, labels, [choose_boxes(each, size, size)[0] for each in predicted])


def _draw_points(inputs: np.ndarray, labels: np.ndarray, predicted: np.ndarray, codec: Codec) -> np.ndarray:
    return viz.comparison_sheet(inputs, codec.decode(labels), codec.decode(split_score(predicted)[0]))


def face_parts(config: Config, progress: bool) -> tuple[list[LandmarkDataset], list[LandmarkDataset], list[float]]:
    """Checked parts for training and for validation, and how often an epoch shows those for training."""
    data = config.data
    train_parts, validation_parts = _PARTS[data.labels](data)
    weights = [1.0] * len(train_parts)
    if data.pts_root is not None:
        for parts, part in zip((train_parts, validation_parts), PtsDataset(data.pts_root).split()):
            parts.append(part)
        weights.append(data.pts_weight)
    for part in [*train_parts, *validation_parts]:
        if isinstance(part, FilesDataset):
            part.check(data.skip_damaged, progress)
    for parts, purpose in ((train_parts, "learn from"), (validation_parts, "validate with")):
        if not sum(len(part) for part in parts):
            raise UserError(f"{config.name}: no face left to {purpose}; give more data, or another data.split")
    return train_parts, validation_parts, weights


def build_faces(config: Config, progress: bool = False) -> TrainingData[JoinedDataset, Recipe]:
    """Build the data of a network of points. See `build_data`."""
    data = config.data
    train_parts, validation_parts, weights = face_parts(config, progress)
    mean, std = label_mean_std(np.concatenate([_labels(part) for part in train_parts]))
    faces = [part for part in train_parts if isinstance(part, FilesDataset)]
    if data.faces_per_no_face and faces:
        train_parts.append(NoFacesDataset(faces, data.faces_per_no_face, config.seed))
        weights.append(1.0)
    if data.keep_crops:
        side = round(1.5 * config.size)
        train_parts, validation_parts = (
            [KeptCrops(part, side, progress=progress) for part in parts] for parts in (train_parts, validation_parts)
        )
    train = JoinedDataset(train_parts, build_transforms([*data.train, *data.pixels]))
    validation = JoinedDataset(validation_parts, build_transforms([*data.validation, *data.pixels]))

    for name, dataset in (("train", train), ("validation", validation)):
        _check_transforms(name, dataset, config.size)
    with_faces = [part for part in train_parts if part.has_face(0)]
    crops = crop_statistics(JoinedDataset(with_faces, build_transforms(data.validation)), config.size)
    codec: Codec = StandardCodec(mean, std)
    if config.codec == "unit":
        codec = StandardCodec(0.0, float(config.size))
    elif config.codec == "mean_face":
        codec = MeanFaceCodec(config.size, tuple((float(x), float(y)) for x, y in crops.mean_points))
    train.codec = validation.codec = codec
    recipe = Recipe.describe(
        codec,
        network=config.network,
        num_points=len(crops.mean_points),
        size=config.size,
        pixels=data.pixels,
        face_centre=crops.centre,
        face_side=crops.side,
        notes={"config": config.name, "label_mean": mean, "label_std": std},
    )
    return TrainingData(
        train=train,
        sizes=[len(part) for part in train_parts],
        weights=weights,
        validation=validation,
        recipe=recipe,
        loss=build_loss(config.loss, scored=bool(config.network.get("score"))),
        metrics=build_metrics(codec),
        draw=partial(_draw_points, codec=codec),
    )


def _check_transforms(name: str, dataset: LandmarkDataset | PictureDataset, size: int) -> None:
    """Run a pipeline once, here, where a wrong option can still be told from a damaged picture."""
    try:
        image, _ = dataset[0]
    except (cv2.error, AttributeError, IndexError, TypeError, ValueError) as error:
        raise UserError(f"data.{name}: its transforms cannot work on {dataset.name(0)} ({error})") from error
    if image.ndim != 3 or image.shape[1:] != (size, size) or image.dtype != np.float32:
        raise UserError(
            f"data.{name} and data.pixels make {image.dtype} pictures of the shape {image.shape}, but the network gets "
            f"float32 (channels, {size}, {size}), as size says; mend the last crop, data.pixels or size"
        )


def _csv_parts(data: DataConfig) -> tuple[list[LandmarkDataset], list[LandmarkDataset]]:
    root = Path(data.root)
    files = [(root / f"{split}_frames_keypoints.csv", root / split) for split in ("training", "test")]
    training, test = (FacialKeypointsDataset(csv, folder) for csv, folder in files)
    if data.split == "document":
        return [training], [test]
    names = training.names + test.names
    parts = []
    for purpose, rows in zip(("train", "validation"), split_people(names)):
        first = [row for row in rows if row < len(training.names)]
        second = [row - len(training.names) for row in rows if row >= len(training.names)]
        if data.split == "strict" and purpose == "train":
            second = []
        parts.append([FacialKeypointsDataset(*file, rows=part) for file, part in zip(files, (first, second)) if part])
    return parts[0], parts[1]


def _pts_parts(data: DataConfig) -> tuple[list[LandmarkDataset], list[LandmarkDataset]]:
    train, validation = PtsDataset(data.root).split()
    return [train], [validation]


def _drawn_parts(data: DataConfig) -> tuple[list[LandmarkDataset], list[LandmarkDataset]]:
    train, validation = data.drawn
    return [DrawnFacesDataset(train)], [DrawnFacesDataset(validation, first_seed=train)]


def _five_parts(data: DataConfig) -> tuple[list[LandmarkDataset], list[LandmarkDataset]]:
    train, validation = (FivePointDataset(Path(data.root) / f"{name}ImageList.txt") for name in ("train", "test"))
    return [train], [validation]


#: `data.labels` -> what builds the parts for training and for validation.
_PARTS = {"csv68": _csv_parts, "pts": _pts_parts, "five": _five_parts, "drawn": _drawn_parts}


def _labels(part: LandmarkDataset) -> np.ndarray:
    if isinstance(part, FilesDataset):
        return part.points[part.rows]
    return np.stack([part.load(i)[1] for i in range(len(part))])


class ShuffledBatches(BatchSampler):
    """Batches in an order, and with random transforms, that depend on the seed and the epoch alone.

    The batches of several processes laid together are those of one process with a batch so many times as large.

    Args:
        sizes: Samples in each part of the data set.
        weights: How often an epoch shows a sample of each part: 0.5 shows every second one, 2 each of them twice.
        batch_size: Samples in a batch of one process; the last one may be smaller.
        seed: The run's seed.
        state: Says which epoch is running.
        processes: Which share of every batch is this process's.

    Raises:
        UserError: There are fewer samples than processes.

    Example:
        >>> batches = ShuffledBatches([3, 2], [1.0, 2.0], 3, seed=0, state=RunState(epoch=3))
        >>> [len(batch) for batch in batches], list(batches) == list(batches)
        ([3, 3, 1], True)
    """

    def __init__(
        self,
        sizes: Sequence[int],
        weights: Sequence[float],
        batch_size: int,
        seed: int,
        state: RunState,
        processes: Processes = ALONE,
    ) -> None:
        self.sizes, self.batch_size, self.seed, self.state = list(sizes), batch_size, seed, state
        self.processes = processes
        self.shown = [round(size * weight) for size, weight in zip(sizes, weights)]
        if sum(self.shown) < processes.count:
            raise UserError(f"{sum(self.shown)} faces cannot be divided among {processes.count} processes; start fewer")

    def __len__(self) -> int:
        # Each process must get a share of the last batch; a rest too small for that goes into the batch before it.
        count = self.processes.count
        return -(-(sum(self.shown) - count + 1) // (self.batch_size * count))

    def __iter__(self) -> Iterator[list[Draw]]:
        rng = np.random.default_rng([self.seed, self.state.epoch])
        order, first = [], 0
        for size, shown in zip(self.sizes, self.shown):
            rounds = [rng.permutation(size) + first for _ in range(-(-shown // max(size, 1)))]
            order.append(np.concatenate([*rounds, np.zeros(0, int)])[:shown])
            first += size
        chosen = rng.permutation(np.concatenate(order))
        seeds = rng.integers(2**31, size=len(chosen))
        together, steps = self.batch_size * self.processes.count, len(self)
        for step in range(steps):
            end = (step + 1) * together if step < steps - 1 else len(chosen)
            share = slice(step * together + self.processes.rank, end, self.processes.count)
            yield [Draw(int(i), int(s)) for i, s in zip(chosen[share], seeds[share])]


def training_loader(data: TrainingData, config: Config, state: RunState, processes: Processes = ALONE) -> DataLoader:
    """This process's share of the shuffled batches for training."""
    sampler = ShuffledBatches(data.sizes, data.weights, config.train.batch_size, config.seed, state, processes)
    return _loader(data.train, config.data.workers, sampler)


def validation_loader(dataset: Dataset, config: Config, processes: Processes = ALONE) -> DataLoader:
    """All samples in order; of several processes each gets its share, the way `paddle.Model.evaluate` gathers them.

    `evaluate` cuts off the samples that fill the last shares up, so that its metrics see each face once.
    """
    sampler = DistributedBatchSampler(dataset, config.train.batch_size, processes.count, processes.rank)
    return _loader(dataset, config.data.workers, sampler)


def _loader(dataset: Dataset, workers: int, sampler: BatchSampler) -> DataLoader:
    shared = Path("/dev/shm")
    enough = not shared.exists() or shutil.disk_usage(shared).free > LEAST_SHARED_MEMORY
    return DataLoader(
        dataset,
        num_workers=workers,
        persistent_workers=workers > 0,
        use_shared_memory=enough,
        worker_init_fn=_start_worker,
        batch_sampler=sampler,
    )


def _start_worker(_: int) -> None:
    cv2.setNumThreads(0)  # or the workers fight for the cores
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


def _end_with(parent: int) -> None:
    """End this process when `parent` has: Paddle's loader processes outlive a training that was killed."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
