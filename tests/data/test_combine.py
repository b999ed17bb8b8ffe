import numpy as np

from facekp.data.combine import JoinedDataset, KeptCrops, NoFacesDataset
from facekp.data.drawn import DrawnFacesDataset, draw_face
from facekp.data.pts import PtsDataset
from facekp.data.transforms import build_transforms
from facekp.io.images import write_image
from facekp.landmarks import MEAN_FACE
from facekp.vision import geometry


def test_kept_crops_show_the_same_face():
    faces = DrawnFacesDataset(4, size=240)
    transform = build_transforms([{"type": "FaceCrop", "size": 96, "margin": 0.2}])
    kept = JoinedDataset([KeptCrops(faces, face_side=110)], transform)
    direct = JoinedDataset([faces], transform)
    for i in range(4):
        np.testing.assert_allclose(kept[i][1], direct[i][1], atol=0.02)
        assert np.abs(kept[i][0].astype(int) - direct[i][0].astype(int)).mean() < 3
    assert kept.parts[0].load(0)[0].shape[0] < 240


def test_joined_sets_keep_their_order():
    parts = [DrawnFacesDataset(2), DrawnFacesDataset(3, first_seed=10)]
    joined = JoinedDataset(parts)
    assert [joined.name(i) for i in range(len(joined))] == [f"drawn face {i}" for i in (0, 1, 10, 11, 12)]
    np.testing.assert_array_equal(joined[3][1], draw_face(11)[1])


def test_squares_without_a_face_lie_beside_all_faces_of_their_picture(tmp_path):
    rng = np.random.default_rng(0)
    faces = []
    for place in ((20, 30), (180, 90)):
        faces.append(MEAN_FACE / MEAN_FACE.max() * 60 + place)
        text = "\n".join(f"{x + 1} {y + 1}" for x, y in faces[-1])
        (tmp_path / f"a_{len(faces)}.pts").write_text(text)
    write_image(tmp_path / "a.png", rng.integers(0, 256, (200, 300, 3), dtype=np.uint8))
    boxes = [geometry.bounding_box(face) for face in faces]
    squares = NoFacesDataset([PtsDataset(tmp_path)])
    assert len(squares) == 2
    assert len(NoFacesDataset([PtsDataset(tmp_path)], every=2)) == 1
    for seed in range(10):
        for index in range(2):
            image, points = NoFacesDataset([PtsDataset(tmp_path)], seed=seed).load(index)
            assert image.shape == (200, 300, 3)
            square = geometry.bounding_box(points)
            for box in boxes:
                inside = np.clip(np.minimum(square[2:], box[2:]) - np.maximum(square[:2], box[:2]), 0, None).prod()
                assert inside < 0.16 * (box[2:] - box[:2]).prod()
    assert not squares.has_face(0)
    assert np.isnan(squares[0][1]).all()
    assert np.isnan(JoinedDataset([KeptCrops(squares, 60)])[1][1]).all()
