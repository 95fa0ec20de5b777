"""Functions of a Hodge Laplacian without eigenvectors, by Chebyshev polynomials.

With diagonal stars ``L = M^-1 A`` is sparse and similar to the symmetric ``M^-1/2 A M^-1/2``, whose eigenvalues lie in
``[0, bound]``. The bound is that of Gershgorin for the rows of ``L``,

    bound = max_i  sum_j |A_ij| / M_ii,

which no rounding of an iteration can undercut; for cotangent weights without a negative one it is at most twice the
largest diagonal entry. On this interval

    f(L) u = sum_k c_k T_k(2 L / bound - 1) u,        T_(k+1) v = 2 (2 L / bound - 1) T_k v - T_(k-1) v,

one sparse product per degree. In the norm of the mass the error is at most ``sup |f - p|``, and that is at most the sum
of the coefficients that were left out; the degree is the least one at which this sum is below half the tolerance, and
the polynomial is compared with the function at points that crowd at 0, where functions of a Laplacian are steepest.
For ``exp(-tau L)`` the degree grows like ``sqrt(tau bound)`` [1]_.

References
----------
.. [1] L. N. Trefethen, "Approximation Theory and Approximation Practice", SIAM 2013, chapters 3, 8 and 28
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.polynomial.chebyshev import chebval
from scipy import sparse
from scipy.fft import dct

from scidiff.errors import ConfigError, ShapeError
from scidiff.mesh.laplacian import HodgeLaplacian

__all__ = ["Chebyshev", "chebyshev_coefficients"]

_LARGEST = 1 << 15
_PROBES = 200


def chebyshev_coefficients(
    function: Callable[[np.ndarray], np.ndarray], bound: float, *, tolerance: float = 1e-8
) -> np.ndarray:
    """Chebyshev coefficients of a function on ``[0, bound]``.

    Parameters
    ----------
    function
        Takes and returns arrays; smooth on the interval.
    bound
        End of the interval.
    tolerance
        Largest error, relative to the largest value of the function.

    Returns
    -------
    ndarray
        ``c_0 ... c_degree``, of the least degree that keeps the tolerance.

    Raises
    ------
    ConfigError
        If a degree of 16384 is not enough: the function has a kink or a pole near the interval.
    """
    if not (bound > 0 and tolerance > 0):
        raise ConfigError(f"bound = {bound}, tolerance = {tolerance}; expected both positive")
    probes = np.concatenate([[0.0], bound * np.geomspace(1e-12, 1.0, _PROBES)])
    wanted = np.asarray(function(probes), dtype=np.float64)
    points = 64
    while points <= _LARGEST:
        angle = np.pi * (np.arange(points) + 0.5) / points
        values = np.asarray(function(0.5 * bound * (1 + np.cos(angle))), dtype=np.float64)
        coefficients = dct(values, type=2) / points
        coefficients[0] /= 2
        rest = np.concatenate([np.cumsum(np.abs(coefficients[::-1]))[::-1][1:], [0.0]])
        # half of the tolerance for what is left out; a feature narrower than the points shows at the probes
        limit = tolerance * max(np.abs(values).max(), np.abs(wanted).max())
        kept = coefficients[: int(np.argmax(rest <= limit / 2)) + 1]
        error = np.abs(chebval(2 * probes / bound - 1, kept) - wanted).max()
        if len(kept) <= points // 2 and error <= limit:
            return kept
        points *= 2
    raise ConfigError(
        f"{_LARGEST // 2} Chebyshev coefficients do not reach the tolerance {tolerance:g} on [0, {bound:g}]; "
        "raise the tolerance, or smooth the function"
    )


@dataclass(frozen=True, eq=False)
class Chebyshev:
    """Applies functions of a Laplacian with diagonal stars; keeps the sparse matrix and the bound.

    For edges `HodgeChebyshev` does the same several times faster.

    Parameters
    ----------
    laplacian
        The operator.
    """

    laplacian: HodgeLaplacian

    def __post_init__(self) -> None:
        self.laplacian.stars.require_diagonal()

    @cached_property
    def mass(self) -> np.ndarray:
        """Diagonal of the mass matrix, shape ``(size,)``."""
        return self.laplacian.mass.diagonal()

    @cached_property
    def operator(self) -> sparse.csr_array:
        """Return ``L = M^-1 A``."""
        return (sparse.diags_array(1 / self.mass) @ self.laplacian.form()).tocsr()

    @cached_property
    def bound(self) -> float:
        """Upper bound of the spectrum, by Gershgorin."""
        return float(abs(self.operator).sum(axis=1).max())

    @cached_property
    def mean(self) -> float:
        """Mean of the eigenvalues, from the trace."""
        return float(self.operator.diagonal().mean())

    @cached_property
    def _doubled(self) -> sparse.csr_array:
        """Twice the operator with its spectrum in ``[-1, 1]``: ``4 L / bound - 2``."""
        size = self.laplacian.size
        return (self.operator * (4 / self.bound) - 2 * sparse.eye_array(size, format="csr")).tocsr()

    def coefficients(self, function: Callable[[np.ndarray], np.ndarray], *, tolerance: float = 1e-8) -> np.ndarray:
        """Coefficients of a function on the spectrum, see `chebyshev_coefficients`."""
        return chebyshev_coefficients(function, self.bound, tolerance=tolerance)

    def apply(self, coefficients: np.ndarray | Sequence[np.ndarray], u: np.ndarray) -> np.ndarray:
        """Apply one function to all columns, or one function to each.

        Parameters
        ----------
        coefficients
            From `coefficients`; a sequence holds one set per column of ``u``.
        u
            Cochains, shape ``(size,)`` or ``(size, columns)``.

        Returns
        -------
        ndarray
            ``f(L) u``, float64, of the shape of ``u``.
        """
        columns = 1 if u.ndim == 1 else u.shape[-1]
        if u.ndim not in (1, 2) or len(u) != self.laplacian.size:
            raise ShapeError(f"u has shape {u.shape}; expected ({self.laplacian.size},) or with columns after it")
        table = _table(coefficients, columns)
        before = np.asarray(u, dtype=np.float64)
        total = table[0] * before
        if len(table) == 1:
            return total
        now = 0.5 * (self._doubled @ before)
        total += table[1] * now
        for row in table[2:]:
            after = self._doubled @ now
            after -= before
            total += row * after
            before, now = now, after
        return total

    def white(self, normals: np.ndarray) -> np.ndarray:
        """White noise of the mass, ``M^-1/2 z`` from standard normals: every orthonormal mode has variance 1."""
        return normals / np.sqrt(self.mass).reshape(-1, *(1,) * (normals.ndim - 1))


def _table(coefficients: np.ndarray | Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Coefficients by degree, shape ``(degree + 1, 1 or columns)``, padded with zeros."""
    if isinstance(coefficients, np.ndarray) and coefficients.ndim == 1:
        return coefficients[:, None] if columns > 1 else coefficients.reshape(-1, 1)
    if len(coefficients) != columns:
        raise ShapeError(f"{len(coefficients)} sets of coefficients came for {columns} columns; expected one for each")
    table = np.zeros((max(len(each) for each in coefficients), columns))
    for column, each in enumerate(coefficients):
        table[: len(each), column] = each
    return table
