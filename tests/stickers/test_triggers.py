"""Triggers of layers: hysteresis, minimum time, bursts, and state per track."""

import numpy as np
import pytest

from facekp.inference.faces import Faces
from facekp.inference.tracking import Tracker
from facekp.landmarks import MEAN_FACE
from facekp.stickers import Layer, Sticker, Texture
from facekp.stickers.triggers import STEADY, Switch, Trigger
from facekp.vision import geometry

FPS = 30


def shown(trigger, values, length=1.0):
    switch = Switch()
    return [switch(trigger, value, number / FPS, length) is not None for number, value in enumerate(values)]


def test_hysteresis():
    trigger = Trigger("mouth_open", on=0.5, off=0.3)
    values = np.repeat([0.4, 0.5, 0.4, 0.31, 0.3, 0.4, 0.6], 10)
    assert np.array(shown(trigger, values))[::10].tolist() == [False, True, True, True, False, False, True]


@pytest.mark.parametrize("seed", range(5))
def test_noise_does_not_make_it_flicker(seed):
    noise = np.random.default_rng(seed).uniform(0, 1, 300)
    for mode in ("while", "burst"):
        states = np.array(shown(Trigger("mouth_open", mode=mode), noise, length=0.5), int)
        changes = np.flatnonzero(np.diff(states)) / FPS
        assert len(changes) > 2
        assert np.diff(changes).min() >= STEADY - 1e-6


def test_it_is_held():
    values = [1.0, *[0.0] * 30]
    assert sum(shown(Trigger("mouth_open", hold_ms=400), values)) == pytest.approx(0.4 * FPS, abs=1)
    assert sum(shown(Trigger("mouth_open"), values)) == pytest.approx(STEADY * FPS, abs=1)


def test_a_burst_plays_once_and_again_after_the_signal_fell():
    trigger = Trigger("mouth_wide", mode="burst")
    values = [0.0] * 5 + [1.0] * 60 + [0.0] * 10 + [1.0] * 60
    states = np.array(shown(trigger, values, length=0.5), int)
    starts = np.flatnonzero(np.diff(states) > 0)
    assert len(starts) == 2
    assert states[: 5 + 60].sum() == pytest.approx(0.5 * FPS, abs=1)
    short = np.array(shown(trigger, [0.0, 1.0, *[0.0] * 40], length=0.5), int)
    assert short.sum() == pytest.approx(0.5 * FPS, abs=1)  # regardless of the signal


def test_a_burst_is_held_where_its_frames_are_over():
    trigger = Trigger("mouth_wide", mode="burst", hold_ms=800)
    for length in (0.5, 0.0):  # make-up has no frames
        assert sum(shown(trigger, [1.0] * 60, length)) == pytest.approx(0.8 * FPS, abs=1)
    assert sum(shown(trigger, [1.0] * 60, length=1.0)) == pytest.approx(FPS, abs=1)


@pytest.mark.parametrize(("fps", "frame_ms", "start"), [(30, 200, 1.0), (25, 40, 0.0), (10, 100, 0.3)])
def test_every_image_is_shown_for_as_many_frames(fps, frame_ms, start):
    images = [Texture(np.full((2, 2, 4), number + 1, np.uint8)) for number in range(3)]
    layer = Layer("a", tuple(images), ("left_eye", "right_eye"), np.array([[0.0, 0], [1, 0]]), frame_ms=frame_ms)
    begun = round(start * fps)
    got = [images.index(layer.frame(frame / fps - begun / fps)) for frame in range(begun, begun + 300)]
    each = round(frame_ms * fps / 1000)
    assert got == [frame // each % 3 for frame in range(300)]


def test_time_counts_from_when_it_fired():
    switch = Switch()
    times = [switch(Trigger("mouth_open"), value, t, 1.0) for t, value in ((5.0, 0.0), (6.0, 1.0), (6.25, 1.0))]
    assert times == [None, 0.0, 0.25]


def test_what_is_not_known_counts_as_nothing():
    assert shown(Trigger("mouth_open"), [np.nan] * 10) == [False] * 10
    assert Trigger("mouth_open").at_once(float("nan"), 1.0) is None


def test_photos_have_no_history():
    assert Trigger("mouth_open", on=0.5, off=0.2).at_once(0.4, 1.0) is None
    assert Trigger("mouth_open").at_once(0.5, 1.0) == 0
    assert Trigger("mouth_open", mode="burst").at_once(0.9, 1.0) == 0.5


def face(openness, centre=(150, 150)):
    points = MEAN_FACE * 120 + np.array(centre) - 60
    points[[65, 66, 67, 55, 56, 57, 58, 59]] += (0, openness * 120)
    return points


def mouth_sticker(**trigger):
    dot = Texture(np.full((9, 9, 4), 255, np.uint8))
    pixels = np.array([[2.0, 4.0], [6.0, 4.0]])
    return Sticker([Layer("dot", (dot,), ("left_eye", "right_eye"), pixels, trigger=Trigger("mouth_open", **trigger))])


def follow(faces_of_frame):
    """Return a function that runs a tracker on the given faces, one frame per call."""
    now = {"frame": 0}

    def landmarker(image, boxes=None):
        points = np.array(faces_of_frame(now["frame"])).reshape(-1, 68, 2)
        return Faces.from_arrays(points, geometry.bounding_box(points), np.ones(len(points)))

    tracker = Tracker(landmarker, detect_every=1, cutoff=float("inf"))
    image = np.zeros((300, 600, 3), np.uint8)

    def step(seconds):
        tracks = tracker(image, seconds)
        now["frame"] += 1
        return tracks

    return step


def test_each_track_has_its_own_state():
    # The left face opens its mouth for a moment, the right one never does.
    step = follow(lambda frame: [face(0.2 if frame < 3 else 0.0, (150, 150)), face(0.0, (450, 150))])
    sticker, black = mouth_sticker(hold_ms=500), np.zeros((300, 600, 3), np.uint8)
    left, right = [], []
    for frame in range(30):
        result = sticker.apply(black, step(frame / FPS), frame / FPS)
        left.append(bool(result[:, :300].any()))
        right.append(bool(result[:, 300:].any()))
    assert sum(left) == pytest.approx(0.5 * FPS, abs=1)
    assert not any(right)


def test_a_new_track_begins_anew_and_a_sticker_serves_two_videos():
    sticker, black = mouth_sticker(hold_ms=10_000), np.zeros((300, 600, 3), np.uint8)
    for first in (0.2, 0.0):
        step = follow(lambda frame, first=first: [face(first if frame == 0 else 0.0)])
        states = [sticker.apply(black, step(frame / FPS), frame / FPS).any() for frame in range(10)]
        assert states == [first > 0] * 10


def test_tracks_measure_against_the_persons_own_rest():
    step = follow(lambda frame: [face(0.03)])
    first = step(0.0)
    for frame in range(1, 100):
        last = step(frame / FPS)
    assert first.signals["mouth_open"][0] > 0.2
    assert last.signals["mouth_open"][0] < 0.05
    assert last.unseen.tolist() == [0.0]
