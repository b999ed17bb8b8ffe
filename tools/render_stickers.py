"""Render the SVGs of sticker packs to PNG, and write the anchors' pixels into their manifests.

All SVGs are drawn over the mean face (`facekp.landmarks.MEAN_FACE`) 1000 units wide, its top left corner at
the origin. The pixels of the anchors therefore follow from the viewBox. Needs `pip install resvg-py`; only
authors of stickers need this tool.
"""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import cv2
import numpy as np

from facekp.commands.main import Parser
from facekp.commands.runner import run
from facekp.errors import UserError
from facekp.extras import missing
from facekp.io.files import atomic_path
from facekp.io.images import write_image
from facekp.landmarks import MEAN_FACE, anchors
from facekp.stickers.manifest import read_manifest

#: Longer side in pixels of a still image, and of a frame of an animation.
SIDE, FRAME_SIDE = 1024, 640


def view_box(svg: Path) -> tuple[float, ...]:
    """Return the part of the face that an SVG shows: x, y, width, height.

    Raises:
        UserError: The SVG is missing or damaged, or has no valid viewBox.
    """
    try:
        values = ElementTree.parse(svg).getroot().get("viewBox", "")
        x, y, width, height = map(float, values.replace(",", " ").split())
    except (OSError, ElementTree.ParseError, ValueError) as error:
        raise UserError(f"{svg}: needs viewBox, four numbers: of the face 1000 units wide ({error})") from error
    return x, y, width, height


def main() -> None:
    """Render the given packs."""
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("packs", nargs="+", type=Path, help="folders such as assets/stickers/crown")
    packs = parser.parse_args().packs
    try:
        import resvg_py
    except ImportError as error:
        raise missing(error.name, "rendering SVGs") from error
    places = anchors(MEAN_FACE * 1000)
    for pack in packs:
        read_manifest(pack)  # raises the errors of a manifest; the keys of the JSON below keep their order
        manifest = json.loads((pack / "manifest.json").read_text(encoding="utf-8-sig"))
        for layer in manifest["layers"]:
            if "frames" not in layer:  # make-up has no image
                continue
            side = SIDE if len(layer["frames"]) == 1 else FRAME_SIDE
            for frame in layer["frames"]:
                svg = pack / frame.replace(".png", ".svg")
                x, y, width, height = view_box(svg)
                scale = side / max(width, height)
                longer = {"height": side} if height > width else {"width": side}
                data = resvg_py.svg_to_bytes(svg_path=str(svg), **longer)
                image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
                write_image(pack / frame, image)
            layer["anchors"] = {
                name: [round(float(v), 1) for v in (places[name] - (x, y)) * scale - 0.5] for name in layer["anchors"]
            }
        with atomic_path(pack / "manifest.json") as temporary:
            text = json.dumps(manifest, indent=2, ensure_ascii=False)
            # Short lists on one line.
            text = re.sub(r"\[\s+([^][{}]+?)\s+\]", lambda m: f"[{' '.join(m[1].split())}]", text)
            temporary.write_text(text + "\n", encoding="utf-8")
        print(pack)


if __name__ == "__main__":
    run(main)
