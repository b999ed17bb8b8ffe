import numpy as np
import paddle
import pytest

from facekp.losses import LOSSES, WingLoss, build_loss


def value(loss, predicted, label):
    return float(loss(paddle.to_tensor(np.float32(predicted)), paddle.to_tensor(np.float32(label))))


def test_wing_is_the_papers_formula_and_continuous():
    loss = WingLoss(width=4.0, curvature=0.8)
    offset = 4 - 4 * np.log(1 + 4 / 0.8)
    assert value(loss, [[1.0]], [[0.0]]) == pytest.approx(4 * np.log(1 + 1 / 0.8), rel=1e-6)
    assert value(loss, [[-10.0]], [[0.0]]) == pytest.approx(10 - offset, rel=1e-6)
    assert value(loss, [[3.9999]], [[0.0]]) == pytest.approx(value(loss, [[4.0001]], [[0.0]]), abs=1e-3)


@pytest.mark.parametrize("name", LOSSES)
def test_a_scored_loss_is_the_points_loss_and_the_scores(name):
    rng = np.random.default_rng(0)
    points, label = rng.normal(0, 5, (2, 3, 8)).astype(np.float32)
    logits = np.float32([2.0, -1.0, 0.5])
    predicted = np.concatenate([points, logits[:, None]], 1)
    error = np.linalg.norm((points - label).reshape(3, 4, 2), axis=-1).mean(1)
    target = np.exp(-((error / 8) ** 2))
    entropy = np.log1p(np.exp(logits)) - target * logits
    expected = value(LOSSES[name](), points, label) + 0.5 * entropy.mean()
    assert value(build_loss(name, scored=True), predicted, label) == pytest.approx(expected, rel=1e-5)


def test_samples_without_a_face_move_the_score_alone():
    rng = np.random.default_rng(1)
    predicted = paddle.to_tensor(rng.normal(size=(4, 9)).astype(np.float32), stop_gradient=False)
    label = rng.normal(size=(4, 8)).astype(np.float32)
    label[2:] = np.nan
    loss = build_loss("smooth_l1", scored=True)
    whole = loss(predicted, paddle.to_tensor(label))
    whole.backward()
    gradient = predicted.grad.numpy()
    assert np.isfinite(gradient).all()
    assert (gradient[2:, :8] == 0).all() and (gradient[2:, 8] > 0).all()  # down with the score

    faces = paddle.to_tensor(predicted.numpy()[:2], stop_gradient=False)
    loss(faces, paddle.to_tensor(label[:2])).backward()
    np.testing.assert_allclose(gradient[:2, :8], faces.grad.numpy()[:, :8], rtol=1e-5)  # as if they were alone
