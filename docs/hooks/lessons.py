"""MkDocs hook: runs the lessons and makes pages of them.

A lesson is a jupytext notebook, docs/lessons/NAME.py; NAME.zh.py is the same code with Chinese text. The code runs
once, in a kernel of its own, and an error in it stops the build. What it showed is kept in build/lessons/ until the
lesson or the package changes.
"""

from __future__ import annotations

import ast
import base64
import hashlib
import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jupytext
import nbformat
from mkdocs.exceptions import PluginError
from mkdocs.plugins import event_priority
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

sys.path.insert(0, str(Path(__file__).parent))
from links import add

ROOT = Path(__file__).resolve().parents[2]
LESSONS = ROOT / "docs" / "lessons"
CACHE = ROOT / "build" / "lessons"
SECONDS = 600  # no cell takes longer
DOWNLOAD = {
    "en": '<a href="{name}.ipynb" download>Download this notebook</a> · <a href="{name}.py" download>as a script</a>',
    "zh": '<a href="{name}.ipynb" download>下载本课 notebook</a> · <a href="{name}.py" download>脚本</a>',
}

SUFFIXES = {"en": "", "zh": ".zh"}
_pages: dict[str, dict[str, str | bytes]] = {language: {} for language in SUFFIXES}  # language -> URI -> content


def on_startup(command, dirty):
    """Run the lessons; two at a time."""
    names = sorted(path.stem for path in LESSONS.glob("*.py") if "." not in path.stem)
    with ThreadPoolExecutor(2) as pool:
        for name, notebook in zip(names, pool.map(executed, names)):
            for language, suffix in SUFFIXES.items():
                suffix = suffix if (LESSONS / f"{name}{suffix}.py").is_file() else ""
                told = _with_outputs(LESSONS / f"{name}{suffix}.py", notebook)
                _pages[language].update(render(name, suffix, language, told))


@event_priority(-150)  # after i18n, before links
def on_files(files, config):
    """Add the pages and pictures."""
    for uri, content in _pages[config.plugins["i18n"].current_language].items():
        add(files, config, uri, content)
    return files


def executed(name: str) -> nbformat.NotebookNode:
    """A lesson with what its code shows."""
    notebook = jupytext.read(LESSONS / f"{name}.py")
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    digest = hashlib.sha256("\n\n".join(code).encode())
    for source in sorted((ROOT / "facekp").rglob("*.py")):
        digest.update(source.read_bytes())
    kept = CACHE / f"{name}-{digest.hexdigest()[:16]}.ipynb"
    if kept.is_file():
        return nbformat.read(kept, 4)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        NotebookClient(notebook, timeout=SECONDS, kernel_name="python3").execute(cwd=str(LESSONS))
    except CellExecutionError as error:
        raise PluginError(f"docs/lessons/{name}.py: {error}") from None
    CACHE.mkdir(parents=True, exist_ok=True)
    for old in CACHE.glob(f"{name}-*.ipynb"):
        old.unlink()
    nbformat.write(notebook, kept)
    return notebook


def _with_outputs(path: Path, run: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A lesson's file with the outputs of the run."""
    text = jupytext.read(path)
    cells = [[cell for cell in notebook.cells if cell.cell_type == "code"] for notebook in (text, run)]
    if len(cells[0]) != len(cells[1]):
        raise PluginError(f"{path.name}: has not as many cells of code as the English lesson")
    for cell, ran in zip(*cells):
        if ast.dump(ast.parse(cell.source)) != ast.dump(ast.parse(ran.source)):
            raise PluginError(f"{path.name}: other code than the English lesson's:\n{cell.source}")
        cell.outputs, cell.execution_count = ran.outputs, ran.execution_count
    return text


def render(name: str, suffix: str, language: str, notebook: nbformat.NotebookNode) -> dict[str, str | bytes]:
    """A lesson as a page, its pictures and the notebook: URI -> content."""
    parts, files, heading = [], {}, []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
            heading = re.findall(r"^#+ (.*)$", cell.source, re.MULTILINE)[-1:] or heading
            continue
        parts.append(f"```python\n{cell.source}\n```")
        for output in cell.outputs:
            data = output.get("data", {})
            kind = next((kind for kind in ("image/jpeg", "image/png") if kind in data), None)
            printed = output.get("text", data.get("text/plain", "")) if output.get("name") != "stderr" else ""
            if kind:
                picture = f"{name}_{len(files) + 1}.{kind[6:]}"
                files[f"lessons/{picture}"] = base64.b64decode(data[kind])
                parts.append(f"![{''.join(heading)}]({picture})")
            elif printed.strip():
                parts.append(f'<div class="output" markdown>\n\n```text\n{_plain(printed)}\n```\n\n</div>')
    parts.insert(1, DOWNLOAD[language].format(name=name))
    return {
        f"lessons/{name}{suffix}.md": "\n\n".join(parts),
        f"lessons/{name}{suffix}.ipynb": nbformat.writes(notebook).encode(),
        **files,
    }


def _plain(text: str) -> str:
    """Printed text without colours, and with the last state of lines that were overwritten."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    return "\n".join(line.rsplit("\r", 1)[-1] for line in text.rstrip().split("\n"))
