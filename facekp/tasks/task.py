"""Interface of a task: everything that differs between finding points and finding face boxes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Optional, Union

import numpy as np
from paddle import nn
from paddle.metric import Metric

from facekp.data.combine import JoinedDataset
from facekp.data.composed import ComposedDataset
from facekp.evaluation.review import Review
from facekp.recipes import AnyRecipe
from facekp.registry import Spec

#: Draws one image from inputs, labels, predictions, and captions of the samples or None.
DrawSheet = Callable[[np.ndarray, np.ndarray, np.ndarray, Optional[Sequence[str]]], np.ndarray]


@dataclass(frozen=True)
class TaskData:
    """Data, loss and metrics of a run.

    Attributes:
        train: Training data, all parts concatenated.
        sizes: Number of samples in each part of `train`.
        weights: How often an epoch shows a sample of each part.
        validation: Validation data, all parts concatenated.
        recipe: Recipe that is saved with the weights.
        loss: Called with the network's predictions and the label.
        metrics: Metrics, of which the first one selects the best weights.
        draw: Draws one image from inputs, labels, predictions, and captions of the samples or None.
        review: Review of each validation, for the dashboard.
        no_faces: Additional squares without a face for the review; None if its confusion matrix needs none.
    """

    train: Union[JoinedDataset, ComposedDataset]
    sizes: list[int]
    weights: list[float]
    validation: Union[JoinedDataset, ComposedDataset]
    recipe: AnyRecipe
    loss: nn.Layer
    metrics: Sequence[Metric]
    draw: DrawSheet
    review: Review
    no_faces: Optional[JoinedDataset] = None


@dataclass(frozen=True)
class EvaluationSettings:
    """Settings of an evaluation.

    Attributes:
        boxes: For points. "training": the crops of training, in one pass. As in use, from a detector's boxes:
            "expanded", the landmarks' boxes expanded by a tenth, or "jittered", those shifted and scaled at random.
        passes: For points as in use: number of passes.
        flip: For points as in use: average with the mirror image.
        points: For a face detector: evaluate the faces that this landmarker, a shipped model or path of weights, keeps.
        progress: Show progress bars.
    """

    boxes: str = "training"
    passes: int = 2
    flip: bool = False
    points: Optional[str] = None
    progress: bool = False


#: Kind of label -> metric name -> value; None where there was nothing to measure.
Tables = dict[str, dict[str, Optional[float]]]


@dataclass(frozen=True)
class Evaluation:
    """Results of an evaluation.

    Attributes:
        tables: Format of the labels, or "all" -> metric name -> value.
        worst: Sheet of the faces with the largest errors, BGR uint8; None for a face detector.
        errors: (N,) NME of each face, fractions; None for a face detector.
        further: Names in the tables of the config's own metrics, which need not be fractions.
    """

    tables: Tables
    worst: Optional[np.ndarray] = None
    errors: Optional[np.ndarray] = None
    further: tuple[str, ...] = ()


class Task(ABC):
    """Base class of the tasks. The registry is `facekp.tasks.TASKS`."""

    #: Name in a config and in weights.
    name: ClassVar[str]
    #: Name -> constructor of a network, a loss, a metric.
    networks: ClassVar[Mapping[str, Callable[..., nn.Layer]]]
    losses: ClassVar[Mapping[str, Callable[..., nn.Layer]]]
    metrics: ClassVar[Mapping[str, Callable[..., Metric]]]
    #: Metrics that are reported if a config names none.
    default_metrics: ClassVar[Sequence[Spec]]

    @abstractmethod
    def check(self, config: Any) -> None:
        """Check that the parts of a config fit together.

        Args:
            config: A `facekp.training.config.Config`, which is a layer above.

        Raises:
            ValueError: They do not; the message names the keys.
        """

    @abstractmethod
    def build_data(self, config: Any, progress: bool = False) -> TaskData:
        """Build the data, the loss and the metrics of a config.

        Args:
            config: A `facekp.training.config.Config`, which is a layer above.
            progress: Show progress bars.

        Raises:
            UserError: A file, row or label is wrong.
        """

    @abstractmethod
    def check_output(self, outputs: np.ndarray, label: np.ndarray) -> None:
        """Check that a network's output for one sample fits its label.

        Raises:
            UserError: It does not fit.
        """

    @abstractmethod
    def evaluate(self, config: Any, weights: str, settings: EvaluationSettings) -> Evaluation:
        """Evaluate weights on the validation split of a config.

        Args:
            config: A `facekp.training.config.Config`, which is a layer above.
            weights: Path or name of the weights.
            settings: Settings of the evaluation.

        Raises:
            UserError: The weights do not fit the config, or a setting does not apply to this task.
        """
