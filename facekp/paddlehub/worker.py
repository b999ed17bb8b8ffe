"""PaddleHub's side of `facekp.paddlehub.client`: a program of its own, run by whatever Python has paddlehub.

It knows nothing of facekp and imports nothing but the standard library until it is asked to. Requests come in on
stdin, answers go out on what was stdout, both as messages: a length (4 bytes, big endian), a JSON header of that
length, and as many raw bytes as its "bytes" says. Everything that libraries print goes to stderr.

`python worker.py FOLDER`: FOLDER is empty, becomes PaddleHub's home, and is deleted when stdin ends.
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

#: What `import paddlehub` needs of its requirements: the module, and the package that holds it.
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

#: And what it imports without needing it here: paddlehub runs with empty ones, whether there are real ones or not.
#: The real ones come with a hundred packages, and their newest versions no longer fit together.
STAND_INS = {
    "paddlenlp": [],
    "paddlenlp.data": ["JiebaTokenizer"],
    "paddlenlp.transformers": ["PretrainedTokenizer"],
    "paddle2onnx": [],
    "visualdl": ["LogWriter"],
}

#: Nobody listens there: neither telemetry nor a download can leave the machine.
NOWHERE = "http://127.0.0.1:9"


def send(stream: IO[bytes], header: dict[str, Any], payload: bytes | memoryview = b"") -> None:
    """Write one message."""
    text = json.dumps({**header, "bytes": len(payload)}).encode()
    stream.write(struct.pack(">I", len(text)) + text)
    stream.write(payload)
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[dict[str, Any], bytes]:
    """Read one message: its header and its bytes.

    Raises:
        EOFError: The other side is gone.

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
    """Takes the place of the module's face detector where the faces are known already."""

    def __init__(self, boxes: list[list[float]]) -> None:
        self.boxes = boxes

    def face_detection(self, images: list[Any], **_: Any) -> list[dict[str, Any]]:
        """Answer as PaddleHub's detectors do."""
        sides = ("left", "top", "right", "bottom")
        return [{"data": [{**dict(zip(sides, box)), "confidence": 1.0} for box in self.boxes]} for _ in images]


class Worker:
    """Answers requests; the name of the method is the request's "do"."""

    def __init__(self, home: str) -> None:
        self.home = home
        self.module: Any = None

    def check(self, _: dict[str, Any], __: bytes) -> tuple[dict[str, Any], bytes]:
        """Which packages are missing; nothing is imported."""
        missing = [package for name, package in PACKAGES.items() if importlib.util.find_spec(name) is None]
        return {"missing": missing}, b""

    def load(self, request: dict[str, Any], _: bytes) -> tuple[dict[str, Any], bytes]:
        """Import paddlehub and load the module `name` from the folder `modules`; the network is out of reach."""
        os.environ["no_proxy"] = "*"
        os.environ["HOME"] = self.home  # Paddle makes a folder there at its import; the user's may not allow that
        os.symlink(request["modules"], os.path.join(self.home, "modules"))
        hub = self._import(NOWHERE)
        self.module = hub.Module(name=request["name"])
        return {"paddlehub": hub.__version__, "version": str(self.module.version)}, b""

    def look(self, request: dict[str, Any], pixels: bytes) -> tuple[dict[str, Any], bytes]:
        """Find the points on a BGR image of the given `shape`, in `boxes` if there are any."""
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
        """Install modules into this worker's home: `names` from the `server`, or archives and folders."""
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
        # The pre-compiled half of protobuf refuses the message classes that paddlehub brings.
        os.environ["PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION"] = "python"
        # With a GPU named here the old modules ask for it even if it is not to be used.
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
        """The last line of PaddleHub's own log: why a module broke, which its exceptions do not tell."""
        folder = os.path.join(self.home, "log")
        lines = []
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
            with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as file:
                lines += [line.strip() for line in file if line.strip()]
        return lines[-1] if lines else ""


def main() -> None:
    """Answer until stdin ends."""
    home = os.path.abspath(sys.argv[1])
    if os.listdir(home):
        sys.exit(f"{home}: is not empty; it would be deleted")
    # The modules beside this file are facekp's; here they would only hide others of the same name.
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [path for path in sys.path if path != here]
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    os.chdir(home)
    warnings.simplefilter("ignore")  # the last line on stderr shall be why it died

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
    """Read on while the main thread works, so that the end of the other side is the end of this one at once."""
    try:
        while True:
            inbox.put(receive(requests))
    except EOFError:
        pass
    finally:
        shutil.rmtree(home, ignore_errors=True)
        if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)  # with whatever was started from here
        os._exit(0)


if __name__ == "__main__":
    main()
