"""Griffe extension: "Example:" in docstrings is the section that Griffe calls "Examples:"."""

from __future__ import annotations

import re
from typing import Any

import griffe


class Examples(griffe.Extension):
    """Rename the section."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Of every class, function and module."""
        if obj.docstring:
            obj.docstring.value = re.sub(r"^( *)Example:$", r"\1Examples:", obj.docstring.value, flags=re.MULTILINE)
