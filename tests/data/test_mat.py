"""The .mat files of COFW and AFLW, with small handmade ones."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facekp.data.formats import labels_source, parse_source
from facekp.errors import UserError
from facekp.io.images import read_image
from facekp.landmarks import load_schema

scipy_io = pytest.importorskip("scipy.io")


def cofw(**changes):
    points = load_schema("cofw29").mean_points * 40 + 20
    row = np.concatenate([points[:, 0] + 1, points[:, 1] + 1, np.arange(29) % 4 == 0])
    images = np.empty((2, 1), object)
    images[0, 0] = np.full((80, 90), 60, np.uint8)
    images[1, 0] = np.tile(np.array([200, 10, 30], np.uint8), (80, 90, 1))  # RGB
    return {"phisT": np.stack([row, row]), "bboxesT": np.array([[21, 21, 40, 40.0]] * 2), "IsT": images, **changes}


def aflw(**changes):
    points = load_schema("aflw19").mean_points * 40 + 20
    row = np.concatenate([points[:, 0], points[:, 1]])
    row[[3, 22]] = 0
    names = np.array([["0/a.jpg"], ["0/b.jpg"], ["2/c.jpg"]], object)
    seen = np.ones((3, 19))
    seen[:, 5] = 0
    return {"data": np.stack([row] * 3), "mask_new": seen, "bbox": np.array([[10, 70, 10, 75.0]] * 3),
            "nameList": names, "ra": np.array([[3, 1, 2]]), **changes}  # fmt: skip


def save(path, values):
    scipy_io.savemat(str(path), {name: value for name, value in values.items() if value is not None})
    return path


def test_cofw(tmp_path):
    path = save(tmp_path / "COFW_test.mat", cofw())
    source = labels_source("cofw", path)
    for _ in range(2):  # the images are written on the first read only
        labels = source.read(path)
    face = labels.faces[1]
    assert face.visibility.tolist() == [1 if i % 4 == 0 else 2 for i in range(29)]
    np.testing.assert_allclose(face.points, load_schema("cofw29").mean_points * 40 + 20, atol=1e-4)
    np.testing.assert_array_equal(face.box, [20, 20, 60, 60])
    assert read_image(face.image)[0, 0].tolist() == [30, 10, 200]
    assert face.image == tmp_path / "COFW_test_images" / "0002.png"


def test_cofw_keeps_faces_that_have_only_a_box(tmp_path):
    path = save(tmp_path / "COFW_test.mat", cofw())
    source = parse_source({"type": "cofw", "labels": str(path), "boxes": True})
    labels = source.read(path)
    face = replace(labels.faces[0], points=np.full((29, 2), np.nan), visibility=np.zeros(29, np.uint8))
    part = source.dataset(replace(labels, faces=[face]), path)
    assert part.name(0) == "0001.png" and part.box_alone(0).tolist() == [20, 20, 60, 60]


def test_aflw(tmp_path):
    path = save(tmp_path / "AFLWinfo_release.mat", aflw())
    labels = labels_source("aflw", path, images=tmp_path / "flickr").read(path)
    face = labels.faces[2]
    assert face.image == tmp_path / "flickr/2/c.jpg"
    assert face.visibility[3] == 0 and face.visibility[5] == 1 and face.visibility[0] == 2
    np.testing.assert_array_equal(face.box, [10, 10, 70, 75])


FAULTS = {
    "cofw": [
        ({"phisT": None}, "has no variable phisT"),
        ({"phisT": np.zeros((2, 86))}, r"phisT is float64 \(2, 86\), but N x 87"),
        ({"bboxesT": np.zeros((2, 3))}, "bboxesT is"),
        ({"bboxesT": np.array([[1, 1, -5, 5.0]] * 2)}, "face 1: the box .* is empty"),
        ({"IsT": None}, "IsT does not hold an image for each of the 2 faces"),
        ({"IsT": np.zeros((2, 2))}, "IsT does not hold an image"),
        ({"phisT": np.full((2, 87), np.nan)}, "face 1: the point left_brow_outer at"),
        ({"phisT": np.full((2, 87), 1e9)}, "is out of range"),
        ({"IsT": np.array([[np.zeros((3, 3))], ["x"]], object)}, "face 1: its image is not a uint8 array"),
        ({"phisT": np.array([["x", "y"]], object)}, "phisT is object"),
    ],
    "aflw": [
        ({"data": None}, "has no variable data"),
        ({"data": np.zeros((3, 42))}, "data is .* but N x 38"),
        ({"mask_new": np.zeros((2, 19))}, "must have an entry for each face"),
        ({"bbox": np.zeros((3, 4, 2))}, "bbox is"),
        ({"ra": np.array([[1, 1, 2]])}, "ra is not a permutation of its 3 faces"),
        ({"ra": None}, "must have an entry for each face"),
        ({"nameList": np.array([[1], ["b"], ["c"]], object)}, "face 1 .* is not an image name"),
        ({"bbox": np.array([[70, 10, 10, 75.0]] * 3)}, "face 1 .0/a.jpg.: the box .* is empty"),
        ({"data": np.full((3, 38), np.inf)}, "the point left_brow_outer at"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "changes", "message"), [(name, *fault) for name, faults in FAULTS.items() for fault in faults]
)
def test_a_wrong_mat_is_told_in_one_line(tmp_path, name, changes, message):
    path = save(tmp_path / "wrong.mat", {"cofw": cofw, "aflw": aflw}[name](**changes))
    with pytest.raises(UserError, match=message) as caught:
        labels_source(name, path).read(path)
    assert "\n" not in str(caught.value) and "wrong.mat" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"MATLAB 5.0 nothing", bytes(500), b"MATLAB 5.0 MAT-file" + b"\x01" * 400])
def test_what_is_no_mat_is_told(tmp_path, content):
    path = tmp_path / "x.mat"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"x\.mat: not a \.mat file, or damaged"):
        labels_source("cofw", path).read(path)
    with pytest.raises(UserError, match="cannot be read"):
        labels_source("cofw", tmp_path / "none.mat").read(Path(tmp_path / "none.mat"))


def test_version_7_3_is_read_through_h5py(tmp_path):
    h5py = pytest.importorskip("h5py")
    path, values = tmp_path / "COFW_train_color.mat", cofw()
    with h5py.File(path, "w", userblock_size=512) as file:
        file["phisTr"], file["bboxesTr"] = values["phisT"].T, values["bboxesT"].T
        cells = np.empty((1, 2), h5py.ref_dtype)
        for i, image in enumerate(values["IsT"].ravel()):
            cells[0, i] = file.create_dataset(f"#refs#/{i}", data=image.T).ref
        file.create_dataset("IsTr", data=cells, dtype=h5py.ref_dtype)
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64")
    face = labels_source("cofw", path).read(path).faces[1]
    np.testing.assert_allclose(face.points, load_schema("cofw29").mean_points * 40 + 20, atol=1e-4)
    assert read_image(face.image).shape == (80, 90, 3)
    path.write_bytes(b"MATLAB 7.3 MAT-file" + bytes(100))
    with pytest.raises(UserError, match="or damaged"):
        labels_source("cofw", path).read(path)


def test_the_split_of_aflw_is_its_own_or_the_one_that_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr("facekp.data.aflw.TRAINING_FACES", 2)
    path = save(tmp_path / "AFLWinfo_release.mat", aflw())
    other = save(tmp_path / "other.mat", aflw())

    def names(**options):
        source = parse_source({"type": "aflw", "labels": str(path), **options})
        split = parse_source(source.model_dump()).load()  # as in a run's config.yml
        return [[Path(part.name(i)).stem for i in range(len(part))] for part in (*split.train, *split.validation)]

    assert names() == [["a", "c"], ["b"]]
    assert names(hold_out=3) == [["b", "c"], ["a"]]
    assert names(validation=str(other)) == [["a", "b", "c"], ["a", "b", "c"]]
