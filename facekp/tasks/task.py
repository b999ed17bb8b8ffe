"""The contract of a task: all that differs between finding points and finding face boxes."""

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

#: Makes one image of (inputs, labels, predictions, and a line under each sample or None).
DrawSheet = Callable[[np.ndarray, np.ndarray, np.ndarray, Optional[Sequence[str]]], np.ndarray]


@dataclass(frozen=True)
class TaskData:
    """What a run learns from and is judged by.

    Attributes:
        train: All parts one after the other.
        sizes: Samples in each of `train`'s parts.
        weights: How often an epoch shows a sample of each part.
        validation: All parts one after the other.
        recipe: Goes into the weights.
        loss: Called with what the network predicts, and the label.
        metrics: The first one decides which weights are the best.
        draw: Makes one image of (inputs, labels, predictions, and a line under each sample or None).
        review: Of each validation, for the dashboard.
        no_faces: Squares without a face, which the review sees as well; None if its confusion needs none.
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
    """How weights are judged.

    Attributes:
        boxes: Of points. "training": the crops of training, looked at once. As in use, from a detector's boxes:
            "expanded", the landmarks' boxes expanded by a tenth, or "jittered", those moved and scaled at random.
        passes: Of points as in use: how often they are looked for.
        flip: Of points as in use: average with the mirror image.
        points: Of a face detector: judge the faces that this landmarker keeps, a shipped model or a path of weights.
        progress: Show progress bars.
    """

    boxes: str = "training"
    passes: int = 2
    flip: bool = False
    points: Optional[str] = None
    progress: bool = False


#: Kind of label -> name -> value; None where there was nothing to measure.
Tables = dict[str, dict[str, Optional[float]]]


@dataclass(frozen=True)
class Evaluation:
    """What a judgement says.

    Attributes:
        tables: Format of the labels, or "all" -> name -> value.
        worst: A sheet of the faces with the largest errors, BGR uint8; None of a face detector.
        errors: (N,) NME of each face, fractions; None of a face detector.
        further: Names in the tables of the config's own metrics, which need not be fractions.
    """

    tables: Tables
    worst: Optional[np.ndarray] = None
    errors: Optional[np.ndarray] = None
    further: tuple[str, ...] = ()


class Task(ABC):
    """What a network finds. The registry is `facekp.tasks.TASKS`."""

    #: Name in a config and in weights.
    name: ClassVar[str]
    #: Name -> network, loss, metric.
    networks: ClassVar[Mapping[str, Callable[..., nn.Layer]]]
    losses: ClassVar[Mapping[str, Callable[..., nn.Layer]]]
    metrics: ClassVar[Mapping[str, Callable[..., Metric]]]
    #: What is reported where a config names no metrics.
    default_metrics: ClassVar[Sequence[Spec]]

    @abstractmethod
    def check(self, config: Any) -> None:
        """Compare the parts of a config that must fit together.

        Args:
            config: A `facekp.training.config.Config`.

        Raises:
            ValueError: They do not; the message names the keys.
        """

    @abstractmethod
    def build_data(self, config: Any, progress: bool = False) -> TaskData:
        """Build what a config's network learns from.

        Args:
            config: A `facekp.training.config.Config`.
            progress: Show progress bars.

        Raises:
            UserError: A file, row or label is wrong.
        """

    @abstractmethod
    def check_output(self, outputs: np.ndarray, label: np.ndarray) -> None:
        """Compare what a network predicts for one sample with its label.

        Raises:
            UserError: They do not fit.
        """

    @abstractmethod
    def evaluate(self, config: Any, weights: str, settings: EvaluationSettings) -> Evaluation:
        """Judge weights on the validation split of a config.

        Args:
            config: A `facekp.training.config.Config`.
            weights: Path or name of what is judged.
            settings: How.

        Raises:
            UserError: The weights do not fit the config, or a setting does not go with this task.
        """
