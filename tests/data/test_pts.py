import numpy as np
import pytest

from facekp.data.drawn import draw_face
from facekp.data.labels import Labels, make_face, write_pts
from facekp.data.pts import PtsDataset, PtsSource
from facekp.errors import UserError
from facekp.io.images import write_image
from facekp.landmarks import IBUG68, MEAN_FACE


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
    ("content", "message"),
    [("1 2\n" * 67, "134 numbers"), ("1 a\n" * 68, "not a number"), ("1 nan\n" * 68, "not finite")],
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
    with pytest.raises(UserError, match=r"photo1\.pts: no image"):
        PtsDataset(pts_folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"no \.pts file"):
        PtsDataset(tmp_path / "empty")


def images_and_labels(folder, images, labels):
    for name in images:
        write_image(folder / f"{name}.png", np.zeros((60, 60, 3), np.uint8))
    for name in labels:
        write_pts(folder / f"{name}.pts", MEAN_FACE * 40)


@pytest.mark.parametrize(
    ("labels", "owners"),
    [
        (["a", "a_1"], ["a", "a_1"]),
        (["a_1"], ["a_1"]),
        (["a", "a_2"], ["a", "a"]),
        (["a", "a_1", "other_1", "other_2"], ["a", "a_1", "other", "other"]),
        (["a_1_1", "a_1_2", "a"], ["a", "a_1", "a_1"]),
    ],
)
def test_a_number_may_be_of_the_name_or_of_a_face(tmp_path, labels, owners):
    images_and_labels(tmp_path, ["a", "a_1", "other"], labels)
    faces = PtsDataset(tmp_path)
    assert [faces.image_path(i).stem for i in range(len(faces))] == owners


@pytest.mark.parametrize("labels", [["a_1", "a_2"], ["a_1", "a_1_1"], ["a", "a_1", "a_2"]])
def test_labels_that_could_be_of_two_images_are_refused(tmp_path, labels):
    images_and_labels(tmp_path, ["a", "a_1"], labels)
    with pytest.raises(UserError, match=r"a_1\.pts: is it of a_1\.png, or of a face of a\.png\? Rename"):
        PtsDataset(tmp_path)


def written(folder, names):
    for name in set(names):
        write_image(folder / name, np.zeros((60, 60, 3), np.uint8))
    faces = [make_face(IBUG68, folder / name, MEAN_FACE * (20 + i)) for i, name in enumerate(names)]
    PtsSource.write(Labels(IBUG68, faces), folder, folder)
    return faces


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a.png", "a.png", "a_1.png"], r"^a_1\.png: .* of a face of a\.png; rename"),
        (["a_7.png", "a.png", "a.png"], r"^a_7\.png: .* of a face of a\.png; rename"),
        (["a.png", "a.jpg"], r"^a\.jpg: the \.pts file of a\.png has the same name; rename"),
    ],
)
def test_faces_that_would_share_a_file_are_not_written(tmp_path, names, message):
    with pytest.raises(UserError, match=message):
        written(tmp_path, names)
    assert not list(tmp_path.glob("*.pts"))


def test_numbers_in_names_that_are_clear_are_written_and_read(tmp_path):
    faces = written(tmp_path, ["a.png", "a_1.png", "a_1.png", "b_1.png", "c/a.png", "c/a.png", "_1.png"])
    again = PtsSource(type="pts", root=str(tmp_path)).read(tmp_path).faces
    assert len(again) == len(faces) and all(any(face.same(other) for other in again) for face in faces)


def test_photos_of_cameras_have_suffixes_in_capitals(tmp_path):
    faces = written(tmp_path, ["IMG_0001.JPG", "scan.TIF"])
    again = PtsSource(type="pts", root=str(tmp_path)).read(tmp_path).faces
    assert {face.image.name for face in again} == {"IMG_0001.JPG", "scan.TIF"} and len(again) == len(faces)
