"""What the points of a face are: point schemas, named anchors, an average head."""

from facekp.landmarks.anchors import anchor_names, anchors, face_outline, mouth_openness
from facekp.landmarks.head import MEAN_FACE, head_camera
from facekp.landmarks.schema import IBUG68, SCHEMAS, PointSchema, load_schema, parse_schema

__all__ = ["IBUG68", "MEAN_FACE", "SCHEMAS", "PointSchema", "anchor_names", "anchors", "face_outline", "head_camera",
           "load_schema", "mouth_openness", "parse_schema"]  # fmt: skip
