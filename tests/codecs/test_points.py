import numpy as np
import pytest

from facekp.codecs.points import MeanFaceCodec, StandardCodec, codec_from_dict, codec_to_dict
from facekp.errors import UserError
from facekp.landmarks import MEAN_FACE

CODECS = [StandardCodec(104.4725, 43.1730), MeanFaceCodec(112, tuple(map(tuple, MEAN_FACE.tolist())))]


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: type(codec).__name__)
def test_decode_undoes_encode_also_through_a_file(codec):
    points = np.random.default_rng(0).uniform(-20, 130, (3, 68, 2)).astype(np.float32)
    encoded = codec.encode(points)
    assert encoded.shape == (3, 136)
    assert encoded.dtype == np.float32
    np.testing.assert_allclose(codec_from_dict(codec_to_dict(codec)).decode(encoded), points, atol=1e-3)


def test_zeros_are_the_mean_face():
    np.testing.assert_allclose(CODECS[1].decode(np.zeros(136)), MEAN_FACE * 112, rtol=1e-5)


@pytest.mark.parametrize("described", [{}, {"type": "other"}, {"type": "standard"}, {"type": "mean_face", "size": 3}])
def test_unknown_codecs_are_refused(described):
    with pytest.raises(UserError, match="codec"):
        codec_from_dict(described)
