"""Boxes: the data that the config of a face detector describes."""

import numpy as np
import pytest
from tests_support import build_data, write_pts

from facekp.data.composed import MAX_FACES
from facekp.data.drawn import draw_face
from facekp.errors import UserError
from facekp.io.images import write_image
from facekp.training.checkpoint import RunState
from facekp.training.config import load_config
from facekp.training.loaders import training_loader, validation_loader


def detector(folder, *options):
    here = [
        f"data.sources=[{{type: csv68, root: {folder}}}]",
        "data.workers=0",
        "size=96",
        "train.batch_size=5",
        *options,
    ]
    return load_config("configs/face_detector.yml", here)


def test_a_detector_learns_from_whole_pictures_each_once(drawn_csv, tmp_path):
    image, points = draw_face(20)
    for number in range(10):  # photos of two people
        write_image(tmp_path / "pts" / f"{number}.png", np.concatenate([image, image], 1))
        for face in (0, 1):
            write_pts(tmp_path / "pts" / f"{number}_{face}.pts", points + np.array([160 * face, 0]))
    sources = f"data.sources=[{{type: csv68, root: {drawn_csv}}}, {{type: pts, root: {tmp_path / 'pts'}, weight: 2.0}}]"
    options = [sources, "data.compose.tiles=[1, 0, 0]"]
    settings = detector(drawn_csv, *options)
    data = build_data(settings)
    assert (data.sizes, data.weights) == ([12, 9], [1.0, 2.0])
    assert (len(data.train), len(data.validation)) == (21, 4 + 1)
    assert not {data.train.name(i) for i in range(21)} & {data.validation.name(i) for i in range(5)}
    assert data.recipe.size == 96 and data.recipe.network == {"type": "plain_detector"}
    assert data.train.tiles == [1, 0, 0] and data.validation.tiles == [1, 0, 0]
    batches = [(image.numpy(), label.numpy()) for image, label in training_loader(data, settings, RunState(epoch=2))]
    assert [len(image) for image, _ in batches] == [5] * 6
    assert batches[0][0].shape == (5, 3, 96, 96) and batches[0][1].shape == (5, MAX_FACES, 5)
    again = [label.numpy() for _, label in training_loader(data, settings, RunState(epoch=2))]
    other = [label.numpy() for _, label in training_loader(data, settings, RunState(epoch=3))]
    np.testing.assert_array_equal(np.stack(again), np.stack([label for _, label in batches]))
    assert (np.stack(again) != np.stack(other)).any()
    first, second = (
        np.concatenate([image.numpy() for image, _ in validation_loader(data.validation, settings)]) for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)
    alone = build_data(detector(drawn_csv, f"data.sources=[{{type: pts, root: {tmp_path / 'pts'}}}]"))
    assert (len(alone.train), len(alone.validation)) == (9, 1)


def test_a_detector_learns_from_boxes_and_from_photos_without_faces(drawn_csv, tmp_path):
    for number in range(10):
        write_image(tmp_path / "boxed" / f"{number}.png", draw_face(number)[0])
        write_image(tmp_path / "empty" / f"{number}.png", np.full((60, 80, 3), 20 * number, np.uint8))
    rows = "".join(f"{number}.png,50,40,110,100\n" for number in range(10))
    (tmp_path / "boxed" / "boxes.csv").write_text(f"image,box_x0,box_y0,box_x1,box_y1\n{rows}")
    boxed = f"{{type: csv, labels: {tmp_path / 'boxed' / 'boxes.csv'}, boxes: true, weight: 0.5}}"
    data = build_data(
        detector(
            drawn_csv,
            f"data.sources=[{{type: csv68, root: {drawn_csv}}}, {boxed}]",
            f"data.photos=[{{root: {tmp_path / 'empty'}, faces: false, weight: 3}}]",
            "data.compose={tiles: [1, 0, 0], anywhere: 0}",
        )
    )
    assert (data.sizes, data.weights) == ([12, 9, 10], [1.0, 0.5, 3.0])
    assert len(data.validation) == 4 + 1
    faces = [(data.train[i][1][:, 4] > 0).sum() for i in range(len(data.train))]
    assert min(faces[12:21]) == 1 and max(faces[21:]) == 0


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ('data.train=[{"type": "RandomFlip"}]', r"RandomFlip would move faces.*data\.compose"),
        ('data.train=[{"type": "FaceCrop", "size": 96}]', "FaceCrop would move"),
        ('data.train=[{"type": "Noise", "max_std": "loud"}]', r"Noise|data\.train"),
        ("data.pixels=[]", r"\(96, 96, 3\)"),
        ('data.pixels=[{"type": "ToCHW"}]', "uint8"),
    ],
)
def test_pipelines_that_cannot_work_on_boxes_are_told_before_the_first_step(drawn_csv, option, message):
    with pytest.raises(UserError, match=message):
        build_data(detector(drawn_csv, option))
