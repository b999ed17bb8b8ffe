"""PaddleHub as a source: the real paddlehub in a separate process, with small modules of our own."""

import http.server
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
from hub_modules import DIE, FIFO, HANG, RAISE, UNIT_FACE, picture, write_home, write_module

import facekp
from facekp.errors import UserError
from facekp.paddlehub import install as hub_install
from facekp.paddlehub import worker as hub_worker
from facekp.paddlehub.client import DETECTOR, MODULE, HubLandmarker, check_module

ROOT = Path(__file__).resolve().parents[2]
SPOT, OTHER = (10, 20, 50, 70), (80, 20, 100, 45)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A PaddleHub home with both modules, and a separate folder for temporary files."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr(tempfile, "tempdir", None)  # it is cached
    monkeypatch.setenv("HUB_HOME", str(tmp_path / "home"))
    return write_home(tmp_path / "home")


@pytest.fixture
def fifo(tmp_path, monkeypatch):
    """Return a function that waits until a module hangs in mid-call and returns its process."""
    os.mkfifo(tmp_path / "fifo")
    monkeypatch.setenv(FIFO, str(tmp_path / "fifo"))
    return lambda: psutil.Process(int((tmp_path / "fifo").read_text()))


@pytest.fixture
def landmarker(home, fifo, hub_environment):
    landmarker = facekp.load_landmarker("hub")
    yield landmarker
    landmarker.close()


@pytest.mark.hub
def test_shapes_dtypes_and_points_of_an_image(landmarker, home, tmp_path):
    image = picture(SPOT, OTHER)
    before = image.copy()
    faces = landmarker(image)
    np.testing.assert_array_equal(image, before)
    assert (faces.points.shape, faces.boxes.shape, faces.scores.tolist()) == ((2, 68, 2), (2, 4), [1, 1])
    assert faces.points.dtype == faces.boxes.dtype == faces.scores.dtype == np.float32
    np.testing.assert_allclose(faces.boxes, [SPOT, OTHER], atol=0.01)
    np.testing.assert_allclose(faces.points[0], UNIT_FACE * (40, 50) + (10, 20), atol=0.01)
    no_face = landmarker(picture())
    assert (len(no_face), no_face.points.shape, no_face.boxes.shape) == (0, (0, 68, 2), (0, 4))
    assert len(landmarker(image[..., 0])) == len(landmarker(np.dstack([image, image[..., :1]]))) == 2


@pytest.mark.hub
def test_it_leaves_nothing_behind(landmarker, home, tmp_path):
    before = sorted(path for path in home.rglob("*") if "__pycache__" not in path.parts)
    landmarker(picture(SPOT))
    worker = psutil.Process(landmarker._worker._process.pid)
    landmarker.close()
    assert not worker.is_running()
    assert not os.listdir(tmp_path / "temporary")
    assert before == sorted(path for path in home.rglob("*") if "__pycache__" not in path.parts)


@pytest.mark.hub
def test_it_needs_no_home_directory(home, hub_environment, monkeypatch):
    monkeypatch.setenv("HOME", "/dev/null")
    assert len(facekp.load_landmarker("hub")(picture(SPOT))) == 1


@pytest.mark.hub
def test_boxes_replace_the_modules_detector(landmarker):
    faces = landmarker(picture(OTHER), boxes=[[80, 40, 100, 60], [10, 30, 50, 70]])
    # The forehead is added at the top, and boxes are clipped to the image.
    np.testing.assert_allclose(faces.boxes, [[10, 18, 50, 70], [80, 34, 100, 60]], atol=0.01)
    np.testing.assert_allclose(landmarker(picture(), boxes=[[-9, 1, 50, 70]]).boxes, [[0, 0, 50, 70]], atol=0.01)
    assert len(landmarker(picture(SPOT), boxes=np.zeros((0, 4)))) == 0
    assert len(landmarker(picture(SPOT, OTHER))) == 2  # boxes apply to one call only


@pytest.mark.hub
def test_a_detector_of_ones_own(home, hub_environment):
    own = facekp.load_landmarker("hub", detector=lambda _: (np.array([[10, 30, 50, 70.0]]), np.array([0.25])))
    faces = own(picture(OTHER))
    np.testing.assert_allclose(faces.boxes, [[10, 18, 50, 70]], atol=0.01)
    assert faces.scores.tolist() == [0.25]


@pytest.mark.hub
@pytest.mark.parametrize("box", [[5, 5, 5, 9], [9, 9, 1, 1], [0, 0, float("nan"), 5], [500, 5, 510, 9]])
def test_empty_boxes_are_refused(landmarker, box):
    with pytest.raises(UserError, match="box 1"):
        landmarker(picture(SPOT), boxes=[[1, 1, 9, 9], box])


@pytest.mark.hub
def test_an_exception_in_the_module_is_one_line_and_the_next_call_works(landmarker):
    with pytest.raises(UserError, match=r"failed on the image: ValueError: a broken net"):
        landmarker(picture(first=RAISE))
    assert len(landmarker(picture(SPOT))) == 1


@pytest.mark.hub
def test_a_worker_that_dies_says_its_last_words(landmarker):
    with pytest.raises(UserError, match=r"killed by SIGKILL, its last line: out of memory"):
        landmarker(picture(first=DIE))
    assert len(landmarker(picture(SPOT))) == 1


@pytest.mark.hub
def test_kill_9_in_mid_call(landmarker, fifo, tmp_path):
    killer = threading.Thread(target=lambda: fifo().kill(), daemon=True)
    killer.start()
    with pytest.raises(UserError, match="SIGKILL"):
        landmarker(picture(first=HANG))
    killer.join(30)
    assert not os.listdir(tmp_path / "temporary")
    assert len(landmarker(picture(SPOT))) == 1


@pytest.mark.hub
def test_a_silent_worker_is_ended(home, hub_environment, tmp_path):
    landmarker = HubLandmarker(seconds=20)
    pid = landmarker._worker._process.pid
    landmarker._worker._seconds = 0.2
    with pytest.raises(UserError, match=r"no answer within 0.2 s"):
        landmarker(picture(first=HANG))
    assert not psutil.pid_exists(pid)
    assert not os.listdir(tmp_path / "temporary")
    assert len(landmarker(picture(SPOT))) == 1


@pytest.mark.hub
def test_no_orphan_when_we_are_killed(home, hub_environment, fifo, tmp_path):
    code = "import facekp; from hub_modules import picture, HANG; facekp.load_landmarker('hub')(picture(first=HANG))"
    with subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT / "tests")}
    ) as parent:
        worker = fifo()
        parent.kill()
    worker.wait(timeout=20)
    assert not os.listdir(tmp_path / "temporary")


@pytest.mark.hub
def test_after_a_fork_the_child_has_a_worker_of_its_own(landmarker):
    read, write = os.pipe()
    child = os.fork()
    if not child:
        found = len(landmarker(picture(SPOT)))
        landmarker.close()
        os.write(write, bytes([found]))
        os._exit(0)
    assert os.read(read, 1) == b"\x01"
    os.waitpid(child, 0)
    pid = landmarker._worker._process.pid
    assert len(landmarker(picture(SPOT, OTHER))) == 2
    assert landmarker._worker._process.pid == pid


@pytest.mark.hub
@pytest.mark.parametrize("tool", ["sticker", "predict"])
def test_the_tools(tool, home, hub_environment, tmp_path, run_tool):
    photo = tmp_path / "photo.png"
    cv2.imwrite(str(photo), picture(SPOT))
    out = tmp_path / ("out.png" if tool == "sticker" else "out")
    done = run_tool(tool, photo, "--source", "hub", "-o", out)
    assert done.returncode == 0, done.stderr
    result = cv2.imread(str(out if tool == "sticker" else out / "photo_points.png"))
    assert (result != picture(SPOT)).any()


@pytest.mark.hub
def test_a_broken_module_tells_its_own_error(home, hub_environment, refuses):
    (home / "modules" / MODULE / "module.py").open("a").write("\nimport nothing_of_that_name\n")
    line = refuses("predict", ROOT / "assets/photos/astronaut.png", "--source", "hub")
    assert "No module named 'nothing_of_that_name'" in line
    assert "facekp prepare-hub --again" in line


@pytest.mark.hub
def test_nothing_leaves_the_machine(home, hub_environment, serve, monkeypatch):
    """No telemetry and no downloads of a module, not even through a proxy."""
    asked = []

    class Proxy(NonsenseServer):
        def do_GET(self):
            asked.append(self.path)
            super().do_GET()

    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, serve(Proxy))
    landmarker = facekp.load_landmarker("hub")
    assert len(landmarker(picture(SPOT))) == 1
    landmarker.close()
    with (home / "modules" / MODULE / "module.py").open("a") as file:
        file.write("\nhub.Module(name='one_that_is_not_here')\n")
    with pytest.raises(UserError, match=r"ServerConnectionError: .*127\.0\.0\.1:9"):
        facekp.load_landmarker("hub")
    assert not asked


@pytest.mark.hub
@pytest.mark.parametrize("name", [MODULE, DETECTOR])
@pytest.mark.parametrize("version", ["1.0.2", None])
def test_missing_and_old_modules_are_named_with_the_command(name, version, tmp_path, hub_environment, monkeypatch):
    monkeypatch.setenv("HUB_HOME", str(tmp_path))
    for each in {MODULE, DETECTOR} - {name}:
        write_module(tmp_path / "modules", each)
    if version:
        write_module(tmp_path / "modules", name, version)
    with pytest.raises(UserError, match=rf"{name}.*facekp prepare-hub"):
        facekp.load_landmarker("hub")


def test_what_a_module_needs(tmp_path):
    for name in (MODULE, DETECTOR):
        write_module(tmp_path, name)
        assert check_module(tmp_path, name) == "1.1.3"
    (tmp_path / MODULE / MODULE / "model.pdiparams").unlink()
    with pytest.raises(UserError, match=r"weights of face_landmark.* are missing.*prepare-hub"):
        check_module(tmp_path, MODULE)
    (tmp_path / MODULE / "module.py").write_text("this is no Python")
    with pytest.raises(UserError, match="version unknown"):
        check_module(tmp_path, MODULE)
    write_module(tmp_path / "old", MODULE, "1.0.2")
    with pytest.raises(UserError, match=r"version 1\.0\.2 .*takes 1\.0\.3"):
        check_module(tmp_path / "old", MODULE)
    write_module(tmp_path / "newer", MODULE, "1.0.10")
    assert check_module(tmp_path / "newer", MODULE) == "1.0.10"


def test_a_python_without_paddlehub(home, monkeypatch, tmp_path):
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    monkeypatch.setenv("FACEKP_HUB_PYTHON", str(bare / "bin" / "python"))
    with pytest.raises(
        UserError, match=rf"{bare}.* lacks paddlepaddle, paddlehub,.*: .*pip install --no-deps paddlehub==.* && "
    ):
        facekp.load_landmarker("hub")


def test_a_worker_that_ends_by_itself_says_how(home, monkeypatch):
    monkeypatch.setenv("FACEKP_HUB_PYTHON", shutil.which("false"))
    with pytest.raises(UserError, match="ended with status 1"):
        facekp.load_landmarker("hub")


def test_missing_packages_are_listed(home, monkeypatch, tmp_path):
    (tmp_path / "paddlehub.py").touch()
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("FACEKP_HUB_PYTHON", str(bare / "bin" / "python"))
    with pytest.raises(
        UserError, match=r"lacks paddlepaddle, colorama.*: .*pip install paddlepaddle colorama .*pyyaml;"
    ):
        facekp.load_landmarker("hub")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("FACEKP_HUB_PYTHON", "/nowhere/python"),
        ("FACEKP_HUB_PYTHON", shutil.which("false")),
        ("FACEKP_HUB_PYTHON", str(ROOT)),
        ("FACEKP_HUB_SECONDS", "soon"),
        ("FACEKP_HUB_SECONDS", "0"),
        ("HUB_HOME", __file__),
    ],
)
def test_wrong_variables_are_named(home, monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    with pytest.raises(UserError, match=variable if variable != "FACEKP_HUB_PYTHON" else value):
        facekp.load_landmarker("hub")


def test_no_place_for_the_workers_home(home, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "file"))
    with pytest.raises(UserError, match="TMPDIR"):
        facekp.load_landmarker("hub")


def test_the_tool_ends_with_one_line(monkeypatch, refuses, tmp_path):
    monkeypatch.setenv("HUB_HOME", str(tmp_path / "nothing"))
    monkeypatch.setenv("FACEKP_HUB_PYTHON", "/nowhere/python")
    photo = ROOT / "assets" / "photos" / "astronaut.png"
    assert "/nowhere/python" in refuses("sticker", photo, "--source", "hub", "-o", tmp_path / "out.png")
    assert "/nowhere/python" in refuses("prepare_hub", "--check")


def test_messages_cut_short_end_the_conversation():
    pipe = io.BytesIO()
    hub_worker.send(pipe, {"do": "look"}, b"12345")
    for length in range(len(pipe.getvalue())):
        with pytest.raises(EOFError):
            hub_worker.receive(io.BytesIO(pipe.getvalue()[:length]))


# Fetching: from archives on disk, and from servers that respond like PaddleHub's, wrongly, or not at all.


@pytest.fixture
def archives(tmp_path):
    """Both modules as .tar.gz archives, as on their server."""
    folder = tmp_path / "archives"
    write_home(folder)
    for name in (MODULE, DETECTOR):
        with tarfile.open(folder / f"{name}.tar.gz", "w:gz") as archive:
            archive.add(folder / "modules" / name, name)
    return folder


@pytest.fixture
def serve():
    """Return a function that starts a local server with a handler and returns its address."""
    servers = []

    def start(handler):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


class HubServer(http.server.SimpleHTTPRequestHandler):
    """Handler of PaddleHub's requests: /search returns the URL of an archive."""

    def do_GET(self):
        if not self.path.startswith("/search"):
            super().do_GET()
            return
        name = next(name for name in (MODULE, DETECTOR) if f"word={name}" in self.path)
        url = f"http://127.0.0.1:{self.server.server_port}/{name}.tar.gz"
        found = {"name": name, "version": "1.1.3", "url": url, "paddle_version": "", "hub_version": ""}
        body = json.dumps({"status": 0, "data": [found]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class NonsenseServer(HubServer):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html>please log in</html>")


@pytest.mark.hub
def test_modules_come_from_the_server_and_work(archives, serve, hub_environment, run_tool, tmp_path, monkeypatch):
    monkeypatch.setenv("HUB_HOME", str(tmp_path / "fresh"))
    address = serve(partial(HubServer, directory=str(archives)))
    # In a separate process, as the download writes its progress to the same stderr.
    command = [sys.executable, "tools/prepare_hub.py", "--server", address]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert "Download" in done.stderr
    assert sorted(os.listdir(tmp_path / "fresh")) == ["modules"]
    assert sorted(os.listdir(tmp_path / "fresh" / "modules")) == sorted([MODULE, DETECTOR])
    landmarker = facekp.load_landmarker("hub")
    assert len(landmarker(picture(SPOT))) == 1
    landmarker.close()
    again = run_tool("prepare_hub", "--server", "http://127.0.0.1:9")
    assert (again.returncode, again.stderr) == (0, "")  # no request was made


@pytest.mark.hub
def test_modules_come_from_archives_and_replace_broken_ones(archives, hub_environment, run_tool, tmp_path, monkeypatch):
    monkeypatch.setenv("HUB_HOME", str(tmp_path / "fresh"))
    write_module(tmp_path / "fresh" / "modules", MODULE, "1.0.2")
    sources = [archives / f"{MODULE}.tar.gz", archives / "modules" / DETECTOR]
    done = run_tool("prepare_hub", "--from", *sources)
    assert done.returncode == 0, done.stderr
    assert "version 1.1.3" in done.stdout
    assert sorted(os.listdir(tmp_path / "fresh")) == ["modules"]
    assert run_tool("prepare_hub", "--check").returncode == 0


@pytest.mark.hub
def test_what_goes_wrong_with_the_network_is_one_line(archives, serve, hub_environment, tmp_path):
    home = tmp_path / "fresh"
    fetch = partial(hub_install.fetch_modules, hub_environment, home, 60)
    with pytest.raises(UserError, match=r"127\.0\.0\.1:9.*--from"):
        fetch(server="http://127.0.0.1:9")
    with pytest.raises(UserError, match="JSON"):
        fetch(server=serve(NonsenseServer))
    (archives / f"{MODULE}.tar.gz").write_bytes(b"no archive")
    with pytest.raises(UserError, match="cannot be fetched"):
        fetch(server=serve(partial(HubServer, directory=str(archives))))
    with pytest.raises(UserError, match=f"--from: none of what was given holds {DETECTOR}"):
        fetch(sources=[archives / "modules" / MODULE])
    with pytest.raises(UserError, match="check --from"):
        fetch(sources=[archives / "nothing"])
    assert not list(home.rglob("module.py"))
    assert os.listdir(home) == ["modules"]


@pytest.mark.hub
def test_a_silent_server_is_given_up(serve, hub_environment, tmp_path):
    asked, end = threading.Event(), threading.Event()

    class SilentServer(HubServer):
        def do_GET(self):
            asked.set()
            end.wait()

    address = serve(SilentServer)
    # A busy machine may import paddlehub slowly before the request; 10 s after the request paddlehub itself gives up.
    for seconds in range(5, 60, 5):
        folder = tmp_path / f"fresh {seconds}"
        with pytest.raises(UserError, match=rf"no answer within {seconds} s.*--minutes"):
            hub_install.fetch_modules(hub_environment, folder, seconds, server=address)
        assert os.listdir(folder) == ["modules"]
        if asked.is_set():
            break
    end.set()
    assert asked.is_set()


@pytest.mark.hub
def test_a_home_that_cannot_be_written_to(hub_environment, monkeypatch, tmp_path, refuses):
    (tmp_path / "file").touch()
    monkeypatch.setenv("HUB_HOME", str(tmp_path / "file" / "home"))
    assert "HUB_HOME" in refuses("prepare_hub")


def test_an_environment_is_not_made_over_another(tmp_path):
    (tmp_path / "mine.txt").touch()
    with pytest.raises(UserError, match="exists already"):
        hub_install.make_environment(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file"):
        hub_install.make_environment(tmp_path / "file" / "environment")


def test_an_environment_is_whole_or_not_there(tmp_path, monkeypatch):
    monkeypatch.setattr(hub_install, "PADDLEHUB", "./nothing")
    with pytest.raises(UserError, match=r"pip install .* \./nothing: failed, ERROR"):
        hub_install.make_environment(tmp_path / "environment")
    assert not os.listdir(tmp_path)


@pytest.mark.hub
def test_the_worker_deletes_no_folder_that_holds_something(tmp_path, hub_environment):
    (tmp_path / "precious").touch()
    done = subprocess.run([hub_environment, hub_worker.__file__, tmp_path], input=b"", capture_output=True)
    assert done.returncode == 1
    assert os.listdir(tmp_path) == ["precious"]


def test_closing_paddlehubs_landmarker_waits_for_the_call_that_runs():
    landmarker = HubLandmarker.__new__(HubLandmarker)

    class Worker:
        closed = False

        def close(self):
            self.closed = True

    worker = Worker()
    landmarker._lock, landmarker._worker = threading.Lock(), worker
    closing = threading.Thread(target=landmarker.close)
    with landmarker._lock:  # as during a call
        closing.start()
        closing.join(0.2)
        assert not worker.closed
    closing.join(5)
    assert worker.closed and landmarker._worker is None
