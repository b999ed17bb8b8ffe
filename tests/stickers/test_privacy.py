"""Hidden faces: what is left of them, and faces that a tracker has lost."""

import cv2
import numpy as np
import pytest
from tests_support import noise, turned

from facekp.data.drawn import draw_face
from facekp.inference.faces import Faces
from facekp.landmarks import SCHEMAS, load_schema
from facekp.landmarks.head import HEAD_PLACES
from facekp.loading import load_landmarker
from facekp.stickers.privacy import METHODS, Hider, careful_tracker


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
