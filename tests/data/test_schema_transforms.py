"""Transforms with every schema: a dot painted on a landmark lies under the landmark after each transform."""

import random

import numpy as np
import pytest
from tests_support import dot_under, paint_dots

from facekp.data.combine import KeptCrops
from facekp.data.drawn import draw_face
from facekp.data.labelled import LabelsDataset
from facekp.data.labels import Labels, make_face
from facekp.data.transforms import build_transforms
from facekp.io.images import write_image
from facekp.landmarks import IBUG68, SCHEMAS, load_schema
from facekp.vision import geometry

MOVING = {
    "resize": [{"type": "Resize", "size": 180}],
    "crop": [{"type": "Resize", "size": 240}, {"type": "RandomCrop", "size": 230}],
    "flip": [{"type": "RandomFlip", "p": 1.0}],
    "face crop": [{"type": "FaceCrop", "size": 200, "margin": 0.3}],
    "face crop, all of it": [
        {"type": "FaceCrop", "size": 200, "margin": 0.4, "rotate": 20, "scale": 0.2, "shift": 0.05, "flip": 0.5}
    ],
}


def face_of(schema, seed, size=260):
    """Return the points of a drawn face: converted to the schema, or else its mean face aligned to the face."""
    points = IBUG68.converted(draw_face(seed, size)[1], schema)
    if points is not None:
        return points
    carry = geometry.similarity(IBUG68.mean_points, draw_face(seed, size)[1])
    return geometry.apply(carry, schema.mean_points)


@pytest.mark.parametrize("pipeline", MOVING)
@pytest.mark.parametrize("name", SCHEMAS)
def test_every_dot_lies_under_its_landmark(name, pipeline):
    schema = load_schema(name)
    points = face_of(schema, 3)
    apart: list[int] = []
    for i, point in enumerate(points):
        if all(np.linalg.norm(point - points[j]) > 16 for j in apart):
            apart.append(i)
    image = paint_dots(points[apart], (260, 290))
    transform = build_transforms(MOVING[pipeline], schema)
    for seed in range(4):
        random.seed(seed)
        np.random.seed(seed)
        moved_image, moved = transform((image, points.copy()))
        height, width = moved_image.shape[:2]
        if hasattr(transform.transforms[-1], "flipped"):
            mirrored = transform.transforms[-1].flipped
        else:
            mirrored = pipeline == "flip"
        for i in apart:
            x, y = moved[schema.flip_order[i] if mirrored else i]
            if 6 <= x < width - 7 and 6 <= y < height - 7:
                np.testing.assert_allclose(dot_under(moved_image, (x, y)), (x, y), atol=0.5, err_msg=schema.points[i])


@pytest.mark.parametrize("name", SCHEMAS)
def test_missing_points_stay_missing_and_move_with_their_mirror_image(name, tmp_path):
    schema = load_schema(name)
    points = face_of(schema, 5).astype(np.float64)
    left, right = schema.mirror_pairs[0]
    points[left] = np.nan
    write_image(tmp_path / "a.png", np.zeros((260, 260, 3), np.uint8))
    face = make_face(schema, tmp_path / "a.png", points, where="here")
    faces = KeptCrops(LabelsDataset(Labels(schema, [face]), tmp_path, "x"), face_side=150)
    image, kept = faces.load(0)
    for flip in (0.0, 1.0):
        transform = build_transforms([{"type": "FaceCrop", "size": 100, "flip": flip}], schema)
        moved = transform((image, kept))[1]
        missing = np.flatnonzero(~np.isfinite(moved).all(1)).tolist()
        assert missing == [right if flip else left]
