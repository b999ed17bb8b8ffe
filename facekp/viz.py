"""Drawing of points and boxes, and contact sheets. The colours are colour-blind safe (Okabe and Ito)."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from facekp.landmarks import IBUG68, PointSchema

#: Colours, BGR.
TRUTH = (115, 158, 0)  # bluish green
PREDICTED = (0, 94, 213)  # vermilion


def draw_points(
    image: np.ndarray,
    points: np.ndarray,
    colour: tuple[int, int, int] = PREDICTED,
    radius: float | None = None,
    schema: PointSchema = IBUG68,
    crosses: bool = False,
) -> np.ndarray:
    """Draw one face's points, and the curves between them; points that are NaN are omitted.

    Args:
        image: BGR uint8 (H, W, 3); not modified.
        points: (K, 2) pixels.
        colour: BGR colour.
        radius: Radius of the dots in pixels; by default it follows the size of the face.
        schema: Schema of the points; its edges are drawn.
        crosses: Draw crosses (x) in place of dots.

    Returns:
        A new image.

    Example:
        >>> bool(draw_points(np.zeros((50, 50, 3), np.uint8), np.full((68, 2), 25.0)).any())
        True
    """
    canvas = image.copy()
    shift = 4  # number of fractional bits in OpenCV's fixed-point coordinates
    points = np.asarray(points, np.float64)
    known = np.isfinite(points).all(-1)
    if not known.any():
        return canvas
    fixed = np.clip(np.round(np.nan_to_num(points) * 2**shift), -(2**24), 2**24).astype(np.int32)
    size = float(np.ptp(points[known], axis=0).max())
    radius = max(1.0, size / 110) if radius is None else radius
    for indices, closed in schema.edges:
        curve = fixed[[i for i in indices if known[i]]]
        if len(curve):
            cv2.polylines(canvas, [curve], closed, colour, max(1, round(radius / 2)), cv2.LINE_AA, shift)
    arm, thickness = round(radius * 2**shift), max(1, round(radius / 3))
    for x, y in fixed[known].tolist():
        if crosses:
            for slope in (-arm, arm):
                ends = (x - arm, y - slope), (x + arm, y + slope)
                cv2.line(canvas, *ends, colour, thickness, cv2.LINE_AA, shift)
        else:
            cv2.circle(canvas, (x, y), arm, colour, -1, cv2.LINE_AA, shift)
    return canvas


def network_input_to_bgr(image: np.ndarray) -> np.ndarray:
    """Convert a network's input to an image: (C, H, W) float32 -> (H, W, 3) uint8 BGR.

    Three channels are RGB; of any other number, the first is shown in grey.
    Normalised values outside 0 to 1 are rescaled from their minimum to their maximum.
    """
    if image.min() < 0 or image.max() > 1:
        image = (image - image.min()) / max(float(np.ptp(image)), 1e-6)
    levels = (image * 255).round().astype(np.uint8)
    if len(levels) == 3:
        return cv2.cvtColor(levels.transpose(1, 2, 0), cv2.COLOR_RGB2BGR)
    return cv2.cvtColor(levels[0], cv2.COLOR_GRAY2BGR)


def comparison_sheet(
    inputs: np.ndarray,
    truth: np.ndarray,
    predicted: np.ndarray,
    captions: Sequence[str] | None = None,
    columns: int = 4,
    side: int = 224,
    schema: PointSchema = IBUG68,
) -> np.ndarray:
    """Draw a sheet of faces with true points (green dots) and predicted ones (red crosses).

    Args:
        inputs: (N, C, H, W) inputs of the network.
        truth: (N, K, 2) pixels of the crop.
        predicted: (N, K, 2) pixels of the crop.
        captions: Captions under the faces.
        columns: Number of faces in a row.
        side: Side length of a face on the sheet in pixels.
        schema: Schema of the points.

    Returns:
        Sheet, BGR uint8.
    """
    faces = []
    radius = side / (20 * schema.num_points**0.5)  # the fewer the points, the more room each has
    for i, image in enumerate(inputs):
        scale = side / image.shape[-1]
        face = cv2.resize(network_input_to_bgr(image), (side, side), interpolation=cv2.INTER_LINEAR)
        true, found = ((points[i] + 0.5) * scale - 0.5 for points in (truth, predicted))
        face = draw_points(face, true, TRUTH, radius, schema)
        faces.append(draw_points(face, found, PREDICTED, 1.4 * radius, schema, crosses=True))
    return _sheet(faces, captions, columns)


def box_sheet(
    inputs: np.ndarray,
    truth: np.ndarray,
    predicted: Sequence[np.ndarray],
    columns: int = 4,
    captions: Sequence[str] | None = None,
) -> np.ndarray:
    """Draw a sheet of images with true (green; grey if not fully trusted) and predicted (red) boxes.

    Args:
        inputs: (N, C, H, W) inputs of the network.
        truth: (N, faces, 5): x0, y0, x1, y1 and the trust; rows of zeros are no face.
        predicted: (M, 4) boxes of each image.
        columns: Number of images in a row.
        captions: Captions under the images.

    Returns:
        Sheet, BGR uint8.
    """
    shown = []
    for image, faces, boxes in zip(inputs, truth, predicted):
        canvas = network_input_to_bgr(image)
        for *box, trust in faces[faces[:, 2] > faces[:, 0]]:
            draw_box(canvas, np.array(box), TRUTH if trust == 1 else (160, 160, 160), 2)
        for found in boxes:
            draw_box(canvas, found, PREDICTED, 1)
        shown.append(canvas)
    return _sheet(shown, captions, columns)


def _sheet(images: Sequence[np.ndarray], captions: Sequence[str] | None, columns: int) -> np.ndarray:
    """Arrange images of one size in rows, with optional captions."""
    height, width = images[0].shape[:2]
    columns = min(columns, len(images))
    footer = 0 if captions is None else 22
    sheet = np.full((-(-len(images) // columns) * (height + footer), columns * width, 3), 255, np.uint8)
    for i, image in enumerate(images):
        y, x = (i // columns) * (height + footer), (i % columns) * width
        sheet[y : y + height, x : x + width] = image
        if captions is not None:
            caption = captions[i].encode("ascii", "backslashreplace").decode()  # OpenCV draws ASCII only
            sheet[y + height : y + height + footer, x : x + width] = _line(caption, width, footer)
    return sheet


def _line(text: str, width: int, height: int) -> np.ndarray:
    """Return a white strip with a text, cut off where it is too long."""
    strip = np.full((height, width, 3), 255, np.uint8)
    cv2.putText(strip, text, (4, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.38, (0, 0, 0), 1, cv2.LINE_AA)
    return strip


def draw_box(image: np.ndarray, box: np.ndarray, colour: tuple[int, int, int] = PREDICTED, thickness: int = 1) -> None:
    """Draw a box, (4,), into an image in place."""
    x0, y0, x1, y1 = (int(v) for v in np.clip(np.round(box), -(2**15), 2**15))
    cv2.rectangle(image, (x0, y0), (x1, y1), colour, thickness, cv2.LINE_AA)
