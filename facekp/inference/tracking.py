"""Faces through a video: detect once, then follow; steady points; a name for every face."""

from __future__ import annotations

import functools
import inspect
import math
from dataclasses import dataclass, field
from typing import Any, Protocol

import cv2
import numpy as np

from facekp.inference.faces import Faces
from facekp.landmarks import IBUG68, SIGNALS, Neutral, PointSchema, scaled
from facekp.vision.boxes import area, iou, is_part

#: Boxes that overlap less are not the same face.
SAME_FACE = 0.3

#: Where the network's score is lower, there is no face any more; it stays for so many seconds, and fades in so many.
LOST, LOST_HOLD, LOST_FADE = 0.05, 0.1, 0.15

#: After a cut, it is gone at once: an image differs from the last one by more grey levels, in the mean.
CUT = 30

#: From this score on the network is sure of a face in its place.
SURE = 0.5

#: A face that is not where it was is one that is new and not further off than this, in sides of the larger box, and not
#: smaller than this part of it in area, nor larger.
NEAR, ALIKE = 1.0, 0.4

#: A face's rank changes only when its area has changed by more than this factor: equal faces do not swap ranks.
SAME_SIZE = 1.25


class Landmarks(Protocol):
    """What a tracker needs of a landmarker; `facekp.load_landmarker()` returns one.

    If a call also takes `points`, those of the last frame, it gets them in place of `boxes`: one pass is enough then.
    If it takes `quick`, that is true where only large faces are looked for.
    """

    def __call__(self, image: np.ndarray, boxes: np.ndarray | None = None) -> Faces:
        """Find the faces of an image, or the points of faces in `boxes`."""


class OneEuro:
    """The One-Euro filter (Casiez, Roussel and Vogel, 2012) for the points of one face.

    A slow point is smoothed strongly, a fast one hardly delayed. Speed counts in eye distances per second, so
    that a face is smoothed alike at every resolution. A point's speed is averaged with its neighbours', which
    share its motion but not its noise.

    Args:
        cutoff: Hz, for a point at rest; lower is steadier.
        beta: Hz per (eye distance / second); higher follows faster.
        speed_cutoff: Hz, for the speed itself.
        schema: What the points are.

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
        """Take the points (K, 2) of the next frame, shown at `seconds`; return them smoothed, float64."""
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
    """Share of the new value in a low-pass filter of `cutoff` Hz after `step` seconds."""
    return 1 / (1 + 1 / (2 * np.pi * np.asarray(cutoff) * step))


@dataclass(frozen=True, eq=False)
class Tracks(Faces):
    """Faces that know which is which.

    Attributes:
        ids: (N,) int64; a face keeps its number for as long as it is followed.
        unseen: (N,) float64, seconds since a detector last saw the face.
        rest: (N, S) float64, what the signals measure on each person's face at rest, as far as it is known.
        memory: What others keep about a face from frame to frame; forgotten with it.
    """

    ids: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    unseen: np.ndarray = field(default_factory=lambda: np.zeros(0))
    rest: np.ndarray = field(default_factory=lambda: np.zeros((0, len(SIGNALS))))
    memory: tuple[dict[Any, Any], ...] = ()

    def take(self, indices: np.ndarray) -> Tracks:
        """See `Faces.take`."""
        faces, chosen = super().take(indices), np.arange(len(self))[indices]
        own = {"ids": self.ids[chosen], "unseen": self.unseen[chosen], "rest": self.rest[chosen]}
        said = (faces.points, faces.boxes, faces.scores, faces.schema, faces.sigma, faces.visibility)
        return Tracks(*said, **own, memory=tuple(self.memory[index] for index in chosen))

    @functools.cached_property
    def signals(self) -> dict[str, np.ndarray]:
        """What the faces do, against each person's own face at rest: name -> (N,) float64, 0..1."""
        return scaled(self.measured, self.rest)


@dataclass
class _Track:
    id: int
    found: Faces  # this face alone, unsmoothed
    score: float  # at the last detection
    confirmed: float  # when a detector last saw it, in seconds
    smooth: OneEuro
    shown: np.ndarray = field(init=False)  # smoothed
    lost: float = math.inf  # since when the network has seen no face in its place, in seconds
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

    The next frame is searched around this frame's points, so that the detector runs only every so often, and
    sooner while a face has not been confirmed. Such a face stays for `hold` seconds, fades and is forgotten. Where the
    network sees no face any more, the detector runs at once, and what it does not confirm is forgotten in a quarter of
    a second (`LOST_HOLD`, `LOST_FADE`), or at once if the image has little to do with the last one (`CUT`).

    Args:
        landmarker: Finds points, with or without boxes.
        detect_every: Frames from one detection to the next; fewer if they take longer than `hold`.
        retry_every: The same while a face has not been seen by the last detection.
        full_every: While all faces are confirmed, one of so many detections also looks for small faces; 1: all do.
        hold: Seconds that an unconfirmed face keeps its score.
        fade: Seconds in which its score then falls to nothing.
        cutoff: See `OneEuro`; `float("inf")` leaves the points as they are.
        beta: See `OneEuro`.
        keep_leaving: Keep a face whose middle has left the image, or that the network does not see any more, for as
            long as any other unconfirmed face. Otherwise the first is forgotten at once.

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
        self._glance = np.zeros(0)
        self._frame = self._next_id = self._detections = 0
        self._schema = IBUG68  # until the landmarker answers
        self._detected = 0.0

    def __call__(self, image: np.ndarray, seconds: float) -> Tracks:
        """Take the next frame, BGR uint8, shown at `seconds`; return the faces in it, the largest first.

        Faces of about one size keep their order: a sticker for one face does not jump between two.
        """
        unsure, cut = self._unsure, self._is_cut(image)
        # At few frames a second `detect_every` of them last longer than an unconfirmed face is kept.
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
            and (self.keep_leaving or (_meets(track.box, image) and not (cut and track.lost == seconds)))
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
            sigma=self._said("sigma"),
            visibility=self._said("visibility"),
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
        """Whether an image has little to do with the last one; looks at a thousand pixels."""
        height, width = image.shape[:2]
        last, self._glance = self._glance, image[:: -(-height // 32), :: -(-width // 32)].astype(np.float32)
        return last.shape == self._glance.shape and bool(np.abs(last - self._glance).mean() > CUT)

    @property
    def _unsure(self) -> bool:
        """Whether there is no face, or one that the last detection has not seen."""
        return not self._tracks or any(track.confirmed < self._detected for track in self._tracks)

    def _said(self, name: str) -> np.ndarray | None:
        """`sigma` or `visibility` of the tracks; None if there is none, or of a track none."""
        each = [getattr(track.found, name) for track in self._tracks]
        return None if not each or any(array is None for array in each) else np.concatenate(each)

    def _detect(self, image: np.ndarray, seconds: float, cut: bool) -> None:
        """Look at the whole image: confirm the faces that are known, add the new ones."""
        quick = not self._unsure and self._detections % self.full_every > 0
        options: dict[str, Any] = {"quick": quick} if "quick" in self._takes else {}
        found = self.landmarker(image, **options)
        self._detections += 1
        self._detected, self._schema = seconds, found.schema
        pairs = dict(match(_boxes(self._tracks), found.boxes))
        unseen = [track for index, track in enumerate(self._tracks) if index not in pairs]
        in_place = self._follow(image, unseen, seconds)
        if not cut:  # what moved too far between two frames is the same face all the same
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
        # Two tracks on one face, or one that slid onto a part of it: the one that the detector saw stays.
        doubles = {index for index, _ in match(_boxes(unseen), _boxes(seen))}
        doubles.update(np.flatnonzero(is_part(_boxes(unseen)[:, None], _boxes(seen)[None]).any(1)).tolist())
        self._tracks = seen + [track for index, track in enumerate(unseen) if index not in doubles]

    def _follow(self, image: np.ndarray, tracks: list[_Track], seconds: float) -> set[int]:
        """Find the points again around the last ones; a face that jumps or is lost stays where it was.

        Returns:
            Numbers of the tracks whose faces are surely in their places.
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
        """1 while a face is held, then down to 0."""
        left = 1 - (seconds - track.confirmed - self.hold) / max(self.fade, 1e-9)
        if not self.keep_leaving:
            left = min(left, 1 - (seconds - track.lost - LOST_HOLD) / LOST_FADE)
        return float(np.clip(left, 0, 1))


def match(boxes: np.ndarray, others: np.ndarray) -> list[tuple[int, int]]:
    """Pair boxes that overlap, the best overlap first, each box once.

    Args:
        boxes: (N, 4) x0, y0, x1, y1.
        others: (M, 4).

    Returns:
        Pairs of indices.

    Example:
        >>> match(np.array([[0, 0, 9, 9], [20, 0, 29, 9]]), np.array([[21, 0, 30, 9]]))
        [(1, 0)]
    """
    return _paired(-iou(boxes[:, None], others[None]), -SAME_FACE)


def _nearest(boxes: np.ndarray, others: np.ndarray) -> list[tuple[int, int]]:
    """Pair boxes that are near and of about one size, the nearest first, each box once."""
    sides = np.maximum((boxes[:, 2:] - boxes[:, :2]).max(1)[:, None], (others[:, 2:] - others[:, :2]).max(1)[None])
    middles, other_middles = (boxes[:, :2] + boxes[:, 2:]) / 2, (others[:, :2] + others[:, 2:]) / 2
    apart = np.linalg.norm(middles[:, None] - other_middles[None], axis=-1) / np.maximum(sides, 1e-9)
    ratio = area(boxes)[:, None] / np.maximum(area(others)[None], 1e-9)
    apart[(ratio < ALIKE) | (ratio > 1 / ALIKE)] = np.inf
    return _paired(apart, NEAR)


def _paired(apart: np.ndarray, most: float) -> list[tuple[int, int]]:
    """Pairs of a row and a column of (N, M) distances, the least first and no more than `most`, each once."""
    pairs = []
    while apart.size and apart.min() <= most:
        row, column = (int(i) for i in np.unravel_index(apart.argmin(), apart.shape))
        pairs.append((row, column))
        apart[row], apart[:, column] = np.inf, np.inf
    return pairs


def _one(faces: Faces, index: int) -> Faces:
    return faces.take(np.array([index]))


def _boxes(tracks: list[_Track]) -> np.ndarray:
    return np.array([track.box for track in tracks]).reshape(-1, 4)


def _meets(box: np.ndarray, image: np.ndarray) -> bool:
    """Whether the middle of a box lies in the image."""
    middle = (box[:2] + box[2:]) / 2
    return bool((middle >= 0).all() and (middle < image.shape[1::-1]).all())
