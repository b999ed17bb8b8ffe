import random

import cv2
import numpy as np
import pytest
from tests_support import dot_under, paint_dots

from facekp.data.combine import KeptCrops
from facekp.data.drawn import draw_face
from facekp.data.labelled import LabelsDataset
from facekp.data.labels import Labels, make_face
from facekp.data.transforms import (
    TRANSFORMS,
    CenterCrop,
    Cover,
    FaceCrop,
    RandomCrop,
    RandomFlip,
    Resize,
    build_transforms,
)
from facekp.errors import UserError
from facekp.io.images import write_image
from facekp.landmarks import IBUG68, MEAN_FACE, SCHEMAS, load_schema, parse_schema
from facekp.vision import geometry

MOVING = {
    "resize down": Resize(120),
    "resize up": Resize(333),
    "random crop": RandomCrop(190),
    "centre crop": CenterCrop(191),
    "flip": RandomFlip(p=1.0),
    "no flip": RandomFlip(p=0.0),
    "face crop": FaceCrop(size=180, margin=0.3),
    "face crop, all of it": FaceCrop(size=180, margin=0.4, rotate=20, scale=0.2, shift=0.05, flip=0.5),
    "pipeline": build_transforms(
        [
            {"type": "Resize", "size": 180},
            {"type": "RandomCrop", "size": 170},
            {"type": "ColorJitter", "brightness": 0.2, "contrast": 0.2},
        ]
    ),
}


@pytest.mark.parametrize("transform", MOVING.values(), ids=MOVING.keys())
def test_every_dot_still_lies_under_its_landmark(dots, transform):
    image, points, painted = dots
    for seed in range(5):
        random.seed(seed)
        moved_image, moved_points = transform((image, points))
        height, width = moved_image.shape[:2]
        # A mirrored point has the index of its mirror image.
        mirrored = getattr(transform, "flipped", transform is MOVING["flip"])
        indices = IBUG68.flip_order[painted] if mirrored else painted
        checked = 0
        for x, y in moved_points[indices]:
            if 5 <= x < width - 6 and 5 <= y < height - 6:
                np.testing.assert_allclose(dot_under(moved_image, (x, y)), (x, y), atol=0.35)
                checked += 1
        assert checked > 9


@pytest.mark.parametrize("transform", [RandomFlip(p=1.0), FaceCrop(size=120, flip=1.0)])
def test_flip_swaps_left_and_right(transform):
    _, points = draw_face(5)
    image = np.zeros((160, 160, 3), np.uint8)
    _, flipped = transform((image, points))
    assert flipped[36, 0] < flipped[45, 0]  # the left eye is on the left again
    assert flipped[0, 0] < flipped[16, 0]
    twice = transform((image, flipped))[1]
    shape = points - points.mean(0)
    scale = np.ptp(twice[:, 0]) / np.ptp(points[:, 0])
    np.testing.assert_allclose(twice - twice.mean(0), shape * scale, atol=1e-2)


def test_flip_order_is_used_by_index():
    points = np.arange(136, dtype=np.float32).reshape(68, 2)
    _, flipped = RandomFlip(p=1.0)((np.zeros((200, 200, 3), np.uint8), points))
    np.testing.assert_array_equal(flipped[:, 1], points[IBUG68.flip_order, 1])


def test_face_crop_is_the_same_when_nothing_is_random():
    image, points = draw_face(2)
    one, other = (FaceCrop(size=96)((image, points)) for _ in range(2))
    np.testing.assert_array_equal(one[0], other[0])
    box = one[1].min(0), one[1].max(0)
    np.testing.assert_allclose((box[0] + box[1]) / 2, [47.5, 47.5], atol=1e-3)


def test_random_crop_reaches_every_corner():
    image = np.arange(100, dtype=np.uint8).reshape(10, 10, 1).repeat(3, 2)
    corners = set()
    for seed in range(200):
        random.seed(seed)
        corners.add(int(RandomCrop(8)((image, np.zeros((1, 2))))[0][0, 0, 0]))
    assert corners == {10 * y + x for y in range(3) for x in range(3)}


def test_gray_normalise_and_chw():
    image = np.random.default_rng(0).integers(0, 255, (6, 8, 3), np.uint8)
    points = np.zeros((68, 2))
    out, same = build_transforms([{"type": "GrayNormalize", "channels": 3}, {"type": "ToCHW"}])((image, points))
    assert out.shape == (3, 6, 8)
    assert out.dtype == np.float32
    assert out.flags.c_contiguous
    np.testing.assert_allclose(out[1], cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) / 255, atol=1e-6)
    assert same is points
    assert TRANSFORMS["ToCHW"]()(TRANSFORMS["GrayNormalize"](channels=1)(image)).shape == (1, 6, 8)


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        ({"type": "Rezise", "size": 3}, "Resize"),
        ({"type": "Resize", "sise": 3}, "size"),
        ({"type": "Resize"}, "size"),
        ({"size": 3}, "RandomCrop"),
    ],
)
def test_unknown_names_list_the_valid_ones(spec, names):
    with pytest.raises(UserError, match=names):
        build_transforms([spec])


def test_a_picture_smaller_than_the_crop_is_named():
    with pytest.raises(UserError, match="50x40"):
        CenterCrop(64)((np.zeros((40, 50, 3), np.uint8), np.zeros((68, 2))))


@pytest.mark.parametrize("name", ["Blur", "LowResolution", "Noise", "Occlude"])
def test_what_changes_pixels_leaves_the_points_and_the_kind_of_picture(name):
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (50, 40, 3), dtype=np.uint8)
    before, points = picture.copy(), rng.uniform(0, 40, (68, 2))
    random.seed(3)
    always = build_transforms([{"type": name, "p": 1.0}])
    image, coords = always((picture, points))
    assert image.shape == picture.shape and image.dtype == np.uint8
    assert (image != picture).any()
    np.testing.assert_array_equal(picture, before)  # the image is kept for the next epoch
    np.testing.assert_array_equal(coords, points)
    random.seed(3)
    np.testing.assert_array_equal(always((picture, points))[0], image)  # the seed determines it
    never = build_transforms([{"type": name, "p": 0.0}])
    np.testing.assert_array_equal(never((picture, points))[0], picture)


def test_blur_keeps_the_mean_and_lowers_the_contrast():
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for name in ("Blur", "LowResolution"):
        random.seed(1)
        image, _ = build_transforms([{"type": name, "p": 1.0}])((picture, np.zeros((1, 2))))
        assert image.mean() == pytest.approx(picture.mean(), abs=2)
        assert image.std() < 0.8 * picture.std()


def test_occlude_covers_one_rectangle():
    picture = np.arange(80 * 90 * 3).reshape(80, 90, 3).astype(np.uint8)
    for seed in range(20):
        random.seed(seed)
        image, _ = build_transforms([{"type": "Occlude", "p": 1.0, "max_side": 0.4}])((picture, np.zeros((1, 2))))
        rows, columns = np.nonzero((image != picture).any(-1))
        assert rows.max() - rows.min() < 0.4 * 80 and columns.max() - columns.min() < 0.4 * 90


def test_cover_hides_the_points_under_it_and_leaves_the_others():
    face = (MEAN_FACE * 80 + 24).astype(np.float32)
    picture = np.random.default_rng(0).integers(0, 256, (128, 128, 3)).astype(np.uint8)
    shares = []
    for seed in range(60):
        random.seed(seed)
        image, points, visible = Cover(p=1.0)((picture, face, np.ones(68, np.float32)))
        np.testing.assert_array_equal(points, face)
        changed = (image != picture).any(-1)
        x, y = np.round(face).astype(int).T
        hidden = visible == 0
        # Single pixels of random noise may be covered by their own colour, but hardly ever nine.
        around = np.stack([changed[y + b, x + a] for a in (-1, 0, 1) for b in (-1, 0, 1)])
        assert around.sum(0)[hidden].min(initial=9) >= 4, seed
        assert not around.all(0)[~hidden].any() or around.all(0)[~hidden].mean() < 0.2, seed
        shares.append(hidden.mean())
        random.seed(seed)
        again = Cover(p=1.0)((picture, face, np.ones(68, np.float32)))
        np.testing.assert_array_equal(again[0], image)
    assert 0.1 < np.mean(shares) < 0.7 and np.max(shares) > 0.4


def test_no_cover_changes_nothing_and_unknown_stays_unknown():
    face, seen = (MEAN_FACE * 80 + 24).astype(np.float32), np.full(68, np.nan, np.float32)
    picture = np.zeros((128, 128, 3), np.uint8)
    image, _, visible = Cover(p=0.0)((picture, face, seen))
    assert image is picture
    np.testing.assert_array_equal(visible, seen)


def test_what_is_not_covered_is_seen_unless_something_has_said_otherwise():
    face, picture = (MEAN_FACE * 80 + 24).astype(np.float32), np.zeros((128, 128, 3), np.uint8)
    random.seed(1)
    visible = Cover(p=1.0)((picture, face))[2]
    assert 0 < visible.mean() < 1 and set(visible.tolist()) == {0, 1}
    random.seed(1)
    unknown = Cover(p=1.0)((picture, face, np.full(68, np.nan, np.float32)))[2]
    np.testing.assert_array_equal(unknown, np.where(visible == 0, 0, np.nan))
    face[3] = np.nan
    np.testing.assert_array_equal(Cover(p=1.0)((picture, face))[2], np.where(np.arange(68) == 3, np.nan, 1))


@pytest.mark.parametrize(
    "spec",
    [
        {"type": "Blur", "max_sigma": -1},
        {"type": "Blur", "max_sigma": 0},
        {"type": "LowResolution", "min_scale": -0.5},
        {"type": "LowResolution", "min_scale": 3},
        {"type": "Noise", "max_std": -1},
        {"type": "FaceCrop", "size": 96, "flip": 50},
        {"type": "FaceCrop", "size": 96, "margin": -0.3},
        {"type": "Noise", "max_std": float("nan")},
    ],
)
def test_ranges_are_checked_before_the_first_step(spec):
    with pytest.raises(UserError, match=f"transform {spec['type']}: an option has a wrong value"):
        build_transforms([spec if spec["type"] == "FaceCrop" else {**spec, "p": 0.01}])


def test_points_of_unknown_sides_are_not_mirrored():
    schema = parse_schema({"name": "mine", "points": ["l_eye", "r_eye"]}, "an example")
    for spec in ({"type": "RandomFlip"}, {"type": "FaceCrop", "size": 96, "flip": 0.5}):
        with pytest.raises(UserError, match="the schema mine change places: list mirror_pairs"):
            build_transforms([spec], schema)
    build_transforms([{"type": "RandomFlip", "p": 0}, {"type": "FaceCrop", "size": 96}], schema)


#: Transforms for the faces of every schema.
PIPELINES = {
    "resize": [{"type": "Resize", "size": 180}],
    "crop": [{"type": "Resize", "size": 240}, {"type": "RandomCrop", "size": 230}],
    "flip": [{"type": "RandomFlip", "p": 1.0}],
    "face crop": [{"type": "FaceCrop", "size": 200, "margin": 0.3}],
    "face crop, all of it": [
        {"type": "FaceCrop", "size": 200, "margin": 0.4, "rotate": 20, "scale": 0.2, "shift": 0.05, "flip": 0.5}
    ],
}


def face_of(schema, seed, size=260):
    """Return the points of a drawn face: converted to the schema, or else its mean face aligned to the face."""
    points = IBUG68.converted(draw_face(seed, size)[1], schema)
    if points is not None:
        return points
    carry = geometry.similarity(IBUG68.mean_points, draw_face(seed, size)[1])
    return geometry.apply(carry, schema.mean_points)


@pytest.mark.parametrize("pipeline", PIPELINES)
@pytest.mark.parametrize("name", SCHEMAS)
def test_every_dot_lies_under_its_landmark(name, pipeline):
    schema = load_schema(name)
    points = face_of(schema, 3)
    apart: list[int] = []
    for i, point in enumerate(points):
        if all(np.linalg.norm(point - points[j]) > 16 for j in apart):
            apart.append(i)
    image = paint_dots(points[apart], (260, 290))
    transform = build_transforms(PIPELINES[pipeline], schema)
    for seed in range(4):
        random.seed(seed)
        np.random.seed(seed)
        moved_image, moved = transform((image, points.copy()))
        height, width = moved_image.shape[:2]
        if hasattr(transform.transforms[-1], "flipped"):
            mirrored = transform.transforms[-1].flipped
        else:
            mirrored = pipeline == "flip"
        for i in apart:
            x, y = moved[schema.flip_order[i] if mirrored else i]
            if 6 <= x < width - 7 and 6 <= y < height - 7:
                np.testing.assert_allclose(dot_under(moved_image, (x, y)), (x, y), atol=0.5, err_msg=schema.points[i])


@pytest.mark.parametrize("name", SCHEMAS)
def test_missing_points_stay_missing_and_move_with_their_mirror_image(name, tmp_path):
    schema = load_schema(name)
    points = face_of(schema, 5).astype(np.float64)
    left, right = schema.mirror_pairs[0]
    points[left] = np.nan
    write_image(tmp_path / "a.png", np.zeros((260, 260, 3), np.uint8))
    face = make_face(schema, tmp_path / "a.png", points, where="here")
    faces = KeptCrops(LabelsDataset(Labels(schema, [face]), tmp_path, "x"), face_side=150)
    image, kept = faces.load(0)
    for flip in (0.0, 1.0):
        transform = build_transforms([{"type": "FaceCrop", "size": 100, "flip": flip}], schema)
        moved = transform((image, kept))[1]
        missing = np.flatnonzero(~np.isfinite(moved).all(1)).tolist()
        assert missing == [right if flip else left]
