import numpy as np
import pytest
from facekp.data.pictures import UNCHECKED, Picture

from facekp.data.drawn import DrawnFacesDataset
from facekp.evaluation import detection as box_evaluation
from facekp.evaluation.detection import Found, compare, false_on_no_faces, found_shrunk, found_turned, judge, summarise
from facekp.io.images import write_image
from facekp.vision import geometry

FACES = np.array([[0, 0, 9, 9], [100, 0, 139, 39.0]])
BOTH = np.array([True, True])


def test_the_second_box_on_a_face_is_false_and_the_best_one_right():
    found = np.array([[1, 0, 9, 9], [0, 0, 9, 9], [100, 0, 139, 30], [300, 0, 310, 10.0]])
    scores, right = compare(found, np.array([0.5, 0.9, 0.7, 0.6]), FACES, BOTH)
    assert scores.tolist() == [0.9, 0.7, 0.6, 0.5]
    assert right.tolist() == [True, True, False, False]


def test_boxes_on_faces_that_are_not_trusted_count_neither_way():
    found = np.array([[0, 0, 9, 9], [105, 5, 110, 10], [50, 0, 60, 10.0]])
    scores, right = compare(found, np.array([0.9, 0.8, 0.7]), FACES, np.array([True, False]))
    assert scores.tolist() == [0.9, 0.7]
    assert right.tolist() == [True, False]


def test_a_picture_without_faces_has_false_boxes_alone():
    scores, right = compare(np.array([[0, 0, 9, 9.0]]), np.array([0.9]), np.zeros((0, 4)), np.zeros(0, bool))
    assert (scores.tolist(), right.tolist()) == ([0.9], [False])


def test_average_precision_and_recall_by_hand():
    # Sorted: right, false, right, false; two of four faces found. Precision 1, 1/2, 2/3, 1/2.
    found = Found(np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, False, True, False]), faces=4, pictures=10)
    assert found.average_precision() == pytest.approx(0.25 * 1 + 0.25 * 2 / 3)
    assert found.recall(0.0) == 0.25
    assert found.recall(0.1) == 0.5  # one false box in ten pictures
    assert found.at(0.75) == (0.25, 0.1)
    assert Found(np.zeros(0), np.zeros(0, bool), 4, 10).average_precision() == 0


def test_equal_scores_count_together():
    # No bar tells the two apart, so there is no way to have the face without the false box.
    found = Found(np.array([0.9, 0.9]), np.array([True, False]), faces=1, pictures=10)
    assert found.average_precision() == 0.5
    assert (found.recall(0.0), found.recall(0.1)) == (0.0, 1.0)


@pytest.fixture
def pictures(tmp_path):
    """Drawn faces, which the detector below finds by where the labels say they are."""
    made = []
    for index in range(4):
        image, points = DrawnFacesDataset(4)[index]
        path = tmp_path / f"{index}.png"
        write_image(path, image)
        made.append(Picture(path, [points, points[:4] + 1000], [1.0, UNCHECKED]))
    return made


def perfect(pictures):
    """Says for each picture, in order, what its label says."""
    answers = iter([geometry.bounding_box(picture.faces[0])[None] for picture in pictures])
    return lambda image: (next(answers), np.ones(1))


def test_a_detector_that_is_right_gets_everything(pictures):
    found = judge(perfect(pictures), pictures)
    assert (found.faces, found.pictures) == (4, 4)
    assert found.average_precision() == found.recall(0.0) == 1.0


def test_one_that_finds_nothing_gets_nothing(pictures):
    def blind(image):
        return np.zeros((0, 4)), np.zeros(0)

    table = summarise(blind, pictures)
    assert table["ap"] == table["found"] == table["found_turned_30"] == table["false_on_no_faces"] == 0
    assert {f"found_{width}_px" for width in box_evaluation.WIDTHS} < set(table)


def test_shrunk_pictures_have_faces_of_that_width(pictures):
    seen = []

    def note(image):
        seen.append(image.shape)
        return np.zeros((0, 4)), np.zeros(0)

    part, count = found_shrunk(note, pictures, 20)
    assert (part, count) == (0.0, 4)
    for picture, shape in zip(pictures, seen):
        width = np.ptp(picture.faces[0][:, 0])
        whole = DrawnFacesDataset(4)[pictures.index(picture)][0].shape
        assert shape[1] / whole[1] == pytest.approx(20 / width, rel=0.1)
    assert found_shrunk(note, pictures, 5000)[1] == 0  # no face is so large


def test_turned_pictures_hold_the_whole_picture(pictures):
    """A detector that finds the brightest spot, painted where the face is, finds it at every turn."""
    for picture in pictures:
        x0, y0, x1, y1 = geometry.bounding_box(picture.faces[0])
        image = np.zeros((300, 300, 3), np.uint8)
        centre = int((x0 + x1) / 2), int((y0 + y1) / 2)
        image[centre[1] - 2 : centre[1] + 3, centre[0] - 2 : centre[0] + 3] = 255
        write_image(picture.path, image)

    def spot(image):
        y, x = np.argwhere(image[..., 0] > 100).mean(0)
        box = geometry.bounding_box(pictures[0].faces[0])
        half = (box[2:] - box[:2]) * 0.5
        return np.array([[x - half[0], y - half[1], x + half[0], y + half[1]]]), np.ones(1)

    part, count = found_turned(spot, pictures[:1], 20)
    assert (part, count) == (1.0, 2)


def test_parts_without_a_face_show_none(pictures):
    for picture in pictures:  # a face is white, all else black
        image = np.zeros((400, 400, 3), np.uint8)
        x0, y0, x1, y1 = geometry.bounding_box(picture.faces[0]).astype(int)
        image[y0:y1, x0:x1] = 255
        write_image(picture.path, image)

    def white(image):
        return np.zeros((int(image.max() > 0), 4)), np.zeros(int(image.max() > 0))

    assert false_on_no_faces(white, pictures, count=40) == (0, 40)
    assert false_on_no_faces(lambda image: (np.zeros((1, 4)), np.ones(1)), pictures, count=40) == (40, 40)
