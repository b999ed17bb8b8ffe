"""Files: the choice of inputs and outputs, several effects, and photos whose faces are hidden."""

import numpy as np
import pytest
from PIL import Image
from tests_support import noise, turned

from facekp.errors import UserError
from facekp.inference.faces import Faces
from facekp.stickers import Layer, Sticker, Texture
from facekp.stickers.files import Effects, plan, sticker_photo
from facekp.stickers.photo import Photo
from facekp.stickers.privacy import Hider


def test_a_result_of_before_is_left_out_of_a_folder_and_taken_where_it_is_named(tmp_path):
    photo, result = tmp_path / "a.jpg", tmp_path / "a_sticker.jpg"
    for path in (photo, result):
        path.write_bytes(b"")
    assert plan([photo, result], None, [photo, result]) == [(photo, result)]
    named = plan([result], None, [])
    assert named == [(result, tmp_path / "a_sticker_sticker.jpg")]
    out = tmp_path / "out"
    assert [pair[0] for pair in plan([photo, result], out, [])] == [photo, result]


def test_a_photo_that_is_named_is_done_also_if_it_looks_like_a_result(tmp_path):
    photo, result = tmp_path / "a.jpg", tmp_path / "a_sticker.jpg"
    with pytest.raises(UserError, match="would be overwritten"):
        plan([photo, result], None, found=[])
    assert [pair[0] for pair in plan([result], None, found=[])] == [result]
    assert [pair[0] for pair in plan([photo, result], None, found=[photo, result])] == [photo]
    both = plan([photo, result], tmp_path / "out", found=[])
    assert [pair[0] for pair in both] == [photo, result]


def test_effects_come_one_after_the_other():
    dot = Texture(np.full((9, 9, 4), 255, np.uint8))
    sticker = Sticker([Layer("d", (dot,), ("left_eye", "right_eye"), np.array([[2.0, 4.0], [6.0, 4.0]]))])
    result = Effects([Hider("box"), sticker]).apply(noise(), turned())
    assert {40, 255} <= set(result[100:300, 100:300].ravel().tolist())


def test_a_hidden_photo_carries_no_thumbnail(tmp_path):
    exif = Image.Exif()
    exif[0x010E] = "who this is"
    photo = Photo(noise(), exif=exif.tobytes())
    photo.write(tmp_path / "in.png")
    plain = Sticker([])
    sticker_photo(tmp_path / "in.png", tmp_path / "out.png", plain, lambda image: turned(), hide=Hider("box"))
    assert Photo.read(tmp_path / "out.png").exif is None
    with pytest.raises(UserError, match="no face found"):
        sticker_photo(tmp_path / "in.png", tmp_path / "no.png", plain, lambda image: Faces.none(), hide=Hider("box"))
    assert not (tmp_path / "no.png").exists()
