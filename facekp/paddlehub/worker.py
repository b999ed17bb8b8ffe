"""PaddleHub's side of `facekp.paddlehub.client`: a separate program, run by the Python that has paddlehub.

It does not use facekp, and imports only the standard library until a request needs more. Requests are read from
stdin, answers are written to the original stdout, both as messages: a length (4 bytes, big endian), a JSON header of
that length, and raw bytes, whose number is "bytes" in the header. The output of libraries goes to stderr.

`python worker.py FOLDER`: FOLDER must be empty; it becomes PaddleHub's home and is deleted when stdin is closed.
"""

from __future__ import annotations

import importlib.util
import json
import os
import queue
import shutil
import signal
import struct
import sys
import threading
import types
import warnings
from importlib.machinery import ModuleSpec
from typing import IO, Any

#: Requirements of PaddleHub that `import paddlehub` needs: module -> package that provides it.
PACKAGES = {
    "paddle": "paddlepaddle",
    "paddlehub": "paddlehub",
    "colorama": "colorama",
    "colorlog": "colorlog",
    "cv2": "opencv-python",
    "easydict": "easydict",
    "filelock": "filelock",
    "packaging": "packaging",
    "PIL": "pillow",
    "rarfile": "rarfile",
    "requests": "requests",
    "scipy": "scipy",
    "six": "six",
    "tqdm": "tqdm",
    "yaml": "pyyaml",
}

#: Modules that it imports but does not need here -> their classes. They are always replaced by empty modules: the
#: real ones require a hundred packages, whose newest versions are no longer compatible.
STAND_INS = {
    "paddlenlp": [],
    "paddlenlp.data": ["JiebaTokenizer"],
    "paddlenlp.transformers": ["PretrainedTokenizer"],
    "paddle2onnx": [],
    "visualdl": ["LogWriter"],
}

#: Address without a server: neither telemetry nor download requests can leave the machine.
NOWHERE = "http://127.0.0.1:9"


def send(stream: IO[bytes], header: dict[str, Any], payload: bytes | memoryview = b"") -> None:
    """Write one message."""
    text = json.dumps({**header, "bytes": len(payload)}).encode()
    stream.write(struct.pack(">I", len(text)) + text)
    stream.write(payload)
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[dict[str, Any], bytes]:
    """Read one message: its header and its payload.

    Raises:
        EOFError: The stream has ended.

    Example:
        >>> import io
        >>> pipe = io.BytesIO()
        >>> send(pipe, {"do": "look"}, b"image")
        >>> _ = pipe.seek(0)
        >>> receive(pipe)
        ({'do': 'look', 'bytes': 5}, b'image')
    """
    (length,) = struct.unpack(">I", _exactly(stream, 4))
    header = json.loads(_exactly(stream, length))
    return header, _exactly(stream, header["bytes"])


def _exactly(stream: IO[bytes], count: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise EOFError
    return data


class GivenFaces:
    """Replacement for the module's face detector when the faces are already known."""

    def __init__(self, boxes: list[list[float]]) -> None:
        self.boxes = boxes

    def face_detection(self, images: list[Any], **_: Any) -> list[dict[str, Any]]:
        """Return the known boxes in the format of PaddleHub's detectors."""
        sides = ("left", "top", "right", "bottom")
        return [{"data": [{**dict(zip(sides, box)), "confidence": 1.0} for box in self.boxes]} for _ in images]


class Worker:
    """Handler of requests; "do" in a request is the name of the method."""

    def __init__(self, home: str) -> None:
        self.home = home
        self.module: Any = None

    def check(self, _: dict[str, Any], __: bytes) -> tuple[dict[str, Any], bytes]:
        """Return the names of the missing packages; nothing is imported."""
        missing = [package for name, package in PACKAGES.items() if importlib.util.find_spec(name) is None]
        return {"missing": missing}, b""

    def load(self, request: dict[str, Any], _: bytes) -> tuple[dict[str, Any], bytes]:
        """Import paddlehub and load the module `name` from the folder `modules`, without network access."""
        os.environ["no_proxy"] = "*"
        os.environ["HOME"] = self.home  # Paddle creates a folder there on import; the user's may be read-only
        os.symlink(request["modules"], os.path.join(self.home, "modules"))
        hub = self._import(NOWHERE)
        self.module = hub.Module(name=request["name"])
        return {"paddlehub": hub.__version__, "version": str(self.module.version)}, b""

    def look(self, request: dict[str, Any], pixels: bytes) -> tuple[dict[str, Any], bytes]:
        """Find the points in a BGR image of the given `shape`, in `boxes` if they are given."""
        import numpy as np

        image = np.frombuffer(bytearray(pixels), np.uint8).reshape(request["shape"])
        if request["boxes"] is not None:
            own = self.module.get_face_detector_module()
            self.module.set_face_detector_module(GivenFaces(request["boxes"]))
        try:
            found = self.module.keypoint_detection(images=[image], use_gpu=False, visualization=False)
        finally:
            if request["boxes"] is not None:
                self.module.set_face_detector_module(own)
        points = np.asarray(found[0]["data"] if found else [], "<f4")
        return {"shape": list(points.shape)}, points.tobytes()

    def fetch(self, request: dict[str, Any], _: bytes) -> tuple[dict[str, Any], bytes]:
        """Install modules into this worker's home: `names` from the `server`, and `sources`, archives or folders."""
        self._import(request["server"])
        from paddlehub.module.manager import LocalModuleManager

        manager = LocalModuleManager()
        for name in request["names"]:
            manager.install(name=name)
        for source in request["sources"]:
            manager.install(**{"directory" if os.path.isdir(source) else "archive": source})
        return {}, b""

    def _import(self, server: str) -> Any:
        os.environ["HUB_HOME"] = self.home
        # The compiled implementation of protobuf rejects the message classes of paddlehub.
        os.environ["PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION"] = "python"
        # If a GPU is named here, the old modules request it even if it is not to be used.
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        os.makedirs(os.path.join(self.home, "conf"))
        with open(os.path.join(self.home, "conf", "config.yaml"), "w") as file:
            file.write(f"server: {json.dumps(server)}\n")
        for name, classes in STAND_INS.items():
            stand_in = types.ModuleType(name)
            stand_in.__spec__ = ModuleSpec(name, None, is_package=True)
            stand_in.__path__ = []
            for each in classes:
                setattr(stand_in, each, type(each, (), {}))
            sys.modules[name] = stand_in
        import paddlehub

        return paddlehub

    def last_record(self) -> str:
        """Return the last line of PaddleHub's log: the cause of a failure, which its exceptions do not contain."""
        folder = os.path.join(self.home, "log")
        lines = []
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
            with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as file:
                lines += [line.strip() for line in file if line.strip()]
        return lines[-1] if lines else ""


def main() -> None:
    """Answer requests until stdin is closed."""
    home = os.path.abspath(sys.argv[1])
    if os.listdir(home):
        sys.exit(f"{home}: is not empty; it would be deleted")
    # The modules beside this file are facekp's; here they would only shadow others of the same name.
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [path for path in sys.path if path != here]
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    os.chdir(home)
    warnings.simplefilter("ignore")  # the last line on stderr should be the cause of a crash

    inbox: queue.SimpleQueue[tuple[dict[str, Any], bytes]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(requests, inbox, home), daemon=True).start()
    worker = Worker(home)
    while True:
        request, payload = inbox.get()
        try:
            answer = getattr(worker, request["do"])(request, payload)
        except (Exception, SystemExit) as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            answer = {"error": reason, "record": worker.last_record()}, b""
        send(answers, *answer)


def _listen(requests: IO[bytes], inbox: Any, home: str) -> None:
    """Read requests while the main thread works, so that this process ends as soon as stdin is closed."""
    try:
        while True:
            inbox.put(receive(requests))
    except EOFError:
        pass
    finally:
        shutil.rmtree(home, ignore_errors=True)
        if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)  # with all processes started from here
        os._exit(0)


if __name__ == "__main__":
    main()
