"""Readers of random and damaged bytes: a result or a `UserError`, and no other exception."""

import contextlib
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from cases import PHOTO, ROOT, WEIGHTS, encoded, layer_png, with_header
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facekp.data.csv68 import read_points_csv
from facekp.data.pts import read_pts
from facekp.errors import UserError
from facekp.inference.many import PointsTable
from facekp.io.images import read_image
from facekp.io.safetensors import read_metadata, read_safetensors
from facekp.landmarks import IBUG68
from facekp.recipes import parse_recipe
from facekp.stickers import load_sticker
from facekp.stickers.photo import Photo
from facekp.training.config import load_config

few = settings(max_examples=40, deadline=None, derandomize=True, database=None,
               suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip


def damaged(whole: bytes):
    """Return a strategy for the given bytes with some of them overwritten, removed or inserted."""

    def change(parts):
        data = bytearray(whole)
        for place, count, rubbish in parts:
            start = place % max(len(data), 1)
            data[start : start + count] = rubbish
        return bytes(data)

    part = st.tuples(st.integers(0, 1 << 30), st.integers(0, 40), st.binary(max_size=40))
    return st.lists(part, min_size=1, max_size=6).map(change)


def only_user_errors(act, *arguments):
    with warnings.catch_warnings(), contextlib.suppress(UserError):
        warnings.simplefilter("ignore")
        act(*arguments)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".bmp"])
def test_images(suffix, tmp_path):
    @few
    @given(st.one_of(st.binary(max_size=300), damaged(encoded(suffix, 40))))
    def check(data):
        (tmp_path / "a").write_bytes(data)
        only_user_errors(read_image, tmp_path / "a")
        only_user_errors(Photo.read, tmp_path / "a")

    check()


TEXTS = {
    "csv": (read_points_csv, "," + ",".join(map(str, range(136))) + "\n" + "a.jpg," + ",".join(["7"] * 136) + "\n"),
    "pts": (read_pts, "version: 1\nn_points: 68\n{\n" + "1.5 2.5\n" * 68 + "}\n"),
    "yml": (load_config, (ROOT / "configs" / "_base_" / "document.yml").read_text()),
}


@pytest.mark.parametrize("kind", TEXTS)
def test_texts(kind, tmp_path):
    read, text = TEXTS[kind]

    @few
    @given(st.one_of(st.binary(max_size=300), st.text(max_size=300).map(lambda t: t.encode("utf-8", "replace")),
                     damaged(text.encode())))  # fmt: skip
    def check(data):
        (tmp_path / f"a.{kind}").write_bytes(data)
        only_user_errors(read, tmp_path / f"a.{kind}")

    check()


def test_safetensors(tmp_path):
    header = json.dumps({"__metadata__": read_metadata(WEIGHTS),
                         "a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}).encode()  # fmt: skip
    small = with_header(header, bytes(16))

    def read(path):
        read_safetensors(path)
        parse_recipe(read_metadata(path), path)

    @few
    @given(st.one_of(st.binary(max_size=300), damaged(small), st.binary(max_size=300).map(with_header)))
    def check(data):
        (tmp_path / "a.safetensors").write_bytes(data)
        only_user_errors(read, tmp_path / "a.safetensors")

    check()


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=9), inner, max_size=4)),
    max_leaves=12,
)


def test_recipes():
    whole = json.loads(read_metadata(WEIGHTS)["recipe"])

    @few
    @given(st.sampled_from(sorted(whole)), json_values)
    def check(key, value):
        described = {"format": "facekp-1", "finds": "points", "recipe": json.dumps({**whole, key: value})}
        only_user_errors(parse_recipe, described, "w.safetensors")

    check()


def test_packs(tmp_path):
    source = ROOT / "assets" / "stickers" / "sunglasses" / "manifest.json"
    whole = json.loads(source.read_text())
    pack = tmp_path / "p"
    pack.mkdir()
    for name in whole["layers"][0]["frames"]:
        (pack / name).write_bytes(layer_png(600, 300))

    @few
    @given(st.one_of(
        st.binary(max_size=200), damaged(source.read_bytes()),
        st.tuples(st.sampled_from(sorted(whole)), json_values).map(
            lambda kv: json.dumps({**whole, kv[0]: kv[1]}).encode()),
        st.tuples(st.sampled_from(sorted(whole["layers"][0])), json_values).map(
            lambda kv: json.dumps({**whole, "layers": [{**whole["layers"][0], kv[0]: kv[1]}]}).encode()),
    ))  # fmt: skip
    def check(data):
        (pack / "manifest.json").write_bytes(data)
        only_user_errors(load_sticker, pack)

    check()


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_tables(suffix, tmp_path):
    pytest.importorskip("pyarrow")
    path = tmp_path / f"p{suffix}"

    class Found:
        def __len__(self):
            return 1

        def __iter__(self):
            yield np.zeros((68, 2)), np.zeros(4), 0.5

    with PointsTable(path, IBUG68, "s") as table:
        table.add(str(PHOTO), Found())
        unfinished = table.unfinished.read_bytes()
        table.finish()
    finished = path.read_bytes()

    @few
    @given(st.one_of(st.binary(max_size=200), damaged(unfinished)), st.one_of(st.none(), damaged(finished)))
    def check(begun, done):
        for each in tmp_path.iterdir():
            each.unlink()
        Path(f"{path}.unfinished").write_bytes(begun)
        if done is not None:
            path.write_bytes(done)

        def resume():
            with PointsTable(path, IBUG68, "s", resume=True) as table:
                table.add("b.png", Found())
                table.finish()

        only_user_errors(resume)

    check()
