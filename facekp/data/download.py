"""Fetching a large file over http, going on where a broken download stopped."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import requests
from tqdm import tqdm

from facekp.errors import UserError

CONNECT_SECONDS, READ_SECONDS = 15, 60
CHUNK = 1 << 16


def download(url: str, part: Path) -> None:
    """Fetch `url` into the file `part`, going on where a broken download stopped.

    Beside it, `part` + ".json" notes the address, the file's size and the server's ETag or Last-Modified:
    what is there is continued only if the server still has the same file. If it is whole, nobody is asked.

    Args:
        url: An http or https address.
        part: The file to write; whole when the function returns, otherwise kept for the next call.

    Raises:
        UserError: No connection, it broke off, the server refuses, or the disk is full.
    """
    # Ours, over requests, because neither paddle.utils.download nor pooch can resume a broken download.
    with local_errors(part):
        have = part.stat().st_size if part.exists() else 0
        validator, size = _noted(part, url)
    if have and have == size:
        return
    headers = {"Accept-Encoding": "identity"}  # ranges count the bytes of the file, not of a compressed copy
    if have and validator:
        headers.update({"Range": f"bytes={have}-", "If-Range": validator})
    try:
        response = requests.get(url, headers=headers, stream=True, timeout=(CONNECT_SECONDS, READ_SECONDS))
    except requests.RequestException as error:
        raise UserError(
            f"{url}: cannot be reached ({root_cause(error)}); check the address, the network and the proxy, "
            "or get the archive some other way and give it with --from"
        ) from error

    with response:
        resumed = (
            response.status_code == 206
            and response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
            and _validator(response.headers) in (validator, None)  # some servers ignore If-Range
        )
        if response.status_code in (206, 416) and not resumed and "Range" in headers:
            with local_errors(part):
                forget(part)
            return download(url, part)  # from the start: what we have is no part of what the server has
        if response.status_code != 200 and not resumed:
            raise UserError(
                f"{url}: the server answered {response.status_code} {response.reason}; "
                "check the address, or get the archive some other way and give it with --from"
            )
        _receive(response, url, part, have if resumed else 0)


@contextmanager
def local_errors(
    place: Path, remedy: str = "check the rights and the free space, or choose another place with -o"
) -> Iterator[None]:
    """Turn what the disk refuses into one line for the user."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{error.filename or place}: {error.strerror or error}; {remedy}") from error


def root_cause(error: BaseException) -> str:
    """The text of the exception that began it: "Connection refused", not the retries and pools around it."""
    cause = error.__cause__ or error.__context__
    return root_cause(cause) if cause else str(error) or type(error).__name__


def _receive(response: requests.Response, url: str, part: Path, have: int) -> None:
    """Write the body of `response` to `part`, behind its first `have` bytes."""
    length = response.headers.get("Content-Length")
    total = have + int(length) if length else None
    validator = _validator(response.headers)
    with local_errors(part, "free some space and run again, or choose another place with -o"):
        if not have:
            # In this order: an old part must never stand beside the note of a new file.
            forget(part)
            note = {"url": url, "validator": validator, "size": total}
            _note(part).write_text(json.dumps(note), encoding="utf-8")
        broken: Exception | None = None
        bar = tqdm(total=total, initial=have, unit="B", unit_scale=True, desc="download", disable=None)
        with bar, open(part, "ab") as file:
            try:
                for chunk in response.iter_content(CHUNK):
                    file.write(chunk)
                    bar.update(len(chunk))
            except requests.RequestException as error:
                broken = error
        size = part.stat().st_size
    if broken or (total is not None and size != total):  # urllib3 1.x takes a broken body for a whole one
        then = f"{part} is kept, run again to resume" if validator or have else "run again"
        raise UserError(f"{url}: the connection broke off after {size} of {total or '?'} bytes; {then}") from broken


def _validator(headers: Mapping[str, str]) -> str | None:
    """What names this version of the server's file: a strong ETag, else the date of the last change."""
    etag = headers.get("ETag")
    return etag if etag and not etag.startswith("W/") else headers.get("Last-Modified")


def _note(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _noted(part: Path, url: str) -> tuple[str | None, int | None]:
    """Validator and size that were noted for `part`; None for what is not known, or of another address."""
    if not _note(part).exists():
        return None, None
    try:
        note = json.loads(_note(part).read_text(encoding="utf-8"))
        return (note["validator"], note["size"]) if note["url"] == url else (None, None)
    except (ValueError, KeyError, TypeError):
        return None, None  # cut short when it was written: the download starts over, only time is lost


def forget(part: Path) -> None:
    """Delete a download and the note beside it."""
    part.unlink(missing_ok=True)
    _note(part).unlink(missing_ok=True)
