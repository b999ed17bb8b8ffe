"""Expression signals of synthetic faces, frontal and turned, and the neutral face of one person."""

import numpy as np
import pytest

from facekp.inference.faces import Faces
from facekp.landmarks import MEAN_FACE, SIGNALS, Neutral, scaled
from facekp.landmarks.head import DEPTH
from facekp.landmarks.pose import rotation

#: A mean face at rest: the mean face of 300-W smiles slightly, with parted lips.
REST = MEAN_FACE.astype(np.float64).copy()
REST[[48, 60], 0] += 0.02
REST[[54, 64], 0] -= 0.02


def acting(**moves):
    """Return a face with moved points; each move is (indices, (dx, dy)) in units of the mean face."""
    face = REST.copy()
    for indices, (dx, dy) in moves.values():
        face[indices] += (dx, dy)
    return face


ACTS = {
    "mouth_open": acting(lips=([65, 66, 67, 55, 56, 57, 58, 59], (0, 0.12))),
    "mouth_wide": acting(left=([48, 60], (-0.08, -0.03)), right=([54, 64], (0.08, -0.03))),
    "lips_round": acting(left=([48, 60], (0.06, 0)), right=([54, 64], (-0.06, 0))),
    "left_eye_closed": acting(top=([37, 38], (0, 0.025)), bottom=([40, 41], (0, -0.012))),
    "right_eye_closed": acting(top=([43, 44], (0, 0.025)), bottom=([46, 47], (0, -0.012))),
    "left_brow_up": acting(brow=(range(17, 22), (0, -0.06))),
    "right_brow_up": acting(brow=(range(22, 27), (0, -0.06))),
    "brows_up": acting(brow=(range(17, 27), (0, -0.06))),
}


def signals(face, yaw=0.0, pitch=0.0, roll=0.0):
    points = (np.hstack([face, DEPTH[:, None]]) @ rotation(yaw, pitch, roll).T)[:, :2] * 200 + 300
    one = Faces(points[None].astype(np.float32), np.zeros((1, 4), np.float32), np.ones(1, np.float32))
    return {name: float(value[0]) for name, value in one.signals.items()}


def test_every_signal_is_acted():
    assert set(ACTS) == set(SIGNALS)


@pytest.mark.parametrize("name", SIGNALS)
@pytest.mark.parametrize("angles", [(0, 0, 0), (30, 10, 0), (-30, -10, 25), (0, 20, -60)])
def test_a_signal_rises_with_its_act_alone(name, angles):
    rest, act = signals(REST, *angles), signals(ACTS[name], *angles)
    assert rest[name] < 0.35
    assert act[name] > 0.6
    related = {"brows_up", "left_brow_up", "right_brow_up"} if "brow" in name else set()
    related |= {"mouth_wide", "lips_round", "mouth_open"} if name[:5] in ("mouth", "lips_") else set()
    for other in set(SIGNALS) - related - {name}:
        assert act[other] < 0.5, other


def test_values_lie_between_0_and_1():
    rng = np.random.default_rng(0)
    for _ in range(20):
        values = signals(MEAN_FACE + rng.normal(0, 0.1, (68, 2)))
        assert all(0 <= value <= 1 for value in values.values())


def test_a_new_signal_is_one_entry(monkeypatch):
    from facekp.landmarks.signals import Signal

    monkeypatch.setitem(SIGNALS, "chin_long", Signal(lambda face: face[:, 8, 1], 0.96, 1.2))
    face = REST.copy()
    face[8, 1] = 1.2
    assert signals(face)["chin_long"] > 0.9
    assert signals(REST)["chin_long"] < 0.1


def measured(**values):
    rest = {name: signal.neutral for name, signal in SIGNALS.items()}
    return np.array([*{**rest, **values}.values()])


def learned(frames, seconds=3.0, yaw=0.0):
    own = Neutral(seconds)
    for number, frame in enumerate(frames):
        own.learn(frame, yaw, number / 30)
    return dict(zip(SIGNALS, own.values))


def test_a_person_with_high_brows_is_at_rest():
    high = measured(brows_up=0.165)
    assert learned([high] * 100)["brows_up"] == pytest.approx(0.165)
    assert scaled(high[None], high[None])["brows_up"] == 0
    assert scaled(high[None])["brows_up"] > 0.3


def test_who_starts_with_an_open_mouth_is_not_at_rest():
    signal = SIGNALS["mouth_open"]
    own = learned([measured(mouth_open=0.3)] * 100)["mouth_open"]
    assert own == pytest.approx((signal.neutral + signal.full) / 2)


def test_a_short_expression_is_not_learned_as_neutral():
    frames = [measured()] * 70 + [measured(mouth_open=0.3)] * 20
    assert learned(frames)["mouth_open"] == pytest.approx(SIGNALS["mouth_open"].neutral)


def test_turned_heads_and_what_comes_later_are_not_learned():
    high = measured(brows_up=0.165)
    assert learned([high] * 100, yaw=40)["brows_up"] == SIGNALS["brows_up"].neutral
    assert learned([measured()] * 100 + [high] * 500)["brows_up"] == SIGNALS["brows_up"].neutral
    assert learned([np.full(len(SIGNALS), np.nan)] * 10)["brows_up"] == SIGNALS["brows_up"].neutral


def test_a_film_that_begins_again_is_learned_from_the_start():
    own = Neutral(seconds=3.0)
    for seconds in (100.0, 0.0, 1.0, 2.0):
        own.learn(measured(brows_up=0.165), 0.0, seconds)
        assert 0.14 <= own.values[list(SIGNALS).index("brows_up")] <= 0.165
    assert own.values[list(SIGNALS).index("brows_up")] == pytest.approx(0.165)
