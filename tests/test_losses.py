import numpy as np
import paddle
import pytest

from facekp.codecs.boxes import BoxCodec
from facekp.codecs.points import OutputLayout, bin_places
from facekp.errors import UserError
from facekp.losses import BOX_LOSSES, LOSSES, BoxLoss, PointsLoss, WingLoss, build_box_loss, build_loss


def value(loss, predicted, label):
    return float(loss(paddle.to_tensor(np.float32(predicted)), paddle.to_tensor(np.float32(label))))


def test_wing_is_the_papers_formula_and_continuous():
    loss = WingLoss(width=4.0, curvature=0.8)
    offset = 4 - 4 * np.log(1 + 4 / 0.8)
    assert value(loss, [[1.0]], [[0.0]]) == pytest.approx(4 * np.log(1 + 1 / 0.8), rel=1e-6)
    assert value(loss, [[-10.0]], [[0.0]]) == pytest.approx(10 - offset, rel=1e-6)
    assert value(loss, [[3.9999]], [[0.0]]) == pytest.approx(value(loss, [[4.0001]], [[0.0]]), abs=1e-3)


@pytest.mark.parametrize("name", LOSSES)
def test_the_loss_of_a_network_with_a_score_is_the_points_loss_and_the_scores(name):
    rng = np.random.default_rng(0)
    points, label = rng.normal(0, 5, (2, 3, 8)).astype(np.float32)
    logits = np.float32([2.0, -1.0, 0.5])
    predicted = np.concatenate([points, logits[:, None]], 1)
    error = np.linalg.norm((points - label).reshape(3, 4, 2), axis=-1).mean(1)
    target = np.exp(-((error / 8) ** 2))
    entropy = np.log1p(np.exp(logits)) - target * logits
    expected = value(LOSSES[name](), points, label) + 0.5 * entropy.mean()
    assert value(build_loss(name), predicted, label) == pytest.approx(expected, rel=1e-5)


def test_samples_without_a_face_move_the_score_alone():
    rng = np.random.default_rng(1)
    predicted = paddle.to_tensor(rng.normal(size=(4, 9)).astype(np.float32), stop_gradient=False)
    label = rng.normal(size=(4, 8)).astype(np.float32)
    label[2:] = np.nan
    loss = build_loss("smooth_l1")
    whole = loss(predicted, paddle.to_tensor(label))
    whole.backward()
    gradient = predicted.grad.numpy()
    assert np.isfinite(gradient).all()
    assert (gradient[2:, :8] == 0).all() and (gradient[2:, 8] > 0).all()  # the score decreases

    faces = paddle.to_tensor(predicted.numpy()[:2], stop_gradient=False)
    loss(faces, paddle.to_tensor(label[:2])).backward()
    np.testing.assert_allclose(gradient[:2, :8], faces.grad.numpy()[:, :8], rtol=1e-5)  # as without the others


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("scored", [False, True])
def test_unknown_points_cost_nothing_and_move_nothing(name, scored):
    rng = np.random.default_rng(2)
    values = rng.normal(0, 5, (3, 8 + scored)).astype(np.float32)
    label = rng.normal(0, 5, (3, 8)).astype(np.float32)
    label[0, 4:], label[1, 2:4] = np.nan, np.nan  # two points, and one
    known = np.isfinite(label)
    predicted = paddle.to_tensor(values, stop_gradient=False)
    loss = build_loss(name)(predicted, paddle.to_tensor(label))
    loss.backward()
    gradient = predicted.grad.numpy()
    assert (gradient[:, :8][~known] == 0).all() and (gradient[:, :8][known] != 0).all()

    expected = value(LOSSES[name](), values[:, :8][known][None], label[known][None])  # the mean over the known ones
    if scored:
        error = np.linalg.norm((values[:, :8] - label).reshape(3, 4, 2), axis=-1)
        target = np.exp(-((np.nanmean(error, 1) / 8) ** 2))
        logits = values[:, 8]
        expected += 0.5 * (np.log1p(np.exp(logits)) - target * logits).mean()
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    changed = np.where(known, values[:, :8], 1e3)
    if scored:
        changed = np.concatenate([changed, values[:, 8:]], 1)
    assert value(build_loss(name), changed, label) == pytest.approx(expected, rel=1e-5)


def test_with_all_points_known_it_is_the_loss_itself():
    rng = np.random.default_rng(3)
    points, label = rng.normal(0, 5, (2, 6, 136)).astype(np.float32)
    for name, loss in LOSSES.items():
        assert value(PointsLoss(loss()), points, label) == pytest.approx(value(loss(), points, label), rel=1e-6), name


def test_a_face_whose_points_are_not_known_teaches_the_score_alone():
    values = np.random.default_rng(4).normal(0, 5, (2, 9)).astype(np.float32)
    predicted = paddle.to_tensor(values, stop_gradient=False)
    loss = build_loss("wing")(predicted, paddle.to_tensor(np.float32([[np.inf] * 8, [np.nan] * 8])))
    loss.backward()
    logits, targets = values[:, 8], np.array([1.0, 0.0])  # with and without a face
    assert float(loss) == pytest.approx(0.5 * (np.log1p(np.exp(logits)) - targets * logits).mean(), rel=1e-5)
    gradient = predicted.grad.numpy()
    assert not gradient[:, :8].any()
    np.testing.assert_allclose(gradient[:, 8], 0.25 * (1 / (1 + np.exp(-logits)) - targets), rtol=1e-4)


def test_a_batch_without_a_known_point_costs_nothing():
    predicted = paddle.ones([2, 4])
    predicted.stop_gradient = False
    loss = build_loss("wing")(predicted, paddle.full([2, 4], float("nan")))
    loss.backward()
    assert float(loss) == 0 and not predicted.grad.numpy().any()


LAYOUT = OutputLayout(2, score=True, sigma=True, visibility=True)
NAN = float("nan")


def tensor(values):
    return paddle.to_tensor(np.float32(values), stop_gradient=False)


def test_simcc_is_the_cross_entropy_against_a_gaussian_and_half_smooth_l1():
    rng = np.random.default_rng(0)
    logits, predicted = rng.normal(size=(3, 4, 60)), rng.normal(0, 5, (3, 4))
    label = rng.normal(0, 20, (3, 4))
    gauss = np.exp(-(((label[..., None] - bin_places(60)) / 1.8) ** 2) / 2)
    shares = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    entropy = -(gauss / gauss.sum(-1, keepdims=True) * np.log(shares)).sum(-1)
    distance = np.abs(predicted - label)
    smooth = np.where(distance < 1, distance**2 / 2, distance - 0.5)
    label[1, 2], label[2] = NAN, NAN
    expected = np.nanmean(np.where(np.isnan(label), NAN, entropy + smooth / 2))
    arguments = [tensor(predicted), tensor(logits), tensor(label)]
    loss = build_loss("simcc", OutputLayout(2))(*arguments)
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    loss.backward()
    gradients = arguments[1].grad.numpy()
    assert np.isfinite(gradients).all() and (gradients[2] == 0).all() and (gradients[1, 2] == 0).all()
    assert np.abs(gradients[0]).max() > 0
    beyond = build_loss("simcc", OutputLayout(2))(arguments[0], arguments[1], tensor(np.full((3, 4), 1000.0)))
    assert np.isfinite(float(beyond))
    # In evaluation there are no logits.
    assert float(build_loss("simcc")(arguments[0], arguments[2])) == pytest.approx(
        np.nanmean(np.where(np.isnan(label), NAN, smooth / 2)), rel=1e-5)  # fmt: skip


def test_sigma_learns_the_distance_and_visibility_what_is_known_of_it():
    label = [[0, 0, 3, 4, 1, 0], [0, NAN, 0, 0, NAN, 1]]  # two points and their visibility
    outputs = np.zeros((2, LAYOUT.width))
    outputs[:, 5:7], outputs[:, 7:] = [[np.log(2), np.log(5)]] * 2, 1.0
    predicted = tensor(outputs)
    parts = {"score_weight": 0.0, "sigma_weight": 0.0, "visibility_weight": 0.0}

    def loss(**weights):
        return PointsLoss(paddle.nn.L1Loss(), LAYOUT, **{**parts, **weights})(predicted, tensor(label))

    points = float(loss())
    # Distances: 0 and 5; the second face has 0 for its second point, and its first point is not fully known.
    sigma = (np.log(2) + (np.log(5) + 1) + np.log(5)) / 3
    assert float(loss(sigma_weight=1.0)) - points == pytest.approx(sigma, rel=1e-5)
    cross = (np.log1p(np.exp(-1.0)) * 2 + np.log1p(np.exp(1.0))) / 3
    assert float(loss(visibility_weight=1.0)) - points == pytest.approx(cross, rel=1e-5)
    loss(sigma_weight=1.0).backward()
    with_sigma = predicted.grad.numpy().copy()
    predicted.clear_gradient()
    loss().backward()
    np.testing.assert_array_equal(with_sigma[:, :4], predicted.grad.numpy()[:, :4])  # the same without sigma
    assert with_sigma[0, 6] == pytest.approx(0.0, abs=1e-6)  # no gradient where sigma is the distance


def test_labels_without_visibility_teach_none():
    predicted = tensor(np.ones((2, LAYOUT.width)))
    loss = build_loss("l1", LAYOUT)(predicted, tensor(np.zeros((2, 4))))
    loss.backward()
    assert (predicted.grad.numpy()[:, 7:] == 0).all() and (predicted.grad.numpy()[:, :7] != 0).all()


@pytest.mark.parametrize(
    ("build", "spec", "message"),
    [
        (build_loss, "huber", "unknown loss 'huber'; known are smooth_l1, l1, l2, wing, simcc"),
        (build_loss, {"type": "wing", "widht": 3}, "loss wing: unknown option 'widht'; known are width, curvature"),
        (build_loss, {"type": "smooth_l1", "delta": 0}, "loss smooth_l1: an option has a wrong value"),
        (build_loss, {"type": "wing", "curvature": 0}, "loss wing: an option has a wrong value"),
        (build_loss, {"type": "l1", "delta": 1}, "known are none"),
        (lambda spec: build_box_loss(spec, 64), "wing", "known are focal_giou"),
        (lambda spec: build_box_loss(spec, 64), {"type": "focal_giou", "size": 3}, "'size'; known are box_weight"),
    ],
)
def test_wrong_losses_are_told_in_a_line(build, spec, message):
    with pytest.raises(UserError, match=message) as caught:
        build(spec)
    assert "\n" not in str(caught.value)


def test_the_loss_of_boxes_knows_the_size_of_the_images():
    assert list(BOX_LOSSES) == ["focal_giou"]
    loss = build_box_loss({"type": "focal_giou", "box_weight": 3.0}, 96)
    assert len(loss.codec.centres) == 12 * 12 + 6 * 6 + 3 * 3 and loss.box_weight == 3.0


SIZE = 256
CENTRES, STRIDES = BoxCodec(SIZE, SIZE).centres, BoxCodec(SIZE, SIZE).strides
FACE = [40, 50, 70, 86, 1.0]  # 36 pixels high: for the two finer grids
#: Range of the longer side of the faces that each grid predicts, in pixels; the maximum is exclusive.
LEAST = np.select([STRIDES == 8, STRIDES == 16], [0, 32], 96)
MOST = np.select([STRIDES == 8, STRIDES == 16], [48, 128], 1e9)


def middle_cells(face):
    """Return the mask of the cells that should predict a face."""
    corners = np.array(face[:4]).reshape(2, 2)
    sides = np.ptp(corners, axis=0)
    near = np.abs(CENTRES - corners.mean(0)) <= np.maximum(0.22 * sides, STRIDES[:, None] / 2)
    return near.all(1) & (sides.max() >= LEAST) & (sides.max() < MOST)


def predict(*faces, logit=9.0):
    """Return the outputs of a network that predicts these faces exactly."""
    outputs = np.concatenate([np.full((len(CENTRES), 1), -9.0), np.repeat(STRIDES[:, None], 4, 1)], 1)
    for face in faces:
        cells = middle_cells(face)
        outputs[cells, 0] = logit
        outputs[cells, 1:3] = CENTRES[cells] - face[:2]
        outputs[cells, 3:] = face[2:4] - CENTRES[cells]
    return outputs


def labels(*faces):
    return np.array([*faces, *np.zeros((4 - len(faces), 5))])


def box_loss(outputs, label):
    return value(BoxLoss(SIZE), outputs[None], label[None])


def gradient(outputs, label):
    predicted = paddle.to_tensor(np.float32(outputs), stop_gradient=False)
    loss = BoxLoss(SIZE)(predicted, paddle.to_tensor(np.float32(label)))
    assert np.isfinite(float(loss))
    loss.backward()
    return predicted.grad.numpy()


def test_the_box_loss_is_zero_for_exact_outputs_and_grows_with_every_mistake():
    other = [150, 20, 250, 150, 1.0]
    assert box_loss(predict(FACE, other), labels(FACE, other)) < 1e-3
    assert box_loss(predict(), labels()) < 1e-3
    assert box_loss(predict(FACE), labels(FACE, other)) > 0.3  # missed
    assert box_loss(predict(FACE, other), labels(FACE)) > 1  # false
    shifted = [box_loss(predict([v + shift for v in FACE[:4]]), labels(FACE)) for shift in (0, 1, 3, 6)]
    assert shifted == sorted(shifted) and shifted[1] > 0.05 and shifted[2] > 2 * shifted[1]


def test_ignored_faces_cost_nothing():
    ignored = [*FACE[:4], 0.0]
    assert box_loss(predict(FACE), labels(FACE)) < 1e-3
    assert box_loss(predict(FACE), labels(ignored)) < 1e-3
    assert box_loss(predict(), labels(ignored)) < 1e-3
    assert box_loss(predict(FACE), labels()) > 1
    inside = (np.abs(CENTRES - [55, 68]) <= [15, 18]).all(1)
    moves = gradient(predict(logit=0)[None], labels(ignored)[None])[0]
    assert (moves[inside] == 0).all()


def test_the_target_score_of_a_face_is_the_iou_of_its_box():
    poor = [*(v + 4 for v in FACE[:4]), 1.0]
    overlap = 26 * 32 / (2 * 30 * 36 - 26 * 32)
    cells = middle_cells(FACE) & middle_cells(poor)
    for score, down in ((overlap + 0.1, True), (overlap - 0.1, False)):
        moves = gradient(predict(poor, logit=np.log(score / (1 - score)))[None], labels(FACE)[None])[0]
        assert ((moves[cells, 0] > 0) == down).all()


def test_an_unchecked_box_trains_the_score_alone():
    face = [*FACE[:4], 0.5]
    poor = predict([*(v + 4 for v in FACE[:4])], logit=-2.0)
    cells = middle_cells(FACE)
    sure, unsure = (gradient(poor[None], labels(row)[None])[0] for row in (FACE, face))
    assert (sure[cells, 0] < 0).all() and (unsure[cells, 0] < 0).all()
    assert (sure[cells, 1:] != 0).any(1).all()
    assert (unsure[:, 1:] == 0).all()


@pytest.mark.parametrize(
    ("side", "strides"), [(6, {8}), (24, {8}), (40, {8, 16}), (80, {16}), (110, {16, 32}), (150, {32}), (240, {32})]
)
def test_small_faces_are_of_the_fine_grid_and_large_ones_of_the_coarse(side, strides):
    face = [8, 6, 8 + 0.8 * side, 6 + side, 1.0]
    moves = gradient(predict()[None], labels(face)[None])[0]
    boxes = (moves[:, 1:] != 0).any(1)
    np.testing.assert_array_equal(boxes, middle_cells(face))
    assert set(STRIDES[boxes].tolist()) == strides
    assert (moves[boxes, 0] < 0).all()  # the score increases


def test_no_face_is_too_small_or_ill_placed_to_have_a_cell():
    corners = np.random.default_rng(0).uniform(10, 230, (40, 2))
    label = np.stack([labels([*corner, *(corner + 4), 1.0]) for corner in corners])
    moves = gradient(np.stack([predict()] * 40), label)
    assert (moves[:, :, 1:] != 0).any(2).any(1).all()


def test_of_two_faces_a_cell_takes_the_smaller():
    small, large = [60, 60, 76, 80, 1.0], [50, 50, 86, 90, 1.0]
    cells = middle_cells(small) & middle_cells(large)
    assert cells.any()
    for order in ((small, large), (large, small)):
        assert box_loss(predict(large, small), labels(*order)) + 0.5 < box_loss(predict(small, large), labels(*order))


@pytest.mark.parametrize("reach", [0.4, 20.0, 640.0])
def test_gradients_are_numbers_whatever_is_predicted(reach):
    outputs = predict(logit=0.0)
    outputs[:, 1:] = reach
    label = np.stack([labels(), labels(FACE), labels([0, 0, 255, 255, 1.0], [-50, -50, -10, -20, 1.0])])
    moves = gradient(np.stack([outputs] * 3), label)
    assert np.isfinite(moves).all()
    assert (moves[0, :, 1:] == 0).all() and (moves[0, :, 0] > 0).all()
    assert (moves[1, :, 1:] != 0).any()
    apart = predict()
    apart[middle_cells(FACE), 1:] = [-200, -200, 210, 210]  # boxes beside the face
    moves = gradient(apart[None], labels(FACE)[None])
    assert np.isfinite(moves).all() and (moves[0, middle_cells(FACE), 1:] != 0).any()
