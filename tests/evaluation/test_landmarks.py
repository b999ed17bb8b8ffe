import numpy as np
import pytest

from facekp.data.combine import JoinedDataset
from facekp.data.drawn import DrawnFacesDataset, draw_face
from facekp.data.labels import write_pts
from facekp.data.pts import PtsDataset
from facekp.evaluation.landmarks import Predictions, cut_out, predict_found, predict_in_use, summarise
from facekp.inference.faces import Faces
from facekp.io.images import write_image
from facekp.landmarks import IBUG68, MEAN_FACE, load_schema
from facekp.vision import geometry


def test_the_table_by_hand():
    truth = np.zeros((4, 68, 2))
    truth[:, 45, 0] = 100
    predicted = truth.copy()
    predicted[0] += [3, 4]  # 5 %
    predicted[
        1,
        IBUG68.regions["mouth"],
    ] += [34, 0]  # 34 % at 20 of 68 points: 10 %
    predicted[2] += [9, 0]  # 9 %
    table = summarise(Predictions(predicted, truth))
    assert table["faces"] == 4
    assert table["nme"] == pytest.approx((0.05 + 0.10 + 0.09 + 0) / 4)
    assert table["nme_median"] == pytest.approx(0.07)
    assert table["failure_8"] == pytest.approx(0.5)
    assert table["auc_8"] == pytest.approx((3 / 8 + 1) / 4)
    assert table["nme_mouth"] == pytest.approx((0.05 + 0.34 + 0.09) / 4)
    assert table["nme_jaw"] == pytest.approx((0.05 + 0.09) / 4)
    assert "document_nme" not in table


def test_sigmas_are_compared_with_the_distances():
    rng = np.random.default_rng(0)
    truth = np.zeros((500, 68, 2))
    truth[:, 45, 0] = 100
    sigma = rng.uniform(1, 5, (500, 68))
    away = rng.exponential(sigma)[..., None] * [0.6, 0.8]
    predicted = truth + away
    truth[3, 5] = np.nan
    predictions = Predictions(predicted, truth, sigma)
    table = summarise(predictions)
    # With 34,000 points, the standard deviation of a fraction of 0.632 is 0.0026.
    assert table["within_1_sigma"] == pytest.approx(1 - np.exp(-1), abs=0.01)
    assert table["within_2_sigma"] == pytest.approx(1 - np.exp(-2), abs=0.01)
    assert predictions.part(np.arange(3)).sigma.shape == (3, 68)
    assert "within_1_sigma" not in summarise(Predictions(predicted, truth))


def test_faces_are_matched_with_labels_by_their_boxes(tmp_path):
    image, first = draw_face(1, 200)
    second = first + np.float32([200, 0])
    write_image(tmp_path / "two.png", np.concatenate([image, image], 1))
    for number, face in enumerate((first, second), start=1):
        write_pts(tmp_path / f"two_{number}.pts", face)

    def only_the_second(image):
        points = np.stack([second + 2, first * 0.2])  # the other is too small to match the first
        return Faces.from_arrays(points, geometry.bounding_box(points), np.ones(2))

    found = predict_found(only_the_second, PtsDataset(tmp_path))
    assert np.isnan(found.predicted[0]).all()
    np.testing.assert_allclose(found.predicted[1], second + 2, atol=1e-3)
    np.testing.assert_allclose(found.truth, [first, second], atol=2e-3)
    assert found.sigma is None


@pytest.mark.filterwarnings("error")
def test_unknown_points_and_faces_without_their_pair_do_not_count():
    truth = np.zeros((3, 68, 2))
    truth[:, 45, 0] = 100
    predicted = truth.copy()
    predicted[0] += [3, 4]
    predicted[1] += [0, 9]
    predicted[0, :17] += 1000
    truth[0, :17] = np.nan  # the jaw of this face is unknown
    truth[2, 45] = np.nan  # the size of this face is unknown
    table = summarise(Predictions(predicted, truth))
    assert table["faces"] == 2
    assert [table[name] for name in ("nme", "nme_median", "nme_mouth")] == pytest.approx([0.07] * 3)
    assert table["nme_jaw"] == pytest.approx(0.09)
    assert table["failure_8"] == 0.5
    assert table["distance_px"] == pytest.approx((51 * 5 + 68 * 9) / (51 + 68))


def test_a_table_of_five_points_has_their_regions():
    five = load_schema("five")
    truth = np.stack([five.mean_points * 100] * 2).astype(float)
    truth *= 10 / (truth[0, 1, 0] - truth[0, 0, 0])  # the eyes are 10 pixels apart
    predicted = truth.copy()
    predicted[0, 3:] += [0, 2]
    table = summarise(Predictions(predicted, truth), five)
    assert table["nme"] == pytest.approx(0.2 * 2 / 5 / 2)
    assert [table[f"nme_{region}"] for region in five.regions] == pytest.approx([0, 0, 0.1])
    assert table["distance_px"] == pytest.approx(2 * 2 / 5 / 2)


def mean_face_in_the_box(image, boxes):
    """Landmarker that returns the mean face in each box."""
    mean = MEAN_FACE / MEAN_FACE.max(0)
    points = np.stack([np.asarray(box[:2]) + mean * (box[2:] - box[:2]) for box in boxes])
    return Faces.from_arrays(points, boxes, np.ones(len(boxes)))


def test_boxes_are_expanded_and_jittered():
    faces = DrawnFacesDataset(30)
    truth = np.stack([faces.load(i)[1] for i in range(30)])
    boxes = geometry.bounding_box(truth)
    sides = boxes[:, 2:] - boxes[:, :2]

    expanded = predict_in_use(mean_face_in_the_box, faces)
    np.testing.assert_array_equal(expanded.truth, truth)
    found = geometry.bounding_box(expanded.predicted)
    np.testing.assert_allclose(found[:, 2:] - found[:, :2], sides * 1.1, rtol=1e-5)
    np.testing.assert_allclose(found[:, 2:] + found[:, :2], boxes[:, 2:] + boxes[:, :2], atol=1e-3)

    jittered = geometry.bounding_box(predict_in_use(mean_face_in_the_box, faces, jitter=True).predicted)
    scale = (jittered[:, 2:] - jittered[:, :2]) / (sides * 1.1)
    shift = (jittered[:, 2:] + jittered[:, :2] - boxes[:, 2:] - boxes[:, :2]) / 2 / (sides * 1.1)
    np.testing.assert_allclose(scale[:, 0], scale[:, 1], rtol=1e-4)
    assert 0.8 <= scale.min() < 0.9 and 1.15 < scale.max() <= 1.2501
    assert np.abs(shift).max() <= 0.1501 and shift.min() < -0.1 and shift.max() > 0.1
    again = geometry.bounding_box(predict_in_use(mean_face_in_the_box, faces, jitter=True).predicted)
    np.testing.assert_array_equal(jittered, again)


def test_cut_out_faces_keep_their_errors():
    faces = JoinedDataset([DrawnFacesDataset(5, size=200)])
    predictions = predict_in_use(mean_face_in_the_box, faces)
    chosen = np.array([3, 1])
    squares, shown = cut_out(faces, predictions, chosen, size=100)
    assert squares.shape == (2, 1, 100, 100) and squares.min() >= 0 and squares.max() <= 1
    np.testing.assert_allclose(shown.errors(), predictions.errors()[chosen], rtol=1e-4)
    assert (geometry.bounding_box(shown.truth) > 10).all() and (geometry.bounding_box(shown.truth) < 90).all()
    assert list(faces.kinds()) == ["drawn"] * 5
