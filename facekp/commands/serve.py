"""Serve the page that puts stickers on faces in the browser: live, on photos and on videos.

Nothing leaves the device: the networks run in the browser. In a clone the page is built first where it is not built and
npm is there.
"""

from __future__ import annotations

import argparse
import tempfile
import webbrowser
from contextlib import ExitStack, suppress
from pathlib import Path

from facekp.errors import UserError
from facekp.extras import missing

EXAMPLE = "example: facekp serve --weights output/face_crop_light/best.safetensors"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("--weights", type=Path, help="a network of points just trained, in place of the shipped one")
    parser.add_argument(
        "--build", type=Path, metavar="DIR", help="write the page as a folder for any web host, and end"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s: this machine alone)")
    parser.add_argument("--port", type=int, default=8080, help="(%(default)s; 0: a free one)")
    parser.add_argument(
        "--api", action="store_true", help="answer programs too: POST /v1/landmarks, /v1/stickers; /docs"
    )
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser")


def run(args: argparse.Namespace) -> None:
    """Find, export, serve."""
    from facekp.web.page import write_page
    from facekp.web.server import open_server

    page, network = _page(needed=not args.api or args.build is not None), None
    with ExitStack() as stack:
        if args.weights is not None:
            from facekp.inference.export import export
            from facekp.recipes import read_recipe

            read_recipe(args.weights)  # points it must find
            network = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            export(args.weights, network, ["onnx"])
        if args.api and args.build is None:
            serve_api(args, page)
            return
        assert page is not None
        if args.build is not None:
            write_page(page, network, args.build)
            print(args.build)
            return
        server = stack.enter_context(open_server(page, network, args.host, args.port))
        address = f"http://{args.host}:{server.server_port}/"
        print(f"{address} (Ctrl-C ends it)", flush=True)
        if not args.no_browser:
            webbrowser.open(address)
        with suppress(KeyboardInterrupt):
            server.serve_forever()


def _page(needed: bool) -> Path | None:
    """The built page; None where it is not part of the installation and only the API is asked for."""
    from facekp.web.page import find_page

    try:
        return find_page()
    except UserError:
        if needed:
            raise
        return None


def serve_api(args: argparse.Namespace, page: Path | None) -> None:
    """Serve the API, and the page if there is one, by uvicorn."""
    try:
        import uvicorn

        from facekp.web.api import build_api
    except ImportError as error:
        raise missing(error.name, "--api") from error
    from facekp.inference.landmarker import Landmarker
    from facekp.loading import load_landmarker

    landmarker = load_landmarker(args.weights)
    assert isinstance(landmarker, Landmarker)
    print(f"http://{args.host}:{args.port}/docs (Ctrl-C ends it)", flush=True)
    uvicorn.run(build_api(landmarker, page), host=args.host, port=args.port, log_level="warning")
