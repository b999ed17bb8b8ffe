"""Placement: painted dots land at the positions of their anchors, and bent layers do not fold."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from tests_support import BLACK, turned

from facekp.inference.faces import Faces
from facekp.landmarks import MEAN_FACE, anchors
from facekp.stickers import Layer, Sticker, Texture, load_sticker
from facekp.stickers.fit import fit
from facekp.stickers.triggers import Trigger
from facekp.vision import geometry

SIDE = 512
#: Anchors of the drawn sticker, in its pixels; below, the colours of the dots there.
PIXELS = {
    "left_eye": (150.0, 200.0),
    "right_eye": (362.0, 200.0),
    "mouth_top": (256.0, 410.0),
    "nose_tip": (256.0, 300.0),
}
PLACES = {
    "similarity": ["left_eye", "right_eye"],
    "affine": ["left_eye", "right_eye", "mouth_top"],
    "mesh": list(PIXELS),
}
COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 0, 255)]


def dotted(kind: str, radius: int = 24) -> Sticker:
    image = np.zeros((SIDE, SIDE, 4), np.uint8)
    pixels = np.array([PIXELS[name] for name in PLACES[kind]])
    for (x, y), colour in zip(pixels.astype(int), COLOURS):
        cv2.circle(image, (int(x), int(y)), radius, (*colour, 255), -1)
    return Sticker([Layer("dots", (Texture(image),), tuple(PLACES[kind]), pixels, kind)])


def face(size: float, centre: tuple[float, float], roll: float = 0.0, squeeze: float = 1.0) -> np.ndarray:
    """Return the mean face, `size` pixels wide before it is squeezed and rotated about `centre`."""
    middle = MEAN_FACE.mean(0)
    place = geometry.compose(
        geometry.translation(-middle[0], -middle[1]),
        geometry.scaling(size * squeeze, size),
        geometry.rotation(roll),
        geometry.translation(*centre),
    )
    return geometry.apply(place, MEAN_FACE.astype(np.float64))


def faces_of(*points: np.ndarray, scores: float = 1.0) -> Faces:
    stacked = np.array(points).reshape(-1, 68, 2)
    return Faces.from_arrays(stacked, geometry.bounding_box(stacked), np.full(len(stacked), scores))


def centroids(image: np.ndarray, count: int) -> np.ndarray:
    """Return the centre of each dot: the mean of its pixels, weighted by the strength of its colour."""
    found = []
    for colour in COLOURS[:count]:
        wanted, other = image[..., np.array(colour) == 255], image[..., np.array(colour) == 0]
        weight = cv2.subtract(wanted.min(-1), other.max(-1))
        moments = cv2.moments(weight)
        found.append((moments["m10"] / moments["m00"], moments["m01"] / moments["m00"]))
    return np.array(found)


@pytest.mark.parametrize("kind", ["similarity", "affine", "mesh"])
@pytest.mark.parametrize(
    ("roll", "squeeze"), [(0, 1.0), (30, 1.0), (-30, 1.0), (90, 1.0), (180, 1.0), (12, 0.7), (-20, 0.8)]
)
@pytest.mark.parametrize("size", [60.0, 190.0, 700.0])
def test_dots_land_on_their_anchors(kind: str, roll: float, squeeze: float, size: float) -> None:
    side = int(size * 2.2)
    points = face(size, (side / 2 + 0.3, side / 2 - 0.4), roll, squeeze)
    # Small dots: a mesh bends a large one, and its centre of mass is no longer its centre.
    picture = dotted(kind, int(max(6, 1400 / size))).apply(np.zeros((side, side, 3), np.uint8), faces_of(points))
    places = anchors(points)
    expected = np.array([places[name] for name in PLACES[kind]])
    assert np.abs(centroids(picture, len(expected)) - expected).max() < 1


@pytest.mark.parametrize("side", [50, 4000])
def test_small_and_large_pictures(side: int) -> None:
    points = face(side * 0.6, (side / 2, side / 2), 10)
    picture = dotted("affine", 40).apply(np.zeros((side, side, 3), np.uint8), faces_of(points))
    expected = np.array([anchors(points)[name] for name in PLACES["affine"]])
    assert np.abs(centroids(picture, 3) - expected).max() < 1


@pytest.mark.parametrize("corner", [(0, 0), (299, 0), (0, 199), (299, 199), (150, 0), (0, 100), (299, 100), (150, 199)])
@pytest.mark.parametrize("kind", ["similarity", "affine", "mesh"])
def test_cut_at_the_edge_is_a_crop_of_the_whole(corner: tuple[int, int], kind: str) -> None:
    points, border = face(140, corner, 15), 300
    small = dotted(kind).apply(np.full((200, 300, 3), 90, np.uint8), faces_of(points))
    wide = dotted(kind).apply(np.full((800, 900, 3), 90, np.uint8), faces_of(points + border))
    crop = wide[border : border + 200, border : border + 300].astype(int)
    # The resampled coordinates are rounded to 1/32 pixel, which an edge of 255 levels turns into a few levels.
    assert np.abs(small - crop).max() <= 16
    assert (small != 90).any() == (crop != 90).any()


@pytest.mark.parametrize("corner", [(0, 100), (299, 199), (150, 0)])
def test_a_whole_face_is_not_soft_where_the_image_ends(corner: tuple[int, int]) -> None:
    points, border, tiger = face(280, corner, 15), 300, load_sticker("tiger")
    small = tiger.apply(np.full((200, 300, 3), 90, np.uint8), faces_of(points))
    wide = tiger.apply(np.full((800, 900, 3), 90, np.uint8), faces_of(points + border))
    crop = wide[border : border + 200, border : border + 300].astype(int)
    assert np.abs(small - crop).max() <= 16  # as above
    assert (small != 90).mean() > 0.05


@pytest.mark.parametrize("kind", ["affine", "mesh"])
def test_all_edges_of_an_enlarged_image_are_alike(kind: str) -> None:
    image = np.zeros((64, 64, 4), np.uint8)
    image[22:42, 22:42] = 255
    pixels = np.array([(12, 12), (51, 12), (12, 51), (51, 51)], float)  # symmetric about the middle
    placement = fit(kind, pixels, pixels * 10 + 5)
    assert placement is not None
    patch, _ = placement.draw(Texture(image), (700, 700)) or (None, None)
    assert patch is not None
    shown = np.pad(patch[..., 3], 20)  # it is transparent outside the patch
    middle = len(shown) // 2
    for line in (shown[middle], shown[:, middle]):
        halves = line[:middle], line[::-1][:middle]
        edges = [np.count_nonzero((half > 1) & (half < 254)) for half in halves]
        assert min(edges) >= 6 and abs(edges[0] - edges[1]) <= 2


def test_outside_of_the_picture_nothing_happens() -> None:
    picture = np.full((50, 50, 3), 7, np.uint8)
    assert (dotted("affine").apply(picture, faces_of(face(40, (500, -900)))) == 7).all()


@pytest.mark.parametrize("count", [0, 1, 30])
def test_every_face_gets_a_sticker(count: int) -> None:
    points = [face(80, (60 + 110 * (i % 6), 60 + 110 * (i // 6))) for i in range(count)]
    picture = dotted("similarity").apply(np.zeros((560, 680, 3), np.uint8), faces_of(*points))
    dots = cv2.connectedComponents((picture.max(-1) > 127).astype(np.uint8))[0] - 1
    assert dots == 2 * count


def test_max_faces_keeps_the_largest() -> None:
    layer = dotted("similarity").layers[0]
    one = Sticker([Layer(layer.name, layer.frames, layer.places, layer.pixels, max_faces=1)])
    picture = one.apply(np.zeros((200, 400, 3), np.uint8), faces_of(face(60, (80, 100)), face(120, (280, 100))))
    assert picture[:, 200:].any()
    assert not picture[:, :150].any()


def test_the_largest_face_is_drawn_last() -> None:
    image = np.zeros((20, 20, 4), np.uint8)
    image[..., 3] = 255
    layer = Layer("square", (Texture(image),), ("left_eye", "right_eye"), np.array([[4.0, 10.0], [16.0, 10.0]]))
    frames = {
        name: Texture(image | np.uint8([*colour, 0])) for name, colour in {"a": (9, 0, 0), "b": (0, 9, 0)}.items()
    }
    small, large = face(60, (100, 100)), face(120, (100, 100))
    first = Sticker([Layer("a", (frames["a"],), layer.places, layer.pixels)])
    both = first.apply(np.zeros((200, 200, 3), np.uint8), faces_of(small, large))
    alone = first.apply(np.zeros((200, 200, 3), np.uint8), faces_of(large))
    assert (both == alone).all()


def test_score_fades_the_sticker() -> None:
    points, black = face(150, (150, 150)), np.zeros((300, 300, 3), np.uint8)
    brightest = [int(dotted("similarity").apply(black, faces_of(points, scores=s)).max()) for s in (0.1, 0.3, 0.9)]
    assert brightest[0] == 0
    assert 120 <= brightest[1] <= 135
    assert brightest[2] == 255


def test_mouth_opens_the_layer() -> None:
    layer = dotted("similarity").layers[0]
    sticker = Sticker([Layer("t", layer.frames, layer.places, layer.pixels, trigger=Trigger("mouth_open"))])
    shut = face(150, (150, 150))
    wide = shut.copy()
    wide[[65, 66, 67]] += (0, 30)
    black = np.zeros((300, 300, 3), np.uint8)
    assert not sticker.apply(black, faces_of(shut)).any()
    assert sticker.apply(black, faces_of(wide)).any()


def test_frames_follow_time() -> None:
    frames = tuple(Texture(np.full((9, 9, 4), (0, 0, grey, 255), np.uint8)) for grey in (100, 200))
    sticker = Sticker([Layer("f", frames, ("left_eye", "right_eye"), np.array([[2.0, 4.0], [6.0, 4.0]]), frame_ms=50)])
    black, one = np.zeros((300, 300, 3), np.uint8), faces_of(face(150, (150, 150)))
    assert [int(sticker.apply(black, one, seconds).max()) for seconds in (0, 0.049, 0.051, 0.101)] == [
        100,
        100,
        200,
        100,
    ]


def test_the_face_hides_what_is_behind_it() -> None:
    sheet = Texture(np.full((64, 64, 4), 255, np.uint8))
    pixels = np.array([[24.0, 32.0], [40.0, 32.0]])
    hidden = Sticker([Layer("s", (sheet,), ("left_eye", "right_eye"), pixels, behind="face")])
    points = face(150, (150, 150))
    picture = hidden.apply(np.zeros((300, 300, 3), np.uint8), faces_of(points))
    x, y = points[30].astype(int)
    assert picture[y, x].max() == 0
    assert picture[y, 50].min() == 255


@pytest.mark.parametrize(
    "points", [np.zeros((68, 2)), np.full((68, 2), np.nan), np.full((68, 2), 1e30), face(0.01, (5, 5))]
)
@pytest.mark.parametrize("kind", ["similarity", "affine", "mesh"])
def test_impossible_faces_are_left_alone(points: np.ndarray, kind: str) -> None:
    faces = Faces(np.float32(points)[None], np.float32([[0, 0, 1, 1]]), np.float32([1]))
    assert not dotted(kind).apply(np.zeros((20, 20, 3), np.uint8), faces).any()


def test_anchors_of_a_sticker_must_differ() -> None:
    with pytest.raises(ValueError, match="different"):
        fit("similarity", np.ones((2, 2)), np.eye(2))
    with pytest.raises(ValueError, match="one line"):
        fit("affine", np.array([[0, 0], [1, 1], [2, 2]]), np.eye(3)[:, :2])
    with pytest.raises(ValueError, match="uint8"):
        dotted("affine").apply(np.zeros((9, 9), np.uint8), Faces.none())


def test_the_input_stays_as_it_was() -> None:
    picture = np.zeros((300, 300, 3), np.uint8)
    dotted("affine").apply(picture, faces_of(face(150, (150, 150))))
    assert not picture.any()


@pytest.mark.parametrize("yaw", [-75, -45, 45, 75])
def test_a_bent_layer_does_not_fold(yaw):
    mask = next(layer for layer in load_sticker("medical_mask").layers if layer.fit == "mesh")
    changed = (Sticker([mask]).apply(BLACK, turned(yaw)) != 0).any(-1)
    filled = cv2.morphologyEx(changed.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((41, 41)))
    assert (filled > changed).sum() < 0.15 * changed.sum()  # no holes
    assert cv2.connectedComponents(changed.astype(np.uint8))[0] == 2
