import json
import re
import socket
import struct
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

from facekp.commands.main import execute
from facekp.errors import UserError
from facekp.inference.export import can_write_onnx
from facekp.web import page as page_module
from facekp.web.page import NETWORK, SHIPPED_NETWORK, find_page, write_page
from facekp.web.server import GOODBYE, HEADERS, POLICY, PageHandler, listen, open_server


@pytest.fixture
def page(tmp_path):
    folder = tmp_path / "page"
    (folder / NETWORK).mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html>the page")
    (folder / "engine.js").write_text("export {}")
    (folder / "run.wasm").write_bytes(b"\0asm")
    (folder / NETWORK / "recipe.json").write_text('{"finds": "points"}')
    (tmp_path / "secret.txt").write_text("not for the browser")
    return folder


@contextmanager
def served(page, network=None):
    """Run a server and yield its address; all its threads have ended after the block."""
    with open_server(page, network, listen("127.0.0.1", 0)) as server:
        server.daemon_threads = False
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        try:
            yield server.socket.getsockname()
        finally:
            server.shutdown()


@pytest.fixture
def ask(page):
    def ask(path, network=None):
        with (
            served(page, network) as (host, port),
            urllib.request.urlopen(f"http://{host}:{port}{path}", timeout=20) as answer,
        ):
            return answer.headers, answer.read()

    return ask


def test_the_page_comes_with_the_headers_that_threads_need(ask):
    headers, body = ask("/")
    assert body == b"<!doctype html>the page"
    for name, value in HEADERS.items():
        assert headers[name] == value


def test_the_policy_is_the_pages_own():
    text = Path("web/src/app/policy.ts").read_text(encoding="utf-8")
    assert tuple(re.findall(r'^ +"(.*)",$', text, re.MULTILINE)) == POLICY


@pytest.mark.parametrize(("path", "kind"), [("/engine.js", "text/javascript"), ("/run.wasm", "application/wasm")])
def test_files_have_the_types_that_browsers_insist_on(ask, path, kind):
    assert ask(path)[0]["Content-Type"] == kind


@pytest.mark.parametrize(
    "path",
    ["/../secret.txt", "/%2e%2e/secret.txt", "/none.js", "/models", f"/{NETWORK}/../../x", "/%00", "/%ed%a0%80"],
)
def test_nothing_else_is_served(ask, path):
    with pytest.raises(urllib.error.HTTPError) as caught:
        ask(path)
    assert caught.value.code in (400, 404)


def test_another_network_takes_the_place_of_the_shipped_one(ask, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "recipe.json").write_text('{"finds": "my points"}')
    assert json.loads(ask(f"/{NETWORK}/recipe.json", mine)[1]) == {"finds": "my points"}
    (tmp_path / "index.html").write_text("of another folder")
    for name in ("..%2f..%2fsecret.txt", "../", "..", "", "%00", "run.wasm"):
        with pytest.raises(urllib.error.HTTPError) as caught:
            ask(f"/{NETWORK}/{name}", mine)
        assert caught.value.code == 404


def test_the_shipped_network_is_served_as_well_for_its_scores(ask, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "recipe.json").write_text("{}")
    assert ask(f"/{NETWORK}/recipe.json", mine)[1] == b"{}"
    assert ask(f"/{SHIPPED_NETWORK}/recipe.json", mine)[1] == b'{"finds": "points"}'


def test_a_server_that_ends_leaves_no_service_worker(ask, page):
    (page / "service-worker.js").write_text("one that keeps the page")
    headers, body = ask("/service-worker.js?x")
    assert body == GOODBYE and b"unregister" in body
    assert headers["Content-Type"] == "text/javascript" and headers["Cache-Control"] == "no-cache"


def test_a_client_that_disconnects_is_not_reported(page, capsys):
    (page / "large.bin").write_bytes(bytes(20 << 20))
    with served(page) as address, socket.create_connection(address) as client:
        client.sendall(b"GET /large.bin HTTP/1.1\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.0 200")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()  # at once, with a reset
    assert capsys.readouterr().err == ""


def test_a_silent_client_is_not_waited_for(page, monkeypatch):
    assert PageHandler.timeout <= 60
    monkeypatch.setattr(PageHandler, "timeout", 0.1)
    with served(page) as address, socket.create_connection(address, timeout=20) as client:
        assert client.recv(100) == b""


@pytest.mark.parametrize("host", ["127.0.0.1", "ü..b"])
def test_an_address_that_cannot_be_had_is_one_line(host):
    with listen("127.0.0.1", 0) as taken, pytest.raises(UserError, match=r"cannot listen there.*--port"):
        listen(host, taken.getsockname()[1])
    with pytest.raises(UserError, match="cannot listen there"):
        listen(host, 99999)
    with pytest.raises(UserError, match="--host: is empty"):
        listen("", 0)  # would mean every address


def test_a_static_folder_is_whole_and_never_overwrites(page, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "recipe.json").write_text("{}")
    worker = 'JSON.parse("{\\"version\\":\\"3130ae52e581e2d5\\",\\"files\\":[]}")'
    (page / "service-worker.js").write_text(worker)
    write_page(page, mine, tmp_path / "host" / "site")
    renewed = (tmp_path / "host" / "site" / "service-worker.js").read_text()
    assert renewed != worker and re.sub("[0-9a-f]{16}", "", renewed) == re.sub("[0-9a-f]{16}", "", worker)
    (mine / "recipe.json").write_text("[]")
    write_page(page, mine, tmp_path / "host" / "other")
    assert (tmp_path / "host" / "other" / "service-worker.js").read_text() not in (worker, renewed)
    (mine / "recipe.json").write_text("{}")
    write_page(page, None, tmp_path / "host" / "plain")
    assert (tmp_path / "host" / "plain" / "service-worker.js").read_text() == worker
    assert (tmp_path / "host" / "site" / "index.html").read_bytes() == (page / "index.html").read_bytes()
    assert (tmp_path / "host" / "site" / NETWORK / "recipe.json").read_text() == "{}"
    assert (tmp_path / "host" / "site" / SHIPPED_NETWORK / "recipe.json").read_text() == '{"finds": "points"}'
    with pytest.raises(UserError, match="exists already"):
        write_page(page, None, tmp_path / "host" / "site")
    with pytest.raises(UserError, match="cannot be written"):
        write_page(page, None, tmp_path / "secret.txt" / "site")


def test_a_page_that_is_not_built_names_the_commands(tmp_path, monkeypatch):
    monkeypatch.setattr(page_module, "_INSTALLED", tmp_path / "page")
    monkeypatch.setattr(page_module, "_SOURCE", tmp_path / "web")
    with pytest.raises(UserError, match="install from a clone"):
        find_page()
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "package.json").write_text("{}")
    with pytest.raises(UserError, match=r"npm ci && npm run build"):
        find_page(build=False)


@pytest.mark.skipif(not can_write_onnx(), reason="needs the extra [onnx]")
def test_a_network_just_trained_is_put_into_the_page(page, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(page_module, "_INSTALLED", page)
    weights = "facekp/shipped/face_crop_light.safetensors"
    execute("serve", ["--weights", weights, "--build", str(tmp_path / "site")])
    recipe = json.loads((tmp_path / "site" / NETWORK / "recipe.json").read_text())
    assert recipe["recipe"]["schema"]["name"] == "ibug68"
    assert (tmp_path / "site" / NETWORK / "model.onnx").stat().st_size > 1e6
    with pytest.raises(SystemExit):
        execute("serve", ["--weights", "facekp/shipped/face_detector.safetensors", "--build", str(tmp_path / "no")])
    assert "finds boxes, not points" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()
