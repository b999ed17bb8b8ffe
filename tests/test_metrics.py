import numpy as np
import paddle
import pytest

from facekp.codecs.boxes import BoxCodec
from facekp.codecs.points import MeanFaceCodec, StandardCodec
from facekp.errors import UserError
from facekp.landmarks import IBUG68, load_schema, parse_schema
from facekp.metrics import (
    AUC,
    DEFAULT_METRICS,
    METRICS,
    NME,
    DocumentNME,
    FailureRate,
    MeanDistance,
    MissedFaces,
    build_metrics,
    point_errors,
)


def faces(errors):
    """Truth with an eye distance of 100 pixels, and predictions off by `errors` (fractions) in x."""
    truth = np.random.default_rng(0).uniform(0, 200, (len(errors), 68, 2)).astype(np.float32)
    truth[:, 36], truth[:, 45] = [50, 60], [110, 140]  # 60 and 80: a distance of 100
    predicted = truth + np.asarray(errors, np.float32)[:, None, None] * [[[60, 80]]]
    return predicted.astype(np.float32), truth


def feed(metric, predicted, truth, sizes):
    start = 0
    for size in sizes:
        part = slice(start, start + size)
        metric.update(metric.compute(paddle.to_tensor(predicted[part]), paddle.to_tensor(truth[part])).numpy())
        start += size
    return metric.accumulate()


ERRORS = [0.01, 0.02, 0.03, 0.085, 0.2]  # mean 0.069
EXPECTED = {
    NME: 0.069,
    lambda: FailureRate(0.08): 0.4,
    lambda: FailureRate(0.10): 0.2,
    lambda: AUC(0.08): (7 / 8 + 6 / 8 + 5 / 8) / 5,
}


@pytest.mark.parametrize("sizes", [(5,), (2, 2, 1), (1, 1, 1, 1, 1), (4, 1)])
@pytest.mark.parametrize("build", EXPECTED, ids=["nme", "failure_8", "failure_10", "auc_8"])
def test_hand_computed_over_uneven_batches(build, sizes):
    assert feed(build(), *faces(ERRORS), sizes) == pytest.approx(EXPECTED[build], abs=1e-6)


def test_document_nme_is_the_last_batch_over_all_faces():
    assert feed(DocumentNME(), *faces(ERRORS), (2, 2, 1)) == pytest.approx(0.2 / 5, abs=1e-6)
    assert feed(DocumentNME(), *faces(ERRORS), (1, 4)) == pytest.approx((0.345 - 0.01) / 5, abs=1e-6)


@pytest.mark.parametrize("codec", [StandardCodec(100, 40), MeanFaceCodec(200, ((0.5, 0.5),) * 68)])
def test_a_codec_changes_nothing(codec):
    predicted, truth = (codec.encode(x) for x in faces(ERRORS))
    assert feed(NME(codec), predicted, truth, (3, 2)) == pytest.approx(0.069, abs=1e-5)


def test_flat_labels_and_reset():
    predicted, truth = faces(ERRORS)
    metric = NME()
    feed(metric, predicted.reshape(5, -1), truth.reshape(5, -1), (5,))
    metric.reset()
    assert np.isnan(metric.accumulate())
    assert feed(metric, predicted[:1], truth[:1], (1,)) == pytest.approx(0.01, abs=1e-6)


def test_a_prediction_that_is_no_number_counts_as_failed():
    predicted, truth = faces(ERRORS)
    predicted[0] = np.nan
    assert feed(FailureRate(0.08), predicted, truth, (5,)) == pytest.approx(3 / 5)
    assert feed(AUC(0.08), predicted, truth, (5,)) == pytest.approx((6 / 8 + 5 / 8) / 5, abs=1e-6)


def test_point_errors_agree_with_the_metric():
    predicted, truth = faces(ERRORS)
    np.testing.assert_allclose(point_errors(predicted, truth).mean(1), ERRORS, atol=1e-6)


def test_nme_comes_first_and_names_differ():
    names = [metric.name() for metric in build_metrics(DEFAULT_METRICS, StandardCodec(0, 1), IBUG68)]
    assert names[0] == "nme"
    assert len(set(names)) == len(names)


def test_samples_without_a_face_and_the_score_do_not_count():
    predicted, truth = faces(ERRORS)
    label = truth.reshape(5, -1).copy()
    label[[1, 3]] = np.nan
    scored = np.concatenate([predicted.reshape(5, -1), np.full((5, 1), 7, np.float32)], 1)
    assert feed(NME(), scored, label, (2, 3)) == pytest.approx((0.01 + 0.03 + 0.2) / 3, abs=1e-6)


def test_five_points_are_measured_by_the_eyes_and_in_pixels():
    codec, five = StandardCodec(0, 200), load_schema("five")
    truth = np.tile(np.float32([[60, 80], [140, 80], [100, 120], [70, 160], [130, 160]]), (2, 1, 1))
    predicted = truth + np.float32([[[4, 0]], [[0, 12]]])
    label, output = codec.encode(truth), codec.encode(predicted)
    assert feed(NME(codec, five), output, label, (1, 1)) == pytest.approx((4 + 12) / 2 / 80, abs=1e-6)
    assert feed(MeanDistance(codec, five), output, label, (1, 1)) == pytest.approx(8, abs=1e-4)


@pytest.mark.parametrize("codec", [None, MeanFaceCodec(200, ((0.5, 0.5),) * 68)])
def test_unknown_points_and_faces_without_their_pair_do_not_count(codec):
    predicted, truth = faces(ERRORS)
    predicted[0, :30] += 1000  # would add 10 eye distances in x and y
    truth[0, :30] = np.nan
    truth[1, 45] = np.nan  # the size of this face is unknown
    label, output = (x.reshape(5, -1) if codec is None else codec.encode(x) for x in (truth, predicted))
    assert feed(NME(codec), output, label, (2, 3)) == pytest.approx((0.01 + 0.03 + 0.085 + 0.2) / 4, abs=1e-5)
    assert feed(FailureRate(0.08, codec), output, label, (5,)) == pytest.approx(2 / 4)
    errors = point_errors(predicted, truth)
    assert np.isnan(errors[0, :30]).all() and np.isnan(errors[1]).all()
    np.testing.assert_allclose(errors[0, 30:], 0.01, atol=1e-4)


@pytest.mark.filterwarnings("error")
def test_points_without_a_pair_are_measured_by_the_diagonal_of_their_box():
    schema = parse_schema({"name": "n", "points": ["a", "b", "c"]}, "an example")
    truth = np.float32([[[0, 0], [30, 40], [10, 10]], [[0, 0], [60, 80], [np.nan, 5]], [[np.nan] * 2] * 3])
    predicted = np.nan_to_num(truth) + np.float32([3, 4])
    label, output = truth.reshape(3, -1), predicted.reshape(3, -1)
    assert feed(NME(schema=schema), output, label, (1, 2)) == pytest.approx((5 / 50 + 5 / 100) / 2, abs=1e-6)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nms", "unknown metric 'nms'; known are " + ", ".join(METRICS)),
        ("failure_rate", "metric failure_rate: an option has a wrong value"),
        ({"type": "auc", "treshold": 0.1}, "unknown option 'treshold'; known are threshold"),
        ({"type": "nme", "schema": "five"}, "unknown option 'schema'; known are name"),
        (3, "unknown metric '3'"),
        ({"type": "failure_rate", "threshold": 8}, "0.08 for 8 %, not 8"),
        ({"type": "auc", "threshold": 0}, "0.08 for 8 %, not 0"),
    ],
)
def test_wrong_metrics_are_told_in_a_line(spec, message):
    with pytest.raises(UserError, match=message) as caught:
        build_metrics([spec], StandardCodec(0, 1), IBUG68)
    assert "\n" not in str(caught.value)


HERE, THERE = [10, 10, 40, 40], [60, 60, 90, 90]


def cells(*found, size=96):
    """Return the outputs of a detector that finds boxes with scores, each in a different cell."""
    centres = BoxCodec(size, size).centres
    outputs = np.tile(np.float32([-9, 4, 4, 4, 4]), (len(centres), 1))
    for cell, (box, score) in enumerate(found):
        outputs[cell] = [np.log(score / (1 - score)), *(centres[cell] - box[:2]), *(box[2:] - centres[cell])]
    return outputs


def labelled(*faces):
    label = np.zeros((4, 5), np.float32)
    for row, (box, trust) in enumerate(faces):
        label[row] = [*box, trust]
    return label


def missed(predicted, label, size=96, batches=(4, 3, 13)):
    metric = MissedFaces(size)
    start = 0
    for batch in batches:
        part = slice(start, start + batch)
        pieces = (paddle.to_tensor(np.stack(x[part])) for x in (predicted, label))
        metric.update(*(x.numpy() for x in metric.compute(*pieces)))
        start += batch
    return metric.accumulate()


ONE_FACE = [labelled((HERE, 1))] * 20


@pytest.mark.parametrize("size", [96, 128, 256])
def test_finding_every_face_misses_none(size):
    assert missed([cells((HERE, 0.9), size=size)] * 20, ONE_FACE, size) == 0
    two = [cells((HERE, 0.9), (THERE, 0.6), size=size)] * 20
    assert missed(two, [labelled((HERE, 1), (THERE, 1))] * 20, size) == 0


def test_finding_nothing_misses_all():
    assert missed([cells()] * 20, ONE_FACE) == 1
    assert missed([cells((HERE, 0.9))] * 5 + [cells()] * 15, ONE_FACE) == 0.75


def test_false_faces_in_more_than_a_tenth_of_the_pictures_raise_the_bar():
    sure, unsure = cells((HERE, 0.9)), cells((HERE, 0.6))
    false, false_unsure = cells((HERE, 0.9), (THERE, 0.8)), cells((HERE, 0.6), (THERE, 0.8))
    assert missed([false] * 2 + [sure] * 9 + [unsure] * 9, ONE_FACE) == 0  # in a tenth of the images
    assert missed([false] * 3 + [sure] * 8 + [unsure] * 9, ONE_FACE) == 9 / 20
    assert missed([false_unsure] * 3 + [sure] * 17, ONE_FACE) == 3 / 20
    assert missed([cells((HERE, 0.7), *[(THERE, 0.8)] * 9)] + [unsure] * 19, ONE_FACE) == 0  # one image, many boxes


def test_a_box_finds_a_face_if_they_share_half_of_their_union():
    beside = {shift: [v + shift * (i % 2 == 0) for i, v in enumerate(HERE)] for shift in (8, 12, 15)}
    assert missed([cells((beside[8], 0.9))] * 20, ONE_FACE) == 0  # IoU 0.58
    near = [cells((beside[12], 0.9))] * 5 + [cells((HERE, 0.6))] * 15  # IoU 0.43: neither found nor false
    assert missed(near, ONE_FACE) == 0.25
    far = [cells((beside[15], 0.9))] * 5 + [cells((HERE, 0.6))] * 15  # IoU 0.33: false
    assert missed(far, ONE_FACE) == 1


@pytest.mark.parametrize("trust", [0, 0.5])
def test_faces_that_are_ignored_or_not_trusted_count_neither_way(trust):
    label = [labelled((HERE, 1), (THERE, trust))] * 20
    assert missed([cells((HERE, 0.6))] * 20, label) == 0
    assert missed([cells((HERE, 0.6), (THERE, 0.9))] * 20, label) == 0
    inside = [65, 65, 85, 80]  # a smaller box inside
    assert missed([cells((HERE, 0.6), (inside, 0.9))] * 20, label) == 0
    assert missed([cells((HERE, 0.6), (inside, 0.9))] * 20, [labelled((HERE, 1), (THERE, 1))] * 20) == 1


def test_pictures_without_faces_count_for_the_bar_alone():
    empty, label = [labelled()] * 3, ONE_FACE[:17]
    assert missed([cells()] * 3 + [cells((HERE, 0.6))] * 17, empty + label) == 0
    assert missed([cells((THERE, 0.9))] * 3 + [cells((HERE, 0.6))] * 17, empty + label) == 1


def test_missed_faces_are_counted_and_forgotten():
    metric = MissedFaces(96)
    assert metric.name() == "missed" and metric.count == 0 and np.isnan(metric.accumulate())
    metric.update(np.float32([[0.9, -1], [0.2, 0.3]]), np.float32([0.1, 0.25]))
    assert metric.count == 3
    assert metric.accumulate() == pytest.approx(1 / 3)
    metric.reset()
    assert metric.count == 0 and np.isnan(metric.accumulate())


def test_a_batch_without_a_single_face_counts_nothing():
    metric = NME(MeanFaceCodec(96, tuple((float(i), 1.0) for i in range(68))))
    no_face = paddle.full([2, 136], float("nan"))
    errors = metric.compute(paddle.zeros([2, 137]), no_face)
    assert errors.shape == [0]
    assert np.isnan(metric.update(errors.numpy()))
