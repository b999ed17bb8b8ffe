"""File access: atomic writes, reads of regular files only, and locks between processes."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from filelock import FileLock, Timeout

from facekp.errors import UserError

#: Error numbers of a full disk, an exceeded quota and a file that is too large.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _read_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


#: Read once, at import: reading the umask means setting it, which affects other threads.
_UMASK = _read_umask()


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block ends without an error.

    Readers see the old file or the complete new one, never a partial file. The temporary name keeps the suffix, because
    OpenCV and matplotlib choose the format by it.

    Args:
        path: Target file. Missing folders are created.

    Yields:
        The path to write to.

    Raises:
        UserError: The target cannot be written. Other errors of the block propagate.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "a.txt"
        >>> with atomic_path(target) as temporary:
        ...     _ = temporary.write_text("whole")
        >>> target.read_text()
        'whole'
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{_cut(target.stem, _STEM)}-", suffix=target.suffix, dir=target.parent)
        os.close(handle)
    except OSError as error:
        raise UserError(f"{target}: cannot write there ({error.strerror}); choose another place") from error
    temporary = Path(name)
    try:
        try:
            yield temporary
        except OSError as error:
            if error.errno in _FULL or error.filename in (name, temporary):
                raise _cannot_write(target, error) from error
            raise
        try:
            os.chmod(temporary, 0o666 & ~_UMASK)  # undo the private mode of mkstemp and safetensors
            os.replace(temporary, target)
        except OSError as error:
            raise _cannot_write(target, error) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a new, empty folder; rename it to `path` when the block ends without an error, else delete it.

    Args:
        path: Target folder; must be empty if it exists. Missing parent folders are created.

    Yields:
        The folder to write to, on the same disk.

    Raises:
        UserError: See `check_new_folder`.
        OSError: The folder cannot be created. Errors of the block propagate as well.

    Example:
        >>> target = Path(tempfile.mkdtemp(), "site")
        >>> with new_folder(target) as folder:
        ...     _ = (folder / "index.html").write_text("whole")
        >>> [file.name for file in target.iterdir()]
        ['index.html']
    """
    target = Path(path).absolute()
    check_new_folder(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{_cut(target.name, _STEM)}-", dir=target.parent) as scratch:
        folder = Path(scratch, "new")
        folder.mkdir()
        yield folder
        folder.rename(target)


def check_new_folder(folder: Path) -> None:
    """Check that an output folder does not exist, or is empty.

    Raises:
        UserError: It is a file, or not empty.
        OSError: It cannot be read.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder}: exists already; choose another folder, or delete it first")


@contextmanager
def local_errors(place: Path, remedy: str) -> Iterator[None]:
    """Convert disk errors to a one-line message for the user.

    Args:
        place: Path for the message if the error itself names no file.
        remedy: Advice for the message.

    Raises:
        UserError: In place of an `OSError`.
    """
    try:
        yield
    except OSError as error:
        raise UserError(f"{error.filename or place}: {error.strerror or error}; {remedy}") from error


def sha256_of(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file, as 64 hexadecimal digits.

    Raises:
        OSError: The file cannot be read.
    """
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(partial(file.read, 1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def _cannot_write(target: Path, error: OSError) -> UserError:
    return UserError(f"{target}: cannot be written ({error.strerror or error}); check the name and the free space")


def _cut(name: str, max_bytes: int) -> str:
    """Truncate a name to at most `max_bytes` bytes."""
    return name if len(os.fsencode(name)) <= max_bytes else os.fsencode(name)[:max_bytes].decode(errors="ignore")


def is_temporary(path: Path) -> bool:
    """Return whether a file has the name of a temporary file that `atomic_path` of a killed process leaves."""
    return _TEMPORARY.fullmatch(path.name) is not None and path.is_file() and not path.is_symlink()


def sweep(folder: Path, targets: Collection[str] | None = None) -> None:
    """Delete the temporary files that `atomic_path` of a killed process left in a folder.

    Args:
        folder: Folder of the files. No other process may be writing them; see `locked`.
        targets: Names of the target files whose temporary files are deleted; None for all.
    """
    wanted = None if targets is None else {(_cut(Path(name).stem, _STEM), Path(name).suffix) for name in targets}
    for file in folder.glob(".*-*"):
        match = _TEMPORARY.fullmatch(file.name)
        if match and (wanted is None or match.groups() in wanted) and file.is_file() and not file.is_symlink():
            file.unlink(missing_ok=True)
    for file in folder.glob(".tmp??????") if wanted is None else ():  # temporary files of safetensors
        if file.is_file() and not file.is_symlink():
            file.unlink(missing_ok=True)


#: Maximum length of a file name in bytes, on any system.
LONGEST_NAME = 255

#: Maximum number of bytes of the target's stem in the temporary name.
_STEM = 100
#: Names of the temporary files of `atomic_path`: the target's stem, eight characters of `tempfile`, the suffix.
_TEMPORARY = re.compile(rf"\.(.{{1,{_STEM}}})-[a-z0-9_]{{8}}((?:\.\w+)?)", re.DOTALL)


def open_regular(path: str | os.PathLike[str]) -> int:
    """Open a regular file for reading: a pipe would block, and a device like /dev/zero has no end.

    Returns:
        A file descriptor.

    Raises:
        OSError: The file cannot be opened; ENXIO or EISDIR if it is not a regular file.
    """
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except ValueError as error:  # a NUL byte
        raise OSError(errno.ENOENT, "a name cannot hold a NUL byte", str(path)) from error
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        what = "a folder" if stat.S_ISDIR(mode) else "a pipe, a socket or a device"
        raise OSError(errno.EISDIR if stat.S_ISDIR(mode) else errno.ENXIO, f"it is {what}, not a file", str(path))
    return handle


def read_bytes(path: str | os.PathLike[str], max_bytes: int) -> bytes:
    """Read a whole file.

    Args:
        path: The file.
        max_bytes: Maximum size in bytes.

    Raises:
        OSError: See `open_regular`; EFBIG if the file is larger.
    """
    with open(open_regular(path), "rb") as file:
        too_large = os.fstat(file.fileno()).st_size > max_bytes
        data = b"" if too_large else file.read(max_bytes + 1)
    if too_large or len(data) > max_bytes:
        raise OSError(errno.EFBIG, f"it is larger than {max_bytes >> 20} MiB", str(path))
    return data


def check_place(folder: Path, min_free: int = 1 << 20) -> None:
    """Check that a folder can be written to, before a long task whose results are stored there.

    Args:
        folder: Folder to check. It need not exist; no file remains.
        min_free: Minimum free space in bytes.

    Raises:
        UserError: The folder cannot be written to.
    """
    place = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    if not place.is_dir():
        raise UserError(f"{place}: is a file; choose another place")
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"\1" * min_free)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise UserError(f"{folder}: cannot write there ({error.strerror}); free some space or choose another place") \
            from error  # fmt: skip


def read_start(path: str | os.PathLike[str], count: int) -> bytes:
    """Read the first bytes of a file.

    Raises:
        OSError: See `open_regular`.
    """
    with open(open_regular(path), "rb") as file:
        return file.read(count)


def check_html(path: Path) -> None:
    """Check that the name of a report ends in `.html`.

    Raises:
        UserError: It does not.
    """
    if path.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"{path}: the report is an HTML file; end its name in .html")


def check_own(path: Path, header: str, what: str) -> None:
    """Check that a file written beside another one does not replace a foreign file.

    Args:
        path: File to write; it need not exist.
        header: Text that our files of this kind begin with.
        what: Kind of these files, for the message.

    Raises:
        UserError: The file exists and begins with another text.
    """
    start = header.encode()
    if path.is_file() and read_start(path, len(start)) != start:
        raise UserError(f"{path}: would be replaced, and is not {what}; rename it, or choose another -o")


@contextmanager
def locked(path: str | os.PathLike[str], remedy: str) -> Iterator[None]:
    """Lock a file or folder against all other processes until the block ends.

    The lock is a file beside it, `.NAME.lock`, which the system unlocks when the process ends, even if it is killed.

    Args:
        path: File or folder to lock; it need not exist.
        remedy: Advice for the message if another process holds the lock.

    Raises:
        UserError: Another process holds the lock, or the lock file cannot be created.

    Example:
        >>> table = Path(tempfile.mkdtemp()) / "points.csv"
        >>> with locked(table, "wait for it"):
        ...     [file.name for file in table.parent.iterdir()]
        ['.points.csv.lock']
        >>> list(table.parent.iterdir())
        []
    """
    target = Path(path)
    place = target.with_name(f".{_cut(target.name, 200)}.lock")
    made = [folder for folder in (place.parent, *place.parent.parents) if not folder.exists()]
    lock = FileLock(str(place))
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise UserError(f"{target}: another process is working on it; {remedy}") from error
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{target}: cannot be locked ({reason}); choose another place") from error
    try:
        yield
    finally:
        with suppress(OSError):
            place.unlink()
        lock.release()
        for folder in made:  # if nothing was written to them
            with suppress(OSError):
                folder.rmdir()
