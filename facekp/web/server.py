"""Local HTTP server for the web page, with the headers that threads in WebAssembly need."""

from __future__ import annotations

import io
import os
import socket
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO

from facekp.errors import UserError
from facekp.web.page import NETWORK, SERVICE_WORKER, SHIPPED_NETWORK

#: Content Security Policy: the page may load and request only from its own host. As in web/src/app/policy.ts.
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

#: Response headers. Without the first two, a page has no SharedArrayBuffer, and so no threads in WebAssembly.
HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "; ".join(POLICY),
    "Cache-Control": "no-cache",
}


#: Service worker that this server sends: it deletes its caches and unregisters itself. The page needs none here, and a
#: cached page would hide other networks, and other programs that listen on the same port later.
GOODBYE = b"""addEventListener("install", () => skipWaiting());
addEventListener("activate", (event) => event.waitUntil((async () => {
  for (const name of await caches.keys()) if (name.startsWith("facekp-")) await caches.delete(name);
  await registration.unregister();
})()));
"""

_TYPES = {
    **SimpleHTTPRequestHandler.extensions_map,
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
}


class PageHandler(SimpleHTTPRequestHandler):
    """Request handler that serves the files of the page.

    Args:
        network: Folder to replace the landmark network of the page, or None.
    """

    extensions_map = _TYPES
    timeout = 60  # seconds for which a connection may neither send nor receive

    def __init__(self, *args: Any, network: Path | None = None, **options: Any) -> None:
        self.network = network
        super().__init__(*args, **options)

    def handle(self) -> None:
        """Handle requests; a client may disconnect at any time."""
        with suppress(ConnectionError):
            super().handle()

    def send_head(self) -> BinaryIO | None:
        """Open the requested file."""
        if self.path.partition("?")[0] == f"/{SERVICE_WORKER}":
            self.send_response(200)
            self.send_header("Content-Type", "text/javascript")
            self.send_header("Content-Length", str(len(GOODBYE)))
            self.end_headers()
            return io.BytesIO(GOODBYE)
        try:
            return super().send_head()
        except ValueError:  # not a valid file name
            self.send_error(404)
            return None

    def translate_path(self, path: str) -> str:
        """Return the file for the path of a request."""
        file = super().translate_path(path)
        shipped = os.path.join(self.directory, *NETWORK.split("/"), "")
        if self.network is not None and file.startswith(shipped):
            return os.path.join(self.network, file[len(shipped) :])
        aside = os.path.join(self.directory, *SHIPPED_NETWORK.split("/"), "")
        return shipped + file[len(aside) :] if file.startswith(aside) else file

    def list_directory(self, path: Any) -> None:
        """Send 404: folders without an index are not listed."""
        self.send_error(404)

    def end_headers(self) -> None:
        """Add `HEADERS` and end the headers."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: a page requests dozens of files."""


def listen(host: str, port: int) -> socket.socket:
    """Open a listening socket.

    Args:
        host: Address to listen on; 127.0.0.1 is this machine only.
        port: Port to listen on; 0 takes a free one.

    Raises:
        UserError: The address or port is not available.
    """
    if not host:
        raise UserError("--host: is empty, which would be every address; give one, such as 127.0.0.1 or 0.0.0.0")
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, OverflowError, TypeError) as error:  # TypeError: the host cannot be encoded
        raise UserError(f"{host}:{port}: cannot listen there ({error}); choose another --port or --host") from error


def open_server(page: Path, network: Path | None, listener: socket.socket) -> ThreadingHTTPServer:
    """Create a server; call its `serve_forever` to run it.

    Args:
        page: Folder of the built page.
        network: Folder that `facekp export` wrote, to replace the landmark network of the page, or None.
        listener: Socket from `listen`; closed with the server.
    """
    handler = partial(PageHandler, directory=str(page), network=network)
    server = ThreadingHTTPServer(listener.getsockname()[:2], handler, bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    return server
