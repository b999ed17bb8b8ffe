"""Registry of label formats. A new format is a `Source` in a file of its own, and an entry here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from facekp import registry
from facekp.data.aflw import AflwSource
from facekp.data.coco import CocoSource
from facekp.data.cofw import CofwSource
from facekp.data.csv68 import Csv68Source
from facekp.data.csv_named import CsvSource
from facekp.data.cuhk5 import Cuhk5Source
from facekp.data.drawn import DrawnSource
from facekp.data.imglab import ImglabSource
from facekp.data.labelled import LabelsSource
from facekp.data.labelme import LabelmeSource
from facekp.data.lapa import LapaSource
from facekp.data.pts import PtsSource
from facekp.data.source import Source
from facekp.data.wflw import WflwSource
from facekp.errors import UserError, first_problem

#: `type` of a source -> class of its options, which loads it.
FORMATS: dict[str, type[Source]] = {
    "csv68": Csv68Source,
    "pts": PtsSource,
    "cuhk5": Cuhk5Source,
    "drawn": DrawnSource,
    "coco": CocoSource,
    "csv": CsvSource,
    "imglab": ImglabSource,
    "labelme": LabelmeSource,
    "wflw": WflwSource,
    "lapa": LapaSource,
    "cofw": CofwSource,
    "aflw": AflwSource,
}

#: Suffix of a file of labels -> its format.
SUFFIXES = {".json": "coco", ".csv": "csv", ".xml": "imglab"}


def parse_source(values: Any) -> Source:
    """Validate one entry of `data.sources`.

    Args:
        values: `type`, a key of `FORMATS`, and that format's options.

    Raises:
        UserError: Unknown format or option (the message lists the valid ones), or an invalid value.

    Example:
        >>> parse_source({"type": "drawn", "train": 10}).validation
        200
    """
    if isinstance(values, Source):
        return values
    name = registry.check_name(FORMATS, values, "format")
    try:
        return FORMATS[name].model_validate({"type": name} if isinstance(values, str) else values)
    except ValidationError as error:
        key, message = first_problem(error)
        if error.errors()[0]["type"] == "extra_forbidden":
            fields = FORMATS[name].model_fields.items()
            valid = ", ".join(field.alias or key for key, field in fields if key != "type")
            raise UserError(f"format {name}: unknown option {key}; known are {valid}") from error
        raise UserError(f"format {name}: {key}: {message}") from error


def labels_source(
    name: str | None, labels: Path, schema: str | None = None, images: Path | None = None
) -> LabelsSource:
    """Return the source of a file or folder of labels, to read or write it.

    Args:
        name: A key of `FORMATS`; None: by the suffix of `labels`, or pts for a folder.
        labels: The file or folder.
        schema: See `LabelsSource`.
        images: See `LabelsSource`.

    Raises:
        UserError: The format is unknown, or cannot be determined from the name of `labels`.

    Example:
        >>> labels_source("wflw", Path("list.txt")).schema_of_points.num_points
        98
    """
    known = {key: kind for key, kind in FORMATS.items() if issubclass(kind, LabelsSource)}
    name = name or SUFFIXES.get(labels.suffix.lower()) or ("pts" if labels.is_dir() else None)
    if name is None:
        raise UserError(f"{labels}: its format cannot be determined from its name; give one of {', '.join(known)}")
    registry.check_name(known, name, "format of labels")
    options = {"type": name, "labels": str(labels), "schema": schema, "images": None if images is None else str(images)}
    source = parse_source(options)
    assert isinstance(source, LabelsSource)
    return source
