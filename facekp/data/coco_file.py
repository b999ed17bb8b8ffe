"""COCO keypoint files, as written and read by CVAT, Label Studio and mmpose; works without Paddle."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from facekp.data.labels import (
    Face,
    Labels,
    box_of,
    in_order,
    make_face,
    numbers,
    plain,
    read_json,
    relative,
    schema_named,
)
from facekp.errors import UserError
from facekp.io.files import atomic_path
from facekp.io.images import image_size
from facekp.landmarks import IBUG68, PointSchema


def read_coco(path: Path, schema: PointSchema | None, folder: Path, boxes: bool = False) -> Labels:
    """Read a COCO keypoints file.

    Args:
        path: The file.
        schema: Schema of the points; None to find a known one by the names of the keypoints.
        folder: Folder that image names are relative to.
        boxes: Also accept a file of boxes, whose only category has no keypoints.

    Raises:
        UserError: The file is invalid; the message names the key.
    """
    values = read_json(path)
    images = {}
    for number, image in enumerate(_list(values, "images", path)):
        name, key = (image.get("file_name"), image.get("id")) if isinstance(image, dict) else (None, None)
        if not isinstance(name, str) or not isinstance(key, (int, str)):
            raise UserError(f"{path}: images.{number}: needs an id and a file_name")
        if key in images:
            raise UserError(f"{path}: images.{number}: the id {key} is given twice")
        images[key] = folder / name
    categories = _list(values, "categories", path)
    if boxes and not any(isinstance(each, dict) and each.get("keypoints") for each in categories):
        categories = _with_keypoints(categories, schema or IBUG68, path)
    schema, orders = _schema(categories, schema, path)
    faces = []
    for number, annotation in enumerate(_list(values, "annotations", path)):
        face = _face(annotation, schema, orders, images, f"{path}: annotations.{number}")
        if face is not None:
            faces.append(face)
    return Labels(schema, faces)


def write_coco(labels: Labels, path: Path, images: Path, scores: Sequence[float] | None = None) -> None:
    """Write a COCO keypoints file.

    Args:
        labels: The faces.
        path: The file.
        images: Folder that image names are relative to. CVAT and Label Studio find an image by its name in their task.
        scores: Confidence of each face, 0 to 1.
    """
    schema = labels.schema
    ids = {image: number for number, image in enumerate(dict.fromkeys(face.image for face in labels.faces), 1)}
    listed = []
    for image, number in ids.items():
        size = image_size(image)
        sides = {} if size is None else {"width": size[0], "height": size[1]}
        listed.append({"id": number, "file_name": relative(image, images), **sides})
    links = [[a + 1, b + 1] for points, closed in schema.edges
             for a, b in zip(points, points[1:] + (points[:1] if closed else ()))]  # fmt: skip
    values: dict[str, Any] = {
        "info": {"description": f"faces with the points of {schema.name}"},
        "images": listed,
        "categories": [{"id": 1, "name": "face", "supercategory": "face", "keypoints": list(schema.points),
                        "skeleton": links}],
        "annotations": [_annotation(face, number, ids) for number, face in enumerate(labels.faces, 1)],
    }  # fmt: skip
    if scores is not None:
        for annotation, score in zip(values["annotations"], scores):
            annotation["score"] = round(float(score), 4)
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(values, allow_nan=False) + "\n", encoding="utf-8")


def _annotation(face: Face, number: int, ids: dict[Path, int]) -> dict[str, Any]:
    triples = [[plain(v) for v in (x, y)] + [int(seen)] for (x, y), seen in
               zip(np.nan_to_num(face.points), face.visibility)]  # fmt: skip
    values: dict[str, Any] = {
        "id": number,
        "image_id": ids[face.image],
        "category_id": 1,
        "iscrowd": 0,
        "keypoints": [value for triple in triples for value in triple],
        "num_keypoints": int((face.visibility > 0).sum()),
    }
    box = box_of(face)
    if box is not None:
        wide, high = plain(box[2] - box[0]), plain(box[3] - box[1])
        values |= {"bbox": [plain(box[0]), plain(box[1]), wide, high], "area": plain(wide * high)}
    if face.attributes:
        values["attributes"] = dict.fromkeys(face.attributes, True)
    return values


def _face(
    annotation: Any, schema: PointSchema, orders: dict[Any, list[int] | None], images: dict[Any, Path], where: str
) -> Face | None:
    if not isinstance(annotation, dict):
        raise UserError(f"{where}: must be an object")
    category, image = annotation.get("category_id"), annotation.get("image_id")
    if not isinstance(category, (int, str)) or category not in orders:
        raise UserError(f"{where}: category_id {str(category)[:40]} is in no category")
    if not isinstance(image, (int, str)) or image not in images:
        raise UserError(f"{where}: image_id {str(image)[:40]} is not an image of the file")
    order = orders[category]
    if order is None:
        return None
    values = numbers(annotation.get("keypoints") or [0] * 3 * len(order), f"{where}.keypoints")
    if len(values) != 3 * len(order):
        raise UserError(f"{where}.keypoints: {len(values)} numbers, but {len(order)} points need {3 * len(order)}: "
                        "x, y, visibility")  # fmt: skip
    triples = np.array(values).reshape(-1, 3)[order]
    box = None
    if annotation.get("bbox"):
        corner = numbers(annotation["bbox"], f"{where}.bbox")
        if len(corner) != 4:
            raise UserError(f"{where}.bbox: needs x, y, width, height")
        box = [*corner[:2], round(corner[0] + corner[2], 9), round(corner[1] + corner[3], 9)]
    attributes = annotation.get("attributes")
    marked = [str(k) for k, v in attributes.items() if v is True] if isinstance(attributes, dict) else []
    return make_face(schema, images[image], triples[:, :2], triples[:, 2], box, marked, where)


def _list(values: dict[str, Any], key: str, path: Path) -> list[Any]:
    if not isinstance(values.get(key), list):
        raise UserError(f"{path}: has no list {key}; COCO's keypoints have images, annotations and categories")
    return values[key]


def _with_keypoints(categories: list[Any], schema: PointSchema, path: Path) -> list[Any]:
    """Return the only category of a file of boxes, with the points of a schema, which its annotations lack."""
    if len(categories) != 1 or not isinstance(categories[0], dict):
        raise UserError(f"{path}: has {len(categories)} categories without keypoints; with boxes: true give a file "
                        "with one, that of the faces")  # fmt: skip
    return [{**categories[0], "keypoints": list(schema.points)}]


def _schema(
    categories: list[Any], schema: PointSchema | None, path: Path
) -> tuple[PointSchema, dict[Any, list[int] | None]]:
    """Return the schema, and the order of the points of each category; None for a category without keypoints."""
    orders: dict[Any, list[int] | None] = {}
    for number, category in enumerate(categories):
        where = f"{path}: categories.{number}"
        if not isinstance(category, dict) or not isinstance(category.get("id"), (int, str)):
            raise UserError(f"{where}: needs an id")
        names = category.get("keypoints")
        if not names:
            orders[category["id"]] = None
            continue
        if not isinstance(names, list) or not all(isinstance(name, (str, int)) for name in names):
            raise UserError(f"{where}.keypoints: must be a list of names")
        schema = schema or schema_named(names)
        if schema is None:
            raise UserError(f"{where}: its keypoints are those of no known schema; give schema: a YAML file")
        orders[category["id"]] = in_order(names, schema, where)
    if schema is None or not any(orders.values()):
        raise UserError(f"{path}: no category has keypoints; export as COCO keypoints, not as COCO instances")
    return schema, orders
