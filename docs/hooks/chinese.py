"""MkDocs hook: a line break between two Chinese characters is no space."""

from __future__ import annotations

import re

BREAK = re.compile(r"(?<=[\u3001-\u9fff\uff01-\uff60])\n(?=[\u3001-\u9fff\uff01-\uff60])")


def on_page_markdown(markdown, page, config, files):
    """Join the lines."""
    return BREAK.sub("", markdown)
