"""How every command ends: its exit status, and what stands on stderr."""

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

#: What the user, not we, can do something about, wherever it comes up: a full disk, and a file that is not theirs.
_FULL = {errno.ENOSPC, errno.EDQUOT}
_FIXABLE = {*_FULL, errno.EACCES, errno.EPERM, errno.EROFS}


def run(main: Callable[[], object], name: str | None = None) -> None:
    """Run a command's `main` and leave with the promised exit status.

    Status 0: done. 2: what the user can fix, one line on stderr, no traceback. 130: stopped by Ctrl-C. 143: stopped by
    SIGTERM, in the same way. Any other exception is our own fault and keeps its traceback (status 1); what libraries
    had to say stands above it, which is kept from stderr otherwise. `FACEKP_VERBOSE=1` shows it as it comes.

    Args:
        main: The command.
        name: What messages begin with; the program's name if None.
    """
    name = name or Path(sys.argv[0]).name
    os.environ.setdefault("OPENCV_LOG_LEVEL", "OFF")  # read when OpenCV is imported: it tells of every camera it tries
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that the terminal's encoding lacks is spelt out
            stream.reconfigure(errors="backslashreplace")
    with _signals() as received, _libraries_quiet() as said:
        try:
            main()
            sys.stdout.flush()
        except BrokenPipeError:
            # Who reads stdout has had enough, as `head` has. What Python would still flush goes nowhere.
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(128 + getattr(signal, "SIGPIPE", 13))
        except BaseException as error:
            if received or isinstance(error, KeyboardInterrupt):
                # Libraries make something else of a signal that comes while they are imported.
                print("stopped", file=sys.stderr)
                sys.exit(128 + (received[0] if received else signal.SIGINT))
            if isinstance(error, ImportError):
                error = _told(error)
            if isinstance(error, OSError) and error.errno in (_FIXABLE if error.filename else _FULL):
                where = error.filename or "what is being written"
                error = UserError(f"{where}: {error.strerror}; check permissions and free space")
            if isinstance(error, UserError):
                print(f"{name}: {one_line(error)}", file=sys.stderr)
                # Unloading Paddle takes time, in which a launcher that ends all its processes would change the status.
                atexit.register(signal.signal, signal.SIGTERM, signal.SIG_IGN)
                sys.exit(2)
            if isinstance(error, SystemExit):
                raise
            print(said(), end="", file=sys.stderr)
            raise


def _told(error: ImportError) -> ImportError | UserError:
    """In words that help, if what cannot be imported is of an extra, or OpenCV."""
    name = str(error.name).partition(".")[0]
    if isinstance(error, ModuleNotFoundError) and name in EXTRAS:
        return missing(name, "this command")
    if name == "cv2":  # the ordinary one needs libraries of a desktop
        return UserError(
            f"OpenCV cannot be loaded ({error}); pip install opencv-python, or opencv-python-headless on a server"
        )
    return error


class _Stopped(KeyboardInterrupt):
    """SIGTERM, which is to do what Ctrl-C does."""


@contextmanager
def _signals() -> Iterator[list[int]]:
    """SIGTERM raises what Ctrl-C raises; the block gets a list of the signals that came."""
    received: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if len(received) > 3:  # nobody listens: a library swallows what is raised
            os._exit(128 + number)
        if _importing(frame):  # where what is raised may be swallowed; nothing has been written yet
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
    watch = _AfterImport("paddle", take)  # which puts a handler of its own in our place, with a traceback
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
    """Whether a module is being imported where a frame stands."""
    while frame is not None and not frame.f_code.co_filename.startswith("<frozen importlib"):
        frame = frame.f_back
    return frame is not None


class _AfterImport(importlib.abc.MetaPathFinder):
    """Calls a function when a module has been imported."""

    def __init__(self, name: str, then: Callable[[], None]) -> None:
        self.name, self.then = name, then

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find the one module, and have its loader call the function."""
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
    """Keep what libraries print, warn and log from stderr; the block gets a function that tells what it was."""
    if os.environ.get("FACEKP_VERBOSE"):
        yield lambda: ""
        return
    with warnings.catch_warnings():
        if not sys.warnoptions:
            warnings.simplefilter("ignore")
        warnings.filterwarnings("always", category=FacekpWarning)
        plain = warnings.showwarning
        warnings.showwarning = _show
        logging.getLogger().addHandler(logging.NullHandler())  # or what has no handler goes to stderr
        try:
            with _native_stderr_aside() as said:
                yield said
        finally:
            warnings.showwarning = plain


def _show(message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: Any = None) -> None:
    """Print a warning as one line."""
    tell(f"warning: {one_line(message)}", sys.stderr)


@contextmanager
def _native_stderr_aside() -> Iterator[Callable[[], str]]:
    """Let Python alone write to stderr; C libraries write to a file without a name.

    Libjpeg, libpng, OpenCV and FFmpeg know no other way to be quiet, and they write in the middle of our lines.
    """
    try:
        ours = sys.stderr is not None and sys.stderr.fileno() == 2
    except (OSError, ValueError):
        ours = False
    if not ours:  # a test's or a notebook's
        yield lambda: ""
        return
    python = sys.stderr
    try:
        aside = tempfile.TemporaryFile()  # noqa: SIM115  (for as long as the process)
    except OSError:  # no place for temporary files
        aside = open(os.devnull, "w+b")  # noqa: SIM115
    kept = os.dup(2)
    sys.stderr = open(kept, "w", encoding=python.encoding, errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
    python.flush()
    os.dup2(aside.fileno(), 2)

    def said() -> str:
        aside.seek(0)
        return aside.read(1 << 16).decode(errors="backslashreplace")

    try:
        yield said
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        sys.stderr = python
        os.close(kept)
        aside.close()
