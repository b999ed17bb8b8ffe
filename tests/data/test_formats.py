import numpy as np
import pytest
from tests_support import write_pts

from facekp.data.drawn import draw_face
from facekp.data.formats import FORMATS, parse_source
from facekp.errors import UserError
from facekp.io.images import write_image


def names(datasets):
    return [dataset.name(i) for dataset in datasets for i in range(len(dataset))]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"type": "csv86"}, "unknown format 'csv86'; known are csv68, pts, cuhk5, drawn"),
        ({"root": "data"}, "unknown format 'None'; known are"),
        (None, "unknown format 'None'"),
        ({"type": ["pts"]}, "unknown format"),
        ({"type": "csv68", "rot": "data"}, "format csv68: unknown option rot; known are weight, root, split"),
        ({"type": "pts"}, "format pts: root: Field required"),
        ({"type": "pts", "root": "x", "hold_out": 1}, "format pts: hold_out: .*greater than or equal to 2"),
        ({"type": "csv68", "split": "people"}, "format csv68: split: .*'document', 'person' or 'strict'"),
        ({"type": "drawn", "weight": 0}, "format drawn: weight: .*greater than 0"),
        ({"type": "drawn", "weight": float("nan")}, "format drawn: weight"),
        ({"type": "drawn", "train": 0}, "format drawn: train"),
    ],
)
def test_what_is_no_source_is_said_in_a_line(values, message):
    with pytest.raises(UserError, match=message) as caught:
        parse_source(values)
    assert "\n" not in str(caught.value)


def test_a_name_alone_is_a_source_with_its_defaults():
    source = parse_source("drawn")
    assert (source.type, source.train, source.validation, source.weight) == ("drawn", 2000, 200, 1.0)
    assert parse_source(source) is source


def test_points_of_each_format():
    options = {"pts": {"root": "x"}}
    schemas = {name: parse_source({"type": name, **options.get(name, {})}).schema_of_points.name for name in FORMATS}
    assert schemas == {"csv68": "ibug68", "pts": "ibug68", "cuhk5": "five", "drawn": "ibug68"}


def test_drawn_faces_of_training_and_validation_differ():
    split = parse_source({"type": "drawn", "train": 3, "validation": 2}).load()
    assert names(split.train) == [f"drawn face {i}" for i in range(3)]
    assert names(split.validation) == ["drawn face 3", "drawn face 4"]


def test_three_ways_to_split_the_csv(drawn_csv):
    """Twelve faces of person0 to person5 for training, four of person0 to person3 for testing."""
    splits = {}
    for name in ("document", "person", "strict"):
        split = parse_source({"type": "csv68", "root": str(drawn_csv), "split": name}).load()
        splits[name] = names(split.train), names(split.validation)
    assert [len(part) for part in splits["document"]] == [12, 4]
    everybody = sorted(splits["document"][0] + splits["document"][1])
    assert sorted(splits["person"][0] + splits["person"][1]) == everybody
    assert {name[:7] for name in splits["person"][1]} == {"person0"}
    assert not any(name.startswith("person0") for name in splits["person"][0])
    assert splits["strict"][1] == splits["person"][1]
    test_file = set(splits["document"][1])
    assert splits["strict"][0] == [name for name in splits["person"][0] if name not in test_file]


def test_every_second_photo_is_held_out(tmp_path):
    image, points = draw_face(0, 90)
    for number in range(6):
        write_image(tmp_path / f"{number}.png", image)
        write_pts(tmp_path / f"{number}.pts", points)
    split = parse_source({"type": "pts", "root": str(tmp_path), "hold_out": 2}).load()
    assert names(split.validation) == ["0.png", "2.png", "4.png"]
    assert names(split.train) == ["1.png", "3.png", "5.png"]


def test_the_two_lists_of_five_points(tmp_path):
    write_image(tmp_path / "a.png", np.zeros((50, 40, 3), np.uint8))
    for name, x in (("train", 15), ("test", 16)):
        (tmp_path / f"{name}ImageList.txt").write_text(f"a.png 10 28 20 41 {x} 25 24 25 20 30 16 35 23 35")
    split = parse_source({"type": "cuhk5", "root": str(tmp_path)}).load()
    assert [dataset.points[0, 0, 0] for dataset in (*split.train, *split.validation)] == [15, 16]
