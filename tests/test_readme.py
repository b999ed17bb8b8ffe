"""README and guides: CI runs the commands, and the linked files and imported names exist."""

import ast
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
READMES = sorted(ROOT.glob("README*.md"))
CHINESE = [ROOT / "README.zh-CN.md", *sorted((ROOT / "docs").rglob("*.zh.md"))]
GUIDES = [*READMES, *sorted((ROOT / "docs").rglob("*.md"))]


def first_commands(text):
    return [line for line in re.search(r"```bash\n(.*?)```", text, re.S).group(1).splitlines() if line]


@pytest.mark.parametrize("path", READMES, ids=lambda path: path.name)
def test_ci_runs_the_first_commands(path):
    ci = (ROOT / ".ci" / "run").read_text()
    commands = first_commands(path.read_text(encoding="utf-8"))
    assert len(commands) == 2
    for command in commands:
        in_environment = command.split("&& ", 2)[-1] if command.startswith("python3 -m venv") else command
        assert in_environment in ci


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: str(path.relative_to(ROOT)))
def test_linked_files_exist(path):
    links = re.findall(r"\]\(([^)#\s]+)\)|src=\"([^\"]+)\"", path.read_text(encoding="utf-8"))
    local = [a or b for a, b in links if "://" not in (a or b)]
    missing = [link for link in local if not (path.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_python_examples_import_is_there(path):
    blocks = re.findall(r"^```python\n(.*?)^```", path.read_text(encoding="utf-8"), re.S | re.M)
    for node in (node for block in blocks for node in ast.walk(ast.parse(block))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                importlib.import_module(alias.name)
        elif isinstance(node, ast.ImportFrom) and node.module:
            module = importlib.import_module(node.module)
            missing = [alias.name for alias in node.names if not hasattr(module, alias.name)]
            assert not missing, node.module


@pytest.mark.parametrize("path", CHINESE, ids=lambda path: str(path.relative_to(ROOT)))
def test_chinese_pages_have_the_parts_of_the_english_ones(path):
    def parts(page):
        text = page.read_text(encoding="utf-8")
        code = "\n".join(re.findall(r"^ *```.*?```", text, re.S | re.M))
        links = re.findall(r"\]\(([^)]+)\)", text)
        return {
            "headings": re.findall(r"^#+ ", text, re.M),
            "code": re.sub(r" *# .*| --language en", "", code).splitlines(),  # comments are translated
            "cells of tables": [row.count("|") for row in re.findall(r"^\|.*", text, re.M)],
            "pictures": re.findall(r"^!\[.*\]\((.*)\)", text, re.M),
            "links": sorted(re.sub(r"\.zh(-CN)?\.", ".", link) for link in links),
        }

    english = path.with_name(path.name.replace(".zh-CN.", ".").replace(".zh.", "."))
    assert parts(path) == parts(english)


@pytest.mark.parametrize("path", CHINESE, ids=lambda path: str(path.relative_to(ROOT)))
def test_chinese_pages_link_to_chinese_pages(path):
    links = re.findall(r"\]\(([^)#\s:]+)", path.read_text(encoding="utf-8"))
    assert not [link for link in links if (path.parent / link).with_suffix(".zh.md").exists()]
