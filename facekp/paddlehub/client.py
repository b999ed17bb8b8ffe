"""PaddleHub's face_landmark_localization as a source of points.

PaddleHub runs in a separate process (`worker`): it needs old packages, switches Paddle to static graphs and does not
switch back after an exception, inserts itself at the front of `sys.path`, and sends telemetry at every load. The
process has a separate home, which shares only the installed modules with the user's, no network, and a time limit.

Environment variables: `FACEKP_HUB_PYTHON`, the Python that runs it, by default the one that runs facekp; `HUB_HOME`,
PaddleHub's home with the modules, by default `~/.paddlehub`; `FACEKP_HUB_SECONDS`, the time limit. See docs/hub.md.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from facekp.errors import UserError
from facekp.inference.faces import Faces
from facekp.inference.landmarker import Detector
from facekp.io.images import as_bgr
from facekp.landmarks import IBUG68, PointSchema
from facekp.paddlehub import worker as hub_worker
from facekp.vision import geometry
from facekp.vision.boxes import as_boxes

MODULE = "face_landmark_localization"
DETECTOR = "ultra_light_fast_generic_face_detector_1mb_640"

#: Oldest versions that do not use `paddle.fluid`, which Paddle no longer has.
OLDEST = {MODULE: "1.0.3", DETECTOR: "1.1.3"}

#: File names of a module's weights, as saved by Paddle 2, Paddle 3 and Paddle 1.
WEIGHTS = ({"model.pdmodel", "model.pdiparams"}, {"model.json", "model.pdiparams"}, {"__model__"})

#: PaddleHub's detector was trained on boxes with the forehead (WIDER FACE: a third higher than wide); boxes around the
#: 68 points are about square and begin at the brows. So this fraction of its height is added at the top of a box.
FOREHEAD = 0.3

#: Default of `FACEKP_HUB_SECONDS`: time limit for the start of the worker, and for every image.
SECONDS = 120.0

#: Latest and last version of PaddleHub; installed without its requirements, see `worker.STAND_INS`.
PADDLEHUB = "paddlehub==2.4.0"

FETCH = "facekp prepare-hub"


class HubLandmarker:
    """Landmarker that runs PaddleHub; called like `facekp.inference.landmarker.Landmarker`.

    The module returns only points: the box of a face is their bounding box, and its score is 1, or the detector's if
    one is given. After a failure of the worker, the next call starts a new one.

    Args:
        detector: Finds the faces in place of the module's own detector.
        python: Interpreter of the worker; None: `hub_python()`.
        home: PaddleHub's home; None: `hub_home()`.
        seconds: Time limit in seconds; None: `hub_seconds()`.

    Raises:
        UserError: A package or module is missing or broken, or the worker is too slow; nothing is downloaded.

    Example:
        >>> landmarker = HubLandmarker()  # doctest: +SKIP
        >>> landmarker(cv2.imread("photo.jpg")).points.shape  # doctest: +SKIP
        (1, 68, 2)
    """

    schema: PointSchema = IBUG68

    def __init__(
        self,
        detector: Detector | None = None,
        *,
        python: str | None = None,
        home: str | os.PathLike[str] | None = None,
        seconds: float | None = None,
    ) -> None:
        self.detector = detector
        self._python = python or hub_python()
        self._home = Path(home) if home else hub_home()
        self._seconds = seconds or hub_seconds()
        self._lock = threading.Lock()
        self._worker: Worker | None = self._start()

    def __call__(self, image: np.ndarray, boxes: Sequence[Sequence[float]] | np.ndarray | None = None) -> Faces:
        """Find the faces of an image.

        Args:
            image: uint8 (H, W, 3), BGR. Grey (H, W) and BGRA (H, W, 4) are converted.
            boxes: Boxes of known faces, each x0, y0, x1, y1 around the landmarks; no detector is run.

        Returns:
            All faces, largest first; `Faces.none()` if there is none.

        Raises:
            UserError: `image` is not an image, a box is empty or outside of it, or the worker failed.
        """
        image = as_bgr(image)
        scores: np.ndarray | None = None
        if boxes is not None:
            boxes = as_boxes(boxes)
        elif self.detector is not None:
            boxes, scores = self.detector(image)
        if boxes is not None and not len(boxes):
            return Faces.none()
        given = None if boxes is None else [_with_forehead(number, box, image) for number, box in enumerate(boxes)]
        with self._lock:
            points = self._find_points(image, given)
        if given is not None and len(points) != len(given):
            raise UserError(f"PaddleHub's {MODULE} found {len(points)} faces in {len(given)} boxes; omit boxes")
        if not len(points):
            return Faces.none()
        return Faces.from_arrays(
            points, geometry.bounding_box(points), np.ones(len(points)) if scores is None else scores
        )

    def close(self) -> None:
        """Stop the worker; the next call starts another. Done automatically when the landmarker is deleted."""
        with self._lock:  # not during a request of another thread
            self._close()

    def _close(self) -> None:
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    def _find_points(self, image: np.ndarray, boxes: list[list[float]] | None) -> np.ndarray:
        if self._worker is None or not self._worker.usable:
            self._worker = self._start()
        request = {"do": "look", "shape": image.shape, "boxes": boxes}
        try:
            answer, payload = self._worker.ask(request, np.ascontiguousarray(image).data.cast("B"))
        except WorkerError as error:
            self._close()
            raise UserError(f"PaddleHub's {MODULE} failed on the image: {error}") from error
        shape = answer["shape"]
        if len(shape) < 3 and 0 in shape:
            return np.zeros((0, IBUG68.num_points, 2), np.float32)
        if shape[1:] != [IBUG68.num_points, 2]:
            raise UserError(f"PaddleHub's {MODULE} gave points of shape {shape}, not (N, 68, 2); {FETCH} --again")
        return np.frombuffer(payload, "<f4").reshape(shape)

    def _start(self) -> Worker:
        worker = Worker(self._python, self._seconds)
        try:
            need_packages(worker)
            modules = self._home / "modules"
            for name in (MODULE, DETECTOR):
                check_module(modules, name)
            try:
                worker.ask({"do": "load", "modules": str(modules.resolve()), "name": MODULE})
            except WorkerError as error:
                raise UserError(
                    f"PaddleHub cannot load {MODULE}: {error}; fetch it again with {FETCH} --again, "
                    f"or fix the packages of {self._python}"
                ) from error
        except BaseException:
            worker.close()
            raise
        return worker


class WorkerError(Exception):
    """Raised when the worker reports an error, dies, or exceeds the time limit."""


class Worker:
    """Running `worker` process, with the interface to it.

    Args:
        python: Interpreter that runs it.
        seconds: Time limit for every answer in seconds.
        scratch: Folder in which its home is created; None: the system's folder for temporary files.
        stderr: File for the output of libraries; None: kept for error messages.
        limit: Name of the setting of `seconds` in messages.

    Raises:
        UserError: There is no such Python, or its home cannot be created.
    """

    def __init__(
        self,
        python: str,
        seconds: float,
        scratch: Path | None = None,
        stderr: IO[Any] | None = None,
        limit: str = "FACEKP_HUB_SECONDS",
    ) -> None:
        if shutil.which(python) is None:
            raise UserError(f"FACEKP_HUB_PYTHON: there is no Python {python}; name the one that has paddlehub")
        self.python, self._seconds, self._limit = python, seconds, limit
        self._owner = os.getpid()
        self._log: IO[bytes] | None = None
        try:
            self.home = tempfile.mkdtemp(prefix="facekp-hub-", dir=scratch)
            if stderr is None:
                self._log = tempfile.TemporaryFile()  # noqa: SIM115  (open as long as the worker runs)
        except OSError as error:
            raise UserError(
                f"PaddleHub's worker has no place for its files ({error.strerror or error}); "
                "set TMPDIR to a folder that can be written to"
            ) from error
        try:
            self._process = subprocess.Popen(
                [python, hub_worker.__file__, self.home],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log or stderr,
                start_new_session=True,  # Ctrl-C reaches only us; and it is killed with its child processes
            )
        except OSError as error:
            os.rmdir(self.home)
            raise UserError(f"FACEKP_HUB_PYTHON: {python} cannot be run ({error.strerror or error})") from error
        # Also called at exit, and when this object is garbage-collected.
        self._end = weakref.finalize(self, _end, self._process, self.home, self._owner)

    @property
    def usable(self) -> bool:
        """Whether it runs and belongs to this process: after a fork, the child must not write to the parent's pipe."""
        return self._process.poll() is None and self._owner == os.getpid()

    def ask(self, request: dict[str, Any], payload: bytes | memoryview = b"") -> tuple[dict[str, Any], bytes]:
        """Send a request and wait for its answer.

        Raises:
            WorkerError: The answer is an error, or there is none; in the second case the worker has been stopped.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        timed_out = threading.Event()

        def give_up() -> None:
            timed_out.set()
            _kill(self._process)

        timer = threading.Timer(self._seconds, give_up)  # killing it closes the pipe and so ends the read below
        timer.start()
        try:
            hub_worker.send(self._process.stdin, request, payload)
            answer, data = hub_worker.receive(self._process.stdout)
        except (EOFError, OSError, ValueError) as error:
            with suppress(subprocess.TimeoutExpired):  # for the exit status of a process that ends by itself
                self._process.wait(timeout=5)
            self.close()
            raise WorkerError(self._reason(timed_out.is_set())) from error
        except BaseException:  # Ctrl-C in between: the next answer in the pipe would be to the old request
            self.close()
            raise
        finally:
            timer.cancel()
        if "error" in answer:
            raise WorkerError(answer["error"] + (f" ({answer['record']})" if answer["record"] else ""))
        return answer, data

    def close(self) -> None:
        """Stop the process and delete its home."""
        self._end()

    def _reason(self, timed_out: bool) -> str:
        if timed_out:
            return f"no answer within {self._seconds:g} s, so it was ended; allow more with {self._limit}"
        code = self._process.wait()
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
        lines = []
        if self._log is not None:
            self._log.seek(0)
            lines = [line for line in self._log.read().decode(errors="replace").splitlines() if line.strip()]
        return f"its process {how}{f', its last line: {lines[-1].strip()}' if lines else ''}; try again"


def _end(process: subprocess.Popen[bytes], home: str, owner: int) -> None:
    if os.getpid() != owner:
        return
    _kill(process)
    for pipe in (process.stdin, process.stdout):
        with suppress(OSError):  # buffered data can no longer be written
            pipe.close()  # type: ignore[union-attr]
    process.wait()
    shutil.rmtree(home, ignore_errors=True)


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with suppress(ProcessLookupError, PermissionError):  # it has just ended
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()


def hub_python() -> str:
    """Return the Python interpreter for PaddleHub."""
    return os.path.expanduser(os.environ.get("FACEKP_HUB_PYTHON") or sys.executable)


def hub_home() -> Path:
    """Return PaddleHub's home.

    Raises:
        UserError: It is not a folder.
    """
    home = Path(os.environ.get("HUB_HOME") or "~/.paddlehub").expanduser()
    if home.exists() and not home.is_dir():
        raise UserError(f"HUB_HOME: {home} is not a folder; set it to PaddleHub's home, or unset it")
    return home


def hub_seconds() -> float:
    """Return the time limit for the worker in seconds, from `FACEKP_HUB_SECONDS` if it is set.

    Raises:
        UserError: The variable is not a number above 0.
    """
    text = os.environ.get("FACEKP_HUB_SECONDS") or str(SECONDS)
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds <= threading.TIMEOUT_MAX:
        raise UserError(f"FACEKP_HUB_SECONDS: {text} is not a number of seconds; give one above 0")
    return seconds


def need_packages(worker: Worker) -> None:
    """Check, without importing them, that the worker's Python has the packages that PaddleHub needs.

    Raises:
        UserError: Packages are missing.
    """
    try:
        missing = worker.ask({"do": "check"})[0]["missing"]
    except WorkerError as error:
        raise UserError(f"{worker.python}: cannot run PaddleHub's worker, {error}") from error
    pip = f"{worker.python} -m pip install"
    remedies = [f"{pip} --no-deps {PADDLEHUB}"] if "paddlehub" in missing else []
    others = [package for package in missing if package != "paddlehub"]
    if others:
        remedies.append(f"{pip} {' '.join(others)}")
    if remedies:
        raise UserError(f"{worker.python} lacks {', '.join(missing)}: {' && '.join(remedies)}; see docs/hub.md")


def check_module(modules: Path, name: str) -> str:
    """Check that a module is installed, complete and recent enough, without running it.

    Args:
        modules: Folder of installed modules.
        name: `MODULE` or `DETECTOR`.

    Returns:
        Version of the module.

    Raises:
        UserError: It is missing, incomplete or too old.
    """
    folder = modules / name
    try:
        if not folder.is_dir():
            raise UserError(f"{folder}: PaddleHub's module {name} is not installed; fetch it with {FETCH}")
        version = module_version(folder)
        weights = {file.name for file in (folder / name).iterdir()} if (folder / name).is_dir() else set()
    except OSError as error:
        raise UserError(f"{error.filename}: cannot be read ({error.strerror}); check its permissions") from error
    if version is None or _numbers(version) < _numbers(OLDEST[name]):
        raise UserError(
            f"{folder}: version {version or 'unknown'} of {name} cannot run with this Paddle, "
            f"it takes {OLDEST[name]}; fetch it with {FETCH}"
        )
    if not any(kind <= weights for kind in WEIGHTS):
        raise UserError(f"{folder / name}: the weights of {name} are missing; fetch it again with {FETCH}")
    return version


def module_version(folder: Path) -> str | None:
    """Return the version that a module's code declares, without running it; None if it declares none."""
    try:
        code = ast.parse((folder / "module.py").read_text(encoding="utf-8"))
    except (FileNotFoundError, SyntaxError, ValueError):
        return None
    for node in ast.walk(code):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "moduleinfo":
            for keyword in node.keywords:
                if keyword.arg == "version" and isinstance(keyword.value, ast.Constant):
                    return str(keyword.value.value)
    return None


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]


def _with_forehead(number: int, box: np.ndarray, image: np.ndarray) -> list[float]:
    """Convert a box around landmarks to one like those of PaddleHub's detector, clipped to the image."""
    height, width = image.shape[:2]
    x0, y0, x1, y1 = (float(value) for value in box)
    if not (np.isfinite([x0, y0, x1, y1]).all() and x0 < x1 and y0 < y1):
        raise UserError(f"box {number}, {[x0, y0, x1, y1]}, is empty; give x0, y0, x1, y1 in pixels")
    x0, y0, x1, y1 = max(x0, 0), max(y0 - FOREHEAD * (y1 - y0), 0), min(x1, width), min(y1, height)
    if x1 - x0 < 1 or y1 - y0 < 1:
        raise UserError(f"box {number} lies outside the image of {width} x {height} pixels; omit it")
    return [x0, y0, x1, y1]
