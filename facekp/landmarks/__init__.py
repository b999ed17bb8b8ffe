"""Points of a face: point schemas, named anchors, an average head, its pose, and expressions."""

from facekp.landmarks.anchors import anchor_names, anchors, face_outline
from facekp.landmarks.head import MEAN_FACE
from facekp.landmarks.pose import Pose, head_pose
from facekp.landmarks.schema import IBUG68, SCHEMAS, PointSchema, load_schema, parse_schema
from facekp.landmarks.signals import SIGNALS, Neutral, measure, scaled

__all__ = ["IBUG68", "MEAN_FACE", "SCHEMAS", "SIGNALS", "Neutral", "PointSchema", "Pose", "anchor_names", "anchors",
           "face_outline", "head_pose", "load_schema", "measure", "parse_schema", "scaled"]  # fmt: skip
