import numpy as np
import pytest

from facekp.data.combine import JoinedDataset, KeptCrops
from facekp.data.photos import PhotosDataset
from facekp.data.transforms import build_transforms
from facekp.errors import UserError
from facekp.io.images import write_image
from facekp.landmarks import load_schema

FACE, EYE, BESIDE, SHIFTED = [20, 30, 80, 100], [25, 40, 45, 55], [120, 30, 150, 60], [25, 35, 88, 104]


def detector(image):
    """Return the same boxes for all images that are not black."""
    if not image.any():
        return np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
    return np.float32([EYE, FACE, BESIDE, SHIFTED]), np.float32([0.4, 0.9, 0.6, 0.5])


@pytest.fixture
def paths(tmp_path):
    rng = np.random.default_rng(0)
    noise = rng.integers(1, 256, (150, 200, 3), dtype=np.uint8)
    for name, image in (("a", noise), ("b", np.zeros_like(noise)), ("c", noise)):
        write_image(tmp_path / f"{name}.png", image)
    return sorted(tmp_path.iterdir())


def test_the_box_of_the_highest_score_is_a_face_and_its_parts_are_none(paths):
    photos = PhotosDataset(paths, detector)
    assert [photos.name(index) for index in range(len(photos))] == [
        "a.png",
        "no face of a.png",
        "c.png",
        "no face of c.png",
    ]
    assert [photos.has_face(index) for index in range(4)] == [True, False, True, False]
    for index, box in ((0, FACE), (1, EYE)):
        np.testing.assert_allclose(photos.schema.face_box(photos.load(index)[1]), box, atol=1e-3)
    labels = [label for _, label in JoinedDataset([photos])]
    assert np.isinf(labels[0]).all() and np.isnan(labels[1]).all()


def test_photos_without_faces_give_negatives_alone(paths):
    photos = PhotosDataset(paths, detector, faces=False)
    assert len(photos) == 8 and not any(photos.has_face(index) for index in range(8))
    assert all(np.isnan(label).all() for _, label in JoinedDataset([photos]))


def test_they_can_be_kept_and_cropped_whatever_the_schema(paths):
    for schema in ("ibug68", "five"):
        kept = KeptCrops(PhotosDataset(paths, detector, schema=load_schema(schema)), face_side=60)
        transform = build_transforms([{"type": "FaceCrop", "size": 96, "rotate": 20, "flip": 0.5}], kept.schema)
        joined = JoinedDataset([kept], transform)
        assert joined[0][0].shape == (96, 96, 3) and np.isinf(joined[0][1]).all() and np.isnan(joined[1][1]).all()


def test_a_detector_that_is_sure_of_nothing_teaches_nothing(paths):
    with pytest.raises(UserError, match="finds nothing in its 3 photos"):
        PhotosDataset(paths, lambda image: (np.float32([FACE]), np.float32([0.49])))
    with pytest.raises(UserError, match="finds nothing in its 1 photo"):
        PhotosDataset(paths[1:2], detector, faces=False)


def test_a_damaged_photo_is_named(paths):
    paths[0].write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"a\.png"):
        PhotosDataset(paths, detector)
