"""Reference results of the Python package, with which the browser's engine is compared.

python web/tests/reference.py             # tests/fixtures/reference.json, public/models/*/recipe.json, and the places
                                          # to which stickers are attached, src/engine/places.json
python web/tests/reference.py --check     # check that they are up to date; exit status 1 if not
python web/tests/reference.py --pictures  # tests/.pictures/: the images, faces and stickers of `npm run parity`
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

import facekp
from facekp.data.drawn import draw_face
from facekp.detectors import load_detector
from facekp.inference.faces import Faces
from facekp.inference.tracking import OneEuro
from facekp.landmarks import IBUG68, MEAN_FACE, SIGNALS, Neutral, anchors, face_outline, head_pose, measure
from facekp.landmarks.head import HEAD_PLACES, HEAD_POINTS
from facekp.landmarks.pose import complete_far_side, rotation
from facekp.recipes import read_any_recipe, save_recipe
from facekp.stickers import list_stickers, load_sticker
from facekp.stickers.fit import fit
from facekp.stickers.makeup import Paint
from facekp.stickers.triangles import mesh_points, triangles
from facekp.stickers.triggers import Switch, Trigger
from facekp.stickers.wearer import Wearer
from facekp.vision import geometry
from facekp.zoo import SHIPPED

WEB = Path(__file__).resolve().parent.parent
FIXTURE = WEB / "tests" / "fixtures" / "reference.json"
PLACES = WEB / "src" / "engine" / "places.json"
PICTURES = WEB / "tests" / ".pictures"
MODELS = WEB / "public" / "models"
ASTRONAUT = WEB.parent / "assets" / "photos" / "astronaut.png"

#: Networks shipped with the page.
NETWORKS = ("face_crop_light", "face_detector")


def main() -> int:
    """Read the arguments, then write or check the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit status 1 if a file is out of date")
    parser.add_argument("--pictures", action="store_true", help="write the pictures for `npm run parity`")
    args = parser.parse_args()
    if args.pictures:
        write_pictures()
        return 0
    status = 0
    for path, text in {FIXTURE: fixture(), PLACES: places(), **recipes()}.items():
        if not args.check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif not path.is_file() or not same(json.loads(path.read_text(encoding="utf-8")), json.loads(text)):
            print(f"{path.relative_to(WEB)}: out of date; run python web/tests/reference.py", file=sys.stderr)
            status = 1
    return status


def recipes() -> dict[Path, str]:
    """Return the recipes of the shipped networks, as `tools/export.py` writes them."""
    texts = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in NETWORKS:
            path = Path(folder) / f"{name}.json"
            save_recipe(path, read_any_recipe(SHIPPED / f"{name}.safetensors"))
            texts[MODELS / name / "recipe.json"] = path.read_text(encoding="utf-8")
    return texts


def places() -> str:
    """Return the points whose mean each anchor is, and the places of the head without landmarks, as JSON."""
    parts = []
    for part, values in {"anchors": IBUG68.anchors, "head": HEAD_PLACES}.items():
        lines = ",\n".join(f"    {json.dumps(name)}: {json.dumps(list(value))}" for name, value in values.items())
        parts.append(f"  {json.dumps(part)}: {{\n{lines}\n  }}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def fixture() -> str:
    """Return results of single functions for the unit tests, as JSON."""
    rng = np.random.default_rng(0)
    matrix = geometry.compose(geometry.rotation(20), geometry.scaling(130, 110), geometry.translation(40, 30))
    face = geometry.apply(matrix, MEAN_FACE.astype(np.float64)) + rng.normal(0, 1, (68, 2))
    steps = [face + rng.normal(0, 2, (68, 2)) + 4 * step for step in range(4)]
    smooth = OneEuro()
    source = rng.uniform(0, 100, (6, 2))
    target = source * 1.5 + rng.normal(0, 6, (6, 2))
    probes = rng.uniform(0, 100, (4, 2))
    picture = rng.integers(0, 256, (40, 50, 3), np.uint8)
    grown = geometry.compose(geometry.rotation(15), geometry.scaling(1.3))
    shrunk = geometry.compose(geometry.rotation(-10), geometry.scaling(0.23))
    values = {
        "face": face,
        "poses": [posed(head(*angles, 130) + rng.normal(0, 1, (68, 2))) for angles in ANGLES],
        "anchors": anchors(face),
        "outline": face_outline(face),
        "triangles": np.uint8(triangles()),
        "mesh": mesh_points(face),
        "signals": {name: signals(acting(name) * 90) for name in SIGNALS},
        "rest": rest(rng),
        "switches": switches(rng),
        "steps": steps,
        "smoothed": [smooth(points, 0.1 * (index + 1)) for index, points in enumerate(steps)],
        "source": source,
        "target": target,
        "probes": probes,
        "similarity": geometry.similarity(source, target),
        "affine": geometry.affine(source, target),
        "carried": {kind: fit(kind, source, target)(probes) for kind in ("similarity", "affine", "mesh")},
        "picture": picture,
        "grown": {"matrix": grown, "result": geometry.warp(picture, grown, (30, 20))},
        "shrunk": {"matrix": shrunk, "result": geometry.warp(picture, shrunk, (12, 10))},
        "halved": cv2.resize(picture, (25, 20), interpolation=cv2.INTER_AREA),
        "area": cv2.resize(picture, (33, 27), interpolation=cv2.INTER_AREA),
        "enlarged": cv2.resize(picture, (75, 60), interpolation=cv2.INTER_LINEAR),
    }
    return json.dumps(rounded(values)) + "\n"


#: Yaw, pitch and roll of heads in degrees.
ANGLES = ((0, 0, 0), (20, -10, 15), (-45, 10, -30), (60, 5, 100), (-80, 0, 0))


def head(yaw: float, pitch: float, roll: float, size: float) -> np.ndarray:
    """Return the points of a rotated average head, (68, 2), in an image of 400 x 400."""
    return (HEAD_POINTS - (0.5, 0.45, 0.3)) @ rotation(yaw, pitch, roll)[:2].T * size + 200


def posed(points: np.ndarray) -> dict[str, object]:
    """Return a face's pose and the values derived from it."""
    pose = head_pose(points[None])
    return {
        "points": points,
        "angles": [*pose.yaw, *pose.pitch, *pose.roll],
        "camera": pose.camera[0, :2],
        "measured": measure(points[None], pose.camera)[0],
        "completed": complete_far_side(points, pose),
        "anchors": anchors(points),
        "outline": face_outline(points),
    }


def acting(signal: str) -> np.ndarray:
    """Return the mean face with one expression."""
    face = MEAN_FACE.astype(np.float64)
    if signal == "mouth_open":
        face[[*range(5, 12), *range(55, 60), *range(65, 68)], 1] += 0.11
    elif signal == "mouth_wide":
        face[[48, 60, 54, 64]] += np.array([[-0.06, -0.05], [-0.06, -0.05], [0.06, -0.05], [0.06, -0.05]])
    elif signal == "lips_round":
        face[48:68, 0] = 0.5 + 0.65 * (face[48:68, 0] - 0.5)
    elif signal.endswith("eye_closed"):
        face[[40, 41] if signal.startswith("left") else [46, 47], 1] -= 0.045
    else:
        brows = {"left_brow_up": range(17, 22), "right_brow_up": range(22, 27)}.get(signal, range(17, 27))
        face[list(brows), 1] -= 0.06
    return face


def signals(points: np.ndarray) -> list[float]:
    """Return all signals of a face relative to the average face at rest."""
    faces = Faces.from_arrays([points], [[0, 0, 1, 1]], [1])
    return [float(values[0]) for values in faces.signals.values()]


def rest(rng: np.random.Generator) -> dict[str, object]:
    """Return the signals of some frames, and the neutral values learned after each frame."""
    neutral, average = Neutral(1.0), np.array([signal.neutral for signal in SIGNALS.values()])
    measured, learned = average + rng.normal(0.01, 0.01, (12, len(SIGNALS))), []
    for frame, each in enumerate(measured):
        neutral.learn(each, yaw=30.0 if frame == 3 else 0.0, seconds=0.1 * frame)
        learned.append(neutral.values)
    return {"measured": list(measured), "learned": learned}


def switches(rng: np.random.Generator) -> list[dict[str, object]]:
    """Return the states of triggers for a randomly varying signal."""
    results = []
    for hold, mode in ((0, "while"), (600, "while"), (0, "burst"), (300, "burst")):
        trigger, switch = Trigger("mouth_open", 0.6, 0.4, hold, mode), Switch()
        values = np.clip(0.5 + np.cumsum(rng.normal(0, 0.15, 60)) % 1 - 0.5, 0, 1)
        shown = [switch(trigger, float(value), 0.07 * frame, 0.5) for frame, value in enumerate(values)]
        results.append({"hold": hold, "mode": mode, "values": values, "shown": [-1 if t is None else t for t in shown]})
    return results


def rounded(value: object) -> object:
    """Convert arrays, also nested ones in dicts and lists, to rounded JSON values."""
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(each) for each in value]
    if isinstance(value, (str, int, float)):
        return round(value, 6) if isinstance(value, float) else value
    array = np.asarray(value)
    return array.astype(int).ravel().tolist() if array.dtype == np.uint8 else array.round(6).ravel().tolist()


def same(a: object, b: object) -> bool:
    """Return whether two JSON values agree up to rounding of numbers and one level of resampled pixels."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b))
    if isinstance(a, float) and isinstance(b, float):
        return abs(a - b) <= 1e-5 * max(1.0, abs(a))
    if isinstance(a, int) and isinstance(b, int):
        return abs(a - b) <= 1
    return a == b


def write_pictures() -> None:
    """Write forty images, the faces that the landmarker finds in each, and every pack on some of them."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    landmarker = facekp.load_landmarker(detector=load_detector(backend="onnx"), backend="onnx")  # as in the browser
    described = []
    for index, (name, picture) in enumerate(pictures()):
        faces = landmarker(picture)
        cv2.imwrite(str(PICTURES / f"{index:02}.png"), picture)
        described.append({"file": f"{index:02}.png", "name": name, "faces": rows(faces)})
    worn = []
    for number, index in enumerate(i for i, each in enumerate(described) if each["name"] in WORN):
        for name in list_stickers():
            worn.append(wear(name, f"{number}_{name}", index, described[index]["faces"]))
    for number, (angles, index) in enumerate(zip(ANGLES, (0, 4, 20, 21, 22))):
        for name in list_stickers():
            triggers = [layer.trigger.signal for layer in load_sticker(name).layers if layer.trigger]
            points = head(*angles, 120)
            if triggers:  # the expression, rotated and scaled like the head
                shift = acting(triggers[0]) - MEAN_FACE
                points = points + shift @ rotation(*angles)[:2, :2].T * 120
            box = [*points.min(0), *points.max(0)]
            faces = [{"points": points.round(4).tolist(), "boxes": box, "scores": 0.9}]
            worn.append(wear(name, f"turned_{number}_{name}", index, faces))
    points = head(0, 0, 0, 120)
    faces = [
        {"points": (points - points.mean(0) + (0, 90)).round(4).tolist(), "boxes": [-60, 30, 60, 150], "scores": 0.9}
    ]
    worn += [wear(name, f"cut_{name}", 0, faces) for name in ("tiger", "sunglasses")]
    placed = placements()
    text = json.dumps({"pictures": described, "worn": worn, "placed": placed})
    (PICTURES / "index.json").write_text(text, encoding="utf-8")
    print(f"{len(described)} pictures, {sum(len(d['faces']) for d in described)} faces, {len(worn)} with stickers")


def wear(name: str, file: str, index: int, found: list[dict[str, object]]) -> dict[str, object]:
    """Draw a pack on faces of an image, and write the result."""
    picture = cv2.imread(str(PICTURES / f"{index:02}.png"))
    faces = Faces.from_arrays(*(np.array([face[key] for face in found]) for key in ("points", "boxes", "scores")))
    cv2.imwrite(str(PICTURES / f"{file}.png"), load_sticker(name).apply(picture, faces, 0.2))
    return {"picture": f"{index:02}.png", "sticker": name, "file": f"{file}.png", "seconds": 0.2, "faces": found}


#: Images on whose faces every pack is drawn, in addition to rotated heads.
WORN = {"astronaut", "hopper turned 20", "drawn 3"}


def rows(faces: Faces) -> list[dict[str, object]]:
    """Convert faces to JSON values."""
    return [
        {"points": np.float64(points).round(4).tolist(), "boxes": np.float64(box).tolist(), "scores": score}
        for points, box, score in faces
    ]


def placements() -> list[dict[str, object]]:
    """Return the targets of every layer on rotated heads, and the placed corners of its image."""
    placed = []
    for angles in ANGLES:
        points = head(*angles, 260)
        wearer = Wearer(Faces.from_arrays([points], [[0, 0, 1, 1]], [1]), 0)
        for name in list_stickers():
            for index, layer in enumerate(load_sticker(name).layers):
                if isinstance(layer, Paint):
                    continue
                width, height = layer.frames[0].size
                corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], np.float64)
                carried = np.zeros((0, 2)) if layer.fit == "face" else layer.place(wearer)(corners)
                placed.append({"sticker": name, "layer": index, "points": points.ravel().tolist(),
                               "target": wearer.target(layer.places, layer.fit).ravel().tolist(),
                               "corners": corners.ravel().tolist(), "carried": carried.ravel().tolist()})  # fmt: skip
    return placed


def pictures() -> Iterator[tuple[str, np.ndarray]]:
    """Yield two public-domain photos, rotated, resized and mirrored, and drawn faces, single and in crowds."""
    astronaut, hopper = cv2.imread(str(ASTRONAUT)), grace_hopper()
    for name, photo in (("astronaut", astronaut), ("hopper", hopper)):
        yield name, photo
        for degrees in (-35, -20, 20, 35):
            yield f"{name} turned {degrees}", turned(photo, degrees)
        for scale in (0.25, 0.5, 2.2):
            interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
            yield f"{name} times {scale}", cv2.resize(photo, None, fx=scale, fy=scale, interpolation=interpolation)
        yield f"{name} mirrored", np.ascontiguousarray(photo[:, ::-1])
    drawn = [draw_face(seed, 240)[0] for seed in range(12)]
    for seed in range(12):
        yield f"drawn {seed}", drawn[seed]
    portraits = [astronaut[0:256, 90:346], cv2.resize(hopper[0:420, 40:460], (256, 256), interpolation=cv2.INTER_AREA)]
    rng = np.random.default_rng(7)
    for crowd in range(10):
        canvas = np.full((720, 1280, 3), rng.integers(40, 200, 3), np.uint8)
        for row in range(2 + crowd % 2):
            for column in range(3 + crowd % 3):
                side = int(rng.integers(90, 200))
                face = portraits[int(rng.integers(2))] if crowd % 2 else drawn[int(rng.integers(12))]
                face = turned(face, float(rng.uniform(-15, 15)))
                y, x = 20 + row * 230 + int(rng.integers(20)), 20 + column * 245 + int(rng.integers(30))
                canvas[y : y + side, x : x + side] = cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA)
        yield f"crowd {crowd}", canvas


def turned(picture: np.ndarray, degrees: float) -> np.ndarray:
    """Rotate an image about its centre; its border is replicated."""
    height, width = picture.shape[:2]
    return geometry.warp(picture, geometry.rotation(degrees, (width / 2, height / 2)), (width, height), "replicate")


def grace_hopper() -> np.ndarray:
    """Return the portrait (U.S. Navy, public domain) that is included in matplotlib."""
    from matplotlib.cbook import get_sample_data

    with get_sample_data("grace_hopper.jpg", asfileobj=True) as file:
        return cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_COLOR)


if __name__ == "__main__":
    sys.exit(main())
