import asyncio
import socket
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np
import pytest

from facekp.loading import load_landmarker

pytest.importorskip("fastapi", reason="needs the extra [serve]")
import httpx
from fastapi.testclient import TestClient

from facekp.web import api as api_module
from facekp.web.page import NETWORK, SHIPPED_NETWORK
from facekp.web.server import HEADERS

PHOTO = Path("assets/photos/astronaut.png").read_bytes()


@pytest.fixture(scope="module")
def client():
    return TestClient(api_module.build_api(load_landmarker(threads=1)))


def encoded(image, suffix=".png"):
    return cv2.imencode(suffix, image)[1].tobytes()


def test_landmarks_are_those_of_the_library(client):
    answer = client.post("/v1/landmarks", content=PHOTO)
    assert answer.status_code == 200
    found = answer.json()
    expected = load_landmarker(threads=1)(cv2.imread("assets/photos/astronaut.png"))
    assert (found["width"], found["height"], found["points"]) == (512, 512, "ibug68")
    # The same network on the same pixels; JSON holds float64.
    np.testing.assert_allclose([face["points"] for face in found["faces"]], expected.points, atol=1e-3)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tiff"])
def test_the_formats_that_it_promises_are_taken(client, suffix):
    photo = cv2.imread("assets/photos/astronaut.png")
    answer = client.post("/v1/landmarks", content=encoded(photo, suffix))
    assert answer.status_code == 200 and len(answer.json()["faces"]) == 1


def test_a_photo_without_a_face_has_none(client):
    answer = client.post("/v1/landmarks", content=encoded(np.zeros((60, 80, 3), np.uint8)))
    assert answer.status_code == 200 and answer.json()["faces"] == []


@pytest.mark.parametrize(("kind", "magic"), [("image/png", b"\x89PNG"), ("image/jpeg", b"\xff\xd8")])
def test_stickers_are_put_on(client, kind, magic):
    options = {"sticker": ["crown", "blush"], "format": kind}
    answer = client.post("/v1/stickers", params=options, content=PHOTO)
    assert answer.status_code == 200 and answer.headers["content-type"] == kind and answer.content.startswith(magic)
    worn = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)
    before = cv2.imread("assets/photos/astronaut.png").astype(int)
    assert worn.shape == before.shape and (np.abs(worn.astype(int) - before).max(2) > 40).sum() > 500


def bomb():
    """Return a PNG of a few bytes whose header claims 50 million pixels."""
    data = bytearray(encoded(np.zeros((1, 1, 3), np.uint8)))
    data[16:24] = (10_000).to_bytes(4, "big") + (5_000).to_bytes(4, "big")
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")  # checksum of the header
    return bytes(data)


def radiance(size):
    """Return an image in a format that OpenCV decodes, but whose size Pillow cannot read."""
    return encoded(np.zeros((size, size, 3), np.float32), ".hdr")


WRONG = {
    "empty": ("landmarks", {}, b"", 400, "the body is empty"),
    "text": ("landmarks", {}, b"this is a text called photo.jpg" * 99, 400, "not an image"),
    "cut": ("landmarks", {}, PHOTO[:2000], 400, "image"),
    "bomb": ("landmarks", {}, bomb(), 413, "25 million pixels"),
    "bomb that Pillow does not know": ("landmarks", {}, radiance(6000), 400, "send JPEG"),
    "another format": ("landmarks", {}, radiance(60), 400, "send JPEG"),
    "huge": ("landmarks", {}, b"x" * (api_module.MAX_BYTES + 1), 413, "20 MiB"),
    "no face": ("stickers", {"sticker": "crown"}, encoded(np.zeros((60, 80, 3), np.uint8)), 422, "no face"),
    "no sticker": ("stickers", {}, PHOTO, 422, "sticker"),
    "unknown sticker": ("stickers", {"sticker": "../../etc"}, PHOTO, 422, "unknown sticker"),
    "unknown format": ("stickers", {"sticker": "crown", "format": "gif"}, PHOTO, 422, "format"),
    "too many": ("stickers", {"sticker": ["crown"] * 99}, PHOTO, 422, "sticker"),
}


@pytest.mark.parametrize(("path", "options", "body", "status", "words"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_told(client, path, options, body, status, words):
    answer = client.post(f"/v1/{path}", params=options, content=body)
    assert answer.status_code == status
    assert words in str(answer.json()["detail"])


@pytest.fixture(scope="module")
def address():
    """The address of a real server."""
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(api_module.build_api(load_landmarker(threads=1)), port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        thread.join(0.05)
        assert thread.is_alive()
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


def test_each_of_many_clients_at_once_gets_the_answer_to_its_own_photo(address):
    photo = cv2.imread("assets/photos/astronaut.png")
    shifts = [8 * client for client in range(20)]  # more than are read at once
    expected = load_landmarker(threads=1)(photo).points[0].astype(float)

    def ask(shift):
        content = encoded(photo[:, shift:])
        found = httpx.post(f"{address}/v1/landmarks", content=content, timeout=300).json()
        worn = httpx.post(f"{address}/v1/stickers", params={"sticker": "crown"}, content=content, timeout=300)
        return found, worn

    with ThreadPoolExecutor(len(shifts)) as pool:
        for shift, (found, worn) in zip(shifts, pool.map(ask, shifts)):
            assert found["width"] == 512 - shift
            assert np.abs(np.array(found["faces"][0]["points"]) - expected + (shift, 0)).mean() < 2
            image = cv2.imdecode(np.frombuffer(worn.content, np.uint8), cv2.IMREAD_COLOR)
            assert image.shape == (512, 512 - shift, 3)


def test_a_photo_that_does_not_come_is_not_waited_for(address, monkeypatch):
    monkeypatch.setattr(api_module, "MAX_SECONDS", 0.1)
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(b"POST /v1/landmarks HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc")
        assert client.recv(100).startswith(b"HTTP/1.1 408")


def test_silent_clients_do_not_hold_up_others(address, monkeypatch):
    monkeypatch.setattr(api_module, "MAX_SILENCE", 0.5)
    host, port = address.removeprefix("http://").split(":")
    with ExitStack() as silent:
        for _ in range(api_module.MAX_READS):
            client = silent.enter_context(socket.create_connection((host, int(port))))
            client.sendall(b"POST /v1/landmarks HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
        content = encoded(np.zeros((60, 60, 3), np.uint8))
        started = time.monotonic()
        assert httpx.post(f"{address}/v1/landmarks", content=content, timeout=50).json()["faces"] == []
        assert time.monotonic() - started < 30  # half of the time limit of each


def test_the_page_and_the_api_have_the_headers(tmp_path):
    (tmp_path / NETWORK).mkdir(parents=True)
    (tmp_path / "index.html").write_text("the page")
    (tmp_path / NETWORK / "recipe.json").write_text("{}")
    api = TestClient(api_module.build_api(load_landmarker(threads=1), tmp_path))
    for path in ("/", f"/{NETWORK}/recipe.json", f"/{SHIPPED_NETWORK}/recipe.json", "/v1/health", "/service-worker.js"):
        answer = api.get(path)
        assert answer.status_code == 200, path
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS, path
    assert "Content-Security-Policy" not in api.get("/docs").headers


def test_no_more_photos_are_read_at_once_than_promised(monkeypatch):
    monkeypatch.setattr(api_module, "MAX_READS", 1)
    at_once, most = 0, 0

    async def read(request):
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0)
        at_once -= 1
        return encoded(np.zeros((60, 60, 3), np.uint8))

    monkeypatch.setattr(api_module, "_read", read)
    api = api_module.build_api(load_landmarker(threads=1))

    async def ask():
        transport = httpx.ASGITransport(api)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            return await asyncio.gather(*(client.post("/v1/landmarks", content=b"x") for _ in range(4)))

    assert [answer.status_code for answer in asyncio.run(ask())] == [200] * 4
    assert most == 1


def test_it_describes_itself(client):
    described = client.get("/openapi.json").json()
    assert {"/v1/landmarks", "/v1/stickers", "/v1/health"} <= described["paths"].keys()
    assert "image/*" in described["paths"]["/v1/landmarks"]["post"]["requestBody"]["content"]
    [sticker] = [each for each in described["paths"]["/v1/stickers"]["post"]["parameters"] if each["name"] == "sticker"]
    assert "crown" in sticker["schema"]["items"]["enum"]
    assert client.get("/v1/health").json()["status"] == "up"
