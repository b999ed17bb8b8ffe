"""A server for the page: on this machine alone, with the headers that threads in WebAssembly need."""

from __future__ import annotations

from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from facekp.errors import UserError
from facekp.web.page import NETWORK

#: What the page may load and whom it may ask: nobody but its own host. As in web/src/app/policy.ts.
POLICY = (
    "default-src 'none'",
    "script-src 'self' 'wasm-unsafe-eval'",
    "worker-src 'self'",
    "connect-src 'self'",
    "style-src 'self'",
    "img-src 'self' blob:",
    "media-src 'self' blob:",
    "manifest-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
)

#: Without the first two a page gets no SharedArrayBuffer, and so no threads in WebAssembly.
HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "; ".join(POLICY),
    "Cache-Control": "no-cache",
}


_TYPES = {
    **SimpleHTTPRequestHandler.extensions_map,
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
}


class PageHandler(SimpleHTTPRequestHandler):
    """Answers with the files of the page.

    Args:
        network: A folder in place of the page's network of points, or None.
    """

    extensions_map = _TYPES

    def __init__(self, *args: Any, network: Path | None = None, **options: Any) -> None:
        self.network = network
        super().__init__(*args, **options)

    def translate_path(self, path: str) -> str:
        """A request's path -> a file."""
        name = unquote(urlsplit(path).path).lstrip("/")
        if self.network is not None and name.startswith(f"{NETWORK}/"):
            return str(self.network / Path(name).name)
        return super().translate_path(path)

    def list_directory(self, path: Any) -> None:
        """Refuse: a folder without an index is not for reading."""
        self.send_error(404)

    def end_headers(self) -> None:
        """Add `HEADERS`."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: a page asks for dozens of files."""


def open_server(page: Path, network: Path | None, host: str, port: int) -> ThreadingHTTPServer:
    """Open a server; call its `serve_forever`.

    Args:
        page: Folder of the built page.
        network: A folder that `facekp export` wrote, in place of the page's network of points, or None.
        host: Address to listen on; 127.0.0.1 is this machine alone.
        port: 0 takes a free one.

    Raises:
        UserError: The address or port cannot be had.
    """
    handler = partial(PageHandler, directory=str(page), network=network)
    try:
        return ThreadingHTTPServer((host, port), handler)
    except (OSError, OverflowError) as error:
        raise UserError(f"{host}:{port}: cannot listen there ({error}); choose another --port or --host") from error
