"""MkDocs hook: pages for the files outside of docs/ that pages link to.

The documents in the root of the repository (`PAGES`) and every file or folder that a page links to get a page, so that
the site needs no other host and the same links work where the repository itself is browsed. A link to a lesson's file
leads to its page.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.plugins import event_priority
from mkdocs.structure.files import File
from mkdocs_static_i18n.suffix import create_i18n_file

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
LINK = re.compile(r"(\]\()([^)#\s:]+)([^)]*\))")
LANGUAGES = {".py": "python", ".yml": "yaml", ".json": "json", ".ts": "ts", "": "bash"}


def on_config(config):
    """Watch what is read."""
    config.watch.extend(str(ROOT / name) for name in PAGES)


@event_priority(-200)  # after i18n, which drops the content of generated files
def on_files(files, config):
    """Add the pages."""
    texts = {name: (ROOT / name).read_text(encoding="utf-8") for name in PAGES}
    pages = {file.src_uri: file.content_string for file in files.documentation_pages()}
    for uri, text in {**pages, **texts}.items():
        for link in LINK.finditer(text):
            path = _outside(uri, link[2])
            if path is not None:
                texts[_uri(path)] = _source(path)
    for uri, text in texts.items():
        add(files, config, uri, text)
    return files


def on_page_markdown(markdown, page, config, files):
    """Point links at the pages."""

    def point(link: re.Match) -> str:
        path = (_folder(page.file.src_uri) / link[2]).resolve()
        uri = _uri(path) if _outside(page.file.src_uri, link[2]) else None
        if page.file.src_uri in PAGES and path.is_relative_to(ROOT / "docs"):
            uri = path.relative_to(ROOT / "docs").as_posix()
        if path.parent == ROOT and path.name in PAGES:
            uri = path.name
        if path.parent == ROOT / "docs" / "lessons" and path.suffix == ".py":
            uri = f"lessons/{path.name.split('.')[0]}.md"  # in the language of the page
        here = posixpath.dirname(page.file.src_uri)
        return link[1] + (posixpath.relpath(uri, here or ".") if uri else link[2]) + link[3]

    return LINK.sub(point, markdown)


def add(files, config, uri: str, content: str | bytes) -> None:
    """Add a page or a picture that is not a file in docs/, for the language that is being built."""
    i18n = config.plugins["i18n"]
    file = File(uri, config.docs_dir, config.site_dir, config.use_directory_urls)
    file = create_i18n_file(file, i18n.current_language, i18n.default_language, i18n.all_languages, config)
    if isinstance(content, str):
        file.content_string = content
    else:
        file.content_bytes = content
    files.append(file)


def _folder(uri: str) -> Path:
    return ROOT if uri in PAGES else (ROOT / "docs" / uri).parent


def _outside(uri: str, link: str) -> Path | None:
    """What a page links to outside of docs/, if it has no page of its own."""
    path = (_folder(uri) / link).resolve()
    inside = path.is_relative_to(ROOT / "docs") or (path.parent == ROOT and path.name in PAGES)
    return path if path.exists() and path.is_relative_to(ROOT) and not inside else None


def _uri(path: Path) -> str:
    return f"source/{path.relative_to(ROOT).as_posix().lstrip('.')}.md"  # MkDocs omits names that begin with a dot


def _source(path: Path) -> str:
    """A file as a page, or the names in a folder."""
    name = path.relative_to(ROOT).as_posix()
    if path.is_dir():
        names = sorted(f"{p.name}/" if p.is_dir() else p.name for p in path.iterdir() if p.name[0] not in "._")
        return f"# {name}/\n\n" + "\n".join(f"- `{entry}`" for entry in names)
    language = LANGUAGES.get(path.suffix, "text")
    return f"# {name}\n\n````` {language}\n{path.read_text(encoding='utf-8')}\n`````\n"
