"""The task of finding the points of a face in its crop."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from paddle.vision.transforms import Compose

from facekp import viz
from facekp.codecs.points import CODECS, LabelStatistics, OutputDecoder, OutputLayout, codec_to_dict
from facekp.data.combine import JoinedDataset, KeptCrops, NoFacesDataset
from facekp.data.dataset import FilesDataset, LandmarkDataset
from facekp.data.photos import PhotosDataset
from facekp.data.statistics import crop_statistics, label_mean_std, with_mean_face
from facekp.data.transforms import build_transforms
from facekp.detectors import load_detector
from facekp.errors import UserError
from facekp.evaluation.landmarks import by_metrics, cut_out, predict_dataset, predict_in_use, summarise
from facekp.evaluation.review import PointsReview
from facekp.inference.backends import load_backend
from facekp.inference.landmarker import Landmarker
from facekp.io.images import find_files
from facekp.landmarks import PointSchema
from facekp.losses import LOSSES, build_loss
from facekp.metrics import DEFAULT_METRICS, METRICS, build_metrics
from facekp.models import NETWORKS
from facekp.models.heads import HEADS
from facekp.models.weights import load_weights
from facekp.recipes import PointsRecipe
from facekp.registry import type_name
from facekp.tasks.parts import check_transforms, labels_of, load_parts, turning
from facekp.tasks.task import Evaluation, EvaluationSettings, Tables, Task, TaskData

#: Maximum number of squares without a face in the review of a network's score.
NO_FACES = 100

#: Codecs whose unit is one percent of the crop, which all outputs besides the points need.
_PERCENT = ("mean_face", "percent")


class PointsTask(Task):
    """Landmarks of single faces in their crops; see `Task`."""

    name = "points"
    networks, losses, metrics = NETWORKS, LOSSES, METRICS
    default_metrics = DEFAULT_METRICS

    def check(self, config: Any) -> None:
        """See `Task`."""
        data = config.data
        if data.compose is not None:
            raise ValueError("data.compose goes with task: boxes; a landmark network takes single faces")
        if not data.validation:
            raise ValueError("data.validation: a network of points needs its transforms")
        training = [data.train, *([] if data.final is None else [data.final.train])]
        cropped = [bool(pipeline) and type_name(pipeline[0]) == "FaceCrop" for pipeline in (*training, data.validation)]
        if data.turned is not None and not all(cropped[:-1]):
            raise ValueError("data.turned needs data.train to begin with FaceCrop: heads are turned in their images")
        if data.keep_crops and not all(cropped):
            raise ValueError("data.keep_crops needs data.train and data.validation to begin with FaceCrop")
        named = {"loss": (LOSSES, config.loss), "network.head": (HEADS, config.network.get("head", ""))}
        names = {key: str(type_name(spec)) for key, (_, spec) in named.items()}
        built = {key: registry.get(names[key]) for key, (registry, _) in named.items()}
        needed = {f"{key}: {names[key]}": getattr(kind, "codecs", ()) for key, kind in built.items()}
        layout = OutputLayout.of(config.network, 0)
        needed.update({f"network.{name}": _PERCENT for name in layout.names if name != "points"})
        for key, codecs in needed.items():
            if codecs and config.codec not in codecs:
                raise ValueError(f"{key} counts in percent of the crop, so it needs codec: {' or '.join(codecs)}")
        takes, gives = hasattr(built["loss"], "of_logits"), hasattr(built["network.head"], "gives_logits")
        if takes != gives:
            one, other = ("loss", "network.head") if takes else ("network.head", "loss")
            raise ValueError(f"{one}: {names[one]} needs a {other} that goes with it, such as simcc")
        if "num_points" in config.network:
            raise ValueError("network.num_points: the labels say how many points there are; omit it")
        if any(getattr(source, "boxes", False) for source in data.sources):
            raise ValueError("data.sources: boxes: true goes with task: boxes")
        for key in ("faces_per_no_face", "photos"):
            if getattr(data, key) and not layout.score:
                raise ValueError(f"data.{key} needs network.score: true")

    def build_data(self, config: Any, progress: bool = False) -> TaskData:
        """See `Task`."""
        data = config.data
        parts = load_parts(config, progress)
        train_parts, validation_parts, weights = parts.train, parts.validation, parts.weights
        labels = np.concatenate([labels_of(part) for part in train_parts])
        schema = with_mean_face(parts.schema, labels)
        for part in (*train_parts, *validation_parts):
            part.schema = schema
        if not any(np.isfinite(schema.unit(labels_of(part))).any() for part in validation_parts):
            pair = " and ".join(schema.points[point] for point in schema.normalise or ())
            raise UserError(f"{config.name}: no face of the validation has {pair or 'labels'}, whose distance errors "
                            "are divided by; change normalise in the schema, or hold out other faces")  # fmt: skip
        mean, std = label_mean_std(labels)
        faces = [part for part in train_parts if isinstance(part, FilesDataset)]
        if data.faces_per_no_face and faces:
            train_parts.append(NoFacesDataset(faces, data.faces_per_no_face, config.seed))
            weights.append(1.0)
        for photos in data.photos:
            paths = find_files([photos.root])
            train_parts.append(PhotosDataset(paths, load_detector(threads=1), photos.faces, schema, progress))
            weights.append(photos.weight)
        from_files = [part for part in validation_parts if isinstance(part, FilesDataset)]
        train_parts = _kept(config, train_parts, schema, progress)
        validation_parts = _kept(config, validation_parts, schema, progress)
        turn = turning(config, schema, labels)

        def pipeline(transforms: list[dict[str, Any]]) -> Compose:
            built = build_transforms([*transforms, *data.pixels], schema).transforms
            return Compose([*([] if turn is None else [turn]), *built])

        train_transform, validation_transform = pipeline(data.train), _validation_transform(config, schema)
        final_transform = None if data.final is None else pipeline(data.final.train)
        check_transforms("validation", JoinedDataset(validation_parts, validation_transform), config.size)
        check_transforms("train", JoinedDataset(train_parts, train_transform), config.size)
        if final_transform is not None:
            check_transforms("final.train", JoinedDataset(train_parts, final_transform), config.size)
        with_faces = [part for part in train_parts if part.has_face(0) and part.has_points(0)]
        crops = crop_statistics(JoinedDataset(with_faces, build_transforms(data.validation, schema)), config.size)
        mean_points = tuple((float(x), float(y)) for x, y in crops.mean_points)
        codec = CODECS[config.codec].fit(LabelStatistics(mean, std, config.size, mean_points))
        layout = OutputLayout.of(config.network, schema.num_points)
        train = JoinedDataset(
            train_parts, train_transform, codec, final_transform, data.hidden_weight, layout.visibility
        )
        validation = JoinedDataset(validation_parts, validation_transform, codec, with_visibility=layout.visibility)
        no_faces = None
        if from_files and layout.score:
            every = -(-sum(len(part) for part in from_files) // NO_FACES)
            no_faces = JoinedDataset([NoFacesDataset(from_files, every, config.seed)], validation_transform, codec)
        recipe = PointsRecipe(
            network=config.network,
            schema=schema,
            size=config.size,
            pixels=data.pixels,
            codec=codec_to_dict(codec),
            face_centre=crops.centre,
            face_side=crops.side,
            notes={"config": config.name, "label_mean": mean, "label_std": std},
        )
        decoder = recipe.build_decoder()
        return TaskData(
            train=train,
            sizes=[len(part) for part in train_parts],
            weights=weights,
            validation=validation,
            recipe=recipe,
            loss=build_loss(config.loss, recipe.layout),
            metrics=build_metrics(config.metrics or self.default_metrics, codec, schema),
            draw=partial(_draw, decoder=decoder, schema=schema),
            review=PointsReview(decoder, schema),
            no_faces=no_faces,
        )

    def check_output(self, outputs: np.ndarray, label: np.ndarray) -> None:
        """See `Task`."""
        # Labels are coordinates, perhaps followed by visibility; outputs have at least as many numbers.
        if outputs.shape[1] < label.shape[0]:
            raise UserError(f"the network predicts {outputs.shape[1]} numbers, but a label has {label.shape[0]}")

    def evaluate(self, config: Any, weights: str, settings: EvaluationSettings) -> Evaluation:
        """See `Task`."""
        if settings.points is not None:
            raise UserError(f"--points is about face detectors, but {config.name} finds points itself")
        in_use = settings.boxes != "training"
        if not in_use and (settings.flip or settings.passes != 2):
            raise UserError("--passes and --flip need --boxes expanded or jittered: the crops of training are "
                            "evaluated in one pass")  # fmt: skip
        network, recipe = load_weights(weights)
        if recipe.size != config.size or recipe.pixels != config.data.pixels:
            raise UserError(
                f"{weights}: trained with size {recipe.size} and other data.pixels than {config.name}, which has size "
                f"{config.size}; give the config of the training"
            )
        if in_use:  # whole images are evaluated
            config = config.model_copy(update={"data": config.data.model_copy(update={"keep_crops": False})})
        parts = load_parts(config, settings.progress, training=False)
        if recipe.schema.points != parts.schema.points:
            raise UserError(f"{weights}: finds the points of {recipe.schema.name}, but the data of {config.name} have "
                            f"those of {parts.schema.name}; give data with the same points")  # fmt: skip
        for part in parts.validation:
            part.schema = recipe.schema
        codec = recipe.build_codec()  # that of the training, even if the sources have changed
        validation_parts = _kept(config, parts.validation, recipe.schema, settings.progress)
        validation = JoinedDataset(validation_parts, _validation_transform(config, recipe.schema), codec)
        check_transforms("validation", validation, config.size)
        if in_use:
            landmarker = Landmarker(*load_backend(Path(weights)), load_detector(), settings.passes, settings.flip)
            jitter = settings.boxes == "jittered"
            predictions = predict_in_use(landmarker, validation, jitter, progress=settings.progress)
        else:
            predictions = predict_dataset(network, validation, recipe.build_decoder(), config.train.batch_size,
                                          config.data.workers, settings.progress)  # fmt: skip
        by_kind = {"all": predictions}
        kinds = validation.kinds()
        if len(set(kinds)) > 1:
            by_kind.update({kind: predictions.part(kinds == kind) for kind in dict.fromkeys(kinds.tolist())})
        tables: Tables = {kind: {**summarise(faces, recipe.schema)} for kind, faces in by_kind.items()}
        metrics = build_metrics(config.metrics or (), codec, recipe.schema)
        further = [metric for metric in metrics if metric.name() not in tables["all"]]
        for kind, faces in by_kind.items():
            tables[kind].update(by_metrics(faces, further, codec, config.train.batch_size))
        errors = predictions.errors(recipe.schema)
        worst = np.argsort(-errors)[: min(10, int(np.isfinite(errors).sum()))]  # NaN, an unknown error, sorts last
        captions = [f"{errors[i] * 100:.1f} %  {validation.name(int(i))}" for i in worst]
        if in_use:
            inputs, shown = cut_out(validation, predictions, worst)
        else:
            inputs, shown = np.stack([validation[int(i)][0] for i in worst]), predictions.part(worst)
        sheet = viz.comparison_sheet(inputs, shown.truth, shown.predicted, captions, columns=5, schema=recipe.schema)
        names = tuple(str(metric.name()) for metric in further)
        return Evaluation(tables, sheet, errors[np.isfinite(errors)], names)


def _kept(config: Any, parts: list[LandmarkDataset], schema: PointSchema, progress: bool) -> list[LandmarkDataset]:
    """Return the data sets, with their crops in memory if `data.keep_crops` is set."""
    data = config.data
    if not data.keep_crops:
        return parts
    pipelines = [data.train, data.validation, *([] if data.final is None else [data.final.train])]
    reach = max(build_transforms(pipeline[:1], schema).transforms[0].reach for pipeline in pipelines)
    return [KeptCrops(part, face_side=round(1.5 * config.size), reach=reach, progress=progress) for part in parts]


def _validation_transform(config: Any, schema: PointSchema) -> Compose:
    return build_transforms([*config.data.validation, *config.data.pixels], schema)


def _draw(
    inputs: np.ndarray,
    labels: np.ndarray,
    predicted: np.ndarray,
    captions: Sequence[str] | None,
    decoder: OutputDecoder,
    schema: PointSchema,
) -> np.ndarray:
    points = decoder(predicted).points
    return viz.comparison_sheet(inputs, decoder.label_points(labels), points, captions, schema=schema)
