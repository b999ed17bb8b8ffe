"""Tracking: synthetic faces that move on known paths through a blank video."""

from __future__ import annotations

import numpy as np
import pytest

from facekp.inference.faces import Faces
from facekp.inference.tracking import OneEuro, Tracker, Tracks, match
from facekp.landmarks import IBUG68, MEAN_FACE, load_schema
from facekp.stickers.privacy import careful_tracker
from facekp.vision import geometry

FRAME = np.zeros((480, 640, 3), np.uint8)
FPS = 30


def face(x: float, y: float = 200, size: float = 100) -> np.ndarray:
    return (MEAN_FACE - 0.5) * size + np.float32([x, y])


class Scene:
    """Landmarker with known faces: in boxes it finds those that overlap, without boxes all that are not hidden."""

    def __init__(self) -> None:
        self.points: list[np.ndarray] = []
        self.hidden: set[int] = set()
        self.detections = 0

    def __call__(self, image: np.ndarray, boxes: np.ndarray | None = None) -> Faces:
        if boxes is None:
            self.detections += 1
            return self._faces([p for i, p in enumerate(self.points) if i not in self.hidden])
        truth = geometry.bounding_box(np.array(self.points)).reshape(-1, 4)
        # In a box without a face the network still returns points: the mean face in that box.
        answers = [face(*(box[:2] + box[2:]) / 2, size=box[2] - box[0]) for box in boxes]
        for index, other in match(np.asarray(boxes), truth):
            answers[index] = self.points[other]
        return self._faces(answers)

    @staticmethod
    def _faces(points: list[np.ndarray]) -> Faces:
        array = np.array(points).reshape(-1, 68, 2)
        return Faces.from_arrays(array, geometry.bounding_box(array), np.ones(len(array))) if points else Faces.none()


def test_ids_stay_when_faces_pass_by() -> None:
    scene = Scene()
    tracker = Tracker(scene)
    for frame in range(60):
        scene.points = [face(100 + 3 * frame, 120), face(500 - 3 * frame, 330, 140)]
        tracks = tracker(FRAME, frame / FPS)
        assert tracks.ids.tolist() == [0, 1]
        assert tracks.boxes[0, 1] > tracks.boxes[1, 3], "the largest face, the lower one, comes first"
    assert scene.detections == 4


def test_faces_of_about_one_size_do_not_swap_ranks() -> None:
    scene = Scene()
    tracker = Tracker(scene, cutoff=float("inf"))
    for frame in range(20):
        # The face that is larger in the first frame stays first, although it is smaller in every second frame.
        scene.points = [face(150, size=100 + frame % 2), face(450, size=101 - frame % 2)]
        tracks = tracker(FRAME, frame / FPS)
        assert tracks.points[0].mean() > tracks.points[1].mean()
    scene.points[0] = face(150, size=115)  # a third more area
    tracks = tracker(FRAME, 20 / FPS)
    assert tracks.points[0].mean() < tracks.points[1].mean()


def test_a_lost_face_is_held_then_fades_then_is_forgotten_and_comes_back_as_itself() -> None:
    scene = Scene()
    scene.points = [face(300)]
    tracker = Tracker(scene, hold=0.5, fade=0.5)
    scores = []
    for frame in range(60):
        scene.hidden = {0} if frame >= 10 else set()
        tracks = tracker(FRAME, frame / FPS)
        scores.append(float(tracks.scores[0]) if len(tracks) else 0.0)
    assert scores[:15] == [1.0] * 15
    assert all(a >= b for a, b in zip(scores, scores[1:]))
    assert any(0.3 < score < 0.7 for score in scores)
    assert scores[-1] == 0
    scene.hidden = set()
    for frame in range(60, 66):
        tracks = tracker(FRAME, frame / FPS)
    assert tracks.ids.tolist() == [1]


@pytest.mark.parametrize("fps", [4, 10, 14])
def test_at_few_frames_a_second_a_face_does_not_fade_between_two_detections(fps: int) -> None:
    scene = Scene()
    scene.points = [face(300)]
    tracker = Tracker(scene)
    for frame in range(3 * fps):
        tracks = tracker(FRAME, frame / fps)
        assert (tracks.ids.tolist(), tracks.scores.tolist()) == ([0], [1.0])


def test_a_short_loss_keeps_the_id() -> None:
    scene = Scene()
    scene.points = [face(300)]
    tracker = Tracker(scene, detect_every=5)
    for frame in range(40):
        scene.hidden = {0} if 5 <= frame < 15 else set()
        tracks = tracker(FRAME, frame / FPS)
        assert (tracks.ids.tolist(), tracks.scores.tolist()) == ([0], [1.0])


def test_a_new_face_is_found_and_one_that_leaves_is_dropped() -> None:
    scene = Scene()
    tracker = Tracker(scene, detect_every=10)
    ids = []
    for frame in range(90):
        scene.points = [face(300 + 8 * frame)] + ([face(100)] if frame >= 20 else [])
        ids.append(sorted(tracker(FRAME, frame / FPS).ids.tolist()))
    assert ids[0] == [0]
    assert ids[31] == [0, 1]
    assert ids[-1] == [1]


def test_a_face_that_is_found_twice_is_one_track() -> None:
    scene = Scene()
    scene.points = [face(300), face(310, size=120)]
    assert len(Tracker(scene)(FRAME, 0.0)) == 1


def test_a_track_that_slid_onto_a_part_of_a_face_is_dropped_when_the_face_is_seen() -> None:
    scene = Scene()
    tracker = Tracker(scene)
    scene.points = [face(310, size=30)]
    assert tracker(FRAME, 0.0).ids.tolist() == [0]
    scene.points.append(face(300, size=100))  # an eye was tracked, and now the detector finds the face
    scene.hidden = {0}
    for frame in range(1, 17):
        tracks = tracker(FRAME, frame / FPS)
    assert tracks.ids.tolist() == [1]


def test_no_face_at_all() -> None:
    tracks = Tracker(Scene())(FRAME, 0.0)
    assert (tracks.points.shape, tracks.boxes.shape, len(tracks), tracks.ids.shape) == ((0, 68, 2), (0, 4), 0, (0,))


@pytest.mark.parametrize("size", [40.0, 400.0])
def test_a_still_face_jitters_a_fifth_at_every_resolution(size: float) -> None:
    rng, smooth = np.random.default_rng(0), OneEuro()
    still = face(300, size=size)
    noise = 0.005 * IBUG68.unit(still)
    raw = still + rng.normal(0, noise, (300, 68, 2))
    steady = np.array([smooth(points, i / FPS) for i, points in enumerate(raw)])
    assert steady[60:].std(0).mean() < raw[60:].std(0).mean() / 5


def test_smoothing_is_the_same_at_every_resolution() -> None:
    path = [face(3 * i) for i in range(50)]
    small, large = OneEuro(), OneEuro()
    results = [(small(p, i / FPS), large(10 * p, i / FPS)) for i, p in enumerate(path)]
    assert max(np.abs(10 * a - b).max() for a, b in results) < 1e-3


def test_a_moving_face_lags_less_than_two_frames() -> None:
    smooth = OneEuro()
    speed = IBUG68.unit(face(0)) / FPS  # one eye distance per second
    for i in range(60):
        points = face(i * speed)
        steady = smooth(points, i / FPS)
    assert np.abs(points - steady).max() / speed < 2


def test_match_takes_the_best_first() -> None:
    boxes = np.array([[0, 0, 10, 10], [4, 0, 14, 10]])
    assert match(boxes, np.array([[3, 0, 13, 10], [100, 0, 110, 10]])) == [(1, 0)]
    assert match(boxes, np.zeros((0, 4))) == []
    assert match(np.zeros((0, 4)), boxes) == []


class Cuts(Scene):
    """Scene in which tracked faces have a high score only where there is a face."""

    def __call__(self, image: np.ndarray, boxes: np.ndarray | None = None) -> Faces:
        found = super().__call__(image, boxes)
        if boxes is None:
            return found
        truth = geometry.bounding_box(np.array(self.points)).reshape(-1, 4)
        scores = np.full(len(found), 1e-3, np.float32)
        scores[[index for index, _ in match(found.boxes, truth)]] = 0.9
        return Faces(found.points, found.boxes, scores)


def test_a_face_that_moves_by_most_of_its_width_between_two_frames_is_the_same() -> None:
    scene = Cuts()
    tracker = Tracker(scene, detect_every=1)
    for frame in range(6):
        scene.points = [face(200 + 70 * (frame % 2))]
        assert tracker(FRAME, frame / 3).ids.tolist() == [0]
    scene.points.append(face(200, size=40))  # not the face that moved: far smaller
    scene.points[0] = face(560)
    assert set(tracker(FRAME, 2.0).ids.tolist()) >= {1, 2}


def test_after_a_cut_the_new_face_is_found_at_once_and_the_old_one_forgotten_soon() -> None:
    scene, scores = Cuts(), []
    tracker = Tracker(scene)
    for frame in range(22):
        scene.points = [face(150 if frame < 10 else 450)]
        tracks = tracker(FRAME, frame / FPS)
        scores.append(dict(zip(tracks.ids.tolist(), tracks.scores)))
        if frame == 10:
            assert np.abs(tracks.points[tracks.ids.tolist().index(0)] - face(150)).max() < 1
    assert all(each == {0: 1.0} for each in scores[:10])
    assert all(each[1] == 1.0 for each in scores[10:])
    old = [each.get(0, 0.0) for each in scores[10:]]
    assert old[:4] == [1.0] * 4 and 0 < old[6] < 1 and old[8:] == [0.0] * 4  # held for 0.1 s, faded over 0.15 s


def test_where_the_image_changes_as_well_the_old_face_is_gone_at_once() -> None:
    scene = Cuts()
    tracker = Tracker(scene)
    for frame in range(12):
        scene.points = [face(150 if frame < 10 else 450)]
        tracks = tracker(FRAME if frame < 10 else FRAME + 90, frame / FPS)
        assert tracks.ids.tolist() == [0 if frame < 10 else 1]
    scene.points, scene.hidden = [face(450)], {0}
    assert tracker(FRAME, 0.5).ids.tolist() == [1], "a flash: the network still sees the face"


def test_a_network_that_errs_in_one_frame_changes_nothing() -> None:
    scene = Cuts()
    scene.points = [face(300)]
    tracker = Tracker(scene)
    for frame in range(20):
        if frame == 7:  # blurred: neither detector nor network finds the face
            scene.points, scene.hidden = [face(1000)], {0}
        if frame == 8:
            scene.points, scene.hidden = [face(300)], set()
        assert tracker(FRAME, frame / FPS).scores.tolist() == [1.0]


def test_the_careful_tracker_keeps_a_face_after_a_cut() -> None:
    scene = Cuts()
    scene.points = [face(300)]
    tracker = careful_tracker(scene)
    tracker(FRAME, 0.0)
    scene.points, scene.hidden = [face(1000)], {0}
    assert all(len(tracker(FRAME, frame / FPS)) == 1 for frame in range(1, FPS))


def test_a_landmarker_that_takes_points_gets_those_of_the_last_frame() -> None:
    class Follows(Scene):
        def __init__(self) -> None:
            super().__init__()
            self.given: list[np.ndarray] = []

        def __call__(
            self, image: np.ndarray, boxes: np.ndarray | None = None, points: np.ndarray | None = None
        ) -> Faces:
            assert boxes is None
            if points is None:
                return super().__call__(image)
            self.given.append(points)
            found = self._faces(self.points)
            sigma = np.full((len(found), 68), 0.5 + len(self.given), np.float32)
            return Faces(found.points, found.boxes, found.scores, found.schema, sigma, sigma / 100)

    scene = Follows()
    tracker = Tracker(scene, cutoff=float("inf"))
    for frame in range(3):
        scene.points = [face(200 + 4 * frame)]
        tracks = tracker(FRAME, frame / FPS)
        np.testing.assert_allclose(tracks.points[0], scene.points[0], atol=1e-3)
        if frame == 0:
            assert tracks.sigma is None  # the detection has none
        else:
            np.testing.assert_allclose(scene.given[-1][0], face(200 + 4 * (frame - 1)), atol=1e-3)
            assert tracks.sigma.shape == (1, 68) and tracks.sigma[0, 0] == 0.5 + frame
            assert tracks.visibility[0, 0] == pytest.approx((0.5 + frame) / 100)
    assert scene.detections == 1


def test_while_all_faces_are_sure_most_detections_are_quick() -> None:
    class Quick(Scene):
        def __init__(self) -> None:
            super().__init__()
            self.quick: list[bool] = []

        def __call__(self, image: np.ndarray, boxes: np.ndarray | None = None, quick: bool = False) -> Faces:
            if boxes is None:
                self.quick.append(quick)
            return super().__call__(image, boxes)

    scene = Quick()
    scene.points = [face(300)]
    tracker = Tracker(scene, detect_every=2, full_every=3)
    for frame in range(13):
        tracker(FRAME, frame / FPS)
    assert scene.quick == [False, True, True, False, True, True, False]
    scene.hidden = {0}
    for frame in range(13, 20):  # the face is lost: full detections, for small faces, too
        tracker(FRAME, frame / FPS)
    assert scene.quick[7:9] == [True, False] and not any(scene.quick[8:])


def test_a_buffer_that_is_filled_anew_is_smoothed_as_fresh_arrays_are() -> None:
    fresh, buffered, buffer = OneEuro(), OneEuro(), np.zeros((68, 2))
    for i in range(20):
        buffer[:] = face(3 * i)
        expected, smoothed = fresh(face(3 * i), i / FPS), buffered(buffer, i / FPS)
        np.testing.assert_array_equal(smoothed, expected)
        smoothed[:] = 0  # the result belongs to the caller


def test_tracks_stay_tracks() -> None:
    scene = Scene()
    scene.points = [face(100), face(400)]
    tracks = Tracker(scene)(FRAME, 0.0)
    for same in (tracks.converted(IBUG68), tracks.without_doubles()):
        assert isinstance(same, Tracks) and same.ids.tolist() == tracks.ids.tolist()
    assert tracks.take(np.array([1])).memory[0] is tracks.memory[1]
    assert tracks == tracks and tracks != Tracker(scene)(FRAME, 0.0)


def test_five_points_are_followed_through_a_video():
    five = load_schema("five")
    points = five.mean_points * 100 + 20

    def landmarker(image, boxes=None):
        return Faces.from_arrays(points[None], five.face_box(points)[None], [0.9], five)

    tracker = Tracker(landmarker)
    for number in range(20):
        tracks = tracker(np.zeros((200, 200, 3), np.uint8), number / 25)
        assert tracks.points.shape == (1, 5, 2) and tracks.ids.tolist() == [0]
        assert tracks.schema is five and tracks.schema.name == "five"
    np.testing.assert_allclose(tracks.points[0], points, atol=1e-3)
