"""Gaussian model of aligned faces: how their points vary together, to evaluate one given the others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from facekp.landmarks import PointSchema

#: Fraction of the mean variance that is added to each variance, against overconfidence with few faces.
_RIDGE = 0.02


class ShapeModel:
    """Gaussian model of the points of a face, given its other points.

    Faces are aligned with their mean (rotated, scaled, shifted). Their mirror images are added, so that left and right
    are alike.

    Args:
        schema: Schema of the points, with a mean face.
        points: (N, K, 2) faces; NaN where missing.

    Example:
        >>> from facekp.data.drawn import draw_face
        >>> from facekp.landmarks import IBUG68
        >>> faces = np.stack([draw_face(seed)[1] for seed in range(40)])
        >>> model, swapped = ShapeModel(IBUG68, faces), faces[:1].copy()
        >>> swapped[:, [36, 45]] = faces[:1, [45, 36]]  # the outer corners of the eyes
        >>> [round(model.surprise(model.align(face), [36, 45])[0]) > 9 for face in (faces[:1], swapped)]
        [False, True]
    """

    def __init__(self, schema: PointSchema, points: np.ndarray) -> None:
        self.schema = schema
        mirrored = (points * [-1, 1])[:, schema.flip_order]
        faces = np.concatenate([points, mirrored]) if schema.mirror_pairs else points
        faces = faces[np.isfinite(faces).all(-1).sum(1) > 1].astype(np.float64)
        self.mean = schema.mean_points.astype(np.float64)
        self.mean = self.mean - self.mean.mean(0)
        self.mean /= np.sqrt((self.mean**2).sum(1).mean())
        for _ in range(2):
            aligned = self.align(faces)
            total, count = np.nansum(aligned, 0), np.isfinite(aligned).all(-1).sum(0)[:, None]
            self.mean = np.where(count > 0, total / np.maximum(count, 1), self.mean)
        aligned = self.align(faces)
        offset = np.where(np.isfinite(aligned), aligned - self.mean, 0.0).reshape(len(faces), -1)
        covariance = offset.T @ offset / max(len(faces) - 1, 1)
        noise = _RIDGE * max(float(np.trace(covariance)) / len(covariance), 1e-6)
        self._precision = np.linalg.inv(covariance + noise * np.eye(len(covariance)))

    def align(self, points: np.ndarray) -> np.ndarray:
        """Rotate, scale and shift faces, (N, K, 2), onto the mean; NaN where missing."""
        known = np.isfinite(points).all(-1)
        weights = known / np.maximum(known.sum(1, keepdims=True), 1)
        z = np.where(known, points[..., 0] + 1j * points[..., 1], 0)
        mean = self.mean @ [1, 1j]
        centre, target = (z * weights).sum(1, keepdims=True), (mean * weights).sum(1, keepdims=True)
        dz, dm = np.where(known, z - centre, 0), np.where(known, mean - target, 0)
        size = (np.abs(dz) ** 2).sum(1, keepdims=True)
        turn = (dz.conj() * dm).sum(1, keepdims=True) / np.where(size > 0, size, np.nan)
        moved = np.where(known, turn * dz + target, np.nan)
        return np.stack([moved.real, moved.imag], -1)

    def distance(self, points: np.ndarray) -> np.ndarray:
        """Return the RMS distance from the mean face after alignment, (N,); the size of a face is about 1."""
        return np.sqrt(np.nanmean(((self.align(points) - self.mean) ** 2).sum(-1), 1))

    def surprise(self, aligned: np.ndarray, which: Sequence[int]) -> np.ndarray:
        """Return how unlikely some points are, given all others.

        Args:
            aligned: (N, K, 2) as `align` returns them.
            which: Indices of the M points.

        Returns:
            (N,) squared Mahalanobis distance over 2M; about 1 where they are as expected, NaN where one is missing.
        """
        columns = np.array([2 * i + axis for i in which for axis in (0, 1)])
        offset = np.where(np.isfinite(aligned), aligned - self.mean, 0.0).reshape(len(aligned), -1)
        block = self._precision[np.ix_(columns, columns)]
        residual = np.linalg.solve(block, self._precision[columns] @ offset.T)  # offset minus what is expected
        energy = np.einsum("in,ij,jn->n", residual, block, residual) / len(columns)
        return np.where(np.isfinite(aligned[:, list(which)]).all((1, 2)), energy, np.nan)

    def expected(self, aligned: np.ndarray) -> np.ndarray:
        """Return the expected position of each point, given all others, (N, K, 2)."""
        offset = np.where(np.isfinite(aligned), aligned - self.mean, 0.0).reshape(len(aligned), -1)
        places = np.empty_like(aligned)
        for i in range(self.schema.num_points):
            columns = [2 * i, 2 * i + 1]
            residual = np.linalg.solve(self._precision[np.ix_(columns, columns)], self._precision[columns] @ offset.T)
            places[:, i] = self.mean[i] + offset[:, columns] - residual.T
        return places


def roll(schema: PointSchema, points: np.ndarray) -> np.ndarray:
    """Return the in-plane rotation of faces in degrees, (N,), by their mirror pairs; 0 if there are none."""
    x, y = schema.across(points).T
    return np.degrees(np.arctan2(y, x))
