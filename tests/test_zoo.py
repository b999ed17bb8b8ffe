"""The model zoo: the index, and downloads from a local server and from a folder."""

import hashlib
import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import facekp
from facekp import loading, zoo
from facekp.errors import UserError
from facekp.inference.backends import find_weights
from facekp.io.images import read_image

ROOT = Path(__file__).resolve().parents[1]
NAME = "far"
CONTENT = {"safetensors": b"weights" * 20_000, "onnx": b"network" * 30_000}


class Server(ThreadingHTTPServer):
    """Serves `files` (path -> bytes) and logs the path, Range header and status of each request."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {}
        self.ranges = True
        self.cut = None  # close the connection after this number of bytes
        self.length = None  # Content-Length to send instead of the true one
        self.log = []
        self.url = f"http://127.0.0.1:{self.server_port}/mirror"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        site, wanted = self.server, self.headers.get("Range")
        body = site.files.get(self.path)
        start = int(wanted[len("bytes=") : -1]) if wanted and site.ranges and body else 0
        status = 404 if body is None else 206 if start else 200
        site.log.append((self.path, wanted, status))
        rest = (body or b"")[start:]
        self.send_response(status)
        self.send_header("Content-Length", site.length or str(len(rest)))
        if body is not None:
            self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()[:8]}"')
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.end_headers()
        self.wfile.write(rest[: site.cut])

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as site:
        site.files = {f"/mirror/{NAME}.{suffix}": content for suffix, content in CONTENT.items()}
        thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield site
        site.shutdown()
        thread.join()


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """An index with one model that is not installed, and an empty cache."""
    files = {s: {"size": len(c), "sha256": hashlib.sha256(c).hexdigest()} for s, c in CONTENT.items()}
    entry = {
        "finds": "points", "about": "68 points of nobody", "licence": "none", "card": "card.md", "config": "",
        "urls": ["v1/{file}", "{file}"], "files": files,
    }  # fmt: skip
    (tmp_path / "index.json").write_text(json.dumps({NAME: entry}))
    monkeypatch.setattr(zoo, "_INDEX", tmp_path / "index.json")
    monkeypatch.setenv("FACEKP_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FACEKP_ZOO", raising=False)
    zoo.models.cache_clear()
    yield tmp_path / "cache"
    zoo.models.cache_clear()


def left(cache):
    return sorted(path.name for path in cache.rglob("*") if path.is_file() and path.name != ".lock")


WHOLE = [f"{NAME}.onnx", f"{NAME}.safetensors"]


def test_a_model_is_downloaded_once_and_then_found_without_a_server(cache, server, monkeypatch):
    monkeypatch.setenv("FACEKP_ZOO", server.url)
    path = zoo.get(NAME)
    assert {suffix: path.with_suffix(f".{suffix}").read_bytes() for suffix in CONTENT} == CONTENT
    assert left(cache) == WHOLE
    # The first URL of each file does not exist, so the second is used.
    assert [(where, status) for where, _, status in server.log] == [
        ("/mirror/v1/far.safetensors", 404), ("/mirror/far.safetensors", 200),
        ("/mirror/v1/far.onnx", 404), ("/mirror/far.onnx", 200),
    ]  # fmt: skip
    monkeypatch.delenv("FACEKP_ZOO")
    assert zoo.get(NAME) == zoo.find(NAME) == find_weights(NAME) == path
    assert zoo.is_published(path) and not zoo.is_published(cache.parent / "far.safetensors")
    assert len(server.log) == 4


def test_a_folder_is_a_mirror_too(cache, monkeypatch, tmp_path):
    mirror = tmp_path / "a folder"
    mirror.mkdir()
    for suffix, content in CONTENT.items():
        (mirror / f"{NAME}.{suffix}").write_bytes(content)
    monkeypatch.setenv("FACEKP_ZOO", str(mirror))
    assert zoo.get(NAME).read_bytes() == CONTENT["safetensors"]
    assert left(cache) == WHOLE


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_that_broke_off_continues(cache, server, monkeypatch, ranges):
    monkeypatch.setenv("FACEKP_ZOO", server.url)
    server.cut, server.ranges = 100_000, ranges
    with pytest.raises(UserError, match=r"broke off after \d+ of 140000 bytes; .* is kept, run again to resume"):
        zoo.get(NAME)
    assert left(cache) == ["far.safetensors.part", "far.safetensors.part.json"]
    assert zoo.find(NAME) is None
    server.cut = None
    server.log.clear()
    assert zoo.get(NAME).read_bytes() == CONTENT["safetensors"]
    answers = [
        (wanted is not None, status) for where, wanted, status in server.log if where == "/mirror/far.safetensors"
    ]
    assert answers == [(True, 206 if ranges else 200)]
    assert left(cache) == WHOLE


@pytest.mark.parametrize("content", [b"weighty" * 20_000, b"weights" * 10_000], ids=["another", "shorter"])
def test_a_wrong_file_is_refused_and_not_kept(cache, server, monkeypatch, content):
    monkeypatch.setenv("FACEKP_ZOO", server.url)
    server.files["/mirror/far.safetensors"] = content
    with pytest.raises(UserError, match=r"(SHA-256 is|has 70000 bytes).*far\.safetensors is damaged or of another"):
        zoo.get(NAME)
    assert left(cache) == []
    server.files["/mirror/v1/far.safetensors"] = CONTENT["safetensors"]  # the URL that is tried first
    assert zoo.get(NAME).read_bytes() == CONTENT["safetensors"]


def test_a_length_that_is_no_number_is_not_believed(cache, server, monkeypatch):
    monkeypatch.setenv(zoo.MIRROR, server.url)
    server.length = "abc"
    with pytest.raises(UserError) as caught:  # an endless response to some clients, an empty one to others
        server.cut = 10
        zoo.get(NAME)
    assert "\n" not in str(caught.value)


def test_no_more_is_written_than_a_file_should_have(cache, server, monkeypatch, tmp_path):
    monkeypatch.setenv(zoo.MIRROR, server.url)
    server.files = {path: body + bytes(40 << 20) for path, body in server.files.items()}
    with pytest.raises(UserError, match="is larger than the 140000 bytes"):
        zoo.get(NAME)
    assert sum(file.stat().st_size for file in tmp_path.rglob("*") if file.is_file()) < 30 << 20


@pytest.mark.parametrize("mirror", ["ftp://host/x", "s3://bucket"])
def test_other_kinds_of_mirrors_are_refused(cache, monkeypatch, mirror):
    monkeypatch.setenv(zoo.MIRROR, mirror)
    with pytest.raises(UserError, match=r"FACEKP_ZOO: \w+:// is not supported"):
        zoo.get(NAME)


def test_a_wrong_first_file_does_not_hide_the_right_second_one(cache, server, monkeypatch):
    monkeypatch.setenv("FACEKP_ZOO", server.url)
    server.files["/mirror/v1/far.safetensors"] = b"<html>log in first</html>"
    assert zoo.get(NAME).read_bytes() == CONTENT["safetensors"]
    assert left(cache) == WHOLE


def test_several_at_once_download_once(cache, server, monkeypatch):
    monkeypatch.setenv("FACEKP_ZOO", server.url)
    with ThreadPoolExecutor(4) as pool:
        paths = set(pool.map(zoo.get, [NAME] * 4))
    assert len(paths) == 1
    assert [status for *_, status in server.log].count(200) == 2


def test_without_a_mirror_the_remedy_is_named(cache, server, monkeypatch):
    with pytest.raises(UserError, match=r"far: not part of this installation; set FACEKP_ZOO to"):
        zoo.get(NAME)
    with pytest.raises(UserError, match=r"nothing: no such model; known are far"):
        zoo.get("nothing")
    with pytest.raises(UserError, match=r"nothing: neither a model \(far\), nor a file"):
        find_weights("nothing")
    server.files.clear()
    monkeypatch.setenv("FACEKP_ZOO", server.url)
    with pytest.raises(UserError, match=r"v1/far\.safetensors: the server answered 404.*set FACEKP_ZOO to another"):
        zoo.get(NAME)
    assert not cache.exists() or left(cache) == []


def test_an_entry_without_files_is_told_what_to_do(cache):
    values = json.loads(zoo._INDEX.read_text())
    del values[NAME]["files"]
    zoo._INDEX.write_text(json.dumps(values))
    zoo.models.cache_clear()
    with pytest.raises(UserError, match=r"far: its entry in .* has no files yet; run facekp export --shipped"):
        zoo.get(NAME)


def test_adding_a_model_is_one_entry(monkeypatch, tmp_path):
    """`export --shipped` adds the files to the entry."""
    shipped = tmp_path / "shipped"
    shutil.copytree(zoo.SHIPPED, shipped)
    monkeypatch.setattr(zoo, "SHIPPED", shipped)
    monkeypatch.setattr(zoo, "CLONE", tmp_path / "zoo")
    monkeypatch.setattr(zoo, "_INDEX", shipped / "index.json")
    for suffix in zoo.models()["face_crop_light"].suffixes:
        (tmp_path / "zoo").mkdir(exist_ok=True)
        shutil.copy(shipped / f"face_crop_light.{suffix}", tmp_path / "zoo" / f"new.{suffix}")
    values = json.loads((shipped / "index.json").read_text())
    values["new"] = {key: value for key, value in values["face_crop_light"].items() if key != "files"}
    (shipped / "index.json").write_text(json.dumps(values))
    zoo.models.cache_clear()
    try:
        zoo.write_index()
        assert zoo.models()["new"].files == zoo.models()["face_crop_light"].files
        zoo.verify("new")
        assert zoo.find("new") == tmp_path / "zoo" / "new.safetensors"
    finally:
        monkeypatch.undo()
        zoo.models.cache_clear()


def test_a_cache_that_cannot_be_written_to_is_named(cache, monkeypatch):
    cache.write_text("a file")
    with pytest.raises(UserError, match=r"cache.*set FACEKP_CACHE to another folder"):
        zoo.get(NAME)


def test_a_damaged_file_in_the_cache_is_found_by_verify(cache, server, monkeypatch):
    monkeypatch.setenv("FACEKP_ZOO", server.url)
    path = zoo.get(NAME)
    zoo.verify(NAME)
    path.write_bytes(CONTENT["safetensors"][:-1] + b"?")
    with pytest.raises(UserError, match=r"far\.safetensors: its SHA-256 is .*; delete it and download it again"):
        zoo.verify(NAME)


def test_another_release_of_a_model_has_another_folder(cache):
    before = zoo._folder(NAME)
    values = json.loads(zoo._INDEX.read_text())
    values[NAME]["files"]["onnx"]["sha256"] = "0" * 64
    zoo._INDEX.write_text(json.dumps(values))
    zoo.models.cache_clear()
    assert zoo._folder(NAME) != before


@pytest.mark.parametrize(
    ("key", "value"), [("licence", None), ("urls", []), ("files", {"onnx": {"size": 1, "sha256": "x"}}), ("more", 1)]
)
def test_a_damaged_index_is_named(cache, key, value):
    values = json.loads(zoo._INDEX.read_text())
    values[NAME][key] = value
    zoo._INDEX.write_text(json.dumps(values))
    zoo.models.cache_clear()
    with pytest.raises(UserError, match=rf"index\.json: is damaged \({NAME}: .*{key}"):
        zoo.models()


def test_the_files_of_this_clone_are_what_the_index_says():
    """After a change of weights, run python tools/export.py --shipped --int8 PHOTOS."""
    for name, model in zoo.models().items():
        assert set(model.files) == set(model.suffixes)
        assert (ROOT / "configs" / f"{model.config}.yml").is_file()
        assert zoo.find(name) is not None
        zoo.verify(name)
    files = {
        path for folder in (zoo.SHIPPED, zoo.CLONE) for suffix in zoo.SUFFIXES for path in folder.glob(f"*.{suffix}")
    }
    assert files == {
        weights.with_suffix(f".{suffix}")
        for name, weights in zoo.own_weights().items()
        for suffix in zoo.models()[name].suffixes
    }
    assert zoo.find("face_detector") == zoo.SHIPPED_DETECTOR
    assert zoo.find(loading.DEFAULT).parent == zoo.SHIPPED  # part of the wheel
    assert zoo.find("sam_googlenet_bn").stat().st_size <= 15e6


def test_a_downloaded_model_gives_the_points_of_the_clones(monkeypatch, tmp_path):
    image = read_image(ROOT / "assets" / "photos" / "astronaut.png")
    expected = facekp.load_landmarker("sam_googlenet_bn")(image)
    monkeypatch.setenv("FACEKP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FACEKP_ZOO", str(zoo.CLONE))
    monkeypatch.setattr(zoo, "CLONE", tmp_path)
    landmarker = facekp.load_landmarker("sam_googlenet_bn")
    assert type(landmarker.backend).__name__ == "OnnxBackend"
    assert (landmarker(image).points == expected.points).all()


def test_the_command_lists_gets_and_checks(run_tool, refuses, cache, server, monkeypatch):
    assert "no; --get NAME\n    68 points of nobody; card.md\n" in run_tool("models").stdout
    assert "set FACEKP_ZOO" in refuses("models", "--get", NAME)
    monkeypatch.setenv("FACEKP_ZOO", server.url)
    assert run_tool("models", "--get", NAME).stdout.strip() == str(zoo.find(NAME))
    assert "downloaded" in run_tool("models").stdout
    assert "match the index" in run_tool("models", "--check").stdout
    zoo.find(NAME).write_bytes(b"?")
    assert "has 1 bytes, not 140000" in refuses("models", "--check")
