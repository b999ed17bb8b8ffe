"""Our network as a PaddleHub module, with the interface of face_landmark_localization, which it can replace.

`write_hub_module` writes a folder for `hub install`: an exported network and face detector, a copy of this package (so
that facekp need not be installed where it runs), and a `module.py` that only adds PaddleHub's decorators to the
`KeypointModule` of this file.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from facekp.detectors import load_detector
from facekp.errors import UserError
from facekp.inference.backends import PARAMETERS_FILE, PROGRAM_FILES, RECIPE_FILE, load_backend
from facekp.inference.faces import Faces
from facekp.inference.landmarker import Landmarker
from facekp.io.files import local_errors, new_folder
from facekp.io.images import decode_image, read_image, write_image
from facekp.paddlehub.client import FOREHEAD
from facekp.version import VERSION

NAME = "facekp_face_landmarks"

#: Folders beside `module.py`: the exported network and face detector, and the copy of facekp.
NETWORK, DETECTOR, LIBRARY = "network", "detector", "library"

#: Requirements of the copy of facekp besides Paddle, which runs the networks here: the light core of setup.cfg.
REQUIREMENTS = """\
filelock>=3.16
numpy
opencv-python>=4.8,<5
pillow
pydantic>=2
pyyaml
safetensors
simplejpeg
tqdm
"""

_MODULE = '''"""{summary} Written by facekp {version}."""

import sys
from pathlib import Path

from paddlehub.module.module import moduleinfo, runnable, serving

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "{library}"))
try:
    from facekp.paddlehub.module import KeypointModule
except ImportError as error:
    raise ImportError(f"{name} lacks {{error.name}}: pip install -r {{HERE / 'requirements.txt'}}") from error
finally:
    sys.path.remove(str(HERE / "{library}"))


@moduleinfo(
    name="{name}",
    type="CV/keypoint_detection",
    author="facekp",
    author_email="",
    summary="{summary}",
    version="{version}",
)
class FaceLandmarks(KeypointModule):
    def __init__(self, face_detector_module=None):
        KeypointModule.__init__(self, HERE / "{network}", HERE / "{detector}", face_detector_module)

    @serving
    def serving_method(self, images, **options):
        return self.serve(images, **options)

    @runnable
    def run_cmd(self, arguments):
        return self.run("{name}", arguments)
'''


def write_hub_module(folder: Path, network: Path, detector: Path) -> None:
    """Write a folder for `hub install FOLDER`, completely or not at all.

    Args:
        folder: Output folder; must be empty if it exists.
        network: Folder that `facekp.inference.export.export` wrote, with at least the format "paddle".
        detector: The same for a face detector.

    Raises:
        UserError: `network` or `detector` is not such a folder, or `folder` is not empty or cannot be written.
    """
    parts = {NETWORK: _exported_files(network), DETECTOR: _exported_files(detector)}
    package = Path(__file__).resolve().parents[1]
    code = _MODULE.format(
        name=NAME, summary="Face landmarks.", version=VERSION, library=LIBRARY, network=NETWORK, detector=DETECTOR
    )
    with local_errors(folder, "choose another folder"), new_folder(folder) as made:
        shutil.copytree(package, made / LIBRARY / package.name, ignore=shutil.ignore_patterns("shipped", "__pycache__"))
        for part, files in parts.items():
            (made / part).mkdir()
            for file in files:
                shutil.copyfile(file, made / part / file.name)
        (made / "module.py").write_text(code, encoding="utf-8")
        (made / "__init__.py").touch()
        (made / "requirements.txt").write_text(REQUIREMENTS, encoding="utf-8")


def _exported_files(folder: Path) -> list[Path]:
    names = (*PROGRAM_FILES, PARAMETERS_FILE, RECIPE_FILE)
    files = [folder / name for name in names if (folder / name).is_file()]
    if len(files) != 3:
        raise UserError(f"{folder}: holds no network for Paddle Inference; write it with facekp export")
    return files


class KeypointModule:
    """Implementation of the module, with the names of PaddleHub's interface.

    Args:
        network: Folder of an exported network.
        detector: Folder of an exported face detector of ours.
        face_detector_module: PaddleHub module that finds the faces in place of our detector; None: not replaced.
    """

    def __init__(self, network: Path, detector: Path, face_detector_module: Any = None) -> None:
        self.landmarker = Landmarker(*load_backend(network, "paddle"), load_detector(detector, backend="paddle"))
        self.face_detector = face_detector_module

    def set_face_detector_module(self, face_detector_module: Any) -> None:
        """Set the module that finds the faces; None for our detector."""
        self.face_detector = face_detector_module

    def get_face_detector_module(self) -> Any:
        """Return the module that finds the faces; None for our detector."""
        return self.face_detector

    def keypoint_detection(
        self,
        images: Sequence[np.ndarray] | None = None,
        paths: Sequence[str] | None = None,
        batch_size: int = 1,
        use_gpu: bool = False,
        output_dir: str | None = "face_landmark_output",
        visualization: bool = False,
    ) -> list[dict[str, Any]]:
        """Find the landmarks of all faces.

        Args:
            images: BGR uint8 (H, W, 3).
            paths: Image files, processed before `images`.
            batch_size: Ignored, for compatibility with PaddleHub; all faces of an image are one batch.
            use_gpu: Ignored as well; this runs on the CPU.
            output_dir: Output folder of `visualization`.
            visualization: Whether to write each image with its points drawn.

        Returns:
            A dict for each image with faces, in their order: `data`, the points of each face as [x, y], best face
            first; `scores` and `boxes` of the faces; `index` of the image; `save_path` of the drawn image, if one was
            written.
        """
        loaded = [*(read_image(path) for path in paths or []), *(images or [])]
        names = [
            *(Path(path).name for path in paths or []),
            *(f"ndarray_{time.time_ns()}_{i}.png" for i in range(len(images or []))),
        ]
        taken = set()
        for index, name in enumerate(names):  # files of the same name from different folders
            names[index] = name if name not in taken else f"{Path(name).stem}_{index}{Path(name).suffix}"
            taken.add(names[index])
        results = []
        for index, (image, name) in enumerate(zip(loaded, names)):
            faces = self._find_faces(image)
            if not len(faces):
                continue
            best = np.argsort(-faces.scores, kind="stable")
            result: dict[str, Any] = {
                "data": faces.points[best].tolist(),
                "scores": faces.scores[best].tolist(),
                "boxes": faces.boxes[best].tolist(),
                "index": index,
            }
            if visualization:
                path = Path(output_dir or "face_landmark_output", name)
                write_image(path, _with_dots(image, faces))
                result["save_path"] = str(path)
            results.append(result)
        return results

    def serve(self, images: Sequence[str], **_: Any) -> list[dict[str, Any]]:
        """Answer `hub serving`: images as base64 of a JPEG or PNG. Other options are ignored and nothing is written."""
        if isinstance(images, (str, bytes)) or not isinstance(images, Sequence):
            raise UserError("images is not a list of base64 texts")
        decoded = []
        for index, text in enumerate(images):
            try:
                image = decode_image(np.frombuffer(base64.b64decode(text), np.uint8))
            except (binascii.Error, ValueError, TypeError):
                image = None
            if image is None:
                raise UserError(f"image {index} is not base64 of an image that OpenCV can read")
            decoded.append(image)
        return self.keypoint_detection(decoded)

    def run(self, name: str, arguments: Sequence[str]) -> list[dict[str, Any]]:
        """Run the command line of `hub run`."""
        parser = argparse.ArgumentParser(prog=f"hub run {name}", description=f"Run the {name} module.")
        parser.add_argument("--input_path", required=True, help="path of an image")
        parser.add_argument("--use_gpu", type=_yes_or_no, default=False, help="for PaddleHub's sake")
        parser.add_argument("--output_dir", default=None, help="folder for what --visualization writes")
        parser.add_argument("--visualization", type=_yes_or_no, default=False, help="True: draw the points")
        args = parser.parse_args(arguments)
        try:
            return self.keypoint_detection(
                paths=[args.input_path], output_dir=args.output_dir, visualization=args.visualization
            )
        except UserError as error:
            print(f"hub run {name}: {error}", file=sys.stderr)
            sys.exit(2)

    def _find_faces(self, image: np.ndarray) -> Faces:
        if self.face_detector is None:
            return self.landmarker(image)
        boxes = []
        for face in self.face_detector.face_detection(images=[image], use_gpu=False, visualization=False)[0]["data"]:
            x0, y0, x1, y1 = (float(face[side]) for side in ("left", "top", "right", "bottom"))
            boxes.append([x0, y1 - (y1 - y0) / (1 + FOREHEAD), x1, y1])
        return self.landmarker(image, boxes=boxes)


def _yes_or_no(text: str) -> bool:
    """Parse a boolean as PaddleHub's users write it: True, False."""
    values = {"true": True, "1": True, "false": False, "0": False}
    if text.lower() not in values:
        raise argparse.ArgumentTypeError(f"{text!r}: give True or False")
    return values[text.lower()]


def _with_dots(image: np.ndarray, faces: Faces) -> np.ndarray:
    canvas = np.ascontiguousarray(image[..., :3] if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)).copy()
    for x, y in faces.points.reshape(-1, 2):
        cv2.circle(canvas, (round(float(x)), round(float(y))), 1, (0, 0, 255), 2)
    return canvas
