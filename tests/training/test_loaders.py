"""Loaders: seed and epoch alone determine the batches, and a killed loader process is named."""

import numpy as np
import pytest
from tests_support import build_data, config

from facekp.errors import UserError
from facekp.training.checkpoint import RunState
from facekp.training.loaders import ShuffledBatches, loaders_watched, training_loader, validation_loader


def test_batches_depend_on_seed_and_epoch_alone():
    def draws(seed, epoch):
        return [draw for batch in ShuffledBatches([11], [1.0], 4, seed, RunState(epoch=epoch)) for draw in batch]

    assert sorted(draw.sample for draw in draws(0, 0)) == list(range(11))
    assert draws(0, 1) == draws(0, 1)
    assert draws(0, 0) != draws(0, 1)
    assert draws(0, 0) != draws(1, 0)


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


def test_a_loader_process_that_was_killed_is_one_line_and_other_errors_stay():
    with pytest.raises(UserError, match=r"a loader process was killed.*data\.workers"), loaders_watched():
        raise SystemError("(Fatal) DataLoader process (pid 7) exited is killed by signal: Killed.")
    with pytest.raises(RuntimeError, match="ours"), loaders_watched():
        raise RuntimeError("ours")
