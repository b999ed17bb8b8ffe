"""Parts: sources and transforms are checked before the first step."""

import pytest
from tests_support import build_data, config, write_pts

from facekp.data.drawn import draw_face
from facekp.errors import UserError
from facekp.io.images import write_image


def test_a_source_may_have_nothing_for_training(drawn_csv, tmp_path):
    image, points = draw_face(20)
    write_image(tmp_path / "pts" / "20.png", image)
    write_pts(tmp_path / "pts" / "20.pts", points)  # the only face is held out
    sources = f"data.sources=[{{type: pts, root: {tmp_path / 'pts'}}}, {{type: csv68, root: {drawn_csv}}}]"
    data = build_data(config(drawn_csv, sources, "data.keep_crops=true"))
    assert (data.sizes, data.weights, len(data.validation)) == ([12], [1.0], 5)


def test_a_wrong_row_stops_before_the_first_step(drawn_csv):
    (drawn_csv / "test" / "person2_14.jpg").unlink()
    with pytest.raises(UserError, match=r"test_frames_keypoints\.csv: row 3 \(person2_14\.jpg\)"):
        build_data(config(drawn_csv))
    assert len(build_data(config(drawn_csv, "data.skip_damaged=true")).validation) == 3


def test_nothing_left_to_learn_from_is_told(drawn_csv):
    for path in (drawn_csv / "training").iterdir():
        path.write_bytes(b"damaged")
    with pytest.raises(UserError, match="no face left for training"):
        build_data(config(drawn_csv, "data.skip_damaged=true"))


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ('data.train=[{"type": "FaceCrop", "size": "wide"}]', "FaceCrop"),
        ('data.train=[{"type": "ToCHW"}]', r"data\.train"),
        ("data.pixels=[]", r"\(96, 96, 3\)"),
    ],
)
def test_pipelines_that_cannot_work_are_told_before_the_first_step(drawn_csv, option, message):
    with pytest.raises(UserError, match=message):
        build_data(config(drawn_csv, option))
