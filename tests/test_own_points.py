"""User-defined points, end to end: a schema file, COCO labels, training, evaluation, export and video."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from facekp.data.drawn import DrawnFacesDataset, draw_face, write_drawn_faces
from facekp.data.labels import VISIBLE
from facekp.errors import UserError
from facekp.evaluation.landmarks import BOX_EXPANSION
from facekp.inference.export import export
from facekp.inference.tracking import Tracker
from facekp.io.video import convert
from facekp.landmarks import load_schema
from facekp.loading import load_landmarker
from facekp.recipes import read_recipe
from facekp.training import evaluate, train
from facekp.training.config import parse_config
from facekp.viz import draw_points

TWELVE = """
name: twelve
points: [
  left_eye_outer, left_eye_inner, right_eye_inner, right_eye_outer, nose_tip, left_nostril, right_nostril,
  left_lip_corner, right_lip_corner, upper_lip, lower_lip, chin
]
regions: {eyes: 0-3, nose: 4-6, mouth: 7-10, chin: chin}
normalise: [left_eye_outer, right_eye_outer]
edges: [{points: [7, 9, 8, 10], closed: true}]
anchors: {left_eye: [0, 1], right_eye: [2, 3], mouth: 7-10}
whole_face: false
"""

#: Indices of the twelve points among the 68; the schema has no such conversion, as if no other schema had its points.
IN_68 = [36, 39, 42, 45, 30, 31, 35, 48, 54, 51, 57, 8]


def faces_of(folder, count):
    """Write drawn faces with labels of the twelve points; every fifth lacks the chin, some have a hidden nose."""
    write_drawn_faces(folder, count)
    path = folder / "labels.json"
    values = json.loads(path.read_text())
    values["categories"][0].update(keypoints=list(load_schema(folder / "twelve.yml").points), skeleton=[])
    for number, annotation in enumerate(values["annotations"]):
        triples = np.array(annotation["keypoints"]).reshape(68, 3)[IN_68]
        if number % 5 == 0:
            triples[11] = 0
        triples[4:7, 2] = 1 if number % 7 == 0 else VISIBLE
        annotation["keypoints"] = triples.ravel().tolist()
        del annotation["bbox"]
    path.write_text(json.dumps(values))
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Folder and config of a short training run on the twelve points."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "twelve.yml").write_text(TWELVE)
    crop = {"type": "FaceCrop", "size": 96, "margin": 0.15}
    config = parse_config(
        {
            "name": "own", "output": str(folder), "size": 96,
            "data": {
                "sources": [{"type": "coco", "labels": str(faces_of(folder, 220)),
                             "schema": str(folder / "twelve.yml")}],
                "keep_crops": True, "hidden_weight": 0.5, "workers": 0,
                "train": [{**crop, "rotate": 10, "scale": 0.1, "shift": 0.05, "flip": 0.5}], "validation": [crop],
                "pixels": [{"type": "GrayNormalize", "channels": 1}, {"type": "ToCHW"}],
            },
            "network": {"type": "plain_resnet", "in_channels": 1, "channels": [8, 16, 32, 32], "map_size": 3},
            "codec": "mean_face",
            "optimizer": {"type": "adamw", "lr": 4e-3},
            "train": {"epochs": 13, "batch_size": 16},
        },
        "own",
    )  # fmt: skip
    train(config)
    return folder / "own", config


def test_it_learns_and_is_evaluated_by_its_own_regions(run):
    folder, config = run
    table = evaluate(config, str(folder / "best.safetensors")).tables["all"]
    assert table["faces"] == 22
    assert table["nme"] < 0.08
    assert {"nme_eyes", "nme_nose", "nme_mouth", "nme_chin"} <= table.keys()
    schema = read_recipe(folder / "best.safetensors").schema
    assert schema.name == "twelve" and schema.num_points == 12
    own = schema.mean_points - schema.mean_points.mean(0)
    there = load_schema("ibug68").mean_points[IN_68]
    np.testing.assert_allclose(own, there - there.mean(0), atol=0.06)  # from the labels, scaled as an average face


def test_a_validation_that_no_error_can_be_measured_on_is_refused(run):
    _, config = run
    labels = json.loads(Path(config.data.sources[0].labels).read_text())
    for annotation in labels["annotations"]:
        annotation["keypoints"][:3] = [0, 0, 0]
    other = Path(config.data.sources[0].labels).with_name("without.json")
    other.write_text(json.dumps(labels))
    source = config.data.sources[0].model_copy(update={"validation": str(other)})
    with pytest.raises(UserError, match=r"own: no face of the validation has \w+ and \w+, whose distance"):
        config.what.build_data(config.model_copy(update={"data": config.data.model_copy(update={"sources": [source]})}))


def test_it_is_exported_and_follows_a_video(run, tmp_path):
    folder, _ = run
    export(folder / "best.safetensors", tmp_path / "exported")
    inside, outside = load_landmarker(folder / "best.safetensors"), load_landmarker(tmp_path / "exported")
    image, points = draw_face(3000)
    centre, half = (points.max(0) + points.min(0)) / 2, (points.max(0) - points.min(0)) / 2 * BOX_EXPANSION
    box = [[*(centre - half), *(centre + half)]]
    one, other = inside(image, boxes=box), outside(image, boxes=box)
    np.testing.assert_allclose(one.points, other.points, atol=0.05)
    assert one.points.shape == (1, 12, 2) and other.schema == read_recipe(folder / "best.safetensors").schema
    assert np.linalg.norm(one.points[0] - points[IN_68], axis=1).mean() < 6
    np.testing.assert_allclose(one.boxes[0], [*points.min(0), *points.max(0)], atol=12)  # box of the whole face

    video = cv2.VideoWriter(str(tmp_path / "in.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 10, (320, 240))
    for shift in range(6):
        frame = np.full((240, 320, 3), 128, np.uint8)
        frame[40:200, 60 + 2 * shift : 220 + 2 * shift] = image
        video.write(frame)
    video.release()
    tracker, seen = Tracker(outside), []

    def draw(frame, seconds):
        faces = tracker(frame, seconds)
        seen.append(faces)
        for face in faces.points:
            frame = draw_points(frame, face, schema=faces.schema)
        return frame

    assert convert(tmp_path / "in.mp4", tmp_path / "out.mp4", draw).frames == 6
    assert all(faces.points.shape == (1, 12, 2) and faces.ids[0] == 0 for faces in seen)


def test_drawn_faces_need_a_way_from_the_68_points(run):
    schema = read_recipe(run[0] / "best.safetensors").schema
    with pytest.raises(Exception, match="add convert_from: ibug68"):
        DrawnFacesDataset(1, schema=schema)
