"""Hostile and damaged files, and the commands that are run on each of them.

`all_cases()` lists the cases: a name, a function that writes the files into a folder, the command with "{}" for that
folder, and the expected result. The sweep (`test_sweep.py`) runs them all.
"""

from __future__ import annotations

import io
import json
import os
import socket
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import cv2
import numpy as np
from safetensors.numpy import load_file, save, save_file

from facekp.data.drawn import draw_face
from facekp.io.safetensors import read_metadata
from facekp.zoo import SHIPPED

ROOT = Path(__file__).resolve().parents[2]
PHOTO = ROOT / "assets" / "photos" / "astronaut.png"

Make = Callable[[Path], object]


@dataclass(frozen=True)
class Case:
    """One case of the sweep.

    Attributes:
        name: Name of the case, from which the test gets its id.
        make: Function that writes the files into an empty folder.
        command: Command and its arguments; "{}" is the folder.
        status: Expected exit status: with 2, one line on stderr and no files; with 0, files may be written.
        says: Text that stderr must contain.
    """

    name: str
    make: Make
    command: tuple[str, ...]
    status: int = 2
    says: str = ""


def put(data: bytes | str, name: str = "file") -> Make:
    """Return a function that writes a file with these bytes."""
    return lambda folder: (folder / name).write_bytes(data.encode() if isinstance(data, str) else data)


# Not regular files -----------------------------------------------------------------------------------------------


def fifo(name: str) -> Make:
    return lambda folder: os.mkfifo(folder / name)


def endless(name: str) -> Make:
    return lambda folder: (folder / name).symlink_to("/dev/zero")


def listening(name: str) -> Make:
    def make(folder: Path) -> None:
        here = os.getcwd()
        os.chdir(folder)  # the path of a socket must be short
        try:
            with socket.socket(socket.AF_UNIX) as place:
                place.bind(name)
        finally:
            os.chdir(here)

    return make


def loop(name: str) -> Make:
    return lambda folder: (folder / name).symlink_to(name)


def nowhere(name: str) -> Make:
    return lambda folder: (folder / name).symlink_to("gone")


def empty(name: str) -> Make:
    return put(b"", name)


def inner_folder(name: str) -> Make:
    return lambda folder: (folder / name).mkdir()


def large(name: str) -> Make:
    """Return a function that writes a sparse file of three gigabytes."""

    def make(folder: Path) -> None:
        with open(folder / name, "wb") as file:
            file.truncate(3 << 30)

    return make


NO_FILES = {
    "fifo": fifo,
    "endless": endless,
    "socket": listening,
    "loop": loop,
    "nowhere": nowhere,
    "empty": empty,
    "folder": inner_folder,
    "large": large,
}


# Images ----------------------------------------------------------------------------------------------------------


def encoded(suffix: str, side: int = 96) -> bytes:
    image = cv2.resize(cv2.imread(str(PHOTO)), (side, side))
    return cv2.imencode(suffix, image)[1].tobytes()


def png(width: int, height: int, *chunks: tuple[bytes, bytes], body: bytes = b"") -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    found = [(b"IHDR", header), *chunks, (b"IDAT", body or zlib.compress(bytes(1000))), (b"IEND", b"")]
    parts = [struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in found]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def bmp(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IHHIIiiHHIIiiII", 60, 0, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0) + bytes(6)


def jpeg_of(width: int, height: int) -> bytes:
    data = bytearray(encoded(".jpg"))
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def broken_images() -> dict[str, bytes]:
    """Return name -> bytes that no decoder should accept."""
    found = {
        "text.jpg": b"not an image",
        "nothing.png": b"",
        "one.png": b"\x89",
        "magic.png": b"\x89PNG\r\n\x1a\n",
        "magic.jpg": b"\xff\xd8\xff",
        "zeros.jpg": bytes(4096),
        "html.jpg": b"<html><body>404</body></html>",
        "pickle.png": b"\x80\x04cos\nsystem\n",
        "elf.bmp": b"\x7fELF" + bytes(100),
        "gif.gif.png": b"GIF89a" + bytes(9),
        "wide.png": png(60000, 60000),
        "endless.png": png(2**31 - 1, 2**31 - 1),
        "flat.png": png(0, 9),
        "bomb.png": png(30000, 30000, body=zlib.compress(bytes(30000 * 1000), 9)),
        "wide.bmp": bmp(40000, 40000),
        "negative.bmp": bmp(-5, 5),
        "minus.bmp": bmp(2**31 - 1, -(2**31)),
        "wide.jpg": jpeg_of(65500, 65500),
        "flat.jpg": jpeg_of(0, 0),
        "svg.png": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        "pnm.png": b"P6 99999 99999 255\n",
        "hdr.png": b"#?RADIANCE\n\n-Y 99999 +X 99999\n",
        "exr.png": b"\x76\x2f\x31\x01" + bytes(99),
        "riff.webp": b"RIFF\xff\xff\xff\xffWEBPVP8 ",
        "tiff.tif": b"II*\x00\xff\xff\xff\xff",
    }
    for suffix in (".jpg", ".png", ".webp", ".tif", ".bmp"):
        whole = encoded(suffix)
        for share in (0.02, 0.1, 0.5, 0.9):
            if suffix == ".bmp" and share > 0.5:
                continue
            found[f"cut{int(share * 100)}{suffix}"] = whole[: int(len(whole) * share)]
    return found


def holed_images() -> dict[str, bytes]:
    """Return name -> bytes that decoders accept although a part is damaged."""
    # Decoders may not notice other damage at all; see docs/reliability.md.
    found, random = {}, np.random.default_rng(0)
    whole = encoded(".jpg", 256)
    for number, place in enumerate(np.linspace(0.37, 0.85, 24)):
        start = int(len(whole) * place)
        rubbish = random.integers(0, 256, 500, dtype=np.uint8).tobytes()
        found[f"hole{number}.jpg"] = whole[:start] + rubbish + whole[start + 500 :]
    return found


def image_cases() -> Iterator[Case]:
    for name, data in broken_images().items():
        make = put(data, name)
        yield Case(f"predict {name}", make, ("predict", "{}/" + name, "-o", "{}/p.csv"))
        yield Case(f"sticker {name}", make, ("sticker", "{}/" + name, "-o", "{}/s.png"))
        yield Case(
            f"predict the photo and {name}",
            make,
            ("predict", str(PHOTO), "{}/" + name, "-o", "{}/p.csv"),
            0,
            "skipped: ",
        )
    for name, data in holed_images().items():
        make = put(data, name)
        yield Case(f"predict {name}", make, ("predict", "{}/" + name, "-o", "{}/p.csv"), 0, "damaged")
        yield Case(
            f"predict strictly {name}", make, ("predict", "{}/" + name, "--strict", "-o", "{}/p.csv"), 2, "damaged"
        )
    for kind, maker in NO_FILES.items():
        for suffix in (".jpg", ".png", ".mp4", ".gif"):
            name = f"{kind}{suffix}"
            yield Case(f"sticker a {name}", maker(name), ("sticker", "{}/" + name, "-o", "{}/out" + suffix))
        yield Case(f"predict a {kind}", maker("x.jpg"), ("predict", "{}/x.jpg", "-o", "{}/p.csv"))


# Names and arguments ---------------------------------------------------------------------------------------------

#: A few drawn faces, for training runs that must be refused.
FEW = ("-o", "data.sources=[{type: drawn, train: 8, validation: 4}]")

#: Name -> command and arguments, with "@" in place of a file name.
PLACES = {
    "predict the input": ("predict", "@", "-o", "{}/p.csv"),
    "predict --source": ("predict", str(PHOTO), "--source", "@", "-o", "{}/p.csv"),
    "predict --detector": ("predict", str(PHOTO), "--detector", "@", "-o", "{}/p.csv"),
    "predict yunet": ("predict", str(PHOTO), "--detector", "yunet:@", "-o", "{}/p.csv"),
    "sticker the input": ("sticker", "@", "-o", "{}/s.png"),
    "sticker --sticker": ("sticker", str(PHOTO), "--sticker", "@", "-o", "{}/s.png"),
    "sticker --glasses": ("sticker", str(PHOTO), "--glasses", "@", "-o", "{}/s.png"),
    "train --config": ("train", "-c", "@"),
    "train pretrained": ("train", "-c", "configs/quickstart.yml", *FEW, "-o", "output={}", "-o", "pretrained=@"),
    "evaluate --weights": ("evaluate", "-w", "@"),
    "evaluate --config": ("evaluate", "-w", str(SHIPPED / "face_crop_light.safetensors"), "-c", "@"),
    "export --weights": ("export", "-w", "@", "-o", "{}/e"),
    "models --get": ("models", "--get", "@"),
    "plot": ("plot", "@", "-o", "{}/c.png"),
    "compare": ("compare", "@", "-o", "{}/c.html"),
    "prepare-data": ("prepare-data", "--from", "@", "-o", "{}/d"),
}

NAMES = {
    "missing": "{}/missing",
    "long": "{}/" + "n" * 300,
    "deep": "{}/" + "d/" * 900 + "x",
    "empty": "",
    "a space": "{}/ ",
    "escapes": "{}/a\x1b[31m\x07b",
    "turned": "{}/a\u202egnp.b",
    "surrogate": "{}/a\udc80b",
    "a line break": "{}/a\nb",
    "a pattern": "{}/[",
    "a dash": "{}/-x",
    "chinese": "{}/\u4eba\u8138.jpg",
    "nul": "{}/a\0b",
}


def name_cases() -> Iterator[Case]:
    for place, command in PLACES.items():
        for what, name in NAMES.items():
            if (place, what) in {("train --config", "empty"), ("train pretrained", "empty")}:
                continue  # mean the folder itself and no weights; tested elsewhere
            yield Case(f"{place}: {what}", lambda folder: None, tuple(part.replace("@", name) for part in command))
        for kind, maker in NO_FILES.items():
            if kind == "folder" and place in {"predict the input", "sticker the input"}:
                continue
            if place in {"plot", "compare"}:
                continue
            command_here = tuple(part.replace("@", "{}/thing") for part in command)
            yield Case(f"{place}: a {kind}", maker("thing"), command_here)


# Weights ---------------------------------------------------------------------------------------------------------

WEIGHTS = SHIPPED / "face_crop_light.safetensors"


def header_of(data: bytes) -> bytes:
    return data[8 : 8 + int.from_bytes(data[:8], "little")]


def with_header(header: bytes, body: bytes = b"") -> bytes:
    return len(header).to_bytes(8, "little") + header + body


def altered(change: Callable[[dict, dict, dict], object], name: str = "w.safetensors") -> Make:
    """Return a function that writes the shipped weights after a change of (arrays, metadata, recipe)."""

    def make(folder: Path) -> None:
        arrays, metadata = load_file(WEIGHTS), read_metadata(WEIGHTS)
        recipe = json.loads(metadata["recipe"])
        result = change(arrays, metadata, recipe)
        if metadata.get("recipe"):
            metadata["recipe"] = result if isinstance(result, str) else json.dumps(recipe)
        save_file(arrays, folder / name, metadata)

    return make


def setting(*path: str, value: object) -> Make:
    def change(arrays: dict, metadata: dict, recipe: dict) -> None:
        place = recipe
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    return altered(change)


def weights_files() -> dict[str, Make]:
    small = save({"a": np.zeros(3, np.float32)}, {"format": "facekp-1"})
    first = next(iter(load_file(WEIGHTS)))
    name = "w.safetensors"
    found: dict[str, Make] = {
        "empty": put(b"", name),
        "text": put("hello, this is no file of weights", name),
        "short": put(b"\x01\x02", name),
        "pickle": put(b"\x80\x04\x95cposix\nsystem\n", name),
        "zip": put(b"PK\x03\x04" + bytes(60), name),
        "huge header": put(b"\xff" * 8 + b"{}", name),
        "long header": put((90 << 20).to_bytes(8, "little") + b"{}", name),
        "deep header": put(with_header(b'{"a":' * 5000 + b"1" + b"}" * 5000), name),
        "no header": put(with_header(b"[]"), name),
        "twice": put(with_header(b'{"a":1,"a":2}'), name),
        "no recipe": put(small, name),
        "cut": put(WEIGHTS.read_bytes()[:100_000], name),
        "cut header": put(WEIGHTS.read_bytes()[:500], name),
        "offsets": put(with_header(b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,999]}}', bytes(16)), name),
        "overflow": put(
            with_header(
                b'{"a":{"dtype":"F32","shape":[4294967295,4294967295,4294967295],"data_offsets":[0,16]}}', bytes(16)
            ),
            name,
        ),
        "negative": put(with_header(b'{"a":{"dtype":"F32","shape":[-4],"data_offsets":[0,16]}}', bytes(16)), name),
        "unknown type": put(with_header(b'{"a":{"dtype":"X9","shape":[4],"data_offsets":[0,16]}}', bytes(16)), name),
        "not json": altered(lambda a, m, r: "{"),
        "json list": altered(lambda a, m, r: "[1]"),
        "json null": altered(lambda a, m, r: "null"),
        "deep json": altered(lambda a, m, r: "[" * 50_000),
        "long json": altered(lambda a, m, r: json.dumps({"x": "y" * (5 << 20)})),
        "format": altered(lambda a, m, r: m.update(format="facekp-99")),
        "finds": altered(lambda a, m, r: m.update(finds="gold")),
        "a detector": altered(lambda a, m, r: m.update(finds="boxes")),
        "array missing": altered(lambda a, m, r: a.pop(first)),
        "array more": altered(lambda a, m, r: a.update(more=np.zeros(3, np.float32))),
        "array shape": altered(lambda a, m, r: a.update({first: np.zeros((1, 2, 3), np.float32)})),
        "array scalar": altered(lambda a, m, r: a.update({first: np.zeros((), np.float32)})),
    }
    body = bytes(8)
    for kind in ("BF16", "F8_E4M3", "F8_E5M2", "I8", "U64", "C64"):
        header = json.dumps(
            {
                "__metadata__": read_metadata(WEIGHTS),
                "a": {
                    "dtype": kind,
                    "shape": [8 // {"BF16": 2, "U64": 8, "C64": 8}.get(kind, 1)],
                    "data_offsets": [0, 8],
                },
            }
        ).encode()
        found[f"type {kind}"] = put(with_header(header, body), name)
    huge = [10**9, -1, 0, 2**31, 2**62, 10**30, 1e300, "many", None, [], {}, True, "../../etc/passwd"]
    for number, value in enumerate(huge):
        found[f"channels {number} {str(value)[:8]}"] = setting("network", "channels", value=[value] * 3)
        found[f"size {number} {str(value)[:8]}"] = setting("size", value=value)
    for number, value in enumerate(huge[:6]):
        found[f"blocks {number} {str(value)[:8]}"] = setting("network", "blocks", value=value)
        found[f"map_size {number} {str(value)[:8]}"] = setting("network", "map_size", value=value)
        found[f"in_channels {number} {str(value)[:8]}"] = setting("network", "in_channels", value=value)
    for value in ("os.system", "vgg99", None, 3, [], {"type": "x"}):
        found[f"network {str(value)[:8]}"] = setting("network", "type", value=value)
    for value in (float("nan"), float("inf"), -1, 0, 99, "x"):
        found[f"face_side {value}"] = setting("face_side", value=value)
    found["another network"] = setting("network", "type", value="resnet18")
    found["unknown option"] = setting("network", "evil", value=1)
    found["points 3"] = setting("schema", "points", value=["a", "b", "c"])
    found["points 1e6"] = setting("schema", "points", value=[f"p{i}" for i in range(10**5)])
    found["pixels"] = setting("pixels", value=[{"type": "Evil"}])
    found["codec"] = setting("codec", value={"type": "evil"})
    return found


def weights_cases() -> Iterator[Case]:
    for what, make in weights_files().items():
        name = "{}/w.safetensors"
        yield Case(f"predict --source {what}", make, ("predict", str(PHOTO), "--source", name, "-o", "{}/p.csv"))
        yield Case(f"export {what}", make, ("export", "-w", name, "-o", "{}/e", "--formats", "paddle"))
        yield Case(f"predict --detector {what}", make, ("predict", str(PHOTO), "--detector", name, "-o", "{}/p.csv"))


# Packs -----------------------------------------------------------------------------------------------------------

MANIFEST = {
    "name": "x",
    "title": "X",
    "author": "a",
    "licence": "CC0-1.0",
    "layers": [{"name": "l", "frames": ["l.png"], "anchors": {"left_eye": [1, 1], "right_eye": [8, 1]}}],
}


def layer_png(width: int = 10, height: int = 10) -> bytes:
    return cv2.imencode(".png", np.full((height, width, 4), 200, np.uint8))[1].tobytes()


def pack(manifest: object, pictures: dict[str, bytes] | None = None, zipped: bool = False) -> Make:
    def make(folder: Path) -> None:
        text = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
        files = {"manifest.json": text, **({"l.png": layer_png()} if pictures is None else pictures)}
        if zipped:
            with zipfile.ZipFile(folder / "x", "w", zipfile.ZIP_DEFLATED) as archive:
                for name, data in files.items():
                    archive.writestr(name, data)
        else:
            (folder / "x").mkdir()
            for name, data in files.items():
                (folder / "x" / name).write_bytes(data)

    return make


def pack_cases() -> Iterator[Case]:
    def changed(**values: object) -> dict:
        return {**MANIFEST, **values}

    def layer(**values: object) -> dict:
        return changed(layers=[{**MANIFEST["layers"][0], **values}])

    manifests: dict[str, object] = {
        "empty": b"",
        "no json": b"{",
        "a list": b"[]",
        "null": b"null",
        "deep": b"[" * 100_000,
        "latin": b"\xff\xfe{}",
        "huge": b'{"a": "' + b"x" * (33 << 20) + b'"}',
        "unknown key": changed(evil=1),
        "no layers": changed(layers=[]),
        "many layers": changed(layers=MANIFEST["layers"] * 1000),
        "many frames": layer(frames=["l.png"] * 100_000),
        "name": changed(name="../x"),
        "no title": changed(title=""),
        "up": layer(frames=["../l.png"]),
        "absolute": layer(frames=["/etc/passwd.png"]),
        "drive": layer(frames=["C:l.png"]),
        "backslash": layer(frames=["..\\l.png"]),
        "nul": layer(frames=["a\0.png"]),
        "long": layer(frames=["n" * 300 + ".png"]),
        "missing picture": layer(frames=["m.png"]),
        "nan": b'{"name": NaN}',
        "anchor": layer(anchors={"horn": [1, 1]}),
        "one anchor": layer(anchors={"left_eye": [1, 1]}),
        "outside": layer(anchors={"left_eye": [1, 1], "right_eye": [99, 1]}),
        "same place": layer(anchors={"left_eye": [1, 1], "right_eye": [1, 1]}),
        "fit": layer(fit="magic"),
        "opacity": layer(opacity=7),
        "frame_ms": layer(frame_ms=0),
        "blend": layer(blend="evil"),
        "infinite": layer(anchors={"left_eye": [1, 1], "right_eye": [1e999, 1]}),
        "mesh": layer(fit="mesh"),
    }
    command = ("sticker", str(PHOTO), "--sticker", "{}/x", "-o", "{}/s.png")
    for what, manifest in manifests.items():
        yield Case(f"pack {what}", pack(manifest), command)
        yield Case(f"zipped pack {what}", pack(manifest, zipped=True), command)
    pictures = {
        "text": b"no png",
        "cut": layer_png()[:40],
        "bomb": png(4000, 4000),
        "wide": png(60000, 60000),
        "no alpha": encoded(".png"),
        "jpeg": encoded(".jpg"),
        "empty": b"",
    }
    for what, data in pictures.items():
        yield Case(f"pack picture {what}", pack(MANIFEST, {"l.png": data}), command)
    big = layer_png(4096, 4096)
    yield Case("pack of too many pixels", pack(layer(frames=["l.png"] * 9), {"l.png": big}), command)
    yield Case("zip that is none", put(b"PK\x03\x04" + bytes(100), "x"), command)
    yield Case("zip cut", lambda folder: (pack(MANIFEST, zipped=True)(folder), os.truncate(folder / "x", 150)), command)
    yield Case(
        "pack through a link",
        lambda folder: (
            (folder / "x").mkdir(),
            (folder / "x/manifest.json").write_text(json.dumps(MANIFEST)),
            (folder / "x/l.png").symlink_to(PHOTO),
        ),
        command,
    )
    yield Case("pack with a pipe", lambda folder: (pack(MANIFEST, {})(folder), os.mkfifo(folder / "x/l.png")), command)


# Configs ---------------------------------------------------------------------------------------------------------


def config_cases() -> Iterator[Case]:
    texts = {
        "empty": "",
        "text": "hello",
        "list": "- 1",
        "tabs": "\ta: 1",
        "python": "!!python/object/apply:os.system ['id']",
        "alias": "a: &a [1]\nb: *a",
        "laughs": "a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]",
        "deep": "a: " + "[" * 3000,
        "flow": "{" * 2000,
        "deep and large": "[" * (1 << 20),
        "nul": "a: \0",
        "latin": b"a: \xff\xfe",
        "unknown": "evil: 1",
        "self": "_base_: c.yml",
        "base missing": "_base_: gone.yml",
        "base number": "_base_: 7",
        "base nul": '_base_: "a\\0b"',
        "date": "name: 2024-01-01",
        "large": "# " + "x" * (2 << 20),
        "binary": bytes(range(256)),
        "twice": "name: a\nname: b",
    }
    for what, text in texts.items():
        yield Case(f"config {what}", put(text, "c.yml"), ("train", "-c", "{}/c.yml"))
    options = [
        "x",
        "=1",
        "evil=1",
        "train.epochs=0",
        "train.epochs=-1",
        "train.epochs=many",
        "train.epochs=1e99",
        "train.batch_size=0",
        "train.epochs=[",
        "optimizer.lr=nan",
        "optimizer.lr=-1",
        "optimizer.lr=.inf",
        "name=../x",
        "name=a/b",
        "name=" + "n" * 300,
        "name=''",
        'name="a\\0b"',
        "network.type=evil",
        "network=3",
        "network.channels=[]",
        "network.channels=[0]",
        "network.channels=[-1, 4]",
        "network.map_size=0",
        "network.evil=1",
        "loss=evil",
        "loss=3",
        "codec=evil",
        "size=1",
        "size=99999",
        "seed=-1",
        "seed=x",
        "data.sources=[]",
        "data.sources=3",
        "data.sources=[{type: evil}]",
        "data.sources=[{type: drawn, evil: 1}]",
        "data.sources=[{type: drawn, train: 0}]",
        "data.workers=-1",
        "data.workers=9999",
        "data.train=[{type: Evil}]",
        "data.train=[{type: Resize}]",
        "data.train=[3]",
        "data.pixels=[]",
        "data.pixels=[{type: ToCHW}]",
        "train.ema=1",
        "train.freeze_epochs=99",
        "task=evil",
        "metrics=[]",
        "metrics=[evil]",
        "data=!!python/name:os.system",
        "data.sources.7.root=x",
        "optimizer.warmup_epochs=99",
        "pretrained=/dev/zero",
        "train.amp=O9",
        "output=/dev/null/x",
        "output=/proc/x",
    ]
    for option in options:
        yield Case(
            f"-o {option[:40]}",
            lambda folder: None,
            ("train", "-c", "configs/quickstart.yml", *FEW, "-o", "output={}/runs", "-o", option),
        )


# Labels ----------------------------------------------------------------------------------------------------------


def csv_folder(change: Callable[[list[str]], str | bytes | None]) -> Make:
    def make(folder: Path) -> None:
        for split in ("training", "test"):
            (folder / split).mkdir()
            rows = ["," + ",".join(map(str, range(136)))]
            for seed in range(3):
                image, points = draw_face(seed, 120)
                cv2.imwrite(str(folder / split / f"p{seed}_1.jpg"), image)
                rows.append(f"p{seed}_1.jpg," + ",".join(f"{v:.1f}" for v in points.ravel()))
            text = change(rows) if split == "training" else "\n".join(rows)
            if text is not None:
                data = text if isinstance(text, bytes) else text.encode()
                (folder / f"{split}_frames_keypoints.csv").write_bytes(data)

    return make


def _row(number: int, change: Callable[[list[str]], list[str]]) -> Callable[[list[str]], str]:
    def act(rows: list[str]) -> str:
        return "\n".join([*rows[:number], ",".join(change(rows[number].split(","))), *rows[number + 1 :]])

    return act


def _points(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[list[str]], str]:
    def act(cells: list[str]) -> list[str]:
        return [cells[0], *map(str, change(np.array(cells[1:], float).reshape(-1, 2)).ravel())]

    return _row(1, act)


def label_cases() -> Iterator[Case]:
    tables = {
        "missing": lambda rows: None,
        "empty": lambda rows: "",
        "no rows": lambda rows: rows[0],
        "no header": lambda rows: "\n".join(rows[1:]),
        "text": lambda rows: "hello",
        "binary": lambda rows: bytes(range(256)),
        "nul": lambda rows: "\0" * 5000,
        "short row": _row(1, lambda c: c[:5]),
        "long row": _row(2, lambda c: c + c),
        "word": _row(1, lambda c: [c[0], "evil", *c[2:]]),
        "nan": _row(1, lambda c: [c[0], "nan", *c[2:]]),
        "infinite": _row(1, lambda c: [c[0], "inf", *c[2:]]),
        "gone": _row(1, lambda c: ["gone.jpg", *c[1:]]),
        "up": _row(1, lambda c: ["../../etc/passwd", *c[1:]]),
        "escape": _row(1, lambda c: ["\x1b[31m.jpg", *c[1:]]),
        "twice": _row(2, lambda c: ["p0_1.jpg", *c[1:]]),
        "no name": _row(1, lambda c: ["", *c[1:]]),
        "thousandth": _points(lambda p: p / 1000),
        "swapped": _points(lambda p: p[:, ::-1]),
        "far": _points(lambda p: p + 1e4),
        "one place": _points(lambda p: p * 0 + 50),
        "huge": _points(lambda p: p * 1e38),
        "quote": lambda rows: '"' + "\n".join(rows),
    }

    def training(config: str, source: str) -> tuple[str, ...]:
        return ("train", "-c", f"configs/{config}.yml", "-o", "output={}/runs", "-o", f"data.sources=[{{{source}}}]")

    csv68 = "type: csv68, root: '{}'"
    for what, change in tables.items():
        yield Case(f"csv {what}", csv_folder(change), training("quickstart", csv68))
        yield Case(f"csv {what} of a detector", csv_folder(change), training("face_detector", csv68))

    def pts(text: str | bytes | None, image: bytes | None = None) -> Make:
        def make(folder: Path) -> None:
            for seed in range(3):
                picture, points = draw_face(seed, 120)
                cv2.imwrite(str(folder / f"p{seed}.png"), picture)
                good = "\n".join(f"{x + 1} {y + 1}" for x, y in points)
                found = good if seed or text is None else text
                (folder / f"p{seed}.pts").write_bytes(found if isinstance(found, bytes) else found.encode())
            if image is not None:
                (folder / "p0.png").write_bytes(image)

        return make

    points = draw_face(0, 120)[1] + 1
    lines = "\n".join(f"{x} {y}" for x, y in points)
    texts = {
        "empty": "",
        "text": "hello",
        "few": "1 2\n" * 5,
        "many": "1 2\n" * 500,
        "nan": "nan nan\n" * 68,
        "binary": bytes(range(256)),
        "brace": "{" * 1000,
        "inf": "inf 1\n" * 68,
        "one place": "50 50\n" * 68,
        "thousandth": "\n".join(f"{x / 1000} {y / 1000}" for x, y in points),
        "hex": "0x1 0x2\n" * 68,
        "swapped": "\n".join(f"{y} {x}" for x, y in points),
        "odd": lines + "\n7",
    }
    command = training("quickstart", "type: pts, root: '{}', hold_out: 2")
    for what, text in texts.items():
        yield Case(f"pts {what}", pts(text), command)
    for what, data in [*list(broken_images().items())[:8], *list(holed_images().items())[:8]]:
        yield Case(f"pts of the image {what}", pts(None, data), command)


# Tables, runs, archives ------------------------------------------------------------------------------------------


def table_cases() -> Iterator[Case]:
    texts = {
        "empty": b"",
        "text": b"hello\n",
        "binary": bytes(range(256)) * 9,
        "nul": b"\0" * 999,
        "quote": b'"' * 999,
        "another": b"facekp,hub,0\n",
        "columns": b"facekp,None,0\na,b\n1,2\n",
        "header": b"image,face,score\n",
    }
    for what, text in texts.items():
        for suffix in (".csv", ".parquet"):
            command = ("predict", str(PHOTO), "--resume", "-o", "{}/p" + suffix)
            yield Case(f"resume a table {suffix} {what}", put(text, f"p{suffix}"), command)
        unfinished = put(text, "p.csv.unfinished")
        yield Case(f"an unfinished table {what}", unfinished, ("predict", str(PHOTO), "-o", "{}/p.csv"))
    for suffix in (".xlsx", ".txt", ".jpg", ".zip"):
        yield Case(f"a table {suffix}", lambda folder: None, ("predict", str(PHOTO), "-o", "{}/p" + suffix))
    for suffix in ("", ".doc", ".csv"):
        yield Case(f"a plot {suffix}", lambda folder: None, ("plot", "{}", "-o", "{}/c" + suffix))


def run_cases() -> Iterator[Case]:
    good = "epoch,step,train_loss,val_loss,train_nme,val_nme\n1,2,0.5,0.5,0.1,0.1\n"
    texts = {
        "empty": b"",
        "text": b"hello",
        "binary": bytes(range(256)),
        "header": good.split("\n")[0].encode(),
        "words": good.replace("0.5", "evil").encode(),
        "backwards": (good + "0,1,1,1,1,1\n").encode(),
        "good": good.encode(),
        "columns": b"a,b\n1,2\n",
        "nul": b"\0" * 500,
    }
    logs = {"empty": b"", "text": b"hello", "binary": bytes(range(256)) * 4, "length": b"\xff" * 64}
    for what, text in texts.items():
        for which, log in logs.items():
            if (what, which) in {("good", "empty")}:
                continue

            def make(folder: Path, text: bytes = text, log: bytes = log) -> None:
                (folder / "metrics.csv").write_bytes(text)
                (folder / "vdlrecords.facekp.log").write_bytes(log)

            yield Case(f"plot {what} with a log {which}", make, ("plot", "{}", "-o", "{}/c.png"))
            yield Case(f"compare {what} with a log {which}", make, ("compare", "{}", "-o", "{}/c.html"))


def archive_cases() -> Iterator[Case]:
    def zipped(**files: bytes) -> Make:
        def make(folder: Path) -> None:
            with zipfile.ZipFile(folder / "a", "w", zipfile.ZIP_DEFLATED) as archive:
                for name, data in files.items():
                    archive.writestr(name, data)

        return make

    def tarred(*members: tuple[str, bytes]) -> Make:
        def make(folder: Path) -> None:
            with tarfile.open(folder / "a", "w:gz") as archive:
                for name, kind in members:
                    info = tarfile.TarInfo(name)
                    info.type = kind
                    info.linkname = "/etc/passwd"
                    archive.addfile(info, io.BytesIO())

        return make

    csvs = {
        "training_frames_keypoints.csv": b"a,b\n",
        "test_frames_keypoints.csv": b"a,b\n",
        "training/a.jpg": b"",
        "test/a.jpg": b"",
    }
    files: dict[str, Make] = {
        "text": put("hello", "a"),
        "zip magic": put(b"PK\x05\x06" + bytes(18), "a"),
        "gz magic": put(b"\x1f\x8b\x08", "a"),
        "up": zipped(**{**csvs, "../evil": b"x"}),
        "absolute": zipped(**{**csvs, "/evil": b"x"}),
        "drive": zipped(**{**csvs, "C:\\evil": b"x"}),
        "no data": zipped(x=b"1"),
        "no rows": zipped(**csvs),
        "twice": zipped(**{f"{p}/{n}": d for p in "ab" for n, d in csvs.items()}),
        "link": tarred(("a", tarfile.SYMTYPE)),
        "hard link": tarred(("a", tarfile.LNKTYPE)),
        "device": tarred(("a", tarfile.CHRTYPE)),
        "pipe": tarred(("a", tarfile.FIFOTYPE)),
        "tar up": tarred(("../a", tarfile.REGTYPE)),
        "tar root": tarred(("/a", tarfile.REGTYPE)),
        "tar empty": tarred(),
    }
    for what, make in files.items():
        yield Case(f"archive {what}", make, ("prepare-data", "--from", "{}/a", "-o", "{}/d"))


def exported_cases() -> Iterator[Case]:
    recipe = json.dumps(
        {"format": "facekp-1", "finds": "points", "recipe": json.loads(read_metadata(WEIGHTS)["recipe"])}
    )
    onnx = (SHIPPED / "face_crop_light.onnx").read_bytes()
    folders: dict[str, dict[str, bytes]] = {
        "empty": {},
        "no network": {"recipe.json": recipe.encode()},
        "no recipe": {"model.onnx": onnx},
        "text": {"recipe.json": recipe.encode(), "model.onnx": b"hello"},
        "cut": {"recipe.json": recipe.encode(), "model.onnx": onnx[:9999]},
        "no parameters": {"recipe.json": recipe.encode(), "model.json": b"{}"},
        "not json": {"recipe.json": b"{", "model.onnx": onnx},
        "list": {"recipe.json": b"[]", "model.onnx": onnx},
        "large": {"recipe.json": b" " * (5 << 20), "model.onnx": onnx},
        "deep": {"recipe.json": b"[" * 99999, "model.onnx": onnx},
    }
    for what, files in folders.items():

        def make(folder: Path, files: dict[str, bytes] = files) -> None:
            (folder / "e").mkdir()
            for name, data in files.items():
                (folder / "e" / name).write_bytes(data)

        for option in ("--source", "--detector"):
            yield Case(f"{option} exported {what}", make, ("predict", str(PHOTO), option, "{}/e", "-o", "{}/p.csv"))


FAMILIES = {
    "images": image_cases,
    "names": name_cases,
    "weights": weights_cases,
    "packs": pack_cases,
    "configs": config_cases,
    "labels": label_cases,
    "tables": table_cases,
    "runs": run_cases,
    "archives": archive_cases,
    "exported": exported_cases,
}


def all_cases() -> list[Case]:
    """Return all cases; their names are unique."""
    return [case for family in FAMILIES.values() for case in family()]
