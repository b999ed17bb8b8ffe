"""Writing files: whole, or not at all."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from facekp.errors import UserError

#: What a disk says that takes no more.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _read_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


#: Read once, at import: asking for it means setting it, which other threads would notice.
_UMASK = _read_umask()


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it to `path` when the block ends without an error.

    Readers see the old file or the whole new one, never half of it. The temporary name keeps the suffix, because OpenCV
    and matplotlib choose the format by it.

    Args:
        path: The target. Missing folders are made.

    Yields:
        The path to write to.

    Raises:
        UserError: The target cannot be written. Other errors of the block are passed on.

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
        handle, name = tempfile.mkstemp(prefix=f".{target.stem[:100]}-", suffix=target.suffix, dir=target.parent)
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
            os.chmod(temporary, 0o666 & ~_UMASK)  # mkstemp and safetensors make private files; an output is ordinary
            os.replace(temporary, target)
        except OSError as error:
            raise _cannot_write(target, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def _cannot_write(target: Path, error: OSError) -> UserError:
    return UserError(f"{target}: cannot be written ({error.strerror or error}); check the name and the free space")
