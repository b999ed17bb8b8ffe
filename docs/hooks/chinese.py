"""MkDocs hook: a line break between two Chinese characters, or behind Chinese punctuation, is no space."""

from __future__ import annotations

import re

CHINESE = "\u3001-\u9fff\uff01-\uff60"
PUNCTUATION = "\u3001\u3002\uff01-\uff1f"
NO_LIST_OR_CODE = r"(?!\d+\. |```)"
CODE_OR_BREAK = re.compile(
    rf"^ *(`{{3,}}).*?^ *\1$"
    rf"|(?<=[{CHINESE}])\n *(?:> )?(?=\[?[{CHINESE}])"
    rf"|(?<=[{PUNCTUATION}])\n *(?:> )?{NO_LIST_OR_CODE}(?=[\w`\[“]|\*\*)",
    re.DOTALL | re.MULTILINE,
)


def on_page_markdown(markdown, page, config, files):
    """Join the lines, but not those of code."""
    return CODE_OR_BREAK.sub(lambda match: match[0] if match[1] else "", markdown)
