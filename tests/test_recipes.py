import json
import re

import numpy as np
import pytest

from facekp.codecs.points import MeanFaceCodec, StandardCodec, codec_to_dict
from facekp.errors import UserError
from facekp.landmarks import IBUG68, MEAN_FACE, load_schema, parse_schema
from facekp.recipes import (
    FORMAT,
    MAX_BYTES,
    BoxesRecipe,
    PointsRecipe,
    describe,
    parse_recipe,
    read_any_recipe,
    read_recipe,
    save_recipe,
)

PIXELS = [{"type": "GrayNormalize", "channels": 1}, {"type": "ToCHW"}]
CODEC = MeanFaceCodec(96, tuple((float(x), float(y)) for x, y in MEAN_FACE))


def points_recipe(codec=CODEC, schema=IBUG68, **network):
    return PointsRecipe(
        network={"type": "plain_resnet", **network},
        schema=schema,
        size=96,
        pixels=PIXELS,
        codec=codec_to_dict(codec),
        face_centre=(0.5, 0.45),
        face_side=0.7,
        notes={"config": "tiny"},
    )


POINTS = points_recipe()
BOXES = BoxesRecipe({"type": "plain_detector"}, 96, [{"type": "ImageNetNormalize"}, {"type": "ToCHW"}])


def metadata(recipe=POINTS, **values):
    """Return the metadata of a recipe with some values replaced."""
    described = describe(recipe)
    return {**described, "recipe": json.dumps({**json.loads(described["recipe"]), **values})}


@pytest.mark.parametrize("recipe", [POINTS, BOXES, points_recipe(StandardCodec(1.0, 2.0), load_schema("five"))])
def test_a_recipe_comes_back_from_metadata_and_from_its_file(tmp_path, recipe):
    save_recipe(tmp_path / "recipe.json", recipe)
    for read in (
        parse_recipe(describe(recipe), "w"),
        read_any_recipe(tmp_path / "recipe.json"),
        read_recipe(tmp_path / "recipe.json", type(recipe)),
    ):
        assert type(read) is type(recipe) and json.dumps(read.to_dict()) == json.dumps(recipe.to_dict())
        if isinstance(recipe, PointsRecipe):
            assert read.build_codec() == recipe.build_codec() and read.schema == recipe.schema


def test_a_recipe_carries_the_schema_of_the_user():
    cat = parse_schema({"name": "cat", "points": ["left_ear", "right_ear", "nose"], "normalise": [0, 1]}, "")
    read = parse_recipe(describe(points_recipe(StandardCodec(0.0, 1.0), cat)), "w")
    assert read.schema == cat and read.num_points == 3
    assert read.network_arguments() == {"type": "plain_resnet", "num_points": 3}


def test_what_a_recipe_of_points_makes_of_outputs():
    assert POINTS.blank_batch().shape == (1, 1, 96, 96) and POINTS.input_side == 96
    for scored in (False, True):
        recipe = points_recipe(score=scored)
        assert recipe.scored == scored
        points, scores, sigma, visibility = recipe.decode(np.zeros((2, 136 + scored), np.float32))
        assert sigma is None and visibility is None
        np.testing.assert_allclose(points, np.stack([MEAN_FACE * 96] * 2), rtol=1e-5)
        assert (scores.tolist() == [0.5, 0.5]) if scored else scores is None


def test_sigmas_come_out_in_pixels_of_the_crop_and_visibilities_as_shares():
    recipe = points_recipe(score=True, sigma=True, visibility=True)
    decoded = recipe.decode(np.full((2, 137 + 2 * 68), np.log(3), np.float32))
    np.testing.assert_allclose(decoded.sigma, np.full((2, 68), 3 * 0.96), rtol=1e-5)
    np.testing.assert_allclose(decoded.visibility, np.full((2, 68), 0.75), rtol=1e-5)


def test_what_a_recipe_of_boxes_makes_of_outputs():
    assert BOXES.blank_batch().shape == (1, 3, 64, 64) and BOXES.input_side is None
    outputs = np.zeros((1, 84, 5), np.float32)
    assert BOXES.decode(outputs)[0] is outputs and BOXES.decode(outputs)[1] is None
    assert BOXES.network_arguments() == {"type": "plain_detector"}


NAN = float("nan")
FIVE = load_schema("five").to_dict()
LIES = {
    "size of nothing": (metadata(size=0), "size: .*16"),
    "negative size": (metadata(size=-96), "size: .*16"),
    "endless size": (metadata(size=10**9), "size: .*2048"),
    "size between pixels": (metadata(size=96.5), "size: "),
    "size in words": (metadata(size="large"), "size: "),
    "NaN for the size": (metadata(size=NAN), "size: "),
    "size of a detector": (metadata(BOXES, size=8), "size: .*32"),
    "NaN for the face's side": (metadata(face_side=NAN), "face_side: .*finite"),
    "infinite side of the face": (metadata(face_side=float("inf")), "face_side: "),
    "no side of the face": (metadata(face_side=0.0), "face_side: .*greater than 0"),
    "negative side of the face": (metadata(face_side=-0.7), "face_side: .*greater than 0"),
    "NaN for the face's centre": (metadata(face_centre=[0.5, NAN]), r"face_centre\.1: .*finite"),
    "centre far away": (metadata(face_centre=[0.5, 1e9]), r"face_centre\.1: "),
    "centre of one number": (metadata(face_centre=[0.5]), r"face_centre"),
    "unknown codec": (metadata(codec={"type": "other"}), "unknown codec"),
    "codec of nothing": (metadata(codec={}), "unknown codec"),
    "NaN in the codec": (metadata(codec={"type": "standard", "mean": NAN, "std": 1.0}), "unknown codec"),
    "codec that divides by zero": (metadata(codec={"type": "standard", "mean": 0.0, "std": 0.0}), "unknown codec"),
    "codec of five points": (
        metadata(codec={"type": "mean_face", "size": 96, "mean_points": [[0.5, 0.5]] * 5}),
        "codec: its mean face does not have 68 points",
    ),
    "codec of other crops": (metadata(codec={**codec_to_dict(CODEC), "size": 112}), "codec: is for crops of 112"),
    "schema of five points": (metadata(schema=FIVE), "codec: its mean face does not have 5 points"),
    "schema of nothing": (metadata(schema=None), "not a point schema"),
    "name of a schema": (metadata(schema="ibug68"), "not a point schema"),
    "schema that is wrong": (metadata(schema={**FIVE, "points": ["a", "a"]}), "schema: points: a is named twice"),
    "no network": (metadata(network={}), "network: type is missing"),
    "network that is a text": (metadata(network="plain_resnet"), "network: "),
    "type that is a list": (metadata(network={"type": ["plain_resnet"]}), "network: type is missing"),
    "no type of a detector": (metadata(BOXES, network={"width": 3}), "network: type is missing"),
    "unknown step": (metadata(pixels=[{"type": "Exec"}]), "unknown pixel step 'Exec'"),
    "step of nothing": (metadata(pixels=[{}]), "unknown pixel step"),
    "steps that do not fit": (metadata(pixels=[*PIXELS, *PIXELS]), "pixels: the steps do not fit together"),
    "steps in words": (metadata(pixels="ToCHW"), "pixels: "),
    "unknown key": (metadata(passes=3), "passes: Unexpected keyword argument"),
    "unknown key of a detector": (metadata(BOXES, face_side=0.7), "face_side: Unexpected keyword argument"),
    "notes in words": (metadata(notes="none"), "notes: "),
    "a list": ({**metadata(), "recipe": "[]"}, "not a mapping"),
    "a number": ({**metadata(), "recipe": "3"}, "not a mapping"),
    "an empty mapping": ({**metadata(), "recipe": "{}"}, "network: Field required"),
    "no JSON": ({**metadata(), "recipe": "{"}, "damaged"),
    "an abyss": ({**metadata(), "recipe": "[" * 100_000}, "damaged"),
    "an ocean": ({**metadata(), "recipe": " " * (MAX_BYTES + 1)}, "it is too large"),
    "no recipe": ({"format": FORMAT, "finds": "points"}, "damaged .*recipe"),
}


@pytest.mark.parametrize(("lie", "message"), LIES.values(), ids=LIES)
def test_a_recipe_that_cannot_be_true_is_told_in_a_line(lie, message):
    with pytest.raises(
        UserError, match=rf"^w\.safetensors: its description is damaged \(.*{message}|{message}"
    ) as caught:
        parse_recipe(lie, "w.safetensors")
    text = str(caught.value)
    assert text.startswith("w.safetensors: its description is damaged (")
    assert text.endswith("; fetch or train the weights again")
    assert "\n" not in text and len(text) < 400


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "not weights of facekp"),
        ({"format": "facekp-9"}, "not weights of facekp"),
        ({**describe(POINTS), "finds": "cats"}, "a network that finds 'cats'; known are points, boxes"),
        ({**describe(POINTS), "finds": "c" * 10_000}, "known are points, boxes"),
    ],
)
def test_what_is_of_another_program_is_told_in_a_line(values, message):
    with pytest.raises(UserError, match=message) as caught:
        parse_recipe(values, "w")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 200


@pytest.mark.parametrize(("number", "name"), [(68, "ibug68"), (5, "five")])
def test_older_weights_say_how_many_points_they_have(number, name):
    described = describe(points_recipe(StandardCodec(0.0, 1.0), load_schema(name)))
    values = json.loads(described["recipe"])
    del values["schema"]
    older = {"format": FORMAT, "recipe": json.dumps({**values, "num_points": number})}
    assert parse_recipe(older, "w").schema is load_schema(name)
    for wrong in (7, None, [68], "x" * 1000):
        older["recipe"] = json.dumps({**values, "num_points": wrong})
        with pytest.raises(UserError, match=r"num_points: .* fits none of the schemas .*ibug68"):
            parse_recipe(older, "w")


FILES = {
    "missing": None,
    "no JSON": b"{",
    "no text": b"\xff\xfe",
    "a list": b"[]",
    "a number": b"3",
    "no recipe": json.dumps({"format": FORMAT}).encode(),
    "an abyss": b"[" * 100_000,
    "an ocean": b" " * (MAX_BYTES + 1),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_recipe_is_told_in_a_line(tmp_path, name):
    path = tmp_path / "recipe.json"
    if FILES[name] is not None:
        path.write_bytes(FILES[name])
    with pytest.raises(
        UserError, match=rf"^{re.escape(str(path))}: no readable description .*; export again"
    ) as caught:
        read_any_recipe(path)
    assert "\n" not in str(caught.value)


def test_points_and_boxes_are_not_confused(tmp_path):
    save_recipe(tmp_path / "recipe.json", BOXES)
    with pytest.raises(UserError, match="finds boxes, not points; choose others"):
        read_recipe(tmp_path / "recipe.json")
    save_recipe(tmp_path / "recipe.json", POINTS)
    with pytest.raises(UserError, match="finds points, not boxes; choose others"):
        read_recipe(tmp_path / "recipe.json", BoxesRecipe)
