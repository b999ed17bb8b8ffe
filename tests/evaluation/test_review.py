import numpy as np
import pytest
from tests_support import head_in_space, seen_from

from facekp.codecs.boxes import STRIDES, BoxCodec
from facekp.codecs.points import OutputDecoder, OutputLayout, UnitCodec
from facekp.data.composed import MAX_FACES
from facekp.evaluation.landmarks import Predictions, by_region, by_yaw
from facekp.evaluation.review import BoxesReview, PointsReview, Scores
from facekp.landmarks import IBUG68, load_schema

CODEC = UnitCodec(400)


def turned(*yaws):
    return np.stack([seen_from(head_in_space(), yaw) for yaw in yaws])


def test_errors_by_yaw_count_each_face_in_its_range():
    truth = turned(0, 5, -20, 35, -50, 75)
    moved = truth + np.array([1, 2, 3, 4, 5, 6])[:, None, None] * [1, 0]
    errors = Predictions(moved, truth).errors()
    table = by_yaw(Predictions(moved, truth))
    assert list(table) == ["0-15", "15-30", "30-45", "45-60", "60 up"]
    assert list(table.values()) == pytest.approx([errors[:2].mean(), *errors[2:]])


def test_faces_with_unknown_points_or_without_a_pose_have_no_yaw():
    truth = turned(0, 20)
    truth[1, 30] = np.nan
    assert list(by_yaw(Predictions(truth, truth))) == ["0-15"]
    five = load_schema("five")
    assert by_yaw(Predictions(np.ones((1, 5, 2)), np.ones((1, 5, 2))), five) == {}


def test_errors_by_region_are_those_of_its_points():
    truth = turned(0)
    moved = truth.copy()
    moved[:, 48:68] += 3
    table = by_region(Predictions(moved, truth))
    assert table["mouth"] > 0 and [table[name] for name in ("jaw", "brows", "nose", "eyes")] == [0, 0, 0, 0]
    truth[:, :17] = np.nan
    assert by_region(Predictions(moved, truth))["jaw"] is None


def test_a_review_of_points_names_the_worst_faces_and_forgets_them():
    review = PointsReview(OutputDecoder(OutputLayout(68), CODEC, CODEC.size), IBUG68)
    truth = turned(0, 10, 20)
    moved = truth + np.array([2, 30, 7])[:, None, None]
    label = CODEC.encode(truth)
    label[2] = np.nan  # no face
    review.add(CODEC.encode(moved[:2]), label[:2])
    review.add(CODEC.encode(moved[2:]), label[2:])
    assert [index for index, _ in review.worst()] == [1, 0]
    assert [index for index, _ in review.worst(1)] == [1]
    assert review.worst()[0][1] == f"NME {review.errors()[1] * 100:.1f} %"
    assert set(review.groups()) == {"region", "yaw"} and review.scores() is None
    review.clear()
    review.add(CODEC.encode(moved[:1]), label[:1])
    assert [index for index, _ in review.worst()] == [0]


def test_the_score_of_faces_and_of_others_makes_a_confusion():
    layout = OutputLayout(68, score=True)
    review = PointsReview(OutputDecoder(layout, CODEC, CODEC.size), IBUG68)
    label = CODEC.encode(turned(0, 0, 0, 0))
    outputs = np.column_stack([label, [5.0, 5.0, -5.0, 5.0]]).astype(np.float32)
    review.add(outputs, label)
    assert review.scores() is None  # no sample without a face
    review.add(outputs[:2], np.full_like(label[:2], np.nan))
    review.add(outputs[2:3], np.full_like(label[2:3], np.nan))
    scores = review.scores()
    assert scores.confusion().tolist() == [[3, 1], [2, 1]]
    assert scores.rates() == {"faces_missed": 0.25, "no_faces_taken": 2 / 3}
    assert len(review.worst()) == 4


def test_no_faces_at_all_have_no_rate():
    assert Scores(np.zeros(0), np.array([0.9])).rates() == {"no_faces_taken": 1.0}


def test_a_review_of_boxes_knows_what_was_missed_and_where_there_was_nothing():
    predicted = np.zeros((3, sum((96 // stride) ** 2 for stride in STRIDES), 5), np.float32)
    predicted[:, :, 0], predicted[:, :, 1:] = -20, 16  # boxes of 32 pixels with scores of almost 0
    hit = 40
    label = np.zeros((3, MAX_FACES, 5), np.float32)
    label[0, 0] = [*BoxCodec(96, 96).decode(predicted)[0, hit], 1]
    label[1, 0] = [10, 10, 95, 95, 1]
    predicted[0, hit, 0] = 3  # found
    predicted[2, 0, 0] = 2  # found where there is no face
    review = BoxesReview(96)
    review.add(predicted[:2], label[:2])
    review.add(predicted[2:], label[2:])
    errors = review.errors()
    assert errors == pytest.approx([1 / (1 + np.exp(3)), 1, 1 / (1 + np.exp(-2))], abs=0.01)
    assert review.worst()[0] == (1, f"off by {errors[1] * 100:.1f} %")
    widths = review.groups()["width"]
    assert widths == {"20-40 px": 0, "80-160 px": 1}
    assert review.scores().confusion().tolist() == [[1, 1], [1, 2]]
