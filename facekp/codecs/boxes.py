"""The codec of face boxes: three grids of cells, each of which predicts whether a face is there, and its extent."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facekp.codecs.points import sigmoid
from facekp.vision.boxes import best_boxes

if TYPE_CHECKING:
    from paddle import Tensor

#: Side length of the cells of each grid, in pixels.
STRIDES = (8, 16, 32)

#: Minimum and maximum longer side of the faces of each grid, in pixels; the ranges overlap on purpose.
RANGES = ((0.0, 48.0), (32.0, 128.0), (96.0, 1e9))

#: Maximum distance from a face's centre, in its sides, at which cells predict it, and at which they are ignored.
NEAR, AROUND = 0.22, 0.4

#: Maximum number of cells that become boxes, highest scores first; a face has several of them.
MAX_CANDIDATES = 500

#: Signs of the distances that a cell predicts: left, up, right, down.
_SIGNS = np.array([-1, -1, 1, 1], np.float32)


@dataclass(frozen=True)
class CellTargets:
    """Training targets of the cells; all tensors are (N, cells, ...).

    Attributes:
        box: Box of the cell's face, (N, cells, 4).
        trust: Confidence in the face's label, 0 to 1; 0 where there is no face.
        counts: Weight of the cell's score; 0 where it is ignored.
    """

    box: Tensor
    trust: Tensor
    counts: Tensor


class BoxCodec:
    """Codec between face boxes and the cells of images of one size.

    A network predicts for each cell the logit of its score, and the distances in pixels from the cell's centre to the
    left, upper, right and lower side of the face's box.

    Args:
        height: Height of the images, a multiple of 32 pixels.
        width: Width of the images, a multiple of 32 pixels.

    Attributes:
        centres: (cells, 2) float32, x and y, row by row, the finest grid first.
        strides: (cells,) float32, the side length of each cell.

    Example:
        >>> codec = BoxCodec(32, 64)
        >>> len(codec.centres), codec.centres[0].tolist(), codec.strides[-1].tolist()
        (42, [3.5, 3.5], 32.0)
    """

    def __init__(self, height: int, width: int) -> None:
        centres, strides = [], []
        for stride in STRIDES:
            x, y = np.meshgrid(np.arange(width // stride), np.arange(height // stride))
            # The centre of the top left pixel is (0, 0), so the image begins half a pixel before it.
            centres.append((np.stack([x, y], -1).reshape(-1, 2) + 0.5) * stride - 0.5)
            strides.append(np.full(x.size, stride))
        self.centres = np.concatenate(centres).astype(np.float32)
        self.strides = np.concatenate(strides).astype(np.float32)

    def decode(self, outputs: Any, cells: np.ndarray | None = None) -> Any:
        """Return the boxes of cells.

        Args:
            outputs: (..., cells, 5) array or tensor, as predicted by a network.
            cells: Indices of the cells in `outputs`, (..., cells); None for all.

        Returns:
            (..., cells, 4), an array or tensor like `outputs`.
        """
        centres: Any = np.tile(self.centres if cells is None else self.centres[cells], 2)
        signs: Any = _SIGNS
        if not isinstance(outputs, np.ndarray):
            import paddle

            centres, signs = paddle.to_tensor(centres), paddle.to_tensor(signs)
        return centres + signs * outputs[..., 1:]

    def choose(self, outputs: np.ndarray, min_score: float = 0.4) -> tuple[np.ndarray, np.ndarray]:
        """Return the faces of one image: boxes of its cells after non-maximum suppression.

        Args:
            outputs: (cells, 5), as predicted by a network.
            min_score: Minimum score of a cell.

        Returns:
            Boxes, (N, 4) float32, and scores, (N,) float32, best first.

        Example:
            >>> outputs = np.tile(np.float32([-9, 4, 4, 4, 4]), (21, 1))
            >>> outputs[5, 0] = 2.0
            >>> BoxCodec(32, 32).choose(outputs)[0].tolist()
            [[7.5, 7.5, 15.5, 15.5]]
        """
        scores = sigmoid(outputs[:, 0])
        chosen = np.flatnonzero(scores >= min_score)
        chosen = chosen[np.argsort(-scores[chosen], kind="stable")[:MAX_CANDIDATES]]
        found = self.decode(outputs[chosen], chosen)
        return best_boxes(found, scores[chosen])

    @functools.cached_property
    def _tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Centres, strides, and minimum and maximum face size of the cells."""
        import paddle

        ranges = np.array(RANGES, np.float32)[[STRIDES.index(int(stride)) for stride in self.strides]]
        least, most = ranges.T
        return tuple(paddle.to_tensor(array) for array in (self.centres, self.strides, least, most))

    def encode(self, label: Tensor) -> CellTargets:
        """Return the training targets of each cell.

        A cell near the centre of a face whose size fits its grid predicts that face; cells around it are ignored, all
        others predict no face.

        Args:
            label: (N, faces, 5), as produced by `data.composed`: x0, y0, x1, y1 and the trust; rows of zeros are empty.
        """
        import paddle

        centres, strides, least, most = self._tensors
        faces = (label[:, :, 2] > label[:, :, 0]).astype("int32").sum(1).max()
        label = label[:, : max(int(faces), 1)]  # the remaining rows are empty
        corner0, corner1, trust = label[:, None, :, :2], label[:, None, :, 2:4], label[:, None, :, 4]
        sides = (corner1 - corner0).clip(min=1e-3)
        longer = sides.max(-1)
        off = (centres[None, :, None] - (corner0 + corner1) / 2).abs()
        inside = (off <= sides / 2).all(-1)
        # At least the cell that contains the centre of the face.
        near = (off <= paddle.maximum(NEAR * sides, strides[None, :, None, None] * 0.5)).all(-1)
        around = (off <= paddle.maximum(AROUND * sides, strides[None, :, None, None] * 0.9)).all(-1)
        least, most = least[None, :, None], most[None, :, None]
        fits = (longer >= least) & (longer < most)
        nearly = (longer >= least / 1.5) & (longer < most * 1.5)
        real = trust > 0
        ignored = (inside & (trust == 0) & (longer > 1)) | (around & nearly & real)
        matched = near & fits & real
        # Of several faces the smallest: the others have other cells.
        smallest = paddle.where(matched, longer.expand_as(matched), paddle.full_like(longer, 1e9)).argmin(-1)
        is_face = matched.any(-1)
        rows = paddle.take_along_axis(label, smallest[:, :, None], 1)
        found = paddle.where(is_face, rows[:, :, 4], paddle.zeros_like(rows[:, :, 4]))
        counts = paddle.where(is_face, found, 1 - ignored.any(-1).astype("float32"))
        return CellTargets(rows[:, :, :4], found, counts)
