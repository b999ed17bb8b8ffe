import random

import cv2
import numpy as np
import pytest
from tests_support import head_in_space, write_pts

from facekp.data.composed import (
    MAX_FACES,
    UNCHECKED,
    ComposedDataset,
    FaceOutline,
    LabelledImage,
    images_of,
    read_unchecked_boxes,
)
from facekp.data.cuhk5 import FivePointDataset
from facekp.data.dataset import Draw
from facekp.data.drawn import draw_face
from facekp.data.pts import PtsDataset
from facekp.data.transforms import Cover, build_transforms
from facekp.data.turned import HeadShape, TurnHead
from facekp.errors import UserError
from facekp.io.images import write_image
from facekp.landmarks import MEAN_FACE, head_pose, load_schema, parse_schema
from facekp.vision import geometry
from facekp.vision.boxes import area

BLUE, RED = 0, 2
#: A face that is neither upright nor symmetric, so that its box shows how it was rotated and mirrored.
FACE = geometry.apply(geometry.compose(geometry.scaling(1.0, 0.7), geometry.rotation(25)), MEAN_FACE * 70)
FACE = (FACE - FACE.min(0)).round()


def patches(path, places):
    """Write a black image with each face filled in its colour; return the points of the faces."""
    image = np.zeros((240, 300, 3), np.uint8)
    faces = [(FACE * scale + [x, y]).round().astype(np.float32) for _, scale, x, y in places]
    for (channel, *_), face in zip(places, faces):
        layer = np.zeros(image.shape[:2], np.uint8)
        cv2.fillConvexPoly(layer, cv2.convexHull(face.astype(np.int32)), 255)
        image[..., channel] = layer
    write_image(path, image)
    return faces


def outlined(path, faces, trusts=None):
    """Return an image whose faces all have points."""
    trusts = [1.0] * len(faces) if trusts is None else trusts
    return LabelledImage(path, [FaceOutline(face, trust) for face, trust in zip(faces, trusts)])


def seen(layer, corner=(0, 0)):
    """Return the box around the bright pixels."""
    y, x = np.nonzero(layer > 100)
    return np.array([x.min(), y.min(), x.max(), y.max()]) + np.tile(corner, 2)


def test_labels_follow_the_picture_wherever_it_goes(tmp_path):
    faces = patches(tmp_path / "a.png", [(BLUE, 1.0, 30, 80), (RED, 0.6, 170, 60)])
    dataset = ComposedDataset([outlined(tmp_path / "a.png", faces)], 160, tiles=(1, 0, 0), anywhere=0.0)
    found = np.zeros(3, int)
    for seed in range(60):
        square, label = dataset[Draw(0, seed)]
        for channel in (BLUE, RED):
            layer = square[..., channel]
            edge = np.concatenate([layer[0], layer[-1], layer[:, 0], layer[:, -1]])
            if edge.any() or (layer > 200).sum() < 150:
                continue  # cut off, or too small to measure
            box = seen(layer)
            off = np.abs(label[label[:, 4] == 1, :4] - box).max(1)
            assert off.min() < 2 + 0.03 * max(box[2:] - box[:2]), (seed, channel, box, label[:3])
            found[channel] += 1
    assert min(found[[BLUE, RED]]) > 10


@pytest.mark.parametrize("count", [2, 3])
def test_every_tile_shows_a_picture_and_its_face(tmp_path, count):
    faces = patches(tmp_path / "a.png", [(BLUE, 1.0, 100, 80)])
    tiles = np.eye(3)[count - 1]
    dataset = ComposedDataset([outlined(tmp_path / "a.png", faces)], 192, tiles=tiles, anywhere=0.0)
    side = 192 // count
    for seed in range(8):
        square, label = dataset[Draw(0, seed)]
        rows = label[label[:, 2] > 0]
        middles = (rows[:, :2] + rows[:, 2:4]) / 2
        places = (np.clip(middles, 0, 191) // side).astype(int)
        assert sorted(map(tuple, places)) == [(x, y) for x in range(count) for y in range(count)]
        for row, (x, y) in zip(rows, places):
            layer = square[y * side : (y + 1) * side, x * side : (x + 1) * side, BLUE]
            box = seen(layer, (x * side, y * side))
            whole = np.clip(row[:4], np.tile([x * side, y * side], 2), np.tile([x * side, y * side], 2) + side - 1)
            assert (box[:2] > whole[:2] - 3).all() and (box[2:] < whole[2:] + 3).all()  # nothing bright outside
            if row[4] == 1 and (whole == row[:4]).all():
                np.testing.assert_allclose(box, whole, atol=4)


def test_every_picture_comes_up_in_the_other_tiles(tmp_path):
    for number in range(4):
        write_image(tmp_path / f"{number}.png", np.full((50, 50, 3), 60 * number + 60, np.uint8))
    corners = np.float32([[10, 10], [40, 10], [40, 40], [10, 40]])
    box = FaceOutline(corners, is_box=True)
    images = [LabelledImage(tmp_path / f"{number}.png", [box]) for number in range(4)]
    dataset = ComposedDataset(images, 96, tiles=(0, 0, 1), max_face=2.0, min_face=400)
    shown = [np.unique(dataset[Draw(1, seed)][0].reshape(-1, 3)[:, 0]) for seed in range(12)]
    assert all(120 in levels for levels in shown)  # the requested image
    assert {60, 120, 180, 240} <= set(np.concatenate(shown).tolist())


def rows(dataset, face, trust=1.0, matrix=None, is_box=False):
    """Return the label rows of a face in a tile of 100 x 100 pixels."""
    image = LabelledImage(dataset.images[0].path, [FaceOutline(np.asarray(face, np.float32), trust, is_box)])
    matrix = np.eye(2, 3) if matrix is None else matrix
    return np.array(dataset._label(image, matrix, np.array([0.0, 0, 99, 99])))


@pytest.fixture
def one(tmp_path):
    """A data set with one image."""
    faces = patches(tmp_path / "a.png", [(BLUE, 1.0, 100, 80)])
    return ComposedDataset([outlined(tmp_path / "a.png", faces)], 96)


def at(x0, y0, x1, y1):
    """Return 68 points that fill a box."""
    unit = (MEAN_FACE - MEAN_FACE.min(0)) / np.ptp(MEAN_FACE, axis=0)
    return unit * [x1 - x0, y1 - y0] + [x0, y0]


def test_hardly_visible_and_tiny_faces_are_ignored(one):
    np.testing.assert_allclose(rows(one, at(10, 20, 50, 70)), [[10, 20, 50, 70, 1]], atol=1e-3)
    np.testing.assert_allclose(rows(one, at(-10, 20, 30, 70)), [[-10, 20, 30, 70, 1]], atol=1e-3)  # a quarter cut off
    np.testing.assert_allclose(rows(one, at(-20, 20, 20, 70)), [[0, 20, 20, 70, 0]], atol=1e-3)  # a half
    np.testing.assert_allclose(rows(one, at(70, 80, 120, 130)), [[70, 80, 99, 99, 0]], atol=1e-3)
    assert len(rows(one, at(-39, 20, 1, 70))) == 0
    np.testing.assert_allclose(rows(one, at(50, 50, 58, 61)), [[50, 50, 58, 61, 0]], atol=1e-3)
    np.testing.assert_allclose(rows(one, at(50, 50, 58, 63)), [[50, 50, 58, 63, 1]], atol=1e-3)
    np.testing.assert_allclose(rows(one, at(50, 50, 80, 90), UNCHECKED), [[50, 50, 80, 90, UNCHECKED]], atol=1e-3)
    np.testing.assert_allclose(rows(one, at(-20, 20, 20, 70), UNCHECKED), [[0, 20, 20, 70, 0]], atol=1e-3)


def test_a_box_that_is_turned_does_not_grow(one):
    corners = [[10, 20], [50, 20], [50, 40], [10, 40]]
    turn = geometry.compose(geometry.rotation(45, (30, 30)), geometry.scaling(2.0), geometry.translation(-10, -10))
    np.testing.assert_allclose(rows(one, corners, 0.5, turn, is_box=True), [[10, 30, 90, 70, 0.5]], atol=1e-3)
    reach = 60 * np.sqrt(0.5)  # points, not a box, are rotated as they are: half of 40 + 20, times 2
    points = [[50 - reach, 50 - reach, 50 + reach, 50 + reach, 0.5]]
    np.testing.assert_allclose(rows(one, corners, 0.5, turn), points, atol=1e-3)
    mirrored = geometry.compose(geometry.mirror(100), geometry.scaling(0.5))
    np.testing.assert_allclose(rows(one, corners, 0.5, mirrored, is_box=True), [[24.5, 10, 44.5, 20, 0.5]], atol=1e-3)


def test_an_image_without_faces_is_shown_without_a_label(tmp_path):
    write_image(tmp_path / "a.png", np.full((1200, 900, 3), 200, np.uint8))
    dataset = ComposedDataset([LabelledImage(tmp_path / "a.png", [])], 96, tiles=(1, 0, 0))
    assert dataset._pixels[0].shape[0] == round(0.85 * 96 * 4)  # as for a face of 300 pixels at 0.85 of a tile
    for seed in range(20):
        square, label = dataset[Draw(0, seed)]
        assert (square == 200).mean() > 0.1 and not label.any()


def test_a_sample_is_a_square_and_rows_the_largest_face_first(tmp_path):
    faces = patches(tmp_path / "a.png", [(BLUE, 1.0, 30, 80), (RED, 0.6, 170, 60)])
    pixels = build_transforms([{"type": "ImageNetNormalize"}, {"type": "ToCHW"}])
    dataset = ComposedDataset([outlined(tmp_path / "a.png", faces, [1.0, UNCHECKED])], 100, pixels)
    trusts = set()
    for seed in range(25):
        image, label = dataset[Draw(0, seed)]
        assert image.shape == (3, 100, 100) and image.dtype == np.float32
        assert label.shape == (MAX_FACES, 5) and label.dtype == np.float32
        count = int((area(label[:, :4]) > 0).sum())
        assert count >= 1 and (label[count:] == 0).all()
        assert (np.diff(area(label[:, :4])) <= 1e-3).all()
        trusts |= set(label[:count, 4].tolist())
    assert trusts == {0.0, UNCHECKED, 1.0}
    assert dataset.name(0) == "a.png" and len(dataset) == 1
    with pytest.raises(IndexError):
        dataset[1]


def test_a_draw_repeats_itself_and_seeds_differ(tmp_path):
    faces = patches(tmp_path / "a.png", [(BLUE, 1.0, 30, 80), (RED, 0.6, 170, 60)])
    change = build_transforms([{"type": "ColorJitter", "brightness": 0.5}, {"type": "Noise", "p": 1.0}])
    image = outlined(tmp_path / "a.png", faces)
    dataset = ComposedDataset([image] * 3, 96, change)
    first = dataset[Draw(1, 7)]
    other = dataset[Draw(1, 8)]
    again = dataset[Draw(1, 7)]
    for a, b in zip(first, again):
        np.testing.assert_array_equal(a, b)
    assert (first[0] != other[0]).any() and (first[1] != other[1]).any()

    squares = [dataset[i] for i in range(3)]  # an index is its own seed, as needed for validation
    random.seed(99)
    for i, square in enumerate(squares):
        for key in (i, Draw(i, i)):
            np.testing.assert_array_equal(square[0], dataset[key][0])
            np.testing.assert_array_equal(square[1], dataset[key][1])
    assert (squares[0][1] != squares[1][1]).any()


def photos(root):
    """Write two photos in the layout of 300-W, the first one of two people; return the points of one face."""
    image, points = draw_face(1, 100)
    for name in ("a.png", "deep/b.png"):
        write_image(root / name, np.concatenate([image, image], 1))
    write_pts(root / "a_1.pts", points)
    write_pts(root / "a_2.pts", points + np.array([100, 0]))
    write_pts(root / "deep" / "b.pts", points)
    return points


def test_a_photo_of_several_people_is_one_picture(tmp_path):
    points = photos(tmp_path)
    (tmp_path / "faces.csv").write_text(
        "image,x0,y0,x1,y1,source\na.png,1,2,3,4,points\ndeep/b.png,110,20,170,90,detector\n"
    )
    first, second = images_of(PtsDataset(tmp_path))
    assert first.path == tmp_path / "a.png" and [face.trust for face in first.faces] == [1.0, 1.0]
    assert not any(face.is_box for face in first.faces)
    np.testing.assert_allclose([face.points for face in first.faces], [points, points + np.array([100, 0])], atol=1e-2)
    assert second.path == tmp_path / "deep" / "b.png" and [face.trust for face in second.faces] == [1.0, UNCHECKED]
    assert [face.is_box for face in second.faces] == [False, True]
    np.testing.assert_allclose(second.faces[0].points, points, atol=1e-2)
    assert second.faces[1].points.tolist() == [[110, 20], [170, 20], [170, 90], [110, 90]]
    (tmp_path / "faces.csv").unlink()
    images = images_of(PtsDataset(tmp_path))
    assert [[face.trust for face in image.faces] for image in images] == [[1.0, 1.0], [1.0]]


def test_faces_of_five_points_are_outlined_whole(tmp_path):
    five = load_schema("five")
    turn = geometry.compose(geometry.rotation(20), geometry.scaling(50), geometry.translation(40, 20))
    write_image(tmp_path / "a.png", np.zeros((90, 110, 3), np.uint8))
    values = " ".join(f"{v:.4f}" for v in geometry.apply(turn, five.mean_points).reshape(-1))
    (tmp_path / "list.txt").write_text(f"a.png 20 90 10 80 {values}\n")
    (image,) = images_of(FivePointDataset(tmp_path / "list.txt"))
    np.testing.assert_allclose(image.faces[0].points, geometry.apply(turn, MEAN_FACE), atol=1e-2)


def test_large_images_are_kept_no_larger_than_they_are_shown(tmp_path):
    faces = patches(tmp_path / "a.png", [(BLUE, 1.0, 30, 80), (RED, 0.6, 170, 60)])
    smallest = min(np.ptp(face, axis=0).max() for face in faces)
    for most, scale in ((0.9, 0.9 * 40 / smallest), (4.0, 1.0)):
        dataset = ComposedDataset([outlined(tmp_path / "a.png", faces)], 40, max_face=most)
        kept = dataset._pixels[0]
        assert kept.shape == (round(240 * scale), round(300 * scale), 3)
        for channel, face in zip((BLUE, RED), dataset.images[0].faces):
            np.testing.assert_allclose(seen(kept[..., channel]), geometry.bounding_box(face.points), atol=1)


FAULTS = {
    "missing column": "image,x0,y0,x1,source\na.png,1,2,3,detector\n",
    "no number": "image,x0,y0,x1,y1,source\na.png,1,2,wide,4,detector\n",
    "NaN": "image,x0,y0,x1,y1,source\na.png,1,2,3,4,points\na.png,1,2,,4,detector\n",
    "empty box": "image,x0,y0,x1,y1,source\na.png,1,2,3,4,points\na.png,1,2,1,4,detector\n",
    "inside out": "image,x0,y0,x1,y1,source\na.png,1,2,3,4,points\na.png,1,4,3,2,detector\n",
    "no name": "image,x0,y0,x1,y1,source\na.png,1,2,3,4,points\n,1,2,3,4,detector\n",
    "ragged": "image,x0,y0,x1,y1,source\na.png,1,2,3,4,detector,5,6\n1\n1,2,3,4,5,6,7,8,9,9\n",
    "empty": "",
    "no text": b"\xff\xfe\x00\x01",
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_wrong_file_of_boxes_is_named(tmp_path, name):
    photos(tmp_path)
    text = FAULTS[name]
    (tmp_path / "faces.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=r"faces\.csv: row 2: needs" if "points" in str(text) else r"faces\.csv: needs"):
        images_of(PtsDataset(tmp_path))


def test_a_box_in_a_picture_that_is_not_there_is_named(tmp_path):
    photos(tmp_path)
    (tmp_path / "faces.csv").write_text("image,x0,y0,x1,y1,source\na.png,1,2,3,4,points\nc.png,1,2,3,4,detector\n")
    with pytest.raises(UserError, match=r"faces\.csv: row 2: there is no image c\.png"):
        images_of(PtsDataset(tmp_path))


def test_boxes_of_points_are_not_read_twice(tmp_path):
    (tmp_path / "faces.csv").write_text("image,x0,y0,x1,y1,source\na.png,1,2,3,4,points\n")
    assert read_unchecked_boxes(tmp_path / "faces.csv") == {}


def test_faces_are_covered_where_their_points_are_and_boxes_stay(tmp_path):
    image, points = draw_face(0)
    write_image(tmp_path / "a.png", image)
    images = [outlined(tmp_path / "a.png", [points])]
    options = {"size": 160, "tiles": (1, 0, 0), "anywhere": 0.0}
    bare = ComposedDataset(images, **options)
    covered = ComposedDataset(images, covered=1.0, **options)
    changed = []
    for _ in range(10):
        pixels, varied = covered._varied(0)
        there = (pixels != bare._pixels[0]).any(2)
        x0, y0, x1, y1 = geometry.bounding_box(varied.faces[0].points).round().astype(int)
        changed.append(there.mean())
        assert there[max(y0, 0) : y1, max(x0, 0) : x1].sum() > 0.5 * there.sum()
        np.testing.assert_array_equal(varied.faces[0].points, bare.images[0].faces[0].points)
    assert min(changed) > 0.003
    corners = np.array([[9, 9], [90, 9], [90, 90], [9, 90]], np.float32)
    boxed = [LabelledImage(tmp_path / "a.png", [FaceOutline(corners, UNCHECKED, is_box=True)])]
    only_box = ComposedDataset(boxed, covered=1.0, **options)
    np.testing.assert_array_equal(only_box._varied(0)[0], only_box._pixels[0])


def test_heads_are_turned_only_where_one_face_is_alone(tmp_path):
    image, points = draw_face(0)
    write_image(tmp_path / "a.png", image)
    turn = TurnHead(HeadShape(head_in_space()), every=1, yaw=(40, 40), pitch=(0, 0))
    alone = ComposedDataset([outlined(tmp_path / "a.png", [points])], 160, turn=turn)
    pixels, varied = alone._varied(0)
    yaws = [head_pose(image.faces[0].points[None]).yaw[0] for image in (alone.images[0], varied)]
    assert (pixels != alone._pixels[0]).any() and abs(yaws[1]) > abs(yaws[0]) + 15
    two = ComposedDataset([outlined(tmp_path / "a.png", [points, points / 2])], 160, turn=turn)
    np.testing.assert_array_equal(two._varied(0)[0], two._pixels[0])


FOUR = parse_schema(
    {"name": "four", "points": ["a", "b", "c", "d"], "mean_face": [[0, 0], [1, 0], [1, 1], [0, 1]]}, "x"
)


@pytest.mark.parametrize(
    "schema", [load_schema("wflw98"), load_schema("lapa106"), FOUR], ids=lambda schema: schema.name
)
def test_faces_of_other_schemas_are_covered_as_such(tmp_path, schema):
    points = schema.mean_points * 80 + 40
    write_image(tmp_path / "a.png", np.random.default_rng(0).integers(0, 256, (160, 160, 3)).astype(np.uint8))
    dataset = ComposedDataset([outlined(tmp_path / "a.png", [points])], 160, covered=1.0)
    for seed in range(10):
        random.seed(seed)
        pixels = dataset._varied(0)[0]
        random.seed(seed)
        np.testing.assert_array_equal(pixels, Cover(1.0, schema)((dataset._pixels[0], points))[0])


def test_large_images_are_kept_no_larger_than_their_faces_are_shown(tmp_path):
    write_image(tmp_path / "large.png", np.zeros((1200, 1600, 3), np.uint8))
    corners = np.float32([[400, 300], [1200, 300], [1200, 900], [400, 900]])
    composed = ComposedDataset([LabelledImage(tmp_path / "large.png", [FaceOutline(corners)])], size=96)
    (kept,) = composed._pixels
    assert max(kept.shape[:2]) < 200  # a face of 800 pixels is shown at 82 pixels at most
    outline = composed.images[0].faces[0].points
    assert np.ptp(outline[:, 0]) == pytest.approx(0.85 * 96, abs=1)


def test_a_face_has_points_or_says_that_it_is_a_box():
    assert not FaceOutline(np.zeros((4, 2))).is_box  # four points are not a box
