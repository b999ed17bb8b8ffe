"""Preparation of the data set from a local server and from archives; all images are noise."""

from __future__ import annotations

import hashlib
import io
import json
import socket
import stat
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Callable

import cv2
import numpy as np
import pytest

from facekp.data import prepare as module
from facekp.data.prepare import CSVS, altered, install, prepare, summarise
from facekp.errors import UserError
from facekp.io.download import download
from facekp.io.files import locked

NAMES = {"training": ["Ann_Lee_03.jpg", "Ann_Lee_11.jpg", "Bo_00.jpg"], "test": ["Bo_01.jpg"]}
HEADER = "," + ",".join(map(str, range(136)))


class Server(ThreadingHTTPServer):
    """Serves `body` at any path and logs the Range header and the status of each request."""

    def __init__(self, body: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.body = body
        self.etag: str | None = '"one"'
        self.status: int | None = None  # respond with this error
        self.cut: int | None = None  # close the connection after this number of bytes of the body
        self.ignore_range = False  # respond 200 with the whole body
        self.ignore_if_range = False  # respond 206 although the file has changed
        self.log: list[tuple[str | None, int]] = []  # Range requested, status sent
        self.url = f"http://127.0.0.1:{self.server_port}/set.zip"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        site, wanted = self.server, self.headers.get("Range")
        same = site.ignore_if_range or self.headers.get("If-Range") in (None, site.etag)
        start = 0
        if site.status:
            status, body = site.status, b"no"
        elif wanted and same and not site.ignore_range:
            start = int(wanted[len("bytes=") : -1])
            status, body = (206, site.body[start:]) if start < len(site.body) else (416, b"")
        else:
            status, body = 200, site.body
        site.log.append((wanted, status))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{len(site.body) - 1}/{len(site.body)}")
        if site.etag:
            self.send_header("ETag", site.etag)
        self.end_headers()
        self.wfile.write(body[: site.cut])

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def server(archive: Path) -> Iterator[Server]:
    with Server(archive.read_bytes()) as site:
        thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield site
        site.shutdown()
        thread.join()


@pytest.fixture
def members() -> dict[str, bytes]:
    """The files of a small data set: path inside it -> bytes."""
    random = np.random.default_rng(0)
    files = {}
    for split, names in NAMES.items():
        rows = [HEADER]
        for name in names:
            noise = random.integers(0, 256, (120, 160, 4), np.uint8)  # 77 kB, incompressible
            files[f"{split}/{name}"] = cv2.imencode(".png", noise)[1].tobytes()
            rows.append(",".join([name, *map(str, random.uniform(0, 160, 136).round(1))]))
        files[CSVS[split]] = ("\n".join(rows) + "\n").encode()
    return files


@pytest.fixture
def archive(members: dict[str, bytes], tmp_path: Path) -> Path:
    return zipped(members, tmp_path / "in" / "set.zip", top="train-test-data/")


def zipped(members: dict[str, bytes], path: Path, top: str = "") -> Path:
    path.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(top + name, data)
    return path


def tarred(members: dict[str, bytes], path: Path, top: str = "") -> Path:
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as file:
        for name, data in members.items():
            info = tarfile.TarInfo(top + name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return path


def unpacked(members: dict[str, bytes], folder: Path) -> Path:
    for name, data in members.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


PACK: dict[str, Callable[[dict[str, bytes], Path], Path]] = {
    ".zip": zipped,
    ".tar": tarred,
    ".tar.gz": tarred,
    "folder": unpacked,
}


def contents(folder: Path) -> dict[str, bytes]:
    return {f.relative_to(folder).as_posix(): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def left(tmp_path: Path) -> list[str]:
    """Return the names beside the inputs: the output, a .part, or temporary folders left behind."""
    return sorted(path.name for path in tmp_path.iterdir() if path.name != "in")


def test_download_leaves_the_folder_and_nothing_else(server: Server, members: dict, tmp_path: Path) -> None:
    assert prepare(tmp_path / "data", url=server.url)
    assert contents(tmp_path / "data") == members
    assert left(tmp_path) == ["data"]
    assert server.log == [(None, 200)]


def test_broken_download_asks_only_for_the_rest(server: Server, members: dict, tmp_path: Path) -> None:
    part = tmp_path / "data.part"
    server.cut = 200_000
    with pytest.raises(UserError, match=r"broke off after \d+ of \d+ bytes; .*data\.part is kept, run again"):
        prepare(tmp_path / "data", url=server.url)
    have = part.stat().st_size
    assert 100_000 < have <= 200_000
    assert left(tmp_path) == ["data.part", "data.part.json"]

    server.cut = None
    assert prepare(tmp_path / "data", url=server.url)
    assert server.log == [(None, 200), (f"bytes={have}-", 206)]
    assert contents(tmp_path / "data") == members
    assert left(tmp_path) == ["data"]


@pytest.mark.parametrize(
    ("change", "answers"),
    [
        ("another ETag", [200, 200]),  # If-Range fails, so the server sends the whole file
        ("If-Range ignored too", [200, 206, 200]),
        ("another, shorter file", [200, 416, 200]),
    ],
)
def test_a_changed_file_is_not_glued_to_the_old_part(
    server: Server, members: dict, tmp_path: Path, change: str, answers: list[int]
) -> None:
    server.cut = 200_000
    with pytest.raises(UserError):
        prepare(tmp_path / "data", url=server.url)
    if change == "another, shorter file":
        members = {name: data for name, data in members.items() if name.endswith(".csv")}
        for split, names in NAMES.items():
            members.update({f"{split}/{name}": b"small" for name in names})
    else:
        members = {name: data.replace(b"Bo_", b"By_") for name, data in members.items()}
        members = {name.replace("Bo_", "By_"): data for name, data in members.items()}
    server.body = zipped(members, tmp_path / "in" / "new.zip").read_bytes()
    server.etag, server.cut, server.ignore_if_range = '"two"', None, change != "another ETag"

    assert prepare(tmp_path / "data", url=server.url)
    assert contents(tmp_path / "data") == members
    assert [status for _, status in server.log] == answers


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_without_a_validator_the_download_starts_over(
    server: Server, members: dict, tmp_path: Path, etag: str | None
) -> None:
    server.etag, server.cut = etag, 200_000
    with pytest.raises(UserError, match=r"run again$"):
        prepare(tmp_path / "data", url=server.url)
    server.cut = None
    assert prepare(tmp_path / "data", url=server.url)
    assert server.log == [(None, 200), (None, 200)]
    assert contents(tmp_path / "data") == members


def test_another_address_or_a_spoilt_note_starts_over(server: Server, archive: Path, tmp_path: Path) -> None:
    part, note = tmp_path / "x.part", tmp_path / "x.part.json"
    for text in ('{"url": "http://elsewhere/", "validator": "\\"one\\"", "size": 5}', '{"url": "http', "[]"):
        part.write_bytes(b"other")
        note.write_text(text)
        download(server.url, part, "ask", "move")
        assert part.read_bytes() == archive.read_bytes()
        assert json.loads(note.read_text())["url"] == server.url
    assert {wanted for wanted, _ in server.log} == {None}


def test_server_that_ignores_range_starts_over(server: Server, members: dict, tmp_path: Path) -> None:
    server.cut = 200_000
    with pytest.raises(UserError):
        prepare(tmp_path / "data", url=server.url)
    server.cut, server.ignore_range = None, True
    assert prepare(tmp_path / "data", url=server.url)
    assert [status for _, status in server.log] == [200, 200]
    assert contents(tmp_path / "data") == members


def test_a_whole_download_is_not_asked_for_again(server: Server, archive: Path, tmp_path: Path) -> None:
    for _ in range(2):
        download(server.url, tmp_path / "x.part", "ask", "move")
    assert len(server.log) == 1
    assert (tmp_path / "x.part").read_bytes() == archive.read_bytes()


@pytest.mark.parametrize("status", [404, 403, 503, 204, 206])
def test_refusing_server(server: Server, tmp_path: Path, status: int) -> None:
    server.status = status
    with pytest.raises(UserError, match=f"answered {status}.*--from"):
        prepare(tmp_path / "data", url=server.url)
    assert left(tmp_path) == []


def test_refusal_keeps_an_earlier_part(server: Server, tmp_path: Path) -> None:
    server.cut = 200_000
    with pytest.raises(UserError):
        prepare(tmp_path / "data", url=server.url)
    server.status = 503
    with pytest.raises(UserError, match="503"):
        prepare(tmp_path / "data", url=server.url)
    assert left(tmp_path) == ["data.part", "data.part.json"]


def test_a_server_that_refuses_connections(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        url = f"http://127.0.0.1:{free.getsockname()[1]}/set.zip"
        with pytest.raises(UserError, match=r"cannot be reached \(.*refused.*\).*--from"):
            prepare(tmp_path / "data", url=url)
    assert left(tmp_path) == []


@pytest.mark.parametrize("url", ["", "set.zip", "ftp://127.0.0.1/set.zip", "http://"])
def test_no_web_address(tmp_path: Path, url: str) -> None:
    with pytest.raises(UserError, match="cannot be reached"):
        prepare(tmp_path / "data", url=url)


def test_checksum(server: Server, archive: Path, tmp_path: Path) -> None:
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    with pytest.raises(UserError, match=f"SHA-256 is {digest}.*removed again"):
        prepare(tmp_path / "data", url=server.url, sha256="0" * 64)
    assert left(tmp_path) == []
    with pytest.raises(UserError, match="64 hexadecimal digits"):
        prepare(tmp_path / "data", url=server.url, sha256="abc")
    assert len(server.log) == 1
    assert prepare(tmp_path / "data", url=server.url, sha256=digest.upper())
    assert archive.exists()


def test_checksum_of_a_file_on_disk(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="SHA-256 is"):
        prepare(tmp_path / "data", source=archive, sha256="0" * 64)
    with pytest.raises(UserError, match="a folder has no checksum"):
        prepare(tmp_path / "data", source=archive.parent, sha256="0" * 64)
    assert archive.exists()
    assert left(tmp_path) == []


def test_bad_crc_is_named_and_a_bad_download_removed(server: Server, members: dict, tmp_path: Path) -> None:
    path = tmp_path / "in" / "stored.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        for name, data in members.items():
            file.writestr(name, data)
    data = bytearray(path.read_bytes())
    data[data.index(members["training/Bo_00.jpg"]) + 1000] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"stored\.zip: damaged, Bad CRC-32 .*training/Bo_00\.jpg"):
        prepare(tmp_path / "data", source=path)
    assert path.exists()
    server.body = bytes(data)
    with pytest.raises(UserError, match=r"Bad CRC-32 .*downloaded from http://.* and removed again"):
        prepare(tmp_path / "data", url=server.url)
    assert left(tmp_path) == []


@pytest.mark.parametrize("kind", [".zip", ".tar", ".tar.gz"])
def test_truncated_archive(members: dict, tmp_path: Path, kind: str) -> None:
    path = PACK[kind](members, tmp_path / "in" / f"set{kind}")
    path.write_bytes(path.read_bytes()[:150_000])
    with pytest.raises(UserError, match=r"damaged|cut short"):
        prepare(tmp_path / "data", source=path)
    assert left(tmp_path) == []


@pytest.mark.parametrize("data", [b"", b"<html>log in first</html>"])
def test_no_archive_at_all(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "set.zip"
    path.write_bytes(data)
    with pytest.raises(UserError, match="neither a folder nor a zip or tar archive"):
        prepare(tmp_path / "data", source=path)
    with pytest.raises(UserError, match="no such archive or folder"):
        prepare(tmp_path / "data", source=tmp_path / "absent.zip")


@pytest.mark.parametrize("name", ["../evil", "data/../../evil", "/evil", "C:\\evil", "a\\..\\..\\evil"])
@pytest.mark.parametrize("kind", [".zip", ".tar"])
def test_paths_out_of_the_archive_are_refused(members: dict, tmp_path: Path, kind: str, name: str) -> None:
    path = PACK[kind]({**members, name: b"evil"}, tmp_path / "in" / f"set{kind}")
    with pytest.raises(UserError, match="leads out of the archive"):
        prepare(tmp_path / "data", source=path)
    assert left(tmp_path) == []


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(members: dict, tmp_path: Path, kind: bytes) -> None:
    path = tarred(members, tmp_path / "in" / "set.tar")
    with tarfile.open(path, "a") as file:
        info = tarfile.TarInfo("training/link.jpg")
        info.type, info.linkname = kind, "/etc/hostname"
        file.addfile(info)
    with pytest.raises(UserError, match=r"training/link\.jpg is a link or device"):
        prepare(tmp_path / "data", source=path)
    assert left(tmp_path) == []


def test_links_and_secrets_in_a_zip_are_refused(members: dict, tmp_path: Path) -> None:
    path = zipped(members, tmp_path / "in" / "set.zip")
    with zipfile.ZipFile(path, "a") as file:
        info = zipfile.ZipInfo("training/link.jpg")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(info, "/etc/hostname")
    with pytest.raises(UserError, match=r"training/link\.jpg is a link"):
        prepare(tmp_path / "data", source=path)

    data = bytearray(zipped(members, path).read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1  # the flag "encrypted" of the first entry
    path.write_bytes(data)
    with pytest.raises(UserError, match="is encrypted"):
        prepare(tmp_path / "data", source=path)


@pytest.mark.parametrize("top", ["", "data/", "./a/b c/"])
@pytest.mark.parametrize("kind", [".zip", ".tar", ".tar.gz", "folder"])
def test_any_packing_gives_the_same_folder(members: dict, tmp_path: Path, kind: str, top: str) -> None:
    packed = {top + name: data for name, data in members.items()}
    packed.update({f"__MACOSX/{top}{name}": b"junk" for name in members})
    packed.update({f"{top}training/.DS_Store": b"junk", f"{top}readme.txt": b"hello"})
    source = PACK[kind](packed, tmp_path / "in" / f"set{kind}")
    assert prepare(tmp_path / "deep" / "data", source=source)
    assert contents(tmp_path / "deep" / "data") == members
    assert left(tmp_path / "deep") == ["data"]
    assert (tmp_path / "deep" / "data").stat().st_mode & 0o777 == (tmp_path / "deep").stat().st_mode & 0o777


def test_a_folder_is_copied_and_stays_untouched(members: dict, tmp_path: Path) -> None:
    source = unpacked(members, tmp_path / "in" / "mine")
    (source / "test" / "Bo_01.jpg").rename(tmp_path / "in" / "elsewhere.jpg")
    (source / "test" / "Bo_01.jpg").symlink_to(tmp_path / "in" / "elsewhere.jpg")
    prepare(tmp_path / "data", source=source)
    assert not any(path.is_symlink() for path in (tmp_path / "data").rglob("*"))
    (tmp_path / "data" / CSVS["test"]).write_text("edited")
    prepare(tmp_path / "data", source=source, overwrite=True)
    assert contents(source) == members
    assert contents(tmp_path / "data") == members


def test_the_set_must_be_there_once(members: dict, tmp_path: Path) -> None:
    twice = {f"{top}/{name}": data for name, data in members.items() for top in "ab"}
    with pytest.raises(UserError, match=r"more than once \(a, b\)"):
        prepare(tmp_path / "data", source=zipped(twice, tmp_path / "in" / "twice.zip"))
    for lost in ("training_frames_keypoints.csv", "test_frames_keypoints.csv", "test/Bo_01.jpg"):
        rest = {name: data for name, data in members.items() if name != lost}
        with pytest.raises(UserError, match=r"holds no folder with training_frames_keypoints\.csv"):
            prepare(tmp_path / "data", source=zipped(rest, tmp_path / "in" / "rest.zip"))
    assert left(tmp_path) == []


def test_missing_picture_is_named_with_its_line(server: Server, members: dict, tmp_path: Path) -> None:
    del members["training/Ann_Lee_11.jpg"]
    wanted = r"training_frames_keypoints\.csv, line 3: the image training/Ann_Lee_11\.jpg is missing"
    with pytest.raises(UserError, match=r"in/set\.zip: " + wanted):
        prepare(tmp_path / "data", source=zipped(members, tmp_path / "in" / "set.zip"))
    server.body = (tmp_path / "in" / "set.zip").read_bytes()
    with pytest.raises(UserError, match=wanted + r" \(downloaded from"):
        prepare(tmp_path / "data", url=server.url)
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("csv", "message"),
    [
        ("", "not a table of numbers"),
        (HEADER + "\n", "0 rows of 137 columns"),
        (",0,1\nBo_01.jpg,1,2\n", "1 rows of 3 columns, not of 137"),
        (HEADER + "\nBo_01.jpg" + ",1" * 135 + ",x\n", "not a table of numbers"),
        (HEADER + "\nBo_01.jpg" + ",1" * 135 + ",\n", r"line 2: a coordinate of Bo_01\.jpg is missing"),
        (HEADER + "\nBo_01.jpg" + ",1" * 135 + ",inf\n", "line 2: .* not finite"),
        (HEADER + "\n" + ",1" * 136 + "\n", "line 2: the image test/nan is missing"),
        (HEADER + "\n../test/Bo_01.jpg" + ",1" * 136 + "\n", "line 2: the image .* is missing"),
        ("\x00\x01", "test_frames_keypoints"),
    ],
)
def test_spoilt_csv(members: dict, tmp_path: Path, csv: str, message: str) -> None:
    members[CSVS["test"]] = csv.encode()
    with pytest.raises(UserError, match=message):
        prepare(tmp_path / "data", source=zipped(members, tmp_path / "in" / "set.zip"))
    assert left(tmp_path) == []


def test_complete_output_is_left_alone(server: Server, archive: Path, members: dict, tmp_path: Path) -> None:
    prepare(tmp_path / "data", source=archive)
    (tmp_path / "data" / "notes.txt").write_text("mine")
    assert not prepare(tmp_path / "data", url=server.url)
    assert server.log == []
    assert contents(tmp_path / "data") == {**members, "notes.txt": b"mine"}


def test_other_output_needs_overwrite(archive: Path, members: dict, tmp_path: Path) -> None:
    output = tmp_path / "data"
    output.mkdir()
    assert prepare(output, source=archive), "an empty folder is no obstacle"
    (output / "test" / "Bo_01.jpg").unlink()
    before = contents(output)
    with pytest.raises(UserError, match=r"Bo_01\.jpg is missing; .*not the complete data set.*--overwrite"):
        prepare(output, source=archive)
    assert contents(output) == before
    with pytest.raises(UserError, match="no such archive"):
        prepare(output, source=tmp_path / "absent", overwrite=True)
    assert contents(output) == before, "the old one goes only when the new one is whole"
    assert prepare(output, source=archive, overwrite=True)
    assert contents(output) == members
    assert left(tmp_path) == ["data"]


def test_overwrite_deletes_neither_its_source_nor_the_working_folder(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=r"would delete .*set\.zip"):
        prepare(archive.parent, source=archive, overwrite=True)
    monkeypatch.chdir(archive.parent)
    with pytest.raises(UserError, match="would delete"):
        prepare(tmp_path, overwrite=True)
    with pytest.raises(UserError, match="is a file"):
        prepare(archive, source=archive, overwrite=True)
    assert archive.exists()


def test_a_linked_output_fills_the_place_it_points_to(archive: Path, members: dict, tmp_path: Path) -> None:
    (tmp_path / "large").mkdir()
    (tmp_path / "data").symlink_to(tmp_path / "large" / "set")
    assert prepare(tmp_path / "data", source=archive)
    assert (tmp_path / "data").is_symlink()
    assert contents(tmp_path / "large" / "set") == members


def test_no_place_to_write(archive: Path) -> None:
    with pytest.raises(UserError, match="choose another place with -o"):
        prepare(archive / "data", source=archive)
    with pytest.raises(UserError, match="choose another place with -o"):
        prepare(archive / "data", url="http://127.0.0.1/")


def test_only_the_published_address_insists_on_the_published_labels(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(module.DamagedError, match=r"not the published .*training_\w+\.csv and test"):
        install(archive, tmp_path / "data", published=True)
    assert left(tmp_path) == []
    install(archive, tmp_path / "data")
    assert altered(tmp_path / "data") == list(CSVS.values())


def test_summary(archive: Path, members: dict, tmp_path: Path) -> None:
    prepare(tmp_path / "data", source=archive)
    training, test = summarise(tmp_path / "data")
    rows = [line.split(b",")[1:] for line in members[CSVS["training"]].splitlines()[1:]]
    labels = np.array(rows, np.float64)
    assert (training.images, training.people, test.images, test.people) == (3, 2, 1, 1)
    assert training.mean == pytest.approx(labels.mean())
    assert training.std == pytest.approx(labels.std())
    assert str(test).startswith("test: 1 images, 1 people, label mean ")


def test_a_folder_that_another_process_creates_is_left_to_it(tmp_path, archive):
    output = tmp_path / "data"
    with locked(output, "wait"), pytest.raises(UserError, match="another process is working on it; wait until it"):
        prepare(output, source=archive)
    assert not output.exists()
    assert prepare(output, source=archive)
