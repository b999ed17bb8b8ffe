import json
import random

import numpy as np
import pytest
import yaml
from tests_support import write_pts

from facekp.codecs.points import MeanFaceCodec, StandardCodec
from facekp.data.composed import MAX_FACES
from facekp.data.csv68 import person
from facekp.data.drawn import draw_face
from facekp.errors import UserError
from facekp.io.images import write_image
from facekp.landmarks import load_schema
from facekp.tasks.task import EvaluationSettings
from facekp.training.checkpoint import RunState
from facekp.training.config import load_config
from facekp.training.loaders import ShuffledBatches, training_loader, validation_loader
from facekp.training.run_folder import essentials
from facekp.zoo import SHIPPED


def build_data(config):
    return config.what.build_data(config)


CROP = '[{"type": "FaceCrop", "size": 96, "margin": 0.2}]'


def config(folder, *options):
    crops = [f"data.train={CROP}", f"data.validation={CROP}", "size=96", "train.batch_size=5"]
    return load_config("configs/sam_googlenet_bn.yml", [f"data.sources.0.root={folder}", *crops, *options])


def test_document_split_and_label_statistics(drawn_csv):
    data = build_data(config(drawn_csv, "data.workers=0"))
    assert (len(data.train), len(data.validation)) == (12, 4)
    labels = np.stack([draw_face(seed, 140)[1] for seed in range(12)])
    assert isinstance(data.validation.codec, StandardCodec)
    assert data.validation.codec.mean == pytest.approx(labels.mean(), abs=1e-3)
    assert data.validation.codec.std == pytest.approx(labels.std(), abs=1e-3)
    assert data.recipe.notes["label_mean"] == data.validation.codec.mean
    assert data.recipe.face_side == pytest.approx(1 / 1.4, abs=0.01)


def test_person_split_holds_people_of_both_files_out(drawn_csv):
    data = build_data(config(drawn_csv, "data.sources.0.split=person"))
    people = [{person(part.name(i)) for i in range(len(part))} for part in (data.train, data.validation)]
    assert people[1] == {"person0"}
    assert not people[0] & people[1]
    assert len(data.train) + len(data.validation) == 16


def test_a_source_may_have_nothing_for_training(drawn_csv, tmp_path):
    image, points = draw_face(20)
    write_image(tmp_path / "pts" / "20.png", image)
    write_pts(tmp_path / "pts" / "20.pts", points)  # the only face is held out
    sources = f"data.sources=[{{type: pts, root: {tmp_path / 'pts'}}}, {{type: csv68, root: {drawn_csv}}}]"
    data = build_data(config(drawn_csv, sources, "data.keep_crops=true"))
    assert (data.sizes, data.weights, len(data.validation)) == ([12], [1.0], 5)


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


def test_a_moved_run_goes_on(drawn_csv, tmp_path):
    def kept(folder, validation):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "own.yml").write_text(yaml.safe_dump(load_schema("five").to_dict()))
        source = {"type": "coco", "labels": f"{folder}/a.json", "schema": str(tmp_path / folder / "own.yml"),
                  "validation": validation and f"{folder}/{validation}"}  # fmt: skip
        return essentials(load_config("own_points", [f"data.sources=[{json.dumps(source)}]"]))

    assert kept("here", "b.json") == kept("there", "b.json")
    assert kept("here", "b.json") != kept("there", None)


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


def test_batches_depend_on_seed_and_epoch_alone():
    def draws(seed, epoch):
        return [draw for batch in ShuffledBatches([11], [1.0], 4, seed, RunState(epoch=epoch)) for draw in batch]

    assert sorted(draw.sample for draw in draws(0, 0)) == list(range(11))
    assert draws(0, 1) == draws(0, 1)
    assert draws(0, 0) != draws(0, 1)
    assert draws(0, 0) != draws(1, 0)


def test_the_last_epochs_have_transforms_of_their_own(drawn_csv):
    final = "{epochs: 2, train: [{type: FaceCrop, size: 96}]}"
    random_crop = "[{type: FaceCrop, size: 96, rotate: 20, flip: 0.5}]"
    settings = config(drawn_csv, "train.epochs=5", f"data.final={final}", f"data.train={random_crop}", "data.workers=0")
    data = build_data(settings)
    plain = build_data(config(drawn_csv, "data.train=[{type: FaceCrop, size: 96}]", "data.workers=0"))
    for finished in range(5):
        batches = training_loader(data, settings, RunState(epoch=finished))
        sampler = ShuffledBatches([12], [1.0], 5, settings.seed, RunState(epoch=finished))
        same = [
            np.array_equal(image, plain.train[draw.sample][0])
            for (images, _), draws in zip(batches, sampler)
            for image, draw in zip(images.numpy(), draws)
        ]
        assert len(same) == 12 and all(same) == (finished >= 3)


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


def test_parts_are_shown_as_often_as_their_weights_say():
    def shown(epoch):
        batches = list(ShuffledBatches([4, 10, 3], [2.5, 0.5, 1.0], 6, 0, RunState(epoch=epoch)))
        assert [len(batch) for batch in batches] == [6, 6, 6]
        return np.bincount([draw.sample for batch in batches for draw in batch], minlength=17)

    for epoch in (0, 1):
        times = shown(epoch)
        assert times[:4].sum() == 10 and set(times[:4]) == {2, 3}
        assert times[4:14].sum() == 5 and set(times[4:14]) == {0, 1}
        assert times[14:].tolist() == [1, 1, 1]
    assert (shown(0) != shown(1)).any()


def test_a_strict_split_learns_neither_from_the_test_file_nor_from_people_of_the_validation(drawn_csv):
    person = build_data(config(drawn_csv, "data.sources.0.split=person"))
    strict = build_data(config(drawn_csv, "data.sources.0.split=strict"))
    document = build_data(config(drawn_csv, "data.sources.0.split=document"))

    def names(dataset):
        return {dataset.name(i) for i in range(len(dataset))}

    assert names(strict.validation) == names(person.validation)
    assert names(strict.train) == names(person.train) & names(document.train)
    assert names(strict.train)


def test_squares_without_a_face_join_the_training_and_have_no_label(drawn_csv):
    network = '{"type": "plain_resnet", "in_channels": 1, "score": true}'
    data = build_data(config(drawn_csv, "data.faces_per_no_face=3", f"network={network}", "codec=mean_face"))
    plain = build_data(config(drawn_csv, "codec=mean_face"))
    assert len(data.train) == len(plain.train) + -(-len(plain.train) // 3)
    for index in range(len(data.train)):
        assert np.isnan(data.train[index][1]).all() == (index >= len(plain.train))
    assert data.validation.codec == plain.validation.codec  # the mean face is from the faces alone


@pytest.mark.parametrize("workers", [0, 2])
def test_loaders_give_the_same_whatever_the_workers(drawn_csv, workers):
    random_crop = '[{"type": "FaceCrop", "size": 96, "rotate": 20, "scale": 0.2, "shift": 0.1, "flip": 0.5}]'
    settings = config(drawn_csv, f"data.workers={workers}", f"data.train={random_crop}")
    data = build_data(settings)
    batches = [(image.numpy(), label.numpy()) for image, label in training_loader(data, settings, RunState(epoch=2))]
    assert [len(image) for image, _ in batches] == [5, 5, 2]
    sampler = ShuffledBatches([12], [1.0], 5, settings.seed, RunState(epoch=2))
    for (image, label), draws in zip(batches, sampler):
        for i, draw in enumerate(draws):
            expected = data.train[draw]
            np.testing.assert_array_equal(image[i], expected[0])
            np.testing.assert_array_equal(label[i], expected[1])
    seen = np.concatenate([label.numpy() for _, label in validation_loader(data.validation, settings)])
    np.testing.assert_array_equal(seen, np.stack([data.validation[i][1] for i in range(4)]))


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
