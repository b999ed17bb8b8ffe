import numpy as np
import pytest

from facekp.data.drawn import draw_face
from facekp.data.pts import PtsDataset
from facekp.errors import UserError
from facekp.io.images import write_image


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
