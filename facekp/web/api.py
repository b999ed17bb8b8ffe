"""HTTP API for landmarks and stickers, served beside the web page. Needs `pip install "facekp[serve]"`."""

from __future__ import annotations

import asyncio
import functools
import io
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, Callable, Literal, TypeVar

import cv2
import numpy as np
from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from PIL import Image
from pydantic import BaseModel

from facekp.errors import UserError, one_line
from facekp.inference.faces import Faces
from facekp.inference.landmarker import Landmarker
from facekp.io.images import PILLOWS_ERRORS, decode_and_check
from facekp.stickers import combine, list_stickers, load_sticker
from facekp.version import VERSION
from facekp.web.page import NETWORK, SERVICE_WORKER, SHIPPED_NETWORK
from facekp.web.server import GOODBYE, HEADERS

#: Maximum number of bytes, and of pixels, of an image in a request.
MAX_BYTES, MAX_PIXELS = 20 << 20, 25_000_000

#: Pillow's names of the accepted formats; it reads the size of each before decoding.
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")

#: Maximum number of photos that are read and held at once, while others wait; time limit for reading a photo in
#: seconds; time in seconds without data after which a client is rejected.
MAX_READS, MAX_SECONDS, MAX_SILENCE = 16, 60, 5

T = TypeVar("T")

#: Media type of the answer -> suffix for OpenCV's encoder.
_SUFFIXES = {"image/png": ".png", "image/jpeg": ".jpg"}

#: JSON Schema of the sticker names; an unknown name is reported in one line.
_NAMES: dict[str, Any] = {"items": {"type": "string", "enum": list_stickers()}}

_BODY = {
    "requestBody": {
        "required": True,
        "description": "The bytes of a photo: JPEG, PNG, WebP, BMP or TIFF.",
        "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}},
    }
}
_ERRORS: dict[int | str, dict[str, Any]] = {
    code: {"description": text, "content": {"application/json": {"schema": {
        "type": "object", "properties": {"detail": {}}, "required": ["detail"]}}}}
    for code, text in ((400, "not an image"), (408, "too slow"), (413, "too large"), (422, "no face, wrong parameter"))
}  # fmt: skip


class FaceOut(BaseModel):
    """A face."""

    points: list[tuple[float, float]]
    box: tuple[float, float, float, float]
    score: float


class FacesOut(BaseModel):
    """The faces of an image, largest first; x and y in pixels of the upright image."""

    width: int
    height: int
    points: str
    faces: list[FaceOut]


def build_api(landmarker: Landmarker, page: Path | None = None, network: Path | None = None) -> FastAPI:
    """Build the application for any ASGI server.

    Args:
        landmarker: Finds the faces.
        page: Folder of the built page, served at /; None: only the API is served.
        network: See `facekp.web.server.open_server`.

    Returns:
        The application. `POST /v1/landmarks` and `POST /v1/stickers` take the bytes of a photo; see `/docs`.
    """
    api = FastAPI(title="facekp", version=VERSION, description="Face landmarks, and stickers that follow them.")
    pool = ThreadPoolExecutor(os.cpu_count() or 1)  # more threads would only take memory

    @functools.cache
    def places() -> asyncio.Semaphore:
        return asyncio.Semaphore(MAX_READS)  # created late: Python 3.9 binds it to the running event loop

    async def answer(request: Request, work: Callable[[np.ndarray, Faces], T]) -> T:
        """Return the result of `work` for the photo of a request and its faces."""

        def decode_and_work(data: bytes) -> T:
            image = _decode(data)
            return work(image, landmarker(image))

        async with places():
            try:
                data = await asyncio.wait_for(_read(request), MAX_SECONDS)
            except asyncio.TimeoutError as error:
                raise HTTPException(408, f"the photo took more than {MAX_SECONDS} s to come, or nothing came for "
                                    f"{MAX_SILENCE} s") from error  # fmt: skip
            return await asyncio.get_running_loop().run_in_executor(pool, decode_and_work, data)

    @api.exception_handler(UserError)
    async def tell(request: Request, error: UserError) -> JSONResponse:
        return JSONResponse({"detail": one_line(error)}, 422)

    @api.middleware("http")
    async def add_headers(request: Request, call_next: Any) -> Response:
        response: Response = await call_next(request)
        if request.url.path not in ("/docs", "/redoc"):  # they load their script from another host
            response.headers.update(HEADERS)
        return response

    @api.get("/v1/health")
    async def health() -> dict[str, str]:
        """Return the status of the server."""
        return {"status": "up", "version": VERSION}

    @api.post("/v1/landmarks", openapi_extra=_BODY, responses=_ERRORS)
    async def landmarks(request: Request) -> FacesOut:
        """Find the landmarks of all faces of a photo."""

        def work(image: np.ndarray, faces: Faces) -> FacesOut:
            found = [FaceOut(points=points.tolist(), box=box.tolist(), score=round(score, 4))
                     for points, box, score in faces]  # fmt: skip
            return FacesOut(width=image.shape[1], height=image.shape[0], points=faces.schema.name, faces=found)

        return await answer(request, work)

    @api.post("/v1/stickers", openapi_extra=_BODY, response_class=Response,
              responses={**_ERRORS, 200: {"content": {kind: {} for kind in _SUFFIXES}}})  # fmt: skip
    async def stickers(
        request: Request,
        sticker: Annotated[list[str], Query(min_length=1, max_length=8, json_schema_extra=_NAMES)],
        format: Annotated[Literal["image/png", "image/jpeg"], Query(description="of the answer")] = "image/jpeg",
    ) -> Response:
        """Put stickers on all faces of a photo."""
        for name in sticker:  # only names of shipped stickers, no paths
            if name not in list_stickers():
                raise HTTPException(
                    422, f"unknown sticker {one_line(name)[:60]}; known are {', '.join(list_stickers())}"
                )

        def work(image: np.ndarray, faces: Faces) -> bytes:
            if not len(faces):
                raise HTTPException(422, "no face found; try a larger or clearer image of it")
            worn = combine(load_sticker(name) for name in sticker).apply(image, faces)
            return cv2.imencode(_SUFFIXES[format], worn)[1].tobytes()

        return Response(await answer(request, work), media_type=format)

    if network is not None:
        api.mount(f"/{NETWORK}", StaticFiles(directory=network))  # mounted first, as the first match answers
    if page is not None:
        api.mount(f"/{SHIPPED_NETWORK}", StaticFiles(directory=page / NETWORK, check_dir=False))
        goodbye = Response(GOODBYE, media_type="text/javascript")
        api.add_route(f"/{SERVICE_WORKER}", lambda request: goodbye, include_in_schema=False)
        api.mount("/", StaticFiles(directory=page, html=True))
    return api


async def _read(request: Request) -> bytes:
    """Return the body of a request, limited to `MAX_BYTES` independently of its headers."""
    data = bytearray()
    parts = request.stream().__aiter__()
    while True:
        try:
            data += await asyncio.wait_for(parts.__anext__(), MAX_SILENCE)
        except StopAsyncIteration:
            break
        if len(data) > MAX_BYTES:
            raise HTTPException(413, f"more than {MAX_BYTES >> 20} MiB; send a smaller image")
    if not data:
        raise HTTPException(400, "the body is empty; send the bytes of a photo")
    return bytes(data)


def _decode(data: bytes) -> np.ndarray:
    """Decode a photo from an untrusted client."""
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as file:
            pixels = file.width * file.height
    except Image.DecompressionBombError:
        pixels = MAX_PIXELS + 1
    except PILLOWS_ERRORS as error:
        raise HTTPException(400, "not an image, or damaged; send JPEG, PNG, WebP, BMP or TIFF") from error
    if pixels > MAX_PIXELS:
        raise HTTPException(413, f"more than {MAX_PIXELS // 1_000_000} million pixels; send a smaller image")
    try:
        return decode_and_check(np.frombuffer(data, np.uint8))[0]
    except ValueError as error:
        raise HTTPException(400, one_line(error)) from error
