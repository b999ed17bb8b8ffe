"""A small run of the recipe for every angle: from a folder of labels to faces with sigma and visibility."""

import numpy as np
import pytest
from tests_support import head_in_space, seen_from

from facekp.data.labels import write_pts
from facekp.errors import UserError
from facekp.inference.backends import load_backend
from facekp.inference.landmarker import Landmarker
from facekp.io.images import read_image, write_image
from facekp.tasks import EvaluationSettings
from facekp.training import evaluate, load_config, train

OPTIONS = [
    "size=96", "data.train=[{type: FaceCrop, size: 96, rotate: 20, flip: 0.5}, {type: Cover, p: 0.5}]",
    "data.validation=[{type: FaceCrop, size: 96}]", "network.channels=[4, 4, 8, 8, 8]", "network.map_size=6",
    "train.epochs=1", "train.batch_size=8", "optimizer.warmup_epochs=0", "data.workers=0", "data.faces_per_no_face=4",
    "data.final=null",
]  # fmt: skip


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Images of noise with labels of heads at several angles."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for number in range(30):
        write_image(folder / f"{number}.png", rng.integers(0, 256, (200, 200, 3)).astype(np.uint8))
        face = seen_from(head_in_space(), *rng.uniform(-30, 30, 3), scale=80) - 100
        write_pts(folder / f"{number}.pts", face)
    return folder


def test_training_evaluation_and_inference(photos, tmp_path):
    options = [f"output={tmp_path}", f"data.sources=[{{type: pts, root: {photos}}}]", *OPTIONS]
    config = load_config("configs/every_angle_light.yml", options)
    data = config.what.build_data(config)
    labels = np.stack([data.train[index][1] for index in range(27)])
    assert labels.shape == (27, 3 * 68)
    seen = labels[:, 136:]
    assert set(np.unique(seen[np.isfinite(seen)])) == {0.0, 1.0}  # hidden and visible
    np.testing.assert_array_equal(data.train[3][0], data.train[3][0])
    assert np.isnan(data.validation[0][1][136:]).all() and np.isfinite(data.validation[0][1][:136]).all()

    summary = train(config)
    assert np.isfinite(summary.best)
    table = evaluate(config, str(summary.weights), EvaluationSettings()).tables["all"]
    assert 0 <= table["within_1_sigma"] <= table["within_2_sigma"] <= 1
    landmarker = Landmarker(*load_backend(summary.weights), lambda image: (np.zeros((0, 4)), np.zeros(0)))
    faces = landmarker(np.zeros((100, 100, 3), np.uint8), boxes=[[20, 20, 80, 80]])
    assert faces.sigma.shape == faces.visibility.shape == (1, 68)
    assert (faces.sigma > 0).all() and ((faces.visibility >= 0) & (faces.visibility <= 1)).all()


def test_photos_without_labels_teach_the_score(photos, tmp_path):
    (tmp_path / "faces").mkdir()
    write_image(tmp_path / "faces" / "a.png", read_image("assets/photos/astronaut.png"))
    options = [f"output={tmp_path}", f"data.sources=[{{type: pts, root: {photos}}}]", *OPTIONS]
    plain = load_config("configs/every_angle_light.yml", options)
    config = load_config("configs/every_angle_light.yml", [
        *options, f"data.photos=[{{root: {tmp_path / 'faces'}, faces: true, weight: 2}}]", "train.details_every=1",
    ])  # fmt: skip
    data, without = config.what.build_data(config), plain.what.build_data(plain)
    assert len(data.train) == len(without.train) + 1 and data.weights == [*without.weights, 2.0]
    assert np.isposinf(data.train[len(without.train)][1]).all()
    assert data.recipe == without.recipe  # the mean face and the crop are from the labels
    summary = train(config)
    assert np.isfinite(summary.best)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("codec=mean_face", "needs codec: percent"),
        ("loss=smooth_l1", "goes with it"),
        ("network.head=map", "goes with it"),
        ("codec=standard", "needs codec: percent"),
        ("data.turned.yaw=[60, 15]", "a minimum and a maximum angle"),
        ("data.turned.every=0", "data.turned.every"),
        ("data.train=[{type: Resize, size: 128}, {type: CenterCrop, size: 128}]", "begin with FaceCrop"),
        ("network.map_size=7", "set network.map_size to its side"),
    ],
)
def test_what_does_not_fit_together(photos, tmp_path, option, message):
    with pytest.raises(UserError, match=message):
        options = [f"output={tmp_path}", f"data.sources=[{{type: pts, root: {photos}}}]", "data.keep_crops=false"]
        train(load_config("configs/every_angle_light.yml", [*options, "data.workers=0", option]))
