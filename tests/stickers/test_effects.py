"""Layers of one side that fade, whole faces, make-up, and hidden faces."""

import cv2
import numpy as np
import pytest
from PIL import Image

from facekp.data.drawn import draw_face
from facekp.errors import UserError
from facekp.inference.faces import Faces
from facekp.io.images import write_image
from facekp.landmarks import IBUG68, MEAN_FACE, SCHEMAS, load_schema
from facekp.landmarks.head import HEAD_PLACES, HEAD_POINTS
from facekp.landmarks.pose import rotation
from facekp.loading import load_landmarker
from facekp.stickers import Layer, Sticker, Texture, load_sticker
from facekp.stickers.files import Effects, sticker_photo
from facekp.stickers.makeup import REGIONS, Paint
from facekp.stickers.masks import load_face
from facekp.stickers.photo import Photo
from facekp.stickers.privacy import METHODS, Hider, careful_tracker
from facekp.stickers.show import sheet
from facekp.stickers.triangles import Triangles, match_colours, mesh_points, triangles
from facekp.vision import geometry

BLACK = np.zeros((400, 400, 3), np.uint8)


def turned(yaw=0.0, size=200.0):
    """Return the average head, turned by a yaw angle, in the middle of 400x400 pixels."""
    middle = np.array([0.5, 0.4, 0.1])
    points = ((HEAD_POINTS - middle) @ rotation(yaw).T)[None, :, :2] * size + 200
    return Faces.from_arrays(points, geometry.bounding_box(points), np.ones(1))


def noise(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (400, 400, 3), np.uint8)


@pytest.mark.parametrize(("side", "sign"), [("left", -1), ("right", 1)])
def test_a_side_fades_when_it_turns_away(side, sign):
    dot = Texture(np.full((9, 9, 4), 255, np.uint8))
    pixels = np.array([[2.0, 4.0], [6.0, 4.0]])
    sticker = Sticker([Layer("l", (dot,), ("left_eye", "right_eye"), pixels, side=side, hidden_from=30)])
    brightness = [int(sticker.apply(BLACK, turned(sign * yaw)).max()) for yaw in (-60, 0, 15, 22.5, 30, 60)]
    assert brightness[:3] == [255, 255, 255]
    assert brightness[3] == pytest.approx(128, abs=6)
    assert brightness[4:] == [0, 0]


@pytest.mark.parametrize("name", ["sunglasses", "heart_glasses"])
def test_the_far_arm_of_glasses_does_not_float(name):
    far = Sticker([layer for layer in load_sticker(name).layers if layer.name == "right_arm"])
    near = Sticker([layer for layer in load_sticker(name).layers if layer.name == "left_arm"])
    assert np.ptp(far.apply(BLACK + 90, turned(0))) > 0
    assert np.ptp(far.apply(BLACK + 90, turned(45))) == 0
    assert np.ptp(near.apply(BLACK + 90, turned(45))) > 0


@pytest.mark.parametrize("name", ["moustache", "cat"])
@pytest.mark.parametrize("yaw", [-75, 75])
def test_beyond_a_profile_there_is_nothing(name, yaw):
    layers = [layer for layer in load_sticker(name).layers if layer.name.startswith(("left", "right"))]
    changed = np.flatnonzero((Sticker(layers).apply(BLACK + 90, turned(yaw)) != 90).any((0, 2)))
    nose = float(turned(yaw).points[0, 30, 0])
    beyond = (changed - nose) * np.sign(yaw)
    assert beyond.max() < 20


def test_within_the_face_a_blush_stays():
    blush = load_sticker("blush").layers[0]
    for yaw in (0, 60):
        changed = (Sticker([blush]).apply(BLACK + 200, turned(yaw)) != 200).any(-1)
        x0, _, x1, _ = turned(yaw).boxes[0]
        columns = np.flatnonzero(changed.any(0))
        assert columns.min() >= x0 - 2
        assert columns.max() <= x1 + 2


@pytest.mark.parametrize("yaw", [-75, -45, 45, 75])
def test_a_bent_layer_does_not_fold(yaw):
    mask = next(layer for layer in load_sticker("medical_mask").layers if layer.fit == "mesh")
    changed = (Sticker([mask]).apply(BLACK, turned(yaw)) != 0).any(-1)
    filled = cv2.morphologyEx(changed.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((41, 41)))
    assert (filled > changed).sum() < 0.15 * changed.sum()  # no holes
    assert cv2.connectedComponents(changed.astype(np.uint8))[0] == 2


def test_a_whole_face_lands_point_by_point():
    image = np.zeros((300, 300, 4), np.uint8)
    source = mesh_points(MEAN_FACE * 200 + (50, 80))
    image[..., 3] = 255
    for index in (30, 36, 45, 48, 54):
        cv2.circle(image, tuple(np.round(source[index]).astype(int).tolist()), 4, (255, 255, 255, 255), -1)
    worn = Sticker([Layer("f", (Texture(image),), ("forehead",), source, "face")])
    faces = turned(20)
    result = worn.apply(BLACK + 90, faces)
    for index in (30, 36, 45, 48, 54):
        x, y = np.round(faces.points[0, index]).astype(int)
        assert result[y - 1 : y + 2, x - 1 : x + 2].max() > 150
    x, y = np.round(faces.points[0, [62, 66]].mean(0)).astype(int)
    assert result[y, x].tolist() == [90, 90, 90]  # the mouth is the wearer's own


def test_triangles_that_face_away_are_not_drawn():
    source, target = mesh_points(MEAN_FACE * 100), mesh_points(MEAN_FACE * 100)
    texture = Texture(np.full((120, 120, 4), 255, np.uint8))
    front, _ = Triangles(source, target).draw(texture, (120, 120))
    assert front.max() == 255
    assert Triangles(source, target * (-1, 1) + (100, 0)).draw(texture, (120, 120)) is None
    assert Triangles(source, target + 500).draw(texture, (120, 120)) is None
    used = set(triangles().ravel().tolist())
    assert used == set(range(84))


def test_colours_are_matched_where_the_patch_is():
    rng = np.random.default_rng(0)
    patch = np.dstack([rng.uniform(0, 100, (40, 40, 3)), np.full((40, 40), 255)]).astype(np.float32)
    patch[:, :10] = 0
    below = np.clip(rng.normal((60, 110, 190), 12, (40, 40, 3)), 0, 255).astype(np.uint8)
    match_colours(patch, below)
    np.testing.assert_allclose(patch[:, 10:, :3].mean((0, 1)), below[:, 10:].mean((0, 1)), atol=6)
    assert not patch[:, :10].any()
    match_colours(np.zeros((4, 4, 4), np.float32), below[:4, :4])


@pytest.mark.parametrize("region", REGIONS)
def test_paint_colours_its_region_and_keeps_light_and_shade(region):
    ground = np.full((400, 400, 3), 150, np.uint8)
    ground[::2] = 110  # stripes: the skin's texture
    faces = turned()
    result = Sticker([Paint("p", region, (20, 20, 200), 1.0)]).apply(ground, faces)
    inside = {"lips": [51, 62], "left_brow": [19], "right_brow": [24]}[region]
    x, y = np.round(faces.points[0, inside].mean(0)).astype(int)
    painted = result[y - 2 : y + 3, x].astype(int)
    assert (painted[:, 2] - painted[:, 0] > 100).all()
    assert np.ptp(painted[:, 1]) >= 15 or np.ptp(painted[:, 2]) >= 15
    changed = (result != ground).any(-1)
    assert 0 < changed.mean() < 0.05
    x, y = np.round(faces.points[0, [62, 66]].mean(0)).astype(int)
    assert not changed[y, x] or region == "lips"


def test_paint_fades_ends_at_the_edge_and_keeps_alpha():
    faces = turned()
    lips = Sticker([Paint("p", "lips", (0, 0, 255), 0.5)])
    picture = np.dstack([np.full((400, 400, 3), 128, np.uint8), noise()[..., 0]])
    result = lips.apply(picture, faces)
    np.testing.assert_array_equal(result[..., 3], picture[..., 3])
    beside = Faces(faces.points + 1000, faces.boxes + 1000, faces.scores)
    np.testing.assert_array_equal(lips.apply(picture, beside), picture)


@pytest.mark.parametrize("yaw", [-55, 30, 55])
def test_a_painted_brow_is_as_thick_on_a_turned_head(yaw):
    def thickness(yaw):
        near = "left_brow" if yaw >= 0 else "right_brow"
        faces = turned(yaw)
        painted = Sticker([Paint("p", near, (20, 20, 200), 1.0)]).apply(BLACK + 150, faces)[..., 2] > 160
        x = round(float(faces.points[0, 19 if yaw >= 0 else 24, 0]))
        return painted[:, x - 1 : x + 2].sum() / 3

    assert thickness(yaw) == pytest.approx(thickness(0), rel=0.15)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("channels", [3, 4])
def test_hidden_faces_leave_a_few_colours(method, channels):
    picture = noise() if channels == 3 else np.dstack([noise(), noise(1)[..., 0]])
    faces = turned()
    result = Hider(method).apply(picture, faces)
    x0, y0, x1, y1 = faces.boxes[0].astype(int)
    face = result[y0 + 20 : y1 - 20, x0 + 30 : x1 - 30, :3]
    changes = np.abs(np.diff(face.astype(int), axis=1)).max()
    assert len(np.unique(face.reshape(-1, 3), axis=0)) < {"box": 2, "mosaic": 40, "blur": 4000}[method]
    assert method != "blur" or changes < 12
    assert (result[:20] == picture[:20]).all()
    if channels == 4:
        np.testing.assert_array_equal(result[..., 3], picture[..., 3])


@pytest.mark.parametrize("method", METHODS)
def test_what_is_hidden_does_not_depend_on_fine_detail(method):
    one = noise()
    other = cv2.GaussianBlur(one, (0, 0), 1.0)
    faces = turned()
    x0, y0, x1, y1 = faces.boxes[0].astype(int)
    a, b = (Hider(method).apply(image, faces)[y0:y1, x0:x1].astype(int) for image in (one, other))
    assert np.abs(a - b).max() < 25


def test_scores_do_not_matter_and_no_face_is_counted():
    hider, faces = Hider("box"), turned()
    doubtful = Faces(faces.points, faces.boxes, np.zeros(1, np.float32))
    assert (hider.apply(noise(), doubtful) != noise()).any()
    hider.apply(noise(), Faces.none(), 0.5)
    assert hider.empty == [(1, 0.5)]
    with pytest.raises(ValueError, match="mosaic"):
        Hider("smudge")


def test_a_lost_face_stays_hidden_in_a_growing_region():
    lost = {"now": False}

    def landmarker(image, boxes=None):
        return Faces.none() if lost["now"] else turned()

    tracker, hider, picture = careful_tracker(landmarker), Hider("box"), noise()
    sizes = []
    for frame in range(120):
        lost["now"] = frame >= 10
        result = hider.apply(picture, tracker(picture, frame / 30), frame / 30)
        sizes.append(int((result != picture).any(-1).sum()))
    assert max(sizes[:10]) < 1.15 * sizes[0]
    assert all(size > sizes[0] for size in sizes[14:60])
    assert sizes[55] > sizes[20]
    assert sizes[-1] == 0  # the track has ended
    assert hider.empty[0][0] > 60


@pytest.mark.parametrize("step", [(0, 3), (0, -4), (4, 0), (-4, 0)])
def test_a_face_that_slides_out_of_the_frame_stays_hidden_to_its_last_point(step):
    drawn, points = draw_face(3)
    tracker, hider = careful_tracker(load_landmarker()), Hider("box")
    for frame in range(70):
        shift = np.array([80, 40]) + frame * np.array(step)
        picture = np.full((240, 320, 3), drawn[0, 0], np.uint8)
        cv2.warpAffine(drawn, np.float32([[1, 0, shift[0]], [0, 1, shift[1]]]), (320, 240), picture,
                       borderMode=cv2.BORDER_TRANSPARENT)  # fmt: skip
        result = hider.apply(picture, tracker(picture, frame / 30), frame / 30)
        inner = np.round(points[17:] + shift).astype(int)
        x, y = inner[((inner >= 0) & (inner < (320, 240))).all(1)].T
        assert (result[y, x] == 40).all()
    assert not len(x)
    assert len(tracker(picture, 10.0)) == 0, "a face that is gone is forgotten"


def test_points_that_are_not_known_are_hidden_by_the_box():
    five = Faces(np.full((1, 68, 2), np.nan, np.float32), turned().boxes, np.ones(1, np.float32))
    assert (Hider("box").apply(noise(), five)[200, 200] == 40).all()
    nowhere = Faces(five.points, np.full((1, 4), np.nan, np.float32), five.scores)
    assert (Hider("box").apply(noise(), nowhere) == noise()).all()


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_forehead_is_hidden_whatever_the_points_are(name):
    schema = load_schema(name)
    points = schema.mean_points[None] * 160 + 120
    faces = Faces.from_arrays(points, schema.face_box(points[0])[None], np.ones(1), schema)
    x, y = (np.array(HEAD_PLACES["forehead"][:2]) * 160 + 120).round().astype(int)
    assert (Hider("box").apply(noise(), faces)[y, x] == 40).all()


@pytest.mark.parametrize("name", ["five", "aflw19", "cofw29"])
@pytest.mark.parametrize("sticker", ["tiger", "lipstick", "tongue"])
def test_what_needs_the_68_points_is_told(name, sticker):
    schema = load_schema(name)
    points = schema.mean_points[None] * 160 + 120
    faces = Faces.from_arrays(points, schema.face_box(points[0])[None], np.ones(1), schema)
    with pytest.raises(UserError, match=f"sticker {sticker}: needs the .* {name} do not"):
        load_sticker(sticker).apply(noise(), faces)


def test_a_sheet_of_other_points():
    schema = load_schema("wflw98")
    points = IBUG68.converted(turned().points, schema)
    faces = Faces.from_arrays(points, schema.face_box(points[0])[None], np.ones(1), schema)
    shown, usual = (sheet(noise(), each, [load_sticker("sunglasses")], 128, 1) for each in (faces, turned()))
    assert shown.shape == usual.shape and (shown != sheet(noise(), faces, [Sticker([])], 128, 1)).any()
    assert np.abs(shown.astype(int) - usual).mean() < 20


def test_effects_come_one_after_the_other():
    dot = Texture(np.full((9, 9, 4), 255, np.uint8))
    sticker = Sticker([Layer("d", (dot,), ("left_eye", "right_eye"), np.array([[2.0, 4.0], [6.0, 4.0]]))])
    result = Effects([Hider("box"), sticker]).apply(noise(), turned())
    assert {40, 255} <= set(result[100:300, 100:300].ravel().tolist())


def test_a_hidden_photo_carries_no_thumbnail(tmp_path):
    exif = Image.Exif()
    exif[0x010E] = "who this is"
    photo = Photo(noise(), exif=exif.tobytes())
    photo.write(tmp_path / "in.png")
    plain = Sticker([])
    sticker_photo(tmp_path / "in.png", tmp_path / "out.png", plain, lambda image: turned(), hide=Hider("box"))
    assert Photo.read(tmp_path / "out.png").exif is None
    with pytest.raises(UserError, match="no face found"):
        sticker_photo(tmp_path / "in.png", tmp_path / "no.png", plain, lambda image: Faces.none(), hide=Hider("box"))
    assert not (tmp_path / "no.png").exists()


def test_the_face_of_a_photo_is_worn_in_the_wearers_colours(tmp_path):
    write_image(tmp_path / "blue.png", np.full((400, 400, 3), (220, 60, 30), np.uint8))
    sticker = load_face(tmp_path / "blue.png", lambda image, boxes=None: turned())
    skin = np.full((400, 400, 3), (110, 140, 200), np.uint8)
    result = sticker.apply(skin, turned(10)).astype(int)
    assert np.abs(result - skin).max() <= 3
    with pytest.raises(UserError, match="no face found to wear"):
        load_face(tmp_path / "blue.png", lambda image, boxes=None: Faces.none())
