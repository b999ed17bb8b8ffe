"""Small modules with the names and interfaces of PaddleHub's own, for its real `hub.Module(name=...)`.

The "detector" finds bright spots, the "landmarks" are the mean face scaled to their boxes. Certain colours of the
image's first pixel make the module fail, so that the handling of failures can be tested.
"""

from pathlib import Path

import numpy as np

from facekp.landmarks import MEAN_FACE
from facekp.paddlehub.client import DETECTOR, MODULE

#: BGR colour of the first pixel for each failure. FIFO: variable with the file that HANG writes the process id to.
RAISE, DIE, HANG = (1, 2, 3), (4, 5, 6), (7, 8, 9)
FIFO = "FACEKP_TEST_FIFO"

_DETECTOR_CODE = """
import cv2
import numpy as np
from paddlehub.module.module import moduleinfo


@moduleinfo(name="{name}", type="CV/face_detection", author="", author_email="", summary="", version="{version}")
class Detector:
    def face_detection(self, images=None, use_gpu=False, visualization=False):
        results = []
        for image in images:
            _, _, stats, _ = cv2.connectedComponentsWithStats((image.max(2) > 128).astype(np.uint8))
            found = [(x, y, x + w, y + h, n / image[..., 0].size) for x, y, w, h, n in stats[1:] if n > 9]
            keys = ("left", "top", "right", "bottom", "confidence")
            results.append({{"data": [dict(zip(keys, map(float, f))) for f in sorted(found, key=lambda f: -f[4])]}})
        return results
"""

_LANDMARK_CODE = """
import os
import signal
import threading

import numpy as np
import paddle
import paddlehub as hub
from paddlehub.module.module import moduleinfo

FACE = np.array({face})
print("noise on stdout", flush=True)


@moduleinfo(name="{name}", type="CV/keypoint_detection", author="", author_email="", summary="", version="{version}")
class Landmarks:
    def __init__(self, face_detector_module=None):
        self.face_detector = face_detector_module or hub.Module(name="{detector}")

    def set_face_detector_module(self, face_detector_module):
        self.face_detector = face_detector_module

    def get_face_detector_module(self):
        return self.face_detector

    def keypoint_detection(self, images=None, paths=None, batch_size=1, use_gpu=False, visualization=False):
        assert type(images) is list and not use_gpu and not visualization and not paddle.in_dynamic_mode()
        os.write(1, b"more noise on stdout\\n")
        first = tuple(images[0][0, 0].tolist())
        if first == {RAISE}:
            raise ValueError("a broken net")
        if first == {DIE}:
            os.write(2, b"out of memory\\n")
            os.kill(os.getpid(), signal.SIGKILL)
        if first == {HANG}:
            if "{FIFO}" in os.environ:
                with open(os.environ["{FIFO}"], "w") as fifo:
                    fifo.write(str(os.getpid()))
            threading.Event().wait()
        results = []
        for image, found in zip(images, self.face_detector.face_detection(images=images, use_gpu=use_gpu)):
            faces = []
            for box in found["data"]:
                corner = np.array([box["left"], box["top"]])
                faces.append((FACE * (np.array([box["right"], box["bottom"]]) - corner) + corner).tolist())
            if faces:
                results.append({{"data": faces}})
        return results
"""

#: The mean face scaled to the unit square.
UNIT_FACE = ((MEAN_FACE - MEAN_FACE.min(0)) / np.ptp(MEAN_FACE, axis=0)).round(4)


def write_module(modules: Path, name: str, version: str = "1.1.3", code: str = "", weights: bool = True) -> Path:
    """Write one of the two modules into a folder of modules."""
    folder = modules / name
    folder.mkdir(parents=True)
    template = {MODULE: _LANDMARK_CODE, DETECTOR: _DETECTOR_CODE}[name]
    values = {"name": name, "version": version, "detector": DETECTOR, "face": UNIT_FACE.tolist()}
    (folder / "module.py").write_text(template.format(RAISE=RAISE, DIE=DIE, HANG=HANG, FIFO=FIFO, **values) + code)
    (folder / "__init__.py").touch()
    if weights:
        (folder / name).mkdir()
        for part in ("model.pdmodel", "model.pdiparams"):
            (folder / name / part).write_bytes(b"weights")
    return folder


def write_home(home: Path) -> Path:
    """Write a PaddleHub home with both modules."""
    for name in (MODULE, DETECTOR):
        write_module(home / "modules", name)
    return home


def picture(*spots: tuple[int, int, int, int], first: tuple[int, int, int] = (0, 0, 0)) -> np.ndarray:
    """Return a black image with bright spots, each given as x0, y0, x1, y1."""
    image = np.zeros((120, 160, 3), np.uint8)
    for x0, y0, x1, y1 in spots:
        image[y0:y1, x0:x1] = 255
    image[0, 0] = first
    return image
