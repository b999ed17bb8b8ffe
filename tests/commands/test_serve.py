"""`facekp serve` as a process: its output, its exit and its responses."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

from facekp.inference.export import can_write_onnx
from facekp.web.page import NETWORK

ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = ROOT / "facekp" / "shipped" / "face_crop_light.safetensors"

#: The command with a page of the tests: the first argument is a folder that has it as `page`, or its source as `web`.
CODE = """
import sys
from pathlib import Path
from facekp.commands.main import execute
from facekp.web import page
page._INSTALLED, page._SOURCE = Path(sys.argv[1], "page"), Path(sys.argv[1], "web")
execute("serve", sys.argv[2:], "serve")
"""


def started(folder, *arguments, **environment):
    return subprocess.Popen(
        [sys.executable, "-c", CODE, str(folder), *map(str, arguments)], cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )  # fmt: skip


def refused(folder, *arguments):
    """Return what the command printed and the one line on stderr with which it refuses to start."""
    process = started(folder, *arguments)
    printed, stderr = process.communicate(timeout=240)
    assert process.returncode == 2, stderr
    [line] = stderr.splitlines()
    return printed, line


@contextmanager
def serving(folder, *arguments, **environment):
    """Run a server; yield its printed lines, the last one with its addresses; at the end the lines of stderr follow."""
    process = started(folder, "--port", 0, *arguments, **environment)
    try:
        printed = []
        for line in process.stdout:
            printed.append(line)
            if "Ctrl-C" in line:
                break
        yield printed
    finally:
        process.terminate()
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    assert "Traceback" not in stderr
    printed.extend(stderr.splitlines())


def get(address):
    with urllib.request.urlopen(address, timeout=60) as answer:
        return answer.read()


@pytest.fixture
def page(tmp_path):
    network = tmp_path / "page" / NETWORK
    network.mkdir(parents=True)
    (tmp_path / "page" / "index.html").write_text("the page")
    (network / "recipe.json").write_text('{"finds": "points"}')
    return tmp_path


@pytest.fixture
def browser(tmp_path):
    """Variables that select a browser which writes the given address to a file."""
    script = tmp_path / "browser"
    script.write_text(f'#!/bin/sh\nprintf %s "$1" > "{tmp_path}/shown"\n')
    script.chmod(0o755)
    return {"BROWSER": f"{script} %s"}


@pytest.fixture(params=[[], ["--api"]], ids=["page", "api"])
def api(request):
    if request.param:
        pytest.importorskip("fastapi", reason="needs the extra [serve]")
    return request.param


def test_the_address_is_printed_and_shown(page, browser, api):
    with serving(page, *api, **browser) as printed:
        address = re.match(r"http://127\.0\.0\.1:[1-9]\d*/", printed[-1]).group()
        assert (f"{address}docs" in printed[-1]) == bool(api)
        assert get(address) == b"the page"
        assert (page / "shown").read_text() == address


def test_no_browser_is_started_unasked(page, browser, api):
    with serving(page, *api, "--no-browser", **browser) as printed:
        assert get(printed[-1].split()[0]) == b"the page"
        assert not (page / "shown").exists()


@pytest.mark.skipif(not can_write_onnx(), reason="needs the extra [onnx]")
def test_the_page_of_the_api_has_the_users_network(page):
    pytest.importorskip("fastapi", reason="needs the extra [serve]")
    with serving(page, "--api", "--no-browser", "--weights", WEIGHTS) as printed:
        address = printed[-1].split()[0]
        recipe = json.loads(get(f"{address}{NETWORK}/recipe.json"))
        assert recipe["recipe"]["schema"]["name"] == "ibug68"
        assert len(get(f"{address}{NETWORK}/model.onnx")) > 1e6
        assert get(address) == b"the page"


def test_an_address_that_cannot_be_had_is_one_line(page, api):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        for port in (taken.getsockname()[1], 99999):
            printed, line = refused(page, *api, "--port", port)
            assert printed == "" and "cannot listen there" in line


@pytest.fixture
def source(tmp_path):
    """Source of a page that npm builds quickly and without network access."""
    if shutil.which("npm") is None:
        pytest.skip("needs npm")
    web = tmp_path / "web"
    web.mkdir()
    build = "mkdir dist && cp page.html dist/index.html"
    (web / "page.html").write_text("the page")
    (web / "package.json").write_text(json.dumps({"name": "web", "version": "1.0.0", "scripts": {"build": build}}))
    (web / "package-lock.json").write_text(
        json.dumps({"name": "web", "version": "1.0.0", "lockfileVersion": 3, "packages": {"": {"name": "web"}}})
    )
    return web


def test_building_the_page_is_told(source, api):
    with serving(source.parent, *api, "--no-browser") as printed:
        assert len(printed) == 2 and printed[0].startswith(f"building the page in {source}")
        assert get(printed[-1].split()[0]) == b"the page"


def test_a_page_that_cannot_be_built_is_told(source):
    (source / "package-lock.json").unlink()
    printed, line = refused(source.parent)
    assert "building the page" in printed and "npm ci failed" in line


def test_the_api_serves_without_the_page_and_tells_why(source):
    pytest.importorskip("fastapi", reason="needs the extra [serve]")
    (source / "package-lock.json").unlink()
    with serving(source.parent, "--api", "--no-browser") as printed:
        docs = printed[-1].split()[0]
        assert docs.endswith("/docs")
        assert json.loads(get(docs.replace("/docs", "/v1/health")))["status"] == "up"
    [line] = printed[2:]
    assert line.startswith("warning: the page is not served: npm ci failed")
