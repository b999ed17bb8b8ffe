"""Loading a landmarker: settings that PaddleHub's does not have."""

import pytest

from facekp.errors import UserError
from facekp.loading import load_landmarker


@pytest.mark.parametrize(
    "options", [{"passes": 3}, {"flip": True}, {"backend": "onnx"}, {"threads": 1}], ids=lambda each: next(iter(each))
)
def test_paddlehubs_landmarker_refuses_what_it_cannot_honour(options):
    with pytest.raises(UserError, match=f"{next(iter(options))}: PaddleHub's landmarker has no such setting"):
        load_landmarker("hub", **options)
