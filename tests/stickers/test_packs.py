"""The shipped packs, and the messages for wrong packs: file, layer and key in one line."""

from __future__ import annotations

import json
import os
import struct
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import jsonschema
import numpy as np
import pytest

from facekp.errors import UserError
from facekp.inference.faces import Faces
from facekp.landmarks import MEAN_FACE, SIGNALS, anchors
from facekp.stickers import Sticker, combine, list_stickers, load_sticker
from facekp.stickers.manifest import LayerSpec, PaintSpec, TriggerSpec, json_schema
from facekp.stickers.packs import packs_folder
from facekp.stickers.triggers import Trigger
from facekp.vision import geometry


def portrait(openness: float = 0.0) -> tuple[np.ndarray, Faces]:
    points = MEAN_FACE * 200 + (150, 250)
    points[[65, 66, 67, 55, 56, 57, 58, 59]] += (0, openness * 200)
    faces = Faces.from_arrays(points[None], geometry.bounding_box(points)[None], np.ones(1))
    return np.full((520, 500, 3), (150, 180, 210), np.uint8), faces


def test_at_least_twenty_of_them_five_with_triggers() -> None:
    assert len(list_stickers()) >= 20
    triggered = [name for name in list_stickers() if any(layer.trigger for layer in load_sticker(name).layers)]
    assert len(triggered) >= 6
    modes = {layer.trigger.mode for name in triggered for layer in load_sticker(name).layers if layer.trigger}
    assert modes == {"while", "burst"}


@pytest.mark.parametrize("name", list_stickers())
def test_shipped_pack(name: str) -> None:
    folder = packs_folder() / name
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["name"] == name
    assert manifest["licence"] == "CC0-1.0"
    photo, faces = portrait(openness=0.2)
    sticker = load_sticker(name)
    always = Sticker([replace(layer, trigger=None) for layer in sticker.layers])
    seen = np.zeros(photo.shape[:2], bool)
    for seconds in np.arange(0, max(layer.length for layer in sticker.layers) + 1e-6, 0.05):
        changed = (always.apply(photo, faces, float(seconds)) != photo).any(-1)
        assert not changed[:, [0, -1]].any(), "a sticker on a face in the middle must not reach the picture's sides"
        seen |= changed
    assert 0.005 < seen.mean() < 0.5
    for layer in sticker.layers:
        assert all(512 <= max(frame.size) <= 1024 for frame in getattr(layer, "frames", ()))
    used = {frame for layer in manifest["layers"] for frame in layer.get("frames", ())}
    assert {file.name for file in folder.glob("*.png")} == used
    assert {file.stem for file in folder.glob("*.svg")} == {Path(frame).stem for frame in used}


def test_the_tongue_shows_when_the_mouth_opens() -> None:
    dog = load_sticker("dog")
    pictures = [dog.apply(*portrait(openness)) for openness in (0.0, 0.25)]
    chin = (slice(410, 450), slice(230, 270))
    assert np.abs(pictures[0][chin].astype(int) - pictures[1][chin]).max() > 50


def test_layers_of_several_stickers_mix_by_order() -> None:
    photo, faces = portrait()
    names = ["top_hat", "sunglasses", "dog"]
    one, other = combine(map(load_sticker, names)), combine(map(load_sticker, reversed(names)))
    assert (one.apply(photo, faces) == other.apply(photo, faces)).all()


@pytest.mark.parametrize("name", list_stickers())
def test_editors_find_nothing_wrong_with_the_shipped_packs(name: str) -> None:
    schema = json.loads((packs_folder() / "pack.schema.json").read_text(encoding="utf-8"))
    manifest = json.loads((packs_folder() / name / "manifest.json").read_text(encoding="utf-8"))
    jsonschema.validate(manifest, schema)
    manifest["layers"][0]["blnd"] = "screen"
    with pytest.raises(jsonschema.ValidationError, match="blnd"):
        jsonschema.validate(manifest, schema)


def test_published_schema_is_the_validators_own() -> None:
    published = (packs_folder() / "pack.schema.json").read_text(encoding="utf-8")
    assert json.loads(published) == json_schema()


def test_the_documents_example_and_places_are_true() -> None:
    text = (Path(__file__).parents[2] / "docs" / "stickers.md").read_text(encoding="utf-8")
    example = json.loads(text.split("```json")[1].split("```")[0])
    assert example == json.loads((packs_folder() / "tongue" / "manifest.json").read_text(encoding="utf-8"))
    assert [name for name in anchors(MEAN_FACE) if f"`{name}`" not in text] == []
    keys = {**LayerSpec.model_fields, **PaintSpec.model_fields, **TriggerSpec.model_fields}
    assert [key for key in [*keys, *SIGNALS] if f"`{key}`" not in text] == []


def test_zip_works_like_a_folder(tmp_path: Path) -> None:
    archive = tmp_path / "crown.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in (packs_folder() / "crown").iterdir():
            file.write(path, path.name)
    photo, faces = portrait()
    assert (load_sticker(archive).apply(photo, faces) == load_sticker("crown").apply(photo, faces)).all()


def layer(**changes: Any) -> dict[str, Any]:
    result = {"name": "front", "frames": ["a.png"], "anchors": {"left_eye": [10, 20], "right_eye": [50, 20]}}
    return {key: value for key, value in {**result, **changes}.items() if value is not None}


def paint(**changes: Any) -> dict[str, Any]:
    result = {"name": "lips", "region": "lips", "colour": "#aa0033"}
    return {key: value for key, value in {**result, **changes}.items() if value is not None}


def write_pack(folder: Path, first: Any, **changes: Any) -> Path:
    manifest = {"name": "p", "title": "P", "author": "A", "licence": "CC0-1.0", "layers": [first], **changes}
    (folder / "manifest.json").write_text(json.dumps({k: v for k, v in manifest.items() if v is not None}))
    image = np.zeros((64, 64, 4), np.uint8)
    image[20:40, 10:50] = 255
    cv2.imwrite(str(folder / "a.png"), image)
    cv2.imwrite(str(folder / "opaque.png"), image[..., :3])
    cv2.imwrite(str(folder / "half.png"), image[:32])
    cv2.imwrite(str(folder / "one.png"), image[:1, :1])
    (folder / "text.png").write_text("no picture at all, but longer than a header is")
    (folder / "torn.png").write_bytes((folder / "a.png").read_bytes()[:60])
    for name, side in {"huge.png": 20000, "broad.png": 4096}.items():  # only a header
        header = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0)
        start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13)
        (folder / name).write_bytes(start + header + struct.pack(">I", zlib.crc32(header)))
    return folder


THREE_IN_LINE = {"left_eye": [10, 20], "right_eye": [50, 20], "nose_bridge": [30, 20]}


@pytest.mark.parametrize(
    ("first", "changes", "words"),
    [
        (layer(colour="red"), {}, ["layer 0", "'colour'", "opacity"]),
        (layer(), {"wings": 2}, ["'wings'", "max_faces"]),
        (layer(), {"licence": None}, ["'licence'", "required"]),
        (layer(), {"name": "No Good"}, ["'name'"]),
        (layer(), {"layers": []}, ["'layers'"]),
        (layer(fit="perspective"), {}, ["layer 0", "'fit'", "similarity"]),
        (layer(opacity=1.5), {}, ["layer 0", "'opacity'", "less than or equal to 1"]),
        (layer(frame_ms=0), {}, ["'frame_ms'"]),
        (layer(blend="dodge"), {}, ["'blend'", "multiply"]),
        (layer(frames=[]), {}, ["'frames'"]),
        (layer(frames=["../a.png"]), {}, ["'frames.0'", "beside the manifest"]),
        (layer(frames=["/etc/passwd"]), {}, ["'frames.0'", "beside the manifest"]),
        (layer(frames=["..\\a.png"]), {}, ["'frames.0'", "beside the manifest"]),
        (layer(frames=["gone.png"]), {}, ["gone.png", "missing"]),
        (layer(frames=["opaque.png"]), {}, ["'front'", "opaque.png", "alpha"]),
        (layer(frames=["text.png"]), {}, ["text.png", "not a PNG"]),
        (layer(frames=["torn.png"]), {}, ["torn.png", "damaged"]),
        (layer(frames=["huge.png"]), {}, ["huge.png", "20000x20000", "shrink"]),
        (layer(frames=["broad.png"]), {"layers": [layer(frames=["broad.png"])] * 3}, ["'frames'", "32 million pixels"]),
        (layer(frames=["one.png"]), {}, ["'front'", "outside", "1x1"]),
        (layer(frames=["one.png"], anchors={"left_eye": [0, 0], "right_eye": [0, 0]}), {}, ["different"]),
        (layer(frames=["a.png", "half.png"]), {}, ["'front'", "differ in size"]),
        (layer(anchors={"left_eye": [10, 20], "right_eye": [65, 20]}), {}, ["'anchors.right_eye'", "64x64"]),
        (layer(anchors={"left_eye": [10, 20], "tail": [30, 20]}), {}, ["'tail'", "crown"]),
        (layer(anchors={"left_eye": [10, 20]}), {}, ["'front'", "needs 2"]),
        (layer(fit="affine"), {}, ["'front'", "needs 3"]),
        (layer(fit="affine", anchors=THREE_IN_LINE), {}, ["'front'", "one line"]),
        (layer(anchors={"left_eye": [10], "right_eye": [50, 20]}), {}, ["layer 0", "'anchors.left_eye"]),
        (layer(name=""), {}, ["layer 0", "'name'", "at least 1"]),
        (layer(name=None), {}, ["layer 0", "'name'", "required"]),
        (layer(frames=None), {}, ["layer 0", "'frames'", "required"]),
        (layer(frames="a.png"), {}, ["layer 0", "'frames'", "array"]),
        (layer(frames=["A.PNG"]), {}, ["'frames.0'", "such as a.png"]),
        (layer(anchors=[[1, 2]]), {}, ["'anchors'", "object"]),
        (layer(anchors=None), {}, ["'anchors'", "required"]),
        (layer(order="top"), {}, ["'order'", "integer"]),
        (layer(fit="face"), {}, ["'front'", "needs 3"]),
        (layer(fit="mesh", anchors=THREE_IN_LINE), {}, ["'front'", "needs 4"]),
        (layer(behind="hair"), {}, ["'behind'", "face"]),
        (layer(within="hair"), {}, ["'within'", "anywhere"]),
        (layer(within="face", behind="face"), {}, ["'within'", "'behind' hides"]),
        (layer(side="top"), {}, ["'side'", "left"]),
        (layer(hidden_from=200), {}, ["'hidden_from'", "90"]),
        (layer(trigger="sneeze"), {}, ["layer 0", "'trigger'", "sneeze", "mouth_open"]),
        (layer(trigger=7), {}, ["layer 0", "'trigger'"]),
        (layer(trigger={}), {}, ["'trigger.signal'", "required"]),
        (layer(trigger={"signal": "sneeze"}), {}, ["'trigger.signal'", "sneeze", "mouth_wide"]),
        (layer(trigger={"signal": "mouth_open", "on": 2}), {}, ["'trigger.on'", "less than or equal to 1"]),
        (layer(trigger={"signal": "mouth_open", "on": 0.3}), {}, ["'trigger.off'", "0.35 is above 'on', 0.3"]),
        (layer(trigger={"signal": "mouth_open", "off": -1}), {}, ["'trigger.off'", "greater"]),
        (layer(trigger={"signal": "mouth_open", "hold_ms": -5}), {}, ["'trigger.hold_ms'", "greater"]),
        (layer(trigger={"signal": "mouth_open", "mode": "once"}), {}, ["'trigger.mode'", "burst"]),
        (layer(trigger={"signal": "mouth_open", "holds": 1}), {}, ["'trigger.holds'", "hold_ms"]),
        (paint(region="ears"), {}, ["layer 0", "'region'", "ears", "lips"]),
        (paint(colour="red"), {}, ["layer 0", "'colour'", "#rrggbb"]),
        (paint(trigger={"signal": "mouth_open", "mode": "burst"}), {}, ["layer 0", "'trigger'", "'hold_ms'"]),
        (layer(), {"name": "My Hat"}, ["'name'", "a-z, 0-9"]),
        (paint(colour=None), {}, ["'colour'", "required"]),
        (paint(frames=["a.png"]), {}, ["'frames'", "region, colour"]),
        (paint(opacity=2), {}, ["'opacity'", "less than or equal to 1"]),
        (layer(), {"max_faces": 0}, ["'max_faces'", "1"]),
        (layer(), {"title": ""}, ["'title'"]),
        ("front", {}, ["layer 0", "object"]),
    ],
)  # fmt: skip
def test_wrong_pack(tmp_path: Path, first: Any, changes: dict[str, Any], words: list[str]) -> None:
    folder = write_pack(tmp_path, first, **changes)
    with pytest.raises(UserError) as error:
        load_sticker(folder)
    for word in ["manifest.json" if "gone.png" not in words else "gone.png", *words]:
        assert word in str(error.value)
    assert "\n" not in str(error.value)
    assert "<" not in str(error.value)


@pytest.mark.parametrize(
    ("spec", "trigger"),
    [
        ("always", None),
        ("mouth_open", Trigger("mouth_open")),
        ({"signal": "mouth_wide", "mode": "burst", "hold_ms": 1}, Trigger("mouth_wide", hold_ms=1, mode="burst")),
        ({"signal": "brows_up", "on": 0.8, "off": 0.2, "hold_ms": 400}, Trigger("brows_up", 0.8, 0.2, 400)),
    ],
)
def test_triggers_of_a_pack(tmp_path: Path, spec: Any, trigger: Trigger | None) -> None:
    for first in (layer(trigger=spec), paint(trigger=spec)):
        assert load_sticker(write_pack(tmp_path, first)).layers[0].trigger == trigger


@pytest.mark.parametrize(
    "key, value",
    [("opacity", "0.5"), ("opacity", True), ("order", "3"), ("frame_ms", float("inf")), ("frame_ms", 5e-324),
     ("anchors", {"left_eye": ["1", 1], "right_eye": [8, 1]}),
     ("trigger", {"signal": "blink", "hold_ms": float("inf")})],
)  # fmt: skip
def test_what_only_looks_like_a_number(tmp_path: Path, key: str, value: Any) -> None:
    with pytest.raises(UserError, match=f"layer 0, key '{key}"):
        load_sticker(write_pack(tmp_path, layer(**{key: value})))


def test_a_whole_number_may_have_a_decimal_point(tmp_path: Path) -> None:
    write_pack(tmp_path, layer(order=3.0), max_faces=2.0)
    first = load_sticker(tmp_path).layers[0]
    assert (first.order, first.max_faces) == (3, 2)
    with pytest.raises(UserError, match="key 'order': input should be a valid integer"):
        load_sticker(write_pack(tmp_path, layer(order=3.5)))


def test_broken_json_and_no_pack(tmp_path: Path) -> None:
    write_pack(tmp_path, layer())
    for text in ('{"name": ', "[" * 100_000, f'{{"max_faces": {"1" * 5000}}}'):
        (tmp_path / "manifest.json").write_text(text)
        with pytest.raises(UserError, match=r"manifest\.json: not valid JSON"):
            load_sticker(tmp_path)
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(UserError, match="missing"):
        load_sticker(tmp_path)
    with pytest.raises(UserError, match="not a sticker pack"):
        load_sticker(tmp_path / "a.png")
    with pytest.raises(UserError, match="sunglasses"):
        load_sticker("sunglases")


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_link_out_of_the_pack_is_not_followed(tmp_path: Path) -> None:
    inside = tmp_path / "pack"
    inside.mkdir()
    write_pack(inside, layer())
    (inside / "a.png").rename(tmp_path / "a.png")
    (inside / "a.png").symlink_to(tmp_path / "a.png")
    with pytest.raises(UserError, match="leads out of the pack"):
        load_sticker(inside)


def test_zip_slip(tmp_path: Path) -> None:
    folder = write_pack(tmp_path, layer(frames=["../a.png"]))
    archive = tmp_path / "evil.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.write(folder / "manifest.json", "manifest.json")
        file.write(folder / "a.png", "../a.png")
    with pytest.raises(UserError, match=r"frames\.0"):
        load_sticker(archive)


def test_a_manifest_of_a_windows_editor(tmp_path: Path) -> None:
    manifest = write_pack(tmp_path, layer(anchors={"left_eye": [-0.5, 20], "right_eye": [50, 20]})) / "manifest.json"
    manifest.write_text(manifest.read_text(), encoding="utf-8-sig")
    assert load_sticker(tmp_path).layers[0].pixels[0, 0] == -0.5  # the left edge of the first pixel


def test_a_zip_with_one_folder_is_that_folder(tmp_path):
    source = packs_folder() / "sunglasses"
    for inner in ("", "sunglasses/"):
        with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
            for file in source.iterdir():
                archive.write(file, inner + file.name)
            if inner:
                archive.writestr("__MACOSX/._manifest.json", b"")
        assert load_sticker(tmp_path / "s.zip").title == "Sunglasses"


def test_the_folder_of_the_packs_exists():
    assert Path(packs_folder()).is_dir()
