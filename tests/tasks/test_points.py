"""Points: the data that a config describes, and evaluation as in use."""

import random

import numpy as np
import pytest
from tests_support import build_data, config, write_pts

from facekp.codecs.points import MeanFaceCodec, StandardCodec
from facekp.data.drawn import draw_face
from facekp.errors import UserError
from facekp.io.images import write_image
from facekp.tasks.task import EvaluationSettings
from facekp.training.config import load_config
from facekp.zoo import SHIPPED


def test_document_split_and_label_statistics(drawn_csv):
    data = build_data(config(drawn_csv, "data.workers=0"))
    assert (len(data.train), len(data.validation)) == (12, 4)
    labels = np.stack([draw_face(seed, 140)[1] for seed in range(12)])
    assert isinstance(data.validation.codec, StandardCodec)
    assert data.validation.codec.mean == pytest.approx(labels.mean(), abs=1e-3)
    assert data.validation.codec.std == pytest.approx(labels.std(), abs=1e-3)
    assert data.recipe.notes["label_mean"] == data.validation.codec.mean
    assert data.recipe.face_side == pytest.approx(1 / 1.4, abs=0.01)


def test_pts_faces_join_in_and_kept_crops_change_little(drawn_csv, tmp_path):
    for number in range(20, 30):
        image, points = draw_face(number)
        write_image(tmp_path / "pts" / f"{number}.png", image)
        (tmp_path / "pts" / f"{number}.pts").write_text("\n".join(f"{x + 1} {y + 1}" for x, y in points))
    sources = f"data.sources=[{{type: csv68, root: {drawn_csv}}}, {{type: pts, root: {tmp_path / 'pts'}}}]"
    options = [sources, "codec=mean_face"]
    plain = build_data(config(drawn_csv, *options))
    kept = build_data(config(drawn_csv, *options, "data.keep_crops=true"))
    assert (len(plain.train), len(plain.validation)) == (12 + 9, 4 + 1)
    assert isinstance(plain.validation.codec, MeanFaceCodec)
    assert plain.recipe.notes == kept.recipe.notes  # label mean and std are those of the files
    alone = build_data(config(tmp_path / "pts", f"data.sources=[{{type: pts, root: {tmp_path / 'pts'}}}]"))
    assert (len(alone.train), len(alone.validation)) == (9, 1)
    for i in (0, 15, 20):
        np.testing.assert_allclose(kept.train[i][1], plain.train[i][1], atol=0.05)


def test_boxes_of_use_are_judged_on_the_images_themselves(tmp_path):
    for number in range(10):
        image, points = draw_face(number, 900)
        write_image(tmp_path / f"{number}.png", image)
        write_pts(tmp_path / f"{number}.pts", points)
    weights, settings = str(SHIPPED / "face_crop_light.safetensors"), EvaluationSettings(boxes="expanded")
    tables = []
    for keep in ("true", "false"):
        options = [f"data.sources=[{{type: pts, root: {tmp_path}}}]", f"data.keep_crops={keep}", "data.workers=0"]
        run = load_config("face_crop_light", options)
        tables.append(run.what.evaluate(run, weights, settings).tables)
    assert tables[0] == tables[1]
    assert 0.005 < tables[0]["all"]["nme"] < 0.15
    (tmp_path / "1.png").write_bytes(b"damaged")  # a training image, which evaluation does not read
    crops = run.what.evaluate(run, weights, EvaluationSettings()).tables  # crops of training; this network has a score
    assert 0.005 < crops["all"]["nme"] < 0.15


@pytest.mark.parametrize("crop", ["margin: 1.0", "margin: 0.5, rotate: 25, scale: 0.15, shift: 0.06"])
def test_kept_crops_reach_as_far_as_the_crops(tmp_path, crop):
    for number in range(10):
        _, points = draw_face(number)
        write_image(tmp_path / f"{number}.png", np.full((800, 800, 3), 200, np.uint8))
        write_pts(tmp_path / f"{number}.pts", points / 2 + 350)
    crops = f"[{{type: FaceCrop, size: 96, {crop}}}]"
    options = [f"data.sources=[{{type: pts, root: {tmp_path}}}]", f"data.train={crops}"]
    random.seed(0)
    kept = build_data(config(tmp_path, *options, "data.keep_crops=true"))
    for i in range(100):
        assert np.ptp(kept.train[i % 9][0]) < 0.01  # outside the image it would be black


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("data.final={epochs: 50, train: [{type: FaceCrop, size: 96}]}", "data.final.epochs must be less than"),
        ("data.final={epochs: 2, train: []}", "data.final.train"),
        ("data.final={epochs: 2, train: [{type: FaceCrop, size: 112}]}", "data.final.train and data.pixels make"),
        ("data.final={epochs: 2}", "data.final.train"),
    ],
)
def test_what_the_last_epochs_cannot_have(drawn_csv, option, message):
    with pytest.raises(UserError, match=message):
        build_data(config(drawn_csv, "train.epochs=50", option))


def test_squares_without_a_face_join_the_training_and_have_no_label(drawn_csv):
    network = '{"type": "plain_resnet", "in_channels": 1, "score": true}'
    data = build_data(config(drawn_csv, "data.faces_per_no_face=3", f"network={network}", "codec=mean_face"))
    plain = build_data(config(drawn_csv, "codec=mean_face"))
    assert len(data.train) == len(plain.train) + -(-len(plain.train) // 3)
    for index in range(len(data.train)):
        assert np.isnan(data.train[index][1]).all() == (index >= len(plain.train))
    assert data.validation.codec == plain.validation.codec  # the mean face is from the faces alone
