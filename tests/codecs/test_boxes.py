import numpy as np
import paddle
import pytest

from facekp.codecs.boxes import STRIDES, BoxCodec


def test_cells_lie_row_by_row_the_finest_grid_first():
    codec = BoxCodec(64, 96)
    centres, strides = codec.centres, codec.strides
    assert centres.dtype == strides.dtype == np.float32
    assert [int((strides == s).sum()) for s in STRIDES] == [8 * 12, 4 * 6, 2 * 3]
    assert (np.diff(strides) >= 0).all()
    assert centres[:2].tolist() == [[3.5, 3.5], [11.5, 3.5]]  # pixels 0 to 7, and 8 to 15
    assert centres[12].tolist() == [3.5, 11.5]  # the second row
    assert centres[96].tolist() == [7.5, 7.5]
    assert centres[120].tolist() == [15.5, 15.5]
    assert centres[-1].tolist() == [79.5, 47.5]


FACES = np.array([[10, 12, 40, 50], [70, 8, 90, 30], [20, 60, 60, 120], [100, 30, 159, 90]], np.float32)


def encoded(faces, scores, cells, height, width):
    """Return the outputs of a network that finds these faces, each in one cell."""
    centres = BoxCodec(height, width).centres
    outputs = np.tile(np.float32([-8, 5, 5, 5, 5]), (len(centres), 1))
    for face, score, cell in zip(faces, scores, cells):
        outputs[cell] = [np.log(score / (1 - score)), *(centres[cell] - face[:2]), *(face[2:] - centres[cell])]
    return outputs


@pytest.mark.parametrize("stride", STRIDES)
def test_boxes_come_back_from_the_cells_of_each_grid(stride):
    codec = BoxCodec(128, 160)
    off = np.abs(codec.centres[None] - (FACES[:, None, :2] + FACES[:, None, 2:]) / 2).max(-1)
    cells = np.where(codec.strides == stride, off, np.inf).argmin(1)
    assert len(set(cells)) == len(FACES)
    found, scores = codec.choose(encoded(FACES, [0.6, 0.9, 0.5, 0.8], cells, 128, 160))
    np.testing.assert_allclose(found, FACES[[1, 3, 0, 2]], atol=1e-4)
    np.testing.assert_allclose(scores, [0.9, 0.8, 0.6, 0.5], atol=1e-5)
    assert found.dtype == scores.dtype == np.float32


def test_duplicates_and_weak_cells_are_left_out():
    choose = BoxCodec(128, 160).choose
    faces = np.concatenate([FACES[:1], FACES[:1] + 3, FACES[1:2], FACES[2:3]])  # IoU 0.7 with the first
    outputs = encoded(faces, [0.5, 0.7, 0.6, 0.3], [20, 41, 29, 400], 128, 160)
    np.testing.assert_allclose(choose(outputs)[0], faces[[1, 2]], atol=1e-4)
    np.testing.assert_allclose(choose(outputs, 0.2)[0], faces[[1, 2, 3]], atol=1e-4)
    none, scores = choose(outputs, 0.8)
    assert none.shape == (0, 4) and scores.shape == (0,)


def test_tensors_and_chosen_cells_are_decoded_alike():
    codec = BoxCodec(64, 96)
    outputs = np.random.default_rng(0).uniform(1, 20, (2, len(codec.centres), 5)).astype(np.float32)
    found = codec.decode(outputs)
    assert found.shape == (2, len(codec.centres), 4)
    np.testing.assert_allclose(found[1, 97, :2], codec.centres[97] - outputs[1, 97, 1:3], rtol=1e-6)
    np.testing.assert_allclose(found[1, 97, 2:], codec.centres[97] + outputs[1, 97, 3:], rtol=1e-6)
    np.testing.assert_array_equal(codec.decode(paddle.to_tensor(outputs)).numpy(), found)
    cells = np.array([[5, 97, 0], [101, 3, 3]])
    chosen = np.take_along_axis(outputs, cells[:, :, None], 1)
    np.testing.assert_array_equal(codec.decode(chosen, cells), np.take_along_axis(found, cells[:, :, None], 1))


def test_predicting_the_targets_of_the_cells_finds_the_faces():
    """`decode` undoes `encode` for faces of every grid."""
    codec = BoxCodec(256, 256)
    faces = np.float32([[10, 12, 40, 50], [120, 20, 200, 110], [30, 90, 170, 250]])
    label = np.zeros((1, 6, 5), np.float32)
    label[0, :3] = np.concatenate([faces, [[1.0], [0.5], [1.0]]], 1)
    targets = codec.encode(paddle.to_tensor(label))
    box, trust, counts = (x.numpy()[0] for x in (targets.box, targets.trust, targets.counts))
    positive = trust > 0
    assert {8, 16, 32} == set(codec.strides[positive].tolist())
    np.testing.assert_array_equal(counts[positive], trust[positive])
    for face, sure in zip(faces, (1.0, 0.5, 1.0)):
        own = positive & (box == face).all(1)
        assert own.any() and (trust[own] == sure).all()
        inside = (codec.centres[own] > face[:2]).all() and (codec.centres[own] < face[2:]).all()
        assert inside
    outputs = np.full((len(codec.centres), 5), -9, np.float32)
    outputs[positive, 0] = 9
    outputs[:, 1:3], outputs[:, 3:] = codec.centres - box[:, :2], box[:, 2:] - codec.centres
    found, _ = codec.choose(outputs)
    np.testing.assert_allclose(found[np.argsort(found[:, 0])], faces[[0, 2, 1]], atol=1e-4)


def test_what_is_ignored_does_not_count():
    codec = BoxCodec(64, 64)
    label = np.zeros((2, 3, 5), np.float32)
    label[0, 0] = [8, 8, 40, 40, 0]
    targets = codec.encode(paddle.to_tensor(label))
    inside = (np.abs(codec.centres - 24) <= 16).all(1)
    np.testing.assert_array_equal(targets.counts.numpy(), [~inside, np.ones(len(inside))])
    assert not targets.trust.numpy().any()
