"""Resumable download of a large file over HTTP."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from tqdm import tqdm

from facekp.errors import UserError
from facekp.io.files import local_errors

#: Seconds without data after which a connection counts as broken.
PATIENCE = 60
CHUNK = 1 << 16

#: Exceptions of urllib and http.client for an invalid address, a missing server and a broken connection.
_WEB_ERRORS = (OSError, ValueError, http.client.HTTPException)


class ServerError(UserError):
    """Error of the server or of the connection to it: another address may work."""


def download(url: str, part: Path, otherwise: str, elsewhere: str, max_bytes: int | None = None) -> None:
    """Download `url` to the file `part`, resuming a broken download.

    Beside it, `part` + ".json" stores the address, the file size and the server's ETag or Last-Modified: a
    download is resumed only if the server still has the same file. If it is complete, no request is sent.

    Args:
        url: Address; http and https downloads can be resumed, file is copied.
        part: File to write; complete when the function returns, otherwise kept for the next call.
        otherwise: For messages: what to do if the server does not provide the file.
        elsewhere: For messages: how to choose another place for `part`.
        max_bytes: Size of the file in bytes, if known; at most one chunk more is written, whatever the server sends.

    Raises:
        ServerError: No connection, it broke off, the server refuses, or sends more than `max_bytes`.
        UserError: The disk is full or cannot be written.
    """
    # Uses urllib: requests would be one more dependency for users who do not train, and neither it,
    # paddle.utils.download nor pooch can resume a broken download.
    remedy = f"check the permissions and the free space, or {elsewhere}"
    with local_errors(part, remedy):
        have = part.stat().st_size if part.exists() else 0
        validator, size = _noted(part, url)
    if have and have == size:
        return
    headers = {"Accept-Encoding": "identity"}  # ranges count the bytes of the file, not of a compressed copy
    if have and validator:
        headers.update({"Range": f"bytes={have}-", "If-Range": validator})
    try:
        response = _ask(url, headers)
    except _WEB_ERRORS as error:
        raise ServerError(
            f"{url}: cannot be reached ({root_cause(error)}); check the address, the network and the proxy, "
            f"or {otherwise}"
        ) from error
    with response:
        status = response.status or HTTPStatus.OK  # that of a file:// address is None
        resumed = (
            status == HTTPStatus.PARTIAL_CONTENT
            and response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
            and _validator(response.headers) in (validator, None)  # some servers ignore If-Range
        )
        if status in (206, 416) and not resumed and "Range" in headers:
            with local_errors(part, remedy):
                forget(part)
            return download(url, part, otherwise, elsewhere, max_bytes)  # the part does not belong to the server's file
        if status != HTTPStatus.OK and not resumed:
            reason = getattr(response, "reason", "")
            raise ServerError(f"{url}: the server answered {status} {reason}; check the address, or {otherwise}")
        _receive(response, url, part, have if resumed else 0, elsewhere, max_bytes)


def _ask(url: str, headers: Mapping[str, str]) -> Any:
    """Return the server's response, whatever its status."""
    if not url.startswith(("http://", "https://", "file://")):
        raise ValueError("not an http or https address")
    try:
        return urllib.request.urlopen(urllib.request.Request(url, headers=dict(headers)), timeout=PATIENCE)
    except urllib.error.HTTPError as error:
        return error  # which is also a response


def root_cause(error: BaseException) -> str:
    """Return the message of the original exception, such as "Connection refused", not of those raised from it."""
    cause = error.__cause__ or error.__context__
    return root_cause(cause) if cause else str(error) or type(error).__name__


def _receive(response: Any, url: str, part: Path, have: int, elsewhere: str, max_bytes: int | None) -> None:
    """Write the body of `response` to `part`, after its first `have` bytes."""
    length = response.headers.get("Content-Length") or ""
    total = have + int(length) if length.isdecimal() and len(length) < 20 else None
    validator = _validator(response.headers)
    with local_errors(part, f"free some space and run again, or {elsewhere}"):
        if not have:
            # In this order: an old part must never be beside the note of a new file.
            forget(part)
            note = {"url": url, "validator": validator, "size": total}
            _note(part).write_text(json.dumps(note), encoding="utf-8")
        broken: Exception | None = None
        bar = tqdm(total=total, initial=have, unit="B", unit_scale=True, desc=url.rpartition("/")[2][:40], disable=None)
        with bar, open(part, "ab") as file:
            while True:
                try:
                    chunk = response.read(CHUNK)
                except _WEB_ERRORS as error:
                    broken = error
                    break
                if not chunk:
                    break
                file.write(chunk)
                bar.update(len(chunk))
                if max_bytes is not None and file.tell() > max_bytes:
                    break
        size = part.stat().st_size
        if max_bytes is not None and size > max_bytes:
            forget(part)
            raise ServerError(f"{url}: is larger than the {max_bytes} bytes that it should have; check the address")
    if broken or (total is not None and size != total):
        then = f"{part} is kept, run again to resume" if validator or have else "run again"
        raise ServerError(f"{url}: the connection broke off after {size} of {total or '?'} bytes; {then}") from broken


def _validator(headers: Mapping[str, str]) -> str | None:
    """Return the identifier of the version of the server's file: a strong ETag, else the date of the last change."""
    etag = headers.get("ETag")
    return etag if etag and not etag.startswith("W/") else headers.get("Last-Modified")


def _note(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _noted(part: Path, url: str) -> tuple[str | None, int | None]:
    """Return the validator and size noted for `part`; None if unknown, or noted for another address."""
    if not _note(part).exists():
        return None, None
    try:
        note = json.loads(_note(part).read_text(encoding="utf-8"))
        return (note["validator"], note["size"]) if note["url"] == url else (None, None)
    except (ValueError, KeyError, TypeError):
        return None, None  # truncated during writing: the download starts over, only time is lost


def forget(part: Path) -> None:
    """Delete a download and the note beside it."""
    part.unlink(missing_ok=True)
    _note(part).unlink(missing_ok=True)
