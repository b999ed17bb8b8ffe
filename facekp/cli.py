"""What all command-line tools share: how they end, and how they write a file."""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Callable

import cv2

from facekp.errors import UserError


def run(main: Callable[[], object]) -> None:
    """Run a tool's `main` and leave with the promised exit status.

    Status 0: done. 2: what the user can mend, one line on stderr, no traceback. 130: stopped by Ctrl-C.
    Any other exception is our own fault and keeps its traceback (status 1).
    """
    # Paddle warns about its own code on every run; stderr is for what the user can mend.
    warnings.filterwarnings("ignore", module="paddle")
    # And OpenCV about every camera and codec that it tries. Level 0 is silence; before 4.12 it stood in another place.
    getattr(cv2.utils, "logging", cv2).setLogLevel(0)
    try:
        main()
    except UserError as error:
        print(f"{Path(sys.argv[0]).name}: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it to `path` when the block ends without an error.

    Readers see the old file or the whole new one, never half of it. The temporary name keeps the
    suffix, because OpenCV and matplotlib choose the format by it.

    Args:
        path: Where the finished file shall be. Missing folders are made.

    Yields:
        The path to write to.

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
        handle, name = tempfile.mkstemp(prefix=f".{target.stem}-", suffix=target.suffix, dir=target.parent)
        os.close(handle)
    except OSError as error:
        raise UserError(f"{target}: cannot write there ({error.strerror}); choose another place") from error
    temporary = Path(name)
    try:
        yield temporary
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp and safetensors make private files; an output is ordinary
        os.replace(temporary, target)
    except OSError as error:
        raise UserError(
            f"{target}: cannot be written ({error.strerror or error}); check the name and the free space"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
