import numpy as np
import pytest
from tests_support import build_data, config

from facekp.data.csv68 import FacialKeypointsDataset, person, split_people
from facekp.data.drawn import draw_face
from facekp.errors import UserError


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
    with pytest.raises(UserError, match="prepare-data"):
        dataset(tmp_path)


def test_nobody_is_on_both_sides_of_the_split():
    names = [f"p{i % 23}_{i}.jpg" for i in range(200)]
    train, validation = split_people(names)
    assert sorted(train + validation) == list(range(200))
    assert not {person(names[i]) for i in train} & {person(names[i]) for i in validation}
    assert len({person(names[i]) for i in validation}) == 3


def test_person_split_holds_people_of_both_files_out(drawn_csv):
    data = build_data(config(drawn_csv, "data.sources.0.split=person"))
    people = [{person(part.name(i)) for i in range(len(part))} for part in (data.train, data.validation)]
    assert people[1] == {"person0"}
    assert not people[0] & people[1]
    assert len(data.train) + len(data.validation) == 16


def test_a_strict_split_learns_neither_from_the_test_file_nor_from_people_of_the_validation(drawn_csv):
    person = build_data(config(drawn_csv, "data.sources.0.split=person"))
    strict = build_data(config(drawn_csv, "data.sources.0.split=strict"))
    document = build_data(config(drawn_csv, "data.sources.0.split=document"))

    def names(dataset):
        return {dataset.name(i) for i in range(len(dataset))}

    assert names(strict.validation) == names(person.validation)
    assert names(strict.train) == names(person.train) & names(document.train)
    assert names(strict.train)
