import numpy as np
import paddle
import pytest

from facekp.codecs.points import (
    CODECS,
    LabelStatistics,
    MeanFaceCodec,
    OutputLayout,
    PercentCodec,
    StandardCodec,
    UnitCodec,
    bin_places,
    codec_from_dict,
    codec_to_dict,
    sigmoid,
)
from facekp.errors import UserError
from facekp.landmarks import MEAN_FACE

MEAN_POINTS = tuple(map(tuple, MEAN_FACE.tolist()))
FITTED = [kind.fit(LabelStatistics(104.4725, 43.1730, 112, MEAN_POINTS)) for kind in CODECS.values()]


@pytest.mark.parametrize("codec", FITTED, ids=lambda codec: type(codec).__name__)
def test_decode_undoes_encode_also_through_a_file(codec):
    points = np.random.default_rng(0).uniform(-20, 130, (3, 68, 2)).astype(np.float32)
    encoded = codec.encode(points)
    assert encoded.shape == (3, 136)
    assert encoded.dtype == np.float32
    np.testing.assert_allclose(codec_from_dict(codec_to_dict(codec)).decode(encoded), points, atol=1e-3)


def test_zeros_are_the_mean_face():
    np.testing.assert_allclose(MeanFaceCodec(112, MEAN_POINTS).decode(np.zeros(136)), MEAN_FACE * 112, rtol=1e-5)


def test_what_codecs_are_made_of():
    assert [StandardCodec(104.4725, 43.1730), UnitCodec(112), MeanFaceCodec(112, MEAN_POINTS),
            PercentCodec(112)] == FITTED  # fmt: skip


@pytest.mark.parametrize("codec", FITTED, ids=lambda codec: type(codec).__name__)
def test_unknown_points_stay_unknown(codec):
    points = np.full((2, 68, 2), 50, np.float32)
    points[0, 3], points[1, 5, 0] = np.nan, np.nan
    encoded = codec.encode(points)
    np.testing.assert_array_equal(np.isnan(encoded), np.isnan(points.reshape(2, -1)))
    np.testing.assert_allclose(codec.decode(encoded), points, atol=1e-3)
    assert codec.decode(np.zeros((0, 136), np.float32)).shape == (0, 68, 2)


@pytest.mark.parametrize("kind", [np.asarray, paddle.to_tensor])
def test_outputs_are_split_in_the_order_of_their_names(kind):
    outputs = np.arange(42, dtype=np.float32).reshape(2, 21)
    layout = OutputLayout(5, score=True, sigma=True, visibility=True)
    assert (layout.width, layout.names) == (21, ("points", "score", "sigma", "visibility"))
    parts = layout.split(kind(outputs))
    np.testing.assert_array_equal(np.asarray(parts.points), outputs[:, :10])
    assert np.asarray(parts.score).tolist() == [10, 31]
    np.testing.assert_array_equal(np.asarray(parts.sigma), outputs[:, 11:16])
    np.testing.assert_array_equal(np.asarray(parts.visibility), outputs[:, 16:])
    visibility = OutputLayout(5, visibility=True)
    np.testing.assert_array_equal(np.asarray(visibility.split(kind(outputs)).visibility), outputs[:, 10:15])
    assert OutputLayout(5).split(outputs).score is None
    assert OutputLayout.of({"type": "any", "score": True, "sigma": False}, 5) == OutputLayout(5, score=True)
    assert visibility.named([outputs[:, :10], outputs[:, 10:15]]).visibility.shape == (2, 5)


def test_bins_reach_a_tenth_beyond_the_crop():
    places = bin_places(240)
    np.testing.assert_allclose(np.diff(places), 0.5)
    np.testing.assert_allclose(places[[0, -1]], [-59.75, 59.75])


@pytest.mark.filterwarnings("error")
def test_a_sigmoid_does_not_overflow():
    np.testing.assert_allclose(sigmoid(np.float32([-1e30, -1, 0, 1, 1e30])), [0, 0.26894, 0.5, 0.73106, 1], atol=1e-5)


WRONG = [
    {},
    {"type": "other"},
    {"type": "standard"},
    {"type": "mean_face", "size": 3},
    {"type": "standard", "mean": 0.0, "std": 0.0},
    {"type": "standard", "mean": float("nan"), "std": 1.0},
    {"type": "standard", "mean": 0.0, "std": float("inf")},
    {"type": "standard", "mean": 0.0, "std": 1.0, "size": 3},
    {"type": "unit", "size": 0},
    {"type": "mean_face", "size": -1, "mean_points": [[0.5, 0.5]]},
    {"type": "mean_face", "size": 96, "mean_points": [[0.5, float("nan")]]},
    {"type": "mean_face", "size": 96, "mean_points": [0.5, 0.5]},
    {"type": ["unit"]},
    None,
]


@pytest.mark.parametrize("described", WRONG)
def test_unknown_codecs_are_refused(described):
    with pytest.raises(UserError, match="codec") as caught:
        codec_from_dict(described)
    assert "\n" not in str(caught.value)
