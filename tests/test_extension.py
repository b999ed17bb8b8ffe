"""Every registry can be extended from outside the package with one entry."""

import cv2
import numpy as np
import paddle
import pytest
import yaml
from paddle import nn

from facekp.data.drawn import DrawnFacesDataset
from facekp.data.formats import FORMATS
from facekp.data.source import Source, Split
from facekp.detectors import DETECTORS, load_detector
from facekp.inference.faces import Faces
from facekp.landmarks import IBUG68, MEAN_FACE, anchor_names, load_schema
from facekp.landmarks.head import HEAD_PLACES
from facekp.loading import load_landmarker
from facekp.losses import LOSSES
from facekp.metrics import METRICS, NME
from facekp.models import NETWORKS
from facekp.models.heads import HEADS
from facekp.stickers import Layer, Sticker, Texture
from facekp.training import evaluate, load_config, train


class TinyNetwork(nn.Layer):
    def __init__(self, num_points, in_channels=1, width=4):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2D(in_channels, width, 3, stride=8), nn.ReLU(), nn.AdaptiveAvgPool2D(2))
        self.head = nn.Linear(4 * width, 2 * num_points)

    def forward(self, x):
        return self.head(self.body(x).flatten(1))


class FewDrawnFaces(Source):
    """Drawn faces with the points of a given schema."""

    count: int = 8
    schema_file: str = ""

    @property
    def schema_of_points(self):
        return load_schema(self.schema_file) if self.schema_file else IBUG68

    def load(self):
        return Split(*([self._faces(first)] for first in (0, self.count)))

    def _faces(self, first):
        faces = DrawnFacesDataset(self.count, first_seed=first)
        faces.kind, faces.schema = "few", self.schema_of_points
        return faces


class Furthest(NME):
    def __init__(self, codec=None, schema=IBUG68, power=1):
        super().__init__(codec, schema, f"furthest_{power}")


def quick(tmp_path, *options):
    return load_config(
        "configs/quickstart.yml",
        [
            "data.sources=[{type: drawn, train: 8, validation: 4}]", "data.workers=0", "train.epochs=1", "size=96",
            "network.channels=[4, 4]", f"output={tmp_path}", *options,
        ],
    )  # fmt: skip


def test_a_network(monkeypatch, tmp_path):
    monkeypatch.setitem(NETWORKS, "tiny", TinyNetwork)
    summary = train(quick(tmp_path, "network={type: tiny, width: 3}"))
    assert load_landmarker(summary.weights)(np.zeros((60, 60, 3), np.uint8), boxes=[[9, 9, 50, 50]]).points.shape == (
        1,
        68,
        2,
    )


def test_a_head(monkeypatch, tmp_path):
    class LastPlace(nn.Layer):
        def __init__(self, channels, outputs, gain=1.0):
            super().__init__()
            self.linear, self.gain = nn.Linear(channels, outputs), gain

        def forward(self, x):
            return self.linear(x[:, :, -1, -1]) * self.gain

    monkeypatch.setitem(HEADS, "last_place", LastPlace)
    assert train(quick(tmp_path, "network.head={type: last_place, gain: 0.5}")).weights.is_file()


def test_a_loss_and_a_metric(monkeypatch, tmp_path):
    def powered(power=2.0):
        class Powered(nn.Layer):
            def forward(self, predicted, label):
                return ((predicted - label).abs() ** power).mean()

        return Powered()

    monkeypatch.setitem(LOSSES, "powered", powered)
    monkeypatch.setitem(METRICS, "furthest", Furthest)
    options = ["loss={type: powered, power: 1.5}", "metrics=[{type: furthest, power: 3}, nme]"]
    summary = train(quick(tmp_path, *options))
    assert summary.metric == "furthest_3"
    result = evaluate(load_config(summary.weights.with_name("config.yml")), str(summary.weights))
    assert result.further == ("furthest_3",)
    assert result.tables["all"]["furthest_3"] == pytest.approx(summary.best, rel=1e-4)


def test_a_metric_that_does_not_count(monkeypatch, tmp_path):
    class Hits(paddle.metric.Metric):
        def __init__(self, codec=None, schema=None):
            super().__init__()
            self.reset()

        def name(self):
            return "hits_px"

        def reset(self):
            self.values = []

        def update(self, predicted, label):
            self.values.append(float(np.abs(predicted - label).max()))

        def accumulate(self):
            return max(self.values)

    monkeypatch.setitem(METRICS, "hits", Hits)
    assert np.isfinite(train(quick(tmp_path, "metrics=[hits, nme]")).best)


def test_a_format_and_a_schema_of_98_points_from_a_file(monkeypatch, tmp_path):
    """The first 68 points are those of iBUG; thirty more lie between them."""
    extra = [f"{side}_extra_{i}" for i in range(15) for side in ("left", "right")]
    schema = {
        "name": "mine98",
        "points": [*IBUG68.points, *extra],
        "regions": {"ibug": "0-67"},
        "normalise": ["left_eye_outer", "right_eye_outer"],
        "anchors": {"left_eye": "36-41", "right_eye": "42-47"},
        "convert": {"ibug68": list(range(68))},
    }
    (tmp_path / "mine98.yml").write_text(yaml.safe_dump(schema))

    class With98(FewDrawnFaces):
        def _faces(self, first):
            faces = super()._faces(first)
            plain = faces.load
            faces.load = lambda index: (plain(index)[0], _to_98(plain(index)[1]))
            return faces

    monkeypatch.setitem(FORMATS, "few", With98)
    sources = f"data.sources=[{{type: few, count: 6, schema_file: {tmp_path / 'mine98.yml'}}}]"
    summary = train(quick(tmp_path, sources))
    landmarker = load_landmarker(summary.weights)
    faces = landmarker(np.zeros((80, 80, 3), np.uint8), boxes=[[10, 10, 70, 70]])
    assert faces.points.shape == (1, 98, 2) and faces.schema.name == "mine98"
    assert {"crown", "chin", "left_eye"} <= anchor_names(faces.schema)  # by conversion to the 68
    worn = _crown().apply(np.zeros((80, 80, 3), np.uint8), Faces.from_arrays(
        [_to_98(MEAN_FACE * 30 + 25)], [[25, 25, 55, 55]], [1.0], faces.schema))  # fmt: skip
    assert worn.any()


def _to_98(points):
    between = (points[:30] + points[1:31]) / 2
    return np.concatenate([points, between]).astype(np.float32)


def _crown():
    white = Texture(np.full((9, 9, 4), 255, np.uint8))
    return Sticker([Layer("crown", (white,), ("left_eye", "crown"), np.array([[2.0, 4.0], [6.0, 4.0]]))], "crown")


def test_a_detector(monkeypatch):
    def middle(argument):
        share = float(argument or 0.5)

        def detect(image):
            height, width = image.shape[:2]
            box = [width * (1 - share) / 2, height * (1 - share) / 2, width * (1 + share) / 2, height * (1 + share) / 2]
            return np.float32([box]), np.float32([1.0])

        return detect

    monkeypatch.setitem(DETECTORS, "middle", middle)
    boxes, _ = load_detector("middle:0.25")(np.zeros((80, 160, 3), np.uint8))
    assert boxes.tolist() == [[60, 30, 100, 50]]
    photo = cv2.imread("assets/photos/astronaut.png")
    assert load_landmarker(detector="middle").detector(photo)[0].shape == (1, 4)


def test_an_anchor(monkeypatch):
    monkeypatch.setitem(HEAD_PLACES, "third_eye", (0.5, -0.1, 0.3))
    anchor_names.cache_clear()
    dot = Texture(np.full((9, 9, 4), 255, np.uint8))
    sticker = Sticker([Layer("eye", (dot,), ("third_eye", "nose_tip"), np.array([[4.0, 2.0], [4.0, 6.0]]))])
    faces = Faces.from_arrays([MEAN_FACE * 100 + 50], [[50, 50, 150, 147]], [1.0])
    worn = sticker.apply(np.zeros((200, 200, 3), np.uint8), faces)
    anchor_names.cache_clear()
    assert worn[45, 100].any()  # above the brows
