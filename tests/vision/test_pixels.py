import numpy as np
import pytest

from facekp.data.transforms import build_transforms
from facekp.errors import UserError
from facekp.vision.pixels import IMAGENET_MEAN, IMAGENET_STD, PIXELS, build_pixels, imagenet_normalize

PICTURE = np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)


@pytest.mark.parametrize(
    "specs",
    [
        [{"type": "GrayNormalize", "channels": 1}, {"type": "ToCHW"}],
        [{"type": "GrayNormalize"}, {"type": "ToCHW"}],
        *([{"type": name}, {"type": "ToCHW"}] for name in PIXELS if name.endswith("Normalize")),
    ],
)
def test_inference_sees_what_training_saw(specs):
    expected, _ = build_transforms(specs)((PICTURE, np.zeros((68, 2), np.float32)))
    found = build_pixels(specs)(PICTURE)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == expected.dtype == np.float32


def test_imagenet_normalisation_is_that_of_its_mean_and_deviation():
    wanted = (PICTURE[..., ::-1] / 255 - np.array(IMAGENET_MEAN)) / np.array(IMAGENET_STD)
    np.testing.assert_allclose(imagenet_normalize(PICTURE), wanted, atol=1e-6)
    np.testing.assert_allclose(imagenet_normalize(PICTURE[:, ::-1]), wanted[:, ::-1], atol=1e-6)  # a flipped view


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        ([{"type": "Gray"}], "Gray"),
        ([{"type": "CenterCrop", "size": 10}], "pixel step 'CenterCrop'; known are GrayNormalize"),  # moves points
        ([{"type": "GrayNormalize", "colours": 2}], "colours.*channels"),
        ([{"type": "ToCHW", "order": "CHW"}], "ToCHW: unknown option 'order'; known are none"),
        ([{}], "None"),
        ([{"type": "GrayNormalize", "channels": 0}, {"type": "ToCHW"}], "channels is a whole number from 1 to 16"),
        ([{"type": "GrayNormalize", "channels": 1e9}], "channels is a whole number from 1 to 16"),
        ([{"type": "ToCHW"}, {"type": "GrayNormalize"}], "do not fit together"),
        ([{"type": "ToCHW"}, {"type": "ImageNetNormalize"}], "do not fit together"),
    ],
)
def test_what_are_no_steps_is_refused(specs, message):
    with pytest.raises(UserError, match=message) as caught:
        build_pixels(specs)
    assert "\n" not in str(caught.value)
