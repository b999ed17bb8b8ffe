import numpy as np
import pytest

from facekp.data.composed import UNCHECKED, FaceOutline, LabelledImage
from facekp.data.drawn import DrawnFacesDataset
from facekp.evaluation.detection import (
    TURNS,
    WIDTHS,
    Found,
    compare,
    false_on_no_faces,
    found_shrunk,
    found_turned,
    judge,
    summarise,
)
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


def test_an_image_without_faces_has_false_boxes_alone():
    scores, right = compare(np.array([[0, 0, 9, 9.0]]), np.array([0.9]), np.zeros((0, 4)), np.zeros(0, bool))
    assert (scores.tolist(), right.tolist()) == ([0.9], [False])


def test_average_precision_and_recall_by_hand():
    # Sorted: right, false, right, false; two of four faces found. Precision 1, 1/2, 2/3, 1/2.
    found = Found(np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, False, True, False]), faces=4, images=10)
    assert found.average_precision() == pytest.approx(0.25 * 1 + 0.25 * 2 / 3)
    assert found.recall(0.0) == 0.25
    assert found.recall(0.1) == 0.5  # one false box in ten images
    assert found.at(0.75) == (0.25, 0.1)
    assert Found(np.zeros(0), np.zeros(0, bool), 4, 10).average_precision() == 0


def test_equal_scores_count_together():
    # No threshold separates the two, so the face cannot be found without the false box.
    found = Found(np.array([0.9, 0.9]), np.array([True, False]), faces=1, images=10)
    assert found.average_precision() == 0.5
    assert (found.recall(0.0), found.recall(0.1)) == (0.0, 1.0)


@pytest.fixture
def images(tmp_path):
    """Images of drawn faces, each with an unchecked box far outside."""
    made = []
    for index in range(4):
        image, points = DrawnFacesDataset(4)[index]
        path = tmp_path / f"{index}.png"
        write_image(path, image)
        unchecked = FaceOutline(points[:4] + 1000, UNCHECKED, is_box=True)
        made.append(LabelledImage(path, [FaceOutline(points), unchecked]))
    return made


def perfect(images):
    """Return a detector that returns the labelled box of each image, in order."""
    answers = iter([geometry.bounding_box(image.faces[0].points)[None] for image in images])
    return lambda image: (next(answers), np.ones(1))


def test_a_detector_that_is_right_gets_everything(images):
    found = judge(perfect(images), images)
    assert (found.faces, found.images) == (4, 4)
    assert found.average_precision() == found.recall(0.0) == 1.0


def test_a_detector_that_finds_nothing_gets_nothing(images):
    def blind(image):
        return np.zeros((0, 4)), np.zeros(0)

    table = summarise(blind, images)
    assert table["ap"] == table["found"] == table["found_turned_30"] == table["false_on_no_faces"] == 0
    widths = [f"{what}_{width}_px" for width in WIDTHS for what in ("found", "faces")]
    assert list(table) == ["images", "faces", "ap", "recall_at_0.1_false", "found", "false_per_image", *widths,
                           *(f"found_turned_{turn}" for turn in TURNS), "false_on_no_faces",
                           "parts_without_a_face"]  # fmt: skip
    assert (table["images"], table["faces"]) == (4, 4)


def test_shrunk_images_have_faces_of_that_width(images):
    seen = []

    def note(image):
        seen.append(image.shape)
        return np.zeros((0, 4)), np.zeros(0)

    part, count = found_shrunk(note, images, 20)
    assert (part, count) == (0.0, 4)
    for image, shape in zip(images, seen):
        width = np.ptp(image.faces[0].points[:, 0])
        whole = DrawnFacesDataset(4)[images.index(image)][0].shape
        assert shape[1] / whole[1] == pytest.approx(20 / width, rel=0.1)
    assert found_shrunk(note, images, 5000)[1] == 0  # no face is that large


def test_turned_images_hold_the_whole_image(images):
    """A detector of the bright spot painted on the face finds it at every rotation."""
    for labelled in images:
        x0, y0, x1, y1 = geometry.bounding_box(labelled.faces[0].points)
        image = np.zeros((300, 300, 3), np.uint8)
        centre = int((x0 + x1) / 2), int((y0 + y1) / 2)
        image[centre[1] - 2 : centre[1] + 3, centre[0] - 2 : centre[0] + 3] = 255
        write_image(labelled.path, image)

    def spot(image):
        y, x = np.argwhere(image[..., 0] > 100).mean(0)
        box = geometry.bounding_box(images[0].faces[0].points)
        half = (box[2:] - box[:2]) * 0.5
        return np.array([[x - half[0], y - half[1], x + half[0], y + half[1]]]), np.ones(1)

    part, count = found_turned(spot, images[:1], 20)
    assert (part, count) == (1.0, 2)


def test_the_box_of_a_face_that_has_no_points_does_not_grow_when_it_is_turned(tmp_path):
    """The detector returns the same box around the image centre at every rotation."""
    write_image(tmp_path / "a.png", np.zeros((200, 200, 3), np.uint8))
    corners = np.float32([[60, 80], [140, 80], [140, 120], [60, 120]])

    def middle(image):
        centre = (np.array(image.shape[1::-1]) - 1) / 2
        return (np.tile(centre, 2) + np.array([-40, -20, 40, 20]))[None], np.ones(1)

    for is_box, part in ((True, 1.0), (False, 0.0)):  # rotated points span 85 x 85 pixels
        labelled = LabelledImage(tmp_path / "a.png", [FaceOutline(corners, is_box=is_box)])
        assert found_turned(middle, [labelled], 45) == (part, 2)
        assert judge(middle, [labelled]).average_precision() == 1.0


def test_parts_without_a_face_show_none(images):
    for labelled in images:  # faces are white, the rest black
        image = np.zeros((400, 400, 3), np.uint8)
        x0, y0, x1, y1 = geometry.bounding_box(labelled.faces[0].points).astype(int)
        image[y0:y1, x0:x1] = 255
        write_image(labelled.path, image)

    def white(image):
        return np.zeros((int(image.max() > 0), 4)), np.zeros(int(image.max() > 0))

    assert false_on_no_faces(white, images, count=40) == (0, 40)
    assert false_on_no_faces(lambda image: (np.zeros((1, 4)), np.ones(1)), images, count=40) == (40, 40)
