r"""Gaussian fields with values in cells, their covariance between any two cells, and interpolation by it.

Cells of a box of unit side carry cosines (Neumann) or sines (Dirichlet), ``i`` the number of a cell along an axis:

    cos cos   cos(pi k (i + 1/2) / n),  k = 0, ..., n - 1        sin sin   sin(pi k (i + 1/2) / n),  k = 1, ..., n

By ``2 cos x cos y = cos(x - y) + cos(x + y)`` and ``2 sin x sin y = cos(x - y) - cos(x + y)`` the covariance of two
cells is four entries of one table of cosine sums, ``s = +1`` for cosines and ``-1`` for sines:

    C(i, j) = T(i - j, i' - j') + s T(i + j + 1, i' - j') + s T(i - j, i' + j' + 1) + T(i + j + 1, i' + j' + 1)

so a matrix between sensors costs four look-ups for an entry. The best linear estimate of a field from values ``y`` at
sensors (simple kriging, the posterior mean if the field is Gaussian) is ``C_.s w`` with ``(C_ss + r) w = y``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import fft, linalg

from ..laws import Basis, GaussianField, Neumann

__all__ = ["CellField", "DirichletCells"]


class DirichletCells(Basis):
    """Zero on the boundary, half a cell away from the outermost values; sides of the box are 1."""

    def numbers(self, size: int) -> np.ndarray:
        """``1, ..., size``."""
        return np.arange(1, size + 1)

    def unit(self) -> float:
        """``pi``."""
        return np.pi

    def synthesis(self, coefficients: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """Inverse DST-II."""
        return fft.idstn(coefficients, type=2, axes=(-2, -1), norm="ortho") * np.sqrt(np.prod(shape))

    def analysis(self, field: np.ndarray) -> np.ndarray:
        """DST-II."""
        return fft.dstn(field, type=2, axes=(-2, -1), norm="ortho") / np.sqrt(np.prod(field.shape[-2:]))


@dataclass(frozen=True)
class CellField:
    """A Gaussian field on a grid of cells.

    Parameters
    ----------
    field
        Law, in a basis `Neumann` or `DirichletCells`.
    shape
        Cells along each axis.
    """

    field: GaussianField
    shape: tuple[int, int]

    @cached_property
    def variances(self) -> np.ndarray:
        """Variance of each coefficient."""
        return self.field.deviations(self.shape) ** 2

    @cached_property
    def table(self) -> np.ndarray:
        """``T(p, q)`` for ``0 <= p, q <= 2 n``."""
        terms = self.variances.copy()
        for axis, size in enumerate(self.shape):
            numbers = self.field.basis.numbers(size)
            terms = np.moveaxis(terms, axis, 0)
            # orthonormal eigenfunctions are sqrt(2) times cosines or sines, but for the constant and the last sine
            half = (numbers == 0) | (numbers == size)
            terms = terms * np.where(half, 0.5, 1.0)[(slice(None), *[None] * (terms.ndim - 1))]
            angles = np.cos(np.pi * np.outer(np.arange(2 * size + 1), numbers) / size)
            terms = np.moveaxis(np.tensordot(angles, terms, (1, 0)), 0, axis)
        return terms

    def covariance(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Covariance between cells.

        Parameters
        ----------
        one, other
            Numbers of cells, shapes ``(p, 2)`` and ``(q, 2)``.

        Returns
        -------
        ndarray
            Shape ``(p, q)``.
        """
        sign = 1.0 if isinstance(self.field.basis, Neumann) else -1.0
        (near, far), (beside, past) = (
            (np.abs(a[:, None] - b[None]), a[:, None] + b[None] + 1) for a, b in zip(one.T, other.T, strict=True)
        )
        table, wide = self.table.ravel(), self.table.shape[1]
        near, far = near * wide, far * wide
        out = table.take(far + beside)
        out += table.take(near + past)
        out *= sign
        out += table.take(near + beside)
        out += table.take(far + past)
        return out

    def smooth(self, weights: np.ndarray) -> np.ndarray:
        """``C w`` for fields of weights, shape ``(..., nx, ny)``."""
        basis, cells = self.field.basis, np.prod(self.shape)
        return basis.synthesis(self.variances * basis.analysis(weights), self.shape) * cells

    def interpolate(self, index: np.ndarray, values: np.ndarray, nugget: float) -> np.ndarray:
        """Best linear estimate of the field from values at distinct cells.

        Parameters
        ----------
        index
            Cells of the sensors, shape ``(sensors, 2)``.
        values
            Shape ``(batch, sensors)``.
        nugget
            Variance ``r`` of the error of a value.

        Returns
        -------
        ndarray
            Shape ``(batch, nx, ny)``.
        """
        weights = np.zeros((len(values), *self.shape))
        if len(index):
            matrix = self.covariance(index, index)
            matrix[np.diag_indices(len(index))] += nugget
            factor = linalg.cho_factor(matrix, overwrite_a=True, check_finite=False)
            weights[:, index[:, 0], index[:, 1]] = linalg.cho_solve(factor, values.T, check_finite=False).T
        return self.smooth(weights)
