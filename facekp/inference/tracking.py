"""Face tracking in videos: detect once, then follow; smoothed points; an id for every face."""

from __future__ import annotations

import functools
import inspect
import math
from dataclasses import dataclass, field
from typing import Any, Protocol

import cv2
import numpy as np

from facekp.codecs.points import PER_POINT
from facekp.inference.faces import Faces
from facekp.landmarks import IBUG68, SIGNALS, Neutral, PointSchema, scaled
from facekp.vision.boxes import area, iou, is_part

#: Minimum intersection over union of two boxes of the same face.
SAME_TRACK = 0.3

#: Network score below which a face is lost, seconds for which a lost face is kept, and seconds in which it then fades.
LOST, LOST_HOLD, LOST_FADE = 0.05, 0.1, 0.15

#: Mean difference of two frames in grey levels, above which there is a cut: lost faces are then discarded at once.
CUT = 30

#: Minimum network score of a face that is certainly in its place.
SURE = 0.5

#: A face that is no longer in its place is matched to a new one: maximum distance of their centres, in sides of the
#: larger box, and minimum ratio of their areas.
NEAR, ALIKE = 1.0, 0.4

#: A face's rank changes only when its area has changed by more than this factor, so that equal faces do not swap ranks.
SAME_SIZE = 1.25


class Landmarks(Protocol):
    """Protocol of the landmarkers that a tracker accepts; `facekp.load_landmarker()` returns one.

    If a call also accepts `points`, it is given those of the last frame in place of `boxes`: one pass is enough then.
    If it accepts `quick`, that is true when only large faces are searched for.
    """

    def __call__(self, image: np.ndarray, boxes: np.ndarray | None = None) -> Faces:
        """Find the faces in an image, or the points of the faces in `boxes`."""


class OneEuro:
    """The One-Euro filter (Casiez, Roussel and Vogel, 2012) for the points of one face.

    A slow point is smoothed strongly, a fast one hardly delayed. Speed is measured in eye distances per second, so
    that smoothing is the same at every resolution. A point's speed is averaged with its neighbours', which
    share its motion but not its noise.

    Args:
        cutoff: Cutoff frequency in Hz for a point at rest; lower is smoother.
        beta: Increase of the cutoff in Hz per (eye distance / second); higher follows faster.
        speed_cutoff: Cutoff frequency in Hz for the speed itself.
        schema: Schema of the points.

    Example:
        >>> from facekp.landmarks import MEAN_FACE
        >>> smooth = OneEuro()
        >>> first = smooth(MEAN_FACE * 100, 0.0)
        >>> bool(np.abs(smooth(MEAN_FACE * 100 + 1, 1 / 30) - first).max() < 0.2)
        True
    """

    def __init__(
        self, cutoff: float = 0.2, beta: float = 8.0, speed_cutoff: float = 1.0, schema: PointSchema = IBUG68
    ) -> None:
        self.cutoff, self.beta, self.speed_cutoff, self.schema = cutoff, beta, speed_cutoff, schema
        self._points = self._raw = self._speed = np.zeros((0, 2))
        self._seconds = 0.0

    def __call__(self, points: np.ndarray, seconds: float) -> np.ndarray:
        """Filter the points (K, 2) of the next frame, shown at `seconds`; return them smoothed, float64."""
        raw = np.array(points, np.float64)
        step = seconds - self._seconds
        if self._points.shape != raw.shape:
            self._points, self._speed = raw, np.zeros_like(raw)
        elif step > 0:
            unit = max(float(self.schema.unit(raw)), 1e-6)
            speed = cv2.blur((raw - self._raw) / (unit * step), (1, 5), borderType=cv2.BORDER_REPLICATE)
            self._speed = self._speed + _weight(self.speed_cutoff, step) * (speed - self._speed)
            cutoff = self.cutoff + self.beta * np.linalg.norm(self._speed, axis=-1, keepdims=True)
            self._points = self._points + _weight(cutoff, step) * (raw - self._points)
        self._raw, self._seconds = raw, seconds
        return self._points.copy()


def _weight(cutoff: float | np.ndarray, step: float) -> np.ndarray:
    """Return the weight of the new value in a low-pass filter of `cutoff` Hz after `step` seconds."""
    return 1 / (1 + 1 / (2 * np.pi * np.asarray(cutoff) * step))


@dataclass(frozen=True, eq=False)
class Tracks(Faces):
    """Faces with track ids.

    Attributes:
        ids: (N,) int64; a face keeps its id for as long as it is tracked.
        unseen: (N,) float64, seconds since the detector last found the face.
        rest: (N, S) float64, measurements of the signals on each person's face at rest, as far as known.
        memory: Data that other code keeps about a face from frame to frame; discarded with its track.
    """

    ids: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    unseen: np.ndarray = field(default_factory=lambda: np.zeros(0))
    rest: np.ndarray = field(default_factory=lambda: np.zeros((0, len(SIGNALS))))
    memory: tuple[dict[Any, Any], ...] = ()

    def _fields_of(self, indices: np.ndarray) -> dict[str, Any]:
        own = {name: getattr(self, name)[indices] for name in ("ids", "unseen", "rest")}
        memory = tuple(self.memory[index] for index in np.arange(len(self))[indices])
        return {**super()._fields_of(indices), **own, "memory": memory}

    @functools.cached_property
    def signals(self) -> dict[str, np.ndarray]:
        """Expressions relative to each person's own face at rest: name of a signal -> (N,) float64, 0..1."""
        return scaled(self.measured, self.rest)


@dataclass
class _Track:
    id: int
    found: Faces  # this face alone, unsmoothed
    score: float  # at the last detection
    confirmed: float  # when the detector last found it, in seconds
    smooth: OneEuro
    shown: np.ndarray = field(init=False)  # smoothed
    lost: float = math.inf  # since when the network has found no face in its place, in seconds
    size: float = 0.0  # area of the box, for the rank; see `SAME_SIZE`
    neutral: Neutral = field(default_factory=Neutral)
    memory: dict[Any, Any] = field(default_factory=dict)

    @property
    def points(self) -> np.ndarray:
        return self.found.points[0]

    @property
    def box(self) -> np.ndarray:
        return self.smooth.schema.face_box(self.points)

    @property
    def shown_box(self) -> np.ndarray:
        return self.smooth.schema.face_box(self.shown)


class Tracker:
    """Follows faces from frame to frame.

    The next frame is searched around the points of this one, so that the detector runs only at intervals, shorter ones
    while a face is unconfirmed. Such a face is kept for `hold` seconds, fades and is discarded. Where the network no
    longer finds a face, the detector runs at once, and a face that it does not confirm is discarded within a quarter of
    a second (`LOST_HOLD`, `LOST_FADE`), or at once if the frame differs strongly from the last one (`CUT`).

    Args:
        landmarker: Finds points, with or without boxes.
        detect_every: Number of frames from one detection to the next; fewer if they take longer than `hold`.
        retry_every: The same while a face was missed by the last detection.
        full_every: While all faces are confirmed, every `full_every`-th detection also searches for small faces.
        hold: Seconds for which an unconfirmed face keeps its score.
        fade: Seconds in which its score then falls to zero.
        cutoff: See `OneEuro`; `float("inf")` turns smoothing off.
        beta: See `OneEuro`.
        keep_leaving: Keep a face whose centre has left the image, or that the network no longer finds, for as long as
            any other unconfirmed face. Otherwise the former is discarded at once.

    Example:
        >>> tracker = Tracker(lambda image, boxes=None: Faces.none())
        >>> len(tracker(np.zeros((48, 64, 3), np.uint8), seconds=0.0))
        0
    """

    def __init__(
        self,
        landmarker: Landmarks,
        detect_every: int = 15,
        retry_every: int = 3,
        full_every: int = 4,
        hold: float = 0.5,
        fade: float = 0.5,
        cutoff: float = 0.2,
        beta: float = 8.0,
        keep_leaving: bool = False,
    ) -> None:
        self.landmarker = landmarker
        self._takes = {"points", "quick"} & inspect.signature(landmarker).parameters.keys()
        self.detect_every, self.retry_every, self.full_every = detect_every, retry_every, full_every
        self.hold, self.fade = hold, fade
        self.cutoff, self.beta = cutoff, beta
        self.keep_leaving = keep_leaving
        self._tracks: list[_Track] = []
        self._thumbnail = np.zeros(0)
        self._frame = self._next_id = self._detections = 0
        self._schema = IBUG68  # until the first detection
        self._detected = 0.0

    def __call__(self, image: np.ndarray, seconds: float) -> Tracks:
        """Process the next frame, BGR uint8, shown at `seconds`; return the faces in it, largest first.

        Faces of similar size keep their order: a sticker for one face does not jump between two.
        """
        unsure, cut = self._unsure, self._is_cut(image)
        # At a low frame rate, `detect_every` frames last longer than an unconfirmed face is kept.
        due = bool(self._tracks) and seconds - self._detected >= self.hold
        if due or self._frame % (self.retry_every if unsure else self.detect_every) == 0:
            self._detect(image, seconds, cut)
        else:
            self._follow(image, self._tracks, seconds)
            if any(track.lost == seconds for track in self._tracks):
                self._detect(image, seconds, cut)
        self._frame += 1
        self._tracks = [
            track
            for track in self._tracks
            if self._visible(track, seconds) > 0
            and (self.keep_leaving or (_centre_inside(track.box, image) and not (cut and track.lost == seconds)))
        ]
        for track in self._tracks:
            track.shown = track.smooth(track.points, seconds)
            size = float((track.shown_box[2:] - track.shown_box[:2]).prod())
            if not track.size / SAME_SIZE <= size <= track.size * SAME_SIZE:
                track.size = size
        self._tracks.sort(key=lambda track: -track.size)
        tracks = Tracks(
            np.array([track.shown for track in self._tracks], np.float32).reshape(-1, self._schema.num_points, 2),
            np.array([track.shown_box for track in self._tracks], np.float32).reshape(-1, 4),
            np.array([track.score * self._visible(track, seconds) for track in self._tracks], np.float32),
            self._schema,
            **{name: self._optional(name) for name in PER_POINT},
            ids=np.array([track.id for track in self._tracks], np.int64),
            unseen=np.array([seconds - track.confirmed for track in self._tracks]),
            rest=np.zeros((len(self._tracks), len(SIGNALS))),
            memory=tuple(track.memory for track in self._tracks),
        )
        for index, track in enumerate(self._tracks):
            track.neutral.learn(tracks.measured[index], tracks.pose.yaw[index], seconds)
            tracks.rest[index] = track.neutral.values
        return tracks

    def _is_cut(self, image: np.ndarray) -> bool:
        """Return whether a frame differs strongly from the last one; compares about a thousand pixels."""
        height, width = image.shape[:2]
        last, self._thumbnail = self._thumbnail, image[:: -(-height // 32), :: -(-width // 32)].astype(np.float32)
        return last.shape == self._thumbnail.shape and bool(np.abs(last - self._thumbnail).mean() > CUT)

    @property
    def _unsure(self) -> bool:
        """Whether there is no face, or one that the last detection has not found."""
        return not self._tracks or any(track.confirmed < self._detected for track in self._tracks)

    def _optional(self, name: str) -> np.ndarray | None:
        """Return an output of `PER_POINT` of all tracks; None if there is no track, or one without it."""
        each = [getattr(track.found, name) for track in self._tracks]
        return None if not each or any(array is None for array in each) else np.concatenate(each)

    def _detect(self, image: np.ndarray, seconds: float, cut: bool) -> None:
        """Search the whole image: confirm known faces, add new ones."""
        quick = not self._unsure and self._detections % self.full_every > 0
        options: dict[str, Any] = {"quick": quick} if "quick" in self._takes else {}
        found = self.landmarker(image, **options)
        self._detections += 1
        self._detected, self._schema = seconds, found.schema
        pairs = dict(match(_boxes(self._tracks), found.boxes))
        unseen = [track for index, track in enumerate(self._tracks) if index not in pairs]
        in_place = self._follow(image, unseen, seconds)
        if not cut:  # a face that moved far between two frames is still the same face
            moved = [self._tracks.index(track) for track in unseen if track.id not in in_place]
            free = sorted(set(range(len(found))) - set(pairs.values()))
            for row, column in _nearest(_boxes(self._tracks)[moved], found.boxes[free]):
                pairs[moved[row]] = free[column]
        unseen = [track for index, track in enumerate(self._tracks) if index not in pairs]
        seen = []
        for index, track in enumerate(self._tracks):
            if index in pairs:
                track.found, track.score = _one(found, pairs[index]), float(found.scores[pairs[index]])
                track.confirmed, track.lost = seconds, math.inf
                seen.append(track)
        new = set(range(len(found))) - set(pairs.values())
        for index in sorted(new, key=lambda i: -found.scores[i]):
            if match(found.boxes[[index]], _boxes(seen)):
                continue  # found twice
            smooth = OneEuro(self.cutoff, self.beta, schema=found.schema)
            seen.append(_Track(self._next_id, _one(found, index), float(found.scores[index]), seconds, smooth))
            self._next_id += 1
        # Of two tracks on one face, or one that drifted onto a part of it, the one that the detector found is kept.
        doubles = {index for index, _ in match(_boxes(unseen), _boxes(seen))}
        doubles.update(np.flatnonzero(is_part(_boxes(unseen)[:, None], _boxes(seen)[None]).any(1)).tolist())
        self._tracks = seen + [track for index, track in enumerate(unseen) if index not in doubles]

    def _follow(self, image: np.ndarray, tracks: list[_Track], seconds: float) -> set[int]:
        """Find the points again around the last ones; a face that jumps or is lost keeps its position.

        Returns:
            Ids of the tracks whose faces are certainly in their places.
        """
        in_place = set()
        if tracks:
            last: dict[str, np.ndarray] = {"boxes": _boxes(tracks)}
            if "points" in self._takes:
                last = {"points": np.stack([track.points for track in tracks])}
            found = self.landmarker(image, **last)
            seen = np.flatnonzero(found.scores >= LOST)
            pairs = dict(match(_boxes(tracks), found.boxes[seen]))
            for index, track in enumerate(tracks):
                if index in pairs:
                    track.found, track.lost = _one(found, seen[pairs[index]]), math.inf
                    if track.found.scores[0] >= SURE:
                        in_place.add(track.id)
                elif len(seen) < len(found):
                    track.lost = min(track.lost, seconds)
        return in_place

    def _visible(self, track: _Track, seconds: float) -> float:
        """Return 1 while a face is held, then a value that falls to 0."""
        left = 1 - (seconds - track.confirmed - self.hold) / max(self.fade, 1e-9)
        if not self.keep_leaving:
            left = min(left, 1 - (seconds - track.lost - LOST_HOLD) / LOST_FADE)
        return float(np.clip(left, 0, 1))


def match(boxes: np.ndarray, others: np.ndarray) -> list[tuple[int, int]]:
    """Pair boxes that overlap, best overlap first, each box once.

    Args:
        boxes: (N, 4) x0, y0, x1, y1.
        others: (M, 4).

    Returns:
        Pairs of indices into `boxes` and `others`.

    Example:
        >>> match(np.array([[0, 0, 9, 9], [20, 0, 29, 9]]), np.array([[21, 0, 30, 9]]))
        [(1, 0)]
    """
    return _paired(-iou(boxes[:, None], others[None]), -SAME_TRACK)


def _nearest(boxes: np.ndarray, others: np.ndarray) -> list[tuple[int, int]]:
    """Pair boxes that are close and of similar size, nearest first, each box once."""
    sides = np.maximum((boxes[:, 2:] - boxes[:, :2]).max(1)[:, None], (others[:, 2:] - others[:, :2]).max(1)[None])
    centres, other_centres = (boxes[:, :2] + boxes[:, 2:]) / 2, (others[:, :2] + others[:, 2:]) / 2
    apart = np.linalg.norm(centres[:, None] - other_centres[None], axis=-1) / np.maximum(sides, 1e-9)
    ratio = area(boxes)[:, None] / np.maximum(area(others)[None], 1e-9)
    apart[(ratio < ALIKE) | (ratio > 1 / ALIKE)] = np.inf
    return _paired(apart, NEAR)


def _paired(distances: np.ndarray, max_distance: float) -> list[tuple[int, int]]:
    """Pair rows and columns of (N, M) distances up to `max_distance`, smallest first, each row and column once."""
    pairs = []
    while distances.size and distances.min() <= max_distance:
        row, column = (int(i) for i in np.unravel_index(distances.argmin(), distances.shape))
        pairs.append((row, column))
        distances[row], distances[:, column] = np.inf, np.inf
    return pairs


def _one(faces: Faces, index: int) -> Faces:
    return faces.take(np.array([index]))


def _boxes(tracks: list[_Track]) -> np.ndarray:
    return np.array([track.box for track in tracks]).reshape(-1, 4)


def _centre_inside(box: np.ndarray, image: np.ndarray) -> bool:
    """Return whether the centre of a box lies in the image."""
    centre = (box[:2] + box[2:]) / 2
    return bool((centre >= 0).all() and (centre < image.shape[1::-1]).all())
