"""Sources of labelled faces, as listed in `data.sources` of a config."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from facekp.data.dataset import LandmarkDataset
from facekp.landmarks import IBUG68, PointSchema


@dataclass(frozen=True)
class Split:
    """Data sets of a source.

    Attributes:
        train: Data sets for training.
        validation: Data sets for validation.
    """

    train: list[LandmarkDataset]
    validation: list[LandmarkDataset]


class Source(BaseModel):
    """Options of a format. A subclass adds its own, defines `load`, and is listed in `facekp.data.formats.FORMATS`."""

    model_config = ConfigDict(extra="forbid")

    type: str
    #: How often an epoch shows each of its faces: 0.5 shows every second one, 2 shows each twice.
    weight: float = Field(1.0, gt=0, le=1000, allow_inf_nan=False)

    @property
    def schema_of_points(self) -> PointSchema:
        """Schema of its points."""
        return IBUG68

    def load(self) -> Split:
        """Read the labels.

        Raises:
            UserError: A file is missing or a label is invalid.
        """
        raise NotImplementedError
