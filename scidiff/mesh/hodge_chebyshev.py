"""Functions of the Laplacian of edge cochains at the price of vertices and triangles.

``L_1 = D + U`` with ``D = d0 delta`` and ``U = delta' d1``, where ``delta = M_0^-1 d0^T M_1`` and
``delta' = M_1^-1 d1^T M_2``. As ``d1 d0 = 0``, the product of the two vanishes, and a function acts on each by itself:

    f(L_1) w = f(0) w + d0 q(L_0) delta w + delta' q(L_2) d1 w,        q(l) = (f(l) - f(0)) / l.

``L_0`` has 7 entries in a row and ``L_2`` has 4, on fewer rows than the 11 of ``L_1``; and each of them has a bound of
its own, where that of Gershgorin for ``L_1`` is about their sum. If ``p`` is a polynomial for ``f``, then
``q = (p - p(0)) / l`` is one of a degree less, exactly, and the error of the sum is at most twice that of ``p``.

In Chebyshev polynomials of ``y = 2 l / bound - 1`` the division is a recurrence from the highest coefficient down,

    p - p(0) = (y + 1) sum_k b_k T_k        b_(k-1) = 2 (c_k - b_k) - b_(k+1),    b_0 = c_1 - b_1 - b_2 / 2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from scidiff.errors import ConfigError, ShapeError
from scidiff.mesh.chebyshev import Chebyshev
from scidiff.mesh.laplacian import HodgeLaplacian

__all__ = ["HodgeChebyshev", "HodgeCoefficients"]


@dataclass(frozen=True, eq=False)
class HodgeCoefficients:
    """Coefficients of one function.

    Parameters
    ----------
    constant
        ``f(0)``, the gain of the harmonic part.
    gradient, curl
        Chebyshev coefficients of ``q`` on the spectra of ``L_0`` and of ``L_2``.
    """

    constant: float
    gradient: np.ndarray
    curl: np.ndarray

    @property
    def degrees(self) -> tuple[int, int]:
        """Numbers of products with ``L_0`` and with ``L_2``."""
        return max(len(self.gradient) - 1, 0), max(len(self.curl) - 1, 0)

    def __len__(self) -> int:
        return len(self.gradient) + len(self.curl)


@dataclass(frozen=True, eq=False)
class HodgeChebyshev:
    """Applies functions of the Laplacian of edge cochains with diagonal stars; see `Chebyshev` for other degrees.

    Parameters
    ----------
    laplacian
        The operator, of degree 1.

    Raises
    ------
    ConfigError
        If the degree is not 1, or the stars are not diagonal and positive.
    """

    laplacian: HodgeLaplacian

    def __post_init__(self) -> None:
        if self.laplacian.degree != 1:
            raise ConfigError(f"degree is {self.laplacian.degree}; the split is one of edge cochains: use Chebyshev")
        self.laplacian.stars.require_diagonal()

    @cached_property
    def mass(self) -> np.ndarray:
        """Diagonal of ``M_1``, shape ``(E,)``."""
        return self.laplacian.mass.diagonal()

    @property
    def bound(self) -> float:
        """Upper bound of the spectrum: the larger of those of both sides."""
        return max(side.bound for side in self._sides)

    @cached_property
    def mean(self) -> float:
        """Mean of the eigenvalues: those of both sides, and zeros."""
        return sum(side.mean * side.laplacian.size for side in self._sides) / self.laplacian.size

    @cached_property
    def _sides(self) -> tuple[Chebyshev, Chebyshev]:
        """Functions of ``L_0``, and of ``L_2``."""
        stars = self.laplacian.stars
        return Chebyshev(HodgeLaplacian(stars, 0)), Chebyshev(HodgeLaplacian(stars, 2))

    @cached_property
    def _maps(self) -> tuple[tuple[sparse.csr_array, sparse.csr_array], ...]:
        """Pairs ``(delta, d0)`` and ``(d1, delta')``: to the vertices or triangles, and back."""
        stars = self.laplacian.stars
        d0, d1 = (stars.complex.coboundary(degree).astype(np.float64) for degree in (0, 1))
        lower, upper = stars.mass(0).diagonal(), stars[2].diagonal()
        delta = sparse.diags_array(1 / lower) @ d0.T @ sparse.diags_array(self.mass)
        back = sparse.diags_array(1 / self.mass) @ d1.T @ sparse.diags_array(upper)
        return (delta.tocsr(), d0.tocsr()), (d1.tocsr(), back.tocsr())

    def coefficients(
        self, function: Callable[[np.ndarray], np.ndarray], *, tolerance: float = 1e-8
    ) -> HodgeCoefficients:
        """Coefficients of a function on both spectra.

        Parameters
        ----------
        function
            Takes and returns arrays; smooth on the spectra.
        tolerance
            Largest error in the norm of the mass, relative to the largest value of the function.
        """
        parts = []
        for side in self._sides:
            parts.append(_quotient(side.coefficients(function, tolerance=tolerance / 2), side.bound))
        return HodgeCoefficients(float(function(np.zeros(1))[0]), *parts)

    def apply(self, coefficients: HodgeCoefficients, u: np.ndarray) -> np.ndarray:
        """Apply a function to one cochain, shape ``(E,)``, or to all columns of ``(E, columns)``; float64."""
        if u.ndim not in (1, 2) or len(u) != self.laplacian.size:
            raise ShapeError(f"u has shape {u.shape}; expected ({self.laplacian.size},) or with columns after it")
        u = np.asarray(u, dtype=np.float64)
        total = coefficients.constant * u
        parts = (coefficients.gradient, coefficients.curl)
        for side, (there, back), quotient in zip(self._sides, self._maps, parts, strict=True):
            if len(quotient):
                total += back @ side.apply(quotient, there @ u)
        return total

    def white(self, normals: np.ndarray) -> np.ndarray:
        """White noise of the mass, ``M_1^-1/2 z`` from standard normals: every orthonormal mode has variance 1."""
        return normals / np.sqrt(self.mass).reshape(-1, *(1,) * (normals.ndim - 1))


def _quotient(coefficients: np.ndarray, bound: float) -> np.ndarray:
    """Chebyshev coefficients of ``(p(l) - p(0)) / l``, one fewer than those of ``p``."""
    size = len(coefficients) - 1
    b = np.zeros(size + 2)
    for k in range(size, 1, -1):
        b[k - 1] = 2 * (coefficients[k] - b[k]) - b[k + 1]
    if size:
        b[0] = coefficients[1] - b[1] - b[2] / 2
    # l = bound (y + 1) / 2
    return b[:size] * (2 / bound)
