"""Running of commands: their exit status, and their output on stderr."""

from __future__ import annotations

import atexit
import errno
import importlib.abc
import importlib.util
import io
import logging
import os
import signal
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, Callable

from facekp.errors import FacekpWarning, UserError, one_line
from facekp.extras import EXTRAS, missing
from facekp.io.terminal import tell

#: Errors that the user, not facekp, can fix, wherever they occur: a full disk, and a file without permission.
_FULL = {errno.ENOSPC, errno.EDQUOT}
_FIXABLE = {*_FULL, errno.EACCES, errno.EPERM, errno.EROFS}


def run(main: Callable[[], object], name: str | None = None) -> None:
    """Run a command's `main`; exit with a documented status if it fails.

    Status 0: success. 2: an error that the user can fix, one line on stderr, no traceback. 130: stopped by Ctrl-C. 143:
    stopped by SIGTERM, in the same way. Any other exception is a bug and keeps its traceback (status 1), after the
    output of libraries, which is otherwise kept from stderr. `FACEKP_VERBOSE=1` shows that output immediately.

    Args:
        main: The command.
        name: Prefix of messages; None: the name of the program.
    """
    name = name or Path(sys.argv[0]).name
    os.environ.setdefault("OPENCV_LOG_LEVEL", "OFF")  # read on import of OpenCV, which logs every camera it tries
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # escape characters that the terminal's encoding lacks
            stream.reconfigure(errors="backslashreplace")
    with _signals() as received, _libraries_quiet() as library_output:
        try:
            main()
            sys.stdout.flush()
        except BrokenPipeError:
            # The reader of stdout, such as `head`, has closed it. What Python would still flush is discarded.
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(128 + getattr(signal, "SIGPIPE", 13))
        except BaseException as error:
            if received or isinstance(error, KeyboardInterrupt):
                # Libraries may turn a signal that arrives during their import into another exception.
                print("stopped", file=sys.stderr)
                sys.exit(128 + (received[0] if received else signal.SIGINT))
            if isinstance(error, ImportError):
                error = _explained(error)
            if isinstance(error, OSError) and error.errno in (_FIXABLE if error.filename else _FULL):
                where = error.filename or "what is being written"
                error = UserError(f"{where}: {error.strerror}; check permissions and free space")
            if isinstance(error, UserError):
                print(f"{name}: {one_line(error)}", file=sys.stderr)
                # Unloading Paddle takes time, in which a launcher that stops all its processes would change the status.
                atexit.register(signal.signal, signal.SIGTERM, signal.SIG_IGN)
                sys.exit(2)
            if isinstance(error, SystemExit):
                raise
            print(library_output(), end="", file=sys.stderr)
            raise


def _explained(error: ImportError) -> ImportError | UserError:
    """Return an error with a remedy if the import of an extra's module or of OpenCV failed, else `error` itself."""
    name = str(error.name).partition(".")[0]
    if isinstance(error, ModuleNotFoundError) and name in EXTRAS:
        return missing(name, "this command")
    if name == "cv2":  # the standard package needs desktop libraries
        return UserError(
            f"OpenCV cannot be loaded ({error}); pip install opencv-python, or opencv-python-headless on a server"
        )
    return error


class _Stopped(KeyboardInterrupt):
    """Raised on SIGTERM, which is handled like Ctrl-C."""


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Handle SIGTERM like Ctrl-C, by a KeyboardInterrupt; yield the list of received signals."""
    received: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if len(received) > 3:  # a library swallows the exceptions
            os._exit(128 + number)
        if _importing(frame):  # where exceptions may be swallowed; nothing has been written yet
            os.write(sys.stderr.fileno(), b"stopped\n")
            os._exit(128 + number)
        raise _Stopped if number == signal.SIGTERM else KeyboardInterrupt

    def take() -> None:
        with suppress(ValueError):  # not the main thread
            for number in (signal.SIGTERM, signal.SIGINT):
                if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                    signal.signal(number, handle)

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    take()
    watch = _AfterImport("paddle", take)  # which replaces our handler by its own, with a traceback
    sys.meta_path.insert(0, watch)
    try:
        yield received
    finally:
        with suppress(ValueError):
            sys.meta_path.remove(watch)
        with suppress(ValueError, TypeError):
            for number, handler in before.items():
                signal.signal(number, handler)


def _importing(frame: FrameType | None) -> bool:
    """Return whether a frame runs during the import of a module."""
    while frame is not None and not frame.f_code.co_filename.startswith("<frozen importlib"):
        frame = frame.f_back
    return frame is not None


class _AfterImport(importlib.abc.MetaPathFinder):
    """Import hook that calls a function after a module has been imported."""

    def __init__(self, name: str, then: Callable[[], None]) -> None:
        self.name, self.then = name, then

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find the module, and make its loader call the function."""
        if fullname != self.name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            loader: Any = spec.loader
            execute = loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                self.then()

            loader.exec_module = exec_module
        return spec


@contextmanager
def _libraries_quiet() -> Iterator[Callable[[], str]]:
    """Keep output, warnings and logs of libraries from stderr; yield a function that returns the captured output."""
    if os.environ.get("FACEKP_VERBOSE"):
        yield lambda: ""
        return
    with warnings.catch_warnings():
        if not sys.warnoptions:
            warnings.simplefilter("ignore")
        warnings.filterwarnings("always", category=FacekpWarning)
        plain = warnings.showwarning
        warnings.showwarning = _show
        logging.getLogger().addHandler(logging.NullHandler())  # otherwise loggers without a handler write to stderr
        try:
            with _native_stderr_redirected() as captured:
                yield captured
        finally:
            warnings.showwarning = plain


def _show(message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: Any = None) -> None:
    """Print a warning as one line."""
    tell(f"warning: {one_line(message)}", sys.stderr)


@contextmanager
def _native_stderr_redirected() -> Iterator[Callable[[], str]]:
    """Redirect what C libraries write to stderr to a temporary file; yield a function that returns it.

    Libjpeg, libpng, OpenCV and FFmpeg cannot be silenced otherwise, and they write in the middle of our lines.
    """
    try:
        ours = sys.stderr is not None and sys.stderr.fileno() == 2
    except (OSError, ValueError):
        ours = False
    if not ours:  # in a test or a notebook
        yield lambda: ""
        return
    python = sys.stderr
    try:
        log = tempfile.TemporaryFile()  # noqa: SIM115  (open as long as the process runs)
    except OSError:  # temporary files cannot be created
        log = open(os.devnull, "w+b")  # noqa: SIM115
    kept = os.dup(2)
    sys.stderr = open(kept, "w", encoding=python.encoding, errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
    python.flush()
    os.dup2(log.fileno(), 2)

    def captured() -> str:
        log.seek(0)
        return log.read(1 << 16).decode(errors="backslashreplace")

    try:
        yield captured
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        sys.stderr = python
        os.close(kept)
        log.close()
