"""Serve the page that puts stickers on faces in the browser: live, on photos and on videos.

Nothing leaves the device: the networks run in the browser. In a clone the page is built first if necessary and if
npm is installed.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
import webbrowser
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from facekp.errors import FacekpWarning, UserError
from facekp.extras import missing

if TYPE_CHECKING:
    import uvicorn

EXAMPLE = "example: facekp serve --weights output/face_crop_light/best.safetensors"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    parser.add_argument("--weights", type=Path, help="a landmark network to use in place of the shipped one")
    parser.add_argument(
        "--build", type=Path, metavar="DIR", help="write the page as a folder for any web host, and exit"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s: this machine only)")
    parser.add_argument("--port", type=int, default=8080, help="(%(default)s; 0: a free one)")
    parser.add_argument(
        "--api", action="store_true", help="also serve an HTTP API: POST /v1/landmarks, /v1/stickers; /docs"
    )
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser")


def run(args: argparse.Namespace) -> None:
    """Find or build the page, export the network and start the server."""
    from facekp.web.page import find_page, write_page
    from facekp.web.server import listen, open_server

    api = args.api and args.build is None
    page = network = None
    try:
        page = find_page()
    except UserError as error:
        if not api:
            raise
        warnings.warn(f"the page is not served: {error}", FacekpWarning, stacklevel=2)
    with ExitStack() as stack:
        if args.weights is not None:
            from facekp.inference.export import export
            from facekp.recipes import read_recipe

            read_recipe(args.weights)  # it must be a landmark network
            if page is not None:
                network = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                export(args.weights, network, ["onnx"])
        if args.build is not None:
            assert page is not None
            write_page(page, network, args.build)
            print(args.build)
            return
        server = _api_server(args.weights, page, network) if api else None
        listener = stack.enter_context(listen(args.host, args.port))
        host = f"[{args.host}]" if ":" in args.host else args.host
        address = f"http://{host}:{listener.getsockname()[1]}/"
        addresses = [address] * (page is not None) + [f"{address}docs"] * api
        print(" and ".join(addresses), "(Ctrl-C ends it)", flush=True)
        if not args.no_browser:
            webbrowser.open(addresses[0])
        with suppress(KeyboardInterrupt):
            if server is not None:
                server.run(sockets=[listener])
            else:
                assert page is not None
                open_server(page, network, listener).serve_forever()


def _api_server(weights: Path | None, page: Path | None, network: Path | None) -> uvicorn.Server:
    """Return a server for the API, and the page if there is one, ready to run."""
    try:
        import uvicorn

        from facekp.web.api import build_api
    except ImportError as error:
        raise missing(error.name, "--api") from error
    from facekp.inference.landmarker import Landmarker
    from facekp.loading import load_landmarker

    landmarker = load_landmarker(weights)
    assert isinstance(landmarker, Landmarker)
    return uvicorn.Server(uvicorn.Config(build_api(landmarker, page, network), log_level="warning"))
