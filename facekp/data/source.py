"""A source of labelled faces, as `data.sources` of a config names it."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from facekp.data.dataset import LandmarkDataset
from facekp.landmarks import IBUG68, PointSchema


@dataclass(frozen=True)
class Split:
    """What a source holds.

    Attributes:
        train: Its data sets for training.
        validation: Those for validation.
    """

    train: list[LandmarkDataset]
    validation: list[LandmarkDataset]


class Source(BaseModel):
    """A format's options. A subclass adds its own and gives `load`; `facekp.data.formats.FORMATS` knows its name."""

    model_config = ConfigDict(extra="forbid")

    type: str
    #: How often an epoch shows each of its faces: 0.5 shows every second one, 2 each of them twice.
    weight: float = Field(1.0, gt=0, le=1000, allow_inf_nan=False)

    @property
    def schema_of_points(self) -> PointSchema:
        """What its points are."""
        return IBUG68

    def load(self) -> Split:
        """Read the labels.

        Raises:
            UserError: A file is missing or a label wrong.
        """
        raise NotImplementedError
