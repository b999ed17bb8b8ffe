"""The registry of label formats: a new one is a `Source` in a file of its own, and a line here."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from facekp import registry
from facekp.data.csv68 import Csv68Source
from facekp.data.cuhk5 import Cuhk5Source
from facekp.data.drawn import DrawnSource
from facekp.data.pts import PtsSource
from facekp.data.source import Source
from facekp.errors import UserError

#: `type` of a source -> its options, which load it.
FORMATS: dict[str, type[Source]] = {
    "csv68": Csv68Source,
    "pts": PtsSource,
    "cuhk5": Cuhk5Source,
    "drawn": DrawnSource,
}


def parse_source(values: Any) -> Source:
    """Check one entry of `data.sources`.

    Args:
        values: `type`, a key of `FORMATS`, and that format's options.

    Raises:
        UserError: Unknown format or option, which lists the valid ones, or a wrong value.

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
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            valid = ", ".join(name for name in FORMATS[name].model_fields if name != "type")
            raise UserError(f"format {name}: unknown option {key}; known are {valid}") from error
        raise UserError(f"format {name}: {key}: {first['msg']}") from error
