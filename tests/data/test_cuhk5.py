import numpy as np
import pytest

from facekp.data.combine import NoFacesDataset
from facekp.data.cuhk5 import FIVE as FIVE_POINTS
from facekp.data.cuhk5 import FivePointDataset
from facekp.errors import UserError
from facekp.io.images import read_image, write_image
from facekp.vision import boxes

FIVE = "15.5 25 24 25 20 30 16 35 23 35"


@pytest.fixture
def five_list(tmp_path):
    """A list with one row, in the format of the data set, and its image."""
    (tmp_path / "some").mkdir()
    rng = np.random.default_rng(0)
    write_image(tmp_path / "some" / "a.png", rng.integers(0, 256, (50, 40, 3), dtype=np.uint8))
    path = tmp_path / "list.txt"
    path.write_text(f"some\\a.png 10 28 20 41 {FIVE}\n\n")
    return path


def test_five_points_lie_on_the_square_around_the_box(five_list):
    faces = FivePointDataset(five_list)
    faces.check()
    assert len(faces) == 1 and faces.name(0) == "some/a.png"
    square, points = faces[0]
    picture = read_image(five_list.parent / "some" / "a.png")
    assert square.shape == (22, 22, 3)  # 19 wide and 22 high
    np.testing.assert_array_equal(square, picture[20:42, 8:30])
    np.testing.assert_allclose(points, np.float32(FIVE.split()).reshape(5, 2) - [8, 20])
    np.testing.assert_array_equal(faces.faces_beside(0), [points])


def test_squares_without_a_face_do_not_show_the_five_points(five_list):
    write_image(five_list.parent / "some" / "a.png", np.zeros((200, 200, 3), np.uint8))
    five_list.write_text("some/a.png 80 180 80 180 126 126 134 126 130 130 127 134 133 134\n" * 20)
    dataset = NoFacesDataset([FivePointDataset(five_list)])
    face = FIVE_POINTS.face_box(FivePointDataset(five_list).load(0)[1])
    squares = np.stack([FIVE_POINTS.face_box(dataset.load(index)[1]) for index in range(20)])
    assert max(boxes.part_inside(squares, face).max(), boxes.part_inside(face, squares).max()) < 0.15


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("some\\a.png 10 28 20 41 1 2 3 4 5 6 7 8 9", "13 numbers"),
        ("some\\a.png 28 10 20 41 " + FIVE, "empty"),
        ("some\\a.png 10 28 20 x " + FIVE, "not a number"),
        ("some\\a.png 10 28 20 nan " + FIVE, "14"),
        ("some\\a.png 10 28 20 60 " + FIVE, "extends beyond the 40x50"),
        ("some\\b.png 10 28 20 41 " + FIVE, "b.png"),
        ("some\\a.png 10 28 20 41 20 25 20 25 20 30 16 35 23 35", "left_eye and right_eye coincide"),
    ],
)
def test_wrong_rows_of_five_points_are_named(five_list, row, message):
    five_list.write_text(five_list.read_text().strip() + "\n" + row)
    with pytest.raises(UserError, match=message) as caught:
        FivePointDataset(five_list).check()
    assert "list.txt: row 2" in str(caught.value)


def test_an_empty_or_missing_list_of_five_points(tmp_path):
    with pytest.raises(UserError, match="root of the source is the folder"):
        FivePointDataset(tmp_path / "list.txt")
    (tmp_path / "list.txt").write_text("\n")
    with pytest.raises(UserError, match="holds no row"):
        FivePointDataset(tmp_path / "list.txt")
