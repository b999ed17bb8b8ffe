import numpy as np
import pytest

from facekp.errors import UserError
from facekp.io.safetensors import read_metadata, read_safetensors, write_safetensors

ARRAYS = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.float16([1.5])}


def test_arrays_and_texts_come_back(tmp_path):
    path = tmp_path / "new" / "w.safetensors"
    write_safetensors(path, ARRAYS, {"format": "a test", "text": "ä\n"})
    arrays, metadata = read_safetensors(path)
    assert metadata == read_metadata(path) == {"format": "a test", "text": "ä\n"}
    assert arrays.keys() == ARRAYS.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, ARRAYS[name])
        assert array.dtype == ARRAYS[name].dtype
    assert [file.name for file in path.parent.iterdir()] == ["w.safetensors"]


def test_a_file_without_texts_has_none(tmp_path):
    write_safetensors(tmp_path / "w.safetensors", ARRAYS, {})
    assert read_metadata(tmp_path / "w.safetensors") == {}


@pytest.mark.parametrize("read", [read_safetensors, read_metadata])
def test_what_is_missing_or_damaged_is_named_in_a_line(tmp_path, read):
    with pytest.raises(UserError, match=r"none\.safetensors: no such weights"):
        read(tmp_path / "none.safetensors")
    with pytest.raises(UserError, match=r"no such weights|a folder"):
        read(tmp_path)
    write_safetensors(tmp_path / "w.safetensors", ARRAYS, {"format": "a test"})
    whole = (tmp_path / "w.safetensors").read_bytes()
    for damaged in (b"", whole[:20], whole[:-1], b"\xff" * 8 + whole[8:]):
        (tmp_path / "w.safetensors").write_bytes(damaged)
        with pytest.raises(UserError, match=r"w\.safetensors: not a safetensors file( of ours)?, or damaged") as caught:
            read(tmp_path / "w.safetensors")
        assert "\n" not in str(caught.value)


def test_a_place_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file"):
        write_safetensors(tmp_path / "file" / "w.safetensors", ARRAYS, {})
