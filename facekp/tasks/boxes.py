"""The task of finding the faces of an image."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from facekp import registry, viz
from facekp.codecs.boxes import BoxCodec
from facekp.data.composed import ComposedDataset, LabelledImage, images_of
from facekp.data.dataset import FilesDataset, LandmarkDataset
from facekp.data.transforms import MOVING, build_transforms
from facekp.detectors import FacesOf, load_detector
from facekp.errors import UserError
from facekp.evaluation import detection
from facekp.evaluation.review import BoxesReview
from facekp.inference.backends import find_weights, load_backend
from facekp.inference.landmarker import Landmarker
from facekp.io.images import find_files
from facekp.losses import BOX_LOSSES, build_box_loss
from facekp.metrics import BOX_METRICS, DEFAULT_BOX_METRICS
from facekp.models import DETECTORS
from facekp.recipes import BoxesRecipe
from facekp.registry import type_name
from facekp.tasks.parts import check_transforms, labels_of, load_parts, turning
from facekp.tasks.task import Evaluation, EvaluationSettings, Tables, Task, TaskData


class BoxesTask(Task):
    """Face detection in whole images; see `Task`."""

    name = "boxes"
    networks, losses, metrics = DETECTORS, BOX_LOSSES, BOX_METRICS
    default_metrics = DEFAULT_BOX_METRICS

    def check(self, config: Any) -> None:
        """See `Task`."""
        data = config.data
        if data.keep_crops or data.faces_per_no_face or data.validation or config.codec != "standard":
            raise ValueError("task: boxes uses whole images, so data.keep_crops, data.faces_per_no_face, "
                             "data.validation and codec cannot be set")  # fmt: skip
        for key, value in (("final", data.final), ("hidden_weight", data.hidden_weight != 1)):
            if value:
                raise ValueError(f"data.{key} goes with task: points")
        if any(photos.faces for photos in data.photos):
            raise ValueError("data.photos: task: boxes uses only photos without faces; give boxes for the others by "
                             "a source with boxes: true")  # fmt: skip
        if config.size % 32:
            raise ValueError("size: task: boxes needs a multiple of 32")
        for spec in data.train:
            if type_name(spec) == "Cover":
                raise ValueError("data.train: Cover needs points, which composed images lack; see data.compose.covered")
            if type_name(spec) in MOVING:
                raise ValueError(f"data.train: {type_name(spec)} would move faces away from their boxes; see "
                                 "data.compose")  # fmt: skip

    def build_data(self, config: Any, progress: bool = False) -> TaskData:
        """See `Task`."""
        data = config.data
        parts = load_parts(config, progress)
        train, validation = ([_images(part) for part in each] for each in (parts.train, parts.validation))
        no_faces = [[LabelledImage(path, []) for path in find_files([photos.root])] for photos in data.photos]
        compose = {} if data.compose is None else data.compose.model_dump()
        options = {"size": config.size, "progress": progress, **compose}
        turn = turning(config, parts.schema, np.concatenate([labels_of(part) for part in parts.train]))
        transform = build_transforms([*data.train, *data.pixels])
        train_set = ComposedDataset(_joined([*train, *no_faces]), transform=transform, turn=turn, **options)
        validation_set = ComposedDataset(_joined(validation), transform=build_transforms(data.pixels), **options)
        for name, dataset in (("train", train_set), ("validation", validation_set)):
            check_transforms(name, dataset, config.size)
        return TaskData(
            train=train_set,
            sizes=[len(part) for part in (*train, *no_faces)],
            weights=[*parts.weights, *(photos.weight for photos in data.photos)],
            validation=validation_set,
            recipe=BoxesRecipe(config.network, config.size, data.pixels, {"config": config.name}),
            loss=build_box_loss(config.loss, config.size),
            metrics=[
                registry.build(BOX_METRICS, spec, "metric", size=config.size)
                for spec in config.metrics or self.default_metrics
            ],
            draw=partial(_draw, codec=BoxCodec(config.size, config.size)),
            review=BoxesReview(config.size),
        )

    def check_output(self, outputs: np.ndarray, label: np.ndarray) -> None:
        """See `Task`."""
        if outputs.ndim != 3 or outputs.shape[2] != 5:
            raise UserError(f"the network predicts {outputs.shape[1:]}, but cells have five numbers each")

    def evaluate(self, config: Any, weights: str, settings: EvaluationSettings) -> Evaluation:
        """See `Task`."""
        if settings.boxes != "training" or settings.flip or settings.passes != 2:
            raise UserError(f"--boxes, --passes and --flip are about points, but {config.name} finds boxes")
        detector = load_detector(weights)
        if settings.points:
            detector = FacesOf(Landmarker(*load_backend(find_weights(settings.points)), detector))
        kinds: dict[str, list[LabelledImage]] = {}
        for part in load_parts(config, settings.progress, training=False).validation:
            kinds.setdefault(part.kind, []).extend(_images(part))
        tables: Tables = {
            kind: detection.summarise(detector, images, progress=settings.progress) for kind, images in kinds.items()
        }
        return Evaluation(tables)


def _images(part: LandmarkDataset) -> list[LabelledImage]:
    if not isinstance(part, FilesDataset):
        raise UserError(f"format {part.kind}: has no whole images with all their faces; task: boxes needs them")
    return images_of(part)


def _joined(parts: Sequence[Sequence[LabelledImage]]) -> list[LabelledImage]:
    return [image for part in parts for image in part]


def _draw(
    inputs: np.ndarray, labels: np.ndarray, predicted: np.ndarray, captions: Sequence[str] | None, codec: BoxCodec
) -> np.ndarray:
    return viz.box_sheet(inputs, labels, [codec.choose(each)[0] for each in predicted], captions=captions)
