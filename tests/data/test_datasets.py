import numpy as np
import pytest
from facekp.data.datasets import (
    Draw,
    FacialKeypointsDataset,
    FivePointDataset,
    JoinedDataset,
    KeptCrops,
    NoFacesDataset,
    PtsDataset,
    person,
    split_people,
)

from facekp.codecs.points import StandardCodec
from facekp.data.drawn import DrawnFacesDataset, draw_face
from facekp.data.transforms import FaceCrop, build_transforms
from facekp.errors import UserError
from facekp.io.images import read_image, write_image
from facekp.landmarks import MEAN_FACE
from facekp.vision import geometry


def dataset(folder, **options):
    return FacialKeypointsDataset(folder / "training_frames_keypoints.csv", folder / "training", **options)


def edit_csv(folder, edit):
    path = folder / "training_frames_keypoints.csv"
    path.write_text(edit(path.read_text()))


def test_reads_picture_and_points(drawn_csv):
    faces = dataset(drawn_csv)
    faces.check()
    assert len(faces) == 12
    image, points = faces[3]
    assert image.shape == (140, 140, 3)
    np.testing.assert_allclose(points, draw_face(3, 140)[1], atol=1e-3)
    assert faces.name(3) == "person3_03.jpg"
    with pytest.raises(IndexError):
        faces[12]


def test_codec_and_transform(drawn_csv):
    faces = dataset(drawn_csv, transform=FaceCrop(size=96), codec=StandardCodec(0.0, 2.0))
    image, label = faces[0]
    assert image.shape == (96, 96, 3)
    np.testing.assert_allclose(label.reshape(68, 2) * 2, FaceCrop(size=96)(dataset(drawn_csv)[0])[1], atol=1e-3)


def test_a_draw_repeats_itself_and_seeds_differ(drawn_csv):
    faces = dataset(drawn_csv, transform=FaceCrop(size=96, rotate=20, scale=0.2, shift=0.1, flip=0.5))
    first = faces[Draw(0, 7)][1]
    np.testing.assert_array_equal(first, faces[Draw(0, 7)][1])
    assert np.abs(first - faces[Draw(0, 8)][1]).max() > 1


FAULTS = {
    "missing column": (lambda t: "\n".join(line.rsplit(",", 1)[0] for line in t.splitlines()), "136 columns"),
    "no number": (lambda t: t.replace(t.splitlines()[3].split(",")[5], "x", 1), r"row 3 \(person2_02"),
    "NaN": (lambda t: t.replace(t.splitlines()[2].split(",")[1], "", 1), r"row 2 \(person1_01"),
    "duplicate": (lambda t: t.replace("person2_02", "person1_01"), "row 3: person1_01.jpg is named a second time"),
    "no name": (lambda t: t.replace("person2_02.jpg", ""), "row 3: no file name"),
    "header alone": (lambda t: t.splitlines()[0], "no rows"),
    "empty": (lambda t: "", "CSV"),
}


@pytest.mark.parametrize(("edit", "message"), FAULTS.values(), ids=FAULTS.keys())
def test_a_wrong_csv_names_its_row(drawn_csv, edit, message):
    edit_csv(drawn_csv, edit)
    with pytest.raises(UserError, match=message):
        dataset(drawn_csv)


def test_a_missing_csv_says_how_to_get_it(tmp_path):
    with pytest.raises(UserError, match="prepare_data"):
        dataset(tmp_path)


def wrong_file(folder):
    (folder / "training" / "person1_01.jpg").unlink()


def damaged_file(folder):
    path = folder / "training" / "person1_01.jpg"
    path.write_bytes(path.read_bytes()[:300])


def far_point(folder):
    edit_csv(folder, lambda t: t.replace(t.splitlines()[2].split(",")[1], "500", 1))


def coinciding_eye_corners(folder):
    def edit(text):
        cells = text.splitlines()[2].split(",")
        cells[1 + 72 : 1 + 74] = cells[1 + 90 : 1 + 92]
        return text.replace(text.splitlines()[2], ",".join(cells))

    edit_csv(folder, edit)


@pytest.mark.parametrize("spoil", [wrong_file, damaged_file, far_point, coinciding_eye_corners])
def test_check_names_the_row_or_skips_it(drawn_csv, spoil):
    spoil(drawn_csv)
    faces = dataset(drawn_csv)
    with pytest.raises(UserError, match=r"row 2 \(person1_01\.jpg\)"):
        faces.check()
    faces.check(skip_damaged=True)
    assert len(faces) == 11
    assert "person1_01.jpg" not in [faces.name(i) for i in range(11)]


def test_points_a_little_outside_are_fine(drawn_csv):
    edit_csv(drawn_csv, lambda t: t.replace(t.splitlines()[2].split(",")[1], "-20", 1))
    dataset(drawn_csv).check()


def test_nobody_is_on_both_sides_of_the_split():
    names = [f"p{i % 23}_{i}.jpg" for i in range(200)]
    train, validation = split_people(names)
    assert sorted(train + validation) == list(range(200))
    assert not {person(names[i]) for i in train} & {person(names[i]) for i in validation}
    assert len({person(names[i]) for i in validation}) == 3


@pytest.fixture
def pts_folder(tmp_path):
    header = "version: 1\nn_points: 68\n{\n"
    for number in range(10):
        image, points = draw_face(number, 120)
        write_image(tmp_path / "set" / f"photo{number}.png", image)
        lines = "\n".join(f"{x + 1:.4f} {y + 1:.4f}" for x, y in points)
        if number % 2:
            (tmp_path / "set" / f"photo{number}.pts").write_text(lines)
        else:
            for face in (1, 2):
                (tmp_path / "set" / f"photo{number}_{face}.pts").write_text(header + lines + "\n}")
    return tmp_path


def test_pts_with_and_without_header_and_several_faces(pts_folder):
    faces = PtsDataset(pts_folder)
    assert len(faces) == 15
    for i in range(15):
        number = int(faces.name(i)[len("set/photo")])
        np.testing.assert_allclose(faces[i][1], draw_face(number, 120)[1], atol=1e-3)


def test_pts_split_keeps_a_photo_together(pts_folder):
    train, validation = PtsDataset(pts_folder).split(every=5)
    names = [{part.name(i) for i in range(len(part))} for part in (train, validation)]
    assert names[1] == {"set/photo0.png", "set/photo5.png"}
    assert not names[0] & names[1]
    assert len(train) + len(validation) == 15


@pytest.mark.parametrize(
    ("content", "message"), [("1 2\n" * 67, "134 numbers"), ("1 a\n" * 68, "no number"), ("1 nan\n" * 68, "136")]
)
def test_a_wrong_pts_is_named(pts_folder, content, message):
    (pts_folder / "set" / "photo1.pts").write_text(content)
    with pytest.raises(UserError, match=rf"photo1\.pts.*{message}"):
        PtsDataset(pts_folder)


def test_check_names_the_pts_or_skips_it(pts_folder):
    (pts_folder / "set" / "photo1.png").write_bytes(b"damaged")
    faces = PtsDataset(pts_folder)
    with pytest.raises(UserError, match=r"photo1\.pts: .*photo1\.png"):
        faces.check()
    faces.check(skip_damaged=True)
    assert len(faces) == 14


def test_a_pts_without_a_photo_is_named(pts_folder, tmp_path):
    (pts_folder / "set" / "photo1.png").unlink()
    with pytest.raises(UserError, match=r"photo1\.pts: no picture"):
        PtsDataset(pts_folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"no \.pts file"):
        PtsDataset(tmp_path / "empty")


def test_kept_crops_show_the_same_face():
    faces = DrawnFacesDataset(4, size=240)
    transform = build_transforms([{"type": "FaceCrop", "size": 96, "margin": 0.2}])
    kept = JoinedDataset([KeptCrops(faces, face_side=110)], transform)
    direct = JoinedDataset([faces], transform)
    for i in range(4):
        np.testing.assert_allclose(kept[i][1], direct[i][1], atol=0.02)
        assert np.abs(kept[i][0].astype(int) - direct[i][0].astype(int)).mean() < 3
    assert kept.parts[0].load(0)[0].shape[0] < 240


def test_joined_sets_keep_their_order():
    parts = [DrawnFacesDataset(2), DrawnFacesDataset(3, first_seed=10)]
    joined = JoinedDataset(parts)
    assert [joined.name(i) for i in range(len(joined))] == [f"drawn face {i}" for i in (0, 1, 10, 11, 12)]
    np.testing.assert_array_equal(joined[3][1], draw_face(11)[1])


def test_squares_without_a_face_lie_beside_all_faces_of_their_picture(tmp_path):
    rng = np.random.default_rng(0)
    faces = []
    for place in ((20, 30), (180, 90)):
        faces.append(MEAN_FACE / MEAN_FACE.max() * 60 + place)
        text = "\n".join(f"{x + 1} {y + 1}" for x, y in faces[-1])
        (tmp_path / f"a_{len(faces)}.pts").write_text(text)
    write_image(tmp_path / "a.png", rng.integers(0, 256, (200, 300, 3), dtype=np.uint8))
    boxes = [geometry.bounding_box(face) for face in faces]
    squares = NoFacesDataset([PtsDataset(tmp_path)])
    assert len(squares) == 2
    assert len(NoFacesDataset([PtsDataset(tmp_path)], every=2)) == 1
    for seed in range(10):
        for index in range(2):
            image, points = NoFacesDataset([PtsDataset(tmp_path)], seed=seed).load(index)
            assert image.shape == (200, 300, 3)
            square = geometry.bounding_box(points)
            for box in boxes:
                inside = np.clip(np.minimum(square[2:], box[2:]) - np.maximum(square[:2], box[:2]), 0, None).prod()
                assert inside < 0.16 * (box[2:] - box[:2]).prod()
    assert not squares.has_face(0)
    assert np.isnan(squares[0][1]).all()
    assert np.isnan(JoinedDataset([KeptCrops(squares, 60)])[1][1]).all()


FIVE = "15.5 25 24 25 20 30 16 35 23 35"


@pytest.fixture
def five_list(tmp_path):
    """A list with one row of a folder and a picture, written as the set has it."""
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


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("some\\a.png 10 28 20 41 1 2 3 4 5 6 7 8 9", "13 numbers"),
        ("some\\a.png 28 10 20 41 " + FIVE, "empty"),
        ("some\\a.png 10 28 20 x " + FIVE, "no number"),
        ("some\\a.png 10 28 20 nan " + FIVE, "14"),
        ("some\\a.png 10 28 20 60 " + FIVE, "reaches out of the 40x50"),
        ("some\\b.png 10 28 20 41 " + FIVE, "b.png"),
        ("some\\a.png 10 28 20 41 20 25 20 25 20 30 16 35 23 35", "eyes"),
    ],
)
def test_wrong_rows_of_five_points_are_named(five_list, row, message):
    five_list.write_text(five_list.read_text().strip() + "\n" + row)
    with pytest.raises(UserError, match=message) as caught:
        FivePointDataset(five_list).check()
    assert "list.txt: row 2" in str(caught.value)


def test_an_empty_or_missing_list_of_five_points(tmp_path):
    with pytest.raises(UserError, match=r"data\.root is the folder"):
        FivePointDataset(tmp_path / "list.txt")
    (tmp_path / "list.txt").write_text("\n")
    with pytest.raises(UserError, match="holds no row"):
        FivePointDataset(tmp_path / "list.txt")
