"""Spectra of Hodge Laplacians: ``A u = l M u`` with ``U^T M U = 1``.

All modes come from a dense solver; the lowest ones from Lanczos iteration on ``(A + s M)^-1 M`` (shift-invert),
followed by one Rayleigh-Ritz step that makes them orthonormal to round-off. The number of zero eigenvalues is not
guessed from their size: it is the Betti number, an exact integer. Those eigenvalues are set to zero exactly, after a
check that a gap separates them from the rest.

The basis within an eigenspace (and the sign of a single mode) is arbitrary: nothing may depend on it but its span.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg, sparse
from scipy.sparse.linalg import LinearOperator, eigsh

from scidiff.errors import ConfigError, NumericalError
from scidiff.mesh.laplacian import HodgeLaplacian

__all__ = ["Spectrum", "spectrum"]

_DENSE = 400
_LARGEST_DENSE = 8000
_GAP = 1e-6


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Lowest modes of a Hodge Laplacian.

    Parameters
    ----------
    laplacian
        The operator.
    values
        Eigenvalues, rising, shape ``(modes,)``, in the unit of an inverse squared length.
    vectors
        Mass-orthonormal modes, shape ``(size, modes)``.
    """

    laplacian: HodgeLaplacian
    values: np.ndarray
    vectors: np.ndarray

    @property
    def modes(self) -> int:
        """Number of modes."""
        return len(self.values)

    @property
    def complete(self) -> bool:
        """Whether the modes span all cochains."""
        return self.modes == self.laplacian.size

    @property
    def harmonic(self) -> np.ndarray:
        """Modes of eigenvalue zero, shape ``(size, b_k)``."""
        return self.vectors[:, : self.laplacian.harmonic]

    def coefficients(self, u: np.ndarray) -> np.ndarray:
        """Coefficients ``U^T M u`` of cochains of shape ``(size, ...)``."""
        return self.vectors.T @ (self.laplacian.mass @ u)

    def apply(self, gains: np.ndarray, u: np.ndarray) -> np.ndarray:
        """Function of the operator, ``U diag(gains) U^T M u``, for one cochain or columns of them."""
        coefficients = self.coefficients(u)
        return self.vectors @ (np.asarray(gains).reshape(-1, *(1,) * (coefficients.ndim - 1)) * coefficients)


def spectrum(laplacian: HodgeLaplacian, modes: int | None = None) -> Spectrum:
    """Compute the lowest modes, or all of them.

    Parameters
    ----------
    laplacian
        The operator.
    modes
        Number of modes, at least one more than the Betti number; all by default.

    Returns
    -------
    Spectrum
        Deterministic on one machine.

    Raises
    ------
    ConfigError
        If the number of modes is out of range, or so large that full matrices are needed on a large mesh.
    NumericalError
        If no gap separates the harmonic space: the mesh is too distorted for double precision.
    """
    size, harmonic = laplacian.size, laplacian.harmonic
    wanted = size if modes is None else modes
    if not min(harmonic + 1, size) <= wanted <= size:
        raise ConfigError(f"modes is {modes}; expected {harmonic + 1} (one above the Betti number) to {size}")
    if size <= _DENSE or 4 * wanted > size:
        if size > _LARGEST_DENSE:
            raise ConfigError(
                f"{wanted} of {size} modes need full matrices of that size; ask for at most {size // 4} modes, or use "
                "scidiff.mesh.Chebyshev, which needs none"
            )
        mass = laplacian.mass.toarray()
        values, vectors = linalg.eigh(laplacian.dense(), mass, subset_by_index=(0, wanted - 1))
    else:
        values, vectors = _lanczos(laplacian, wanted)
    _check_gap(values, harmonic)
    values[:harmonic] = 0.0
    return Spectrum(laplacian, values, vectors)


def _lanczos(laplacian: HodgeLaplacian, modes: int) -> tuple[np.ndarray, np.ndarray]:
    """Shift-invert Lanczos, then Rayleigh-Ritz."""
    size = laplacian.size
    # of the order of the lowest eigenvalue of a surface of this area
    shift = 1.0 / float(laplacian.stars.complex.areas.sum())
    solve = laplacian.solver(shift)
    start = np.sin(1.0 + np.arange(size) ** 2 % 997)
    mass = laplacian.mass
    inverse = LinearOperator((size, size), matvec=solve, dtype=np.float64)
    subspace = min(size, max(2 * modes + 1, modes + 20))
    # in shift-invert mode the first argument gives the shape alone
    _, vectors = eigsh(mass, k=modes, M=mass, sigma=-shift, OPinv=inverse, v0=start, ncv=subspace)
    images = solve(mass @ vectors)
    # Ritz values theta = 1 / (l + shift) of the inverse, in the span of one more application
    gram, stiff = _symmetric(images.T @ (mass @ images)), _symmetric(images.T @ (mass @ vectors))
    values, mixing = linalg.eigh(stiff, gram)
    order = np.argsort(values)
    return values[order] - shift, _orthonormal(images @ mixing[:, order], mass)


def _symmetric(matrix: np.ndarray) -> np.ndarray:
    return (matrix + matrix.T) / 2


def _orthonormal(vectors: np.ndarray, mass: sparse.csr_array) -> np.ndarray:
    """Mass-orthonormal basis of the span, by Cholesky factorisation of a Gram matrix that is almost 1."""
    lower = linalg.cholesky(_symmetric(vectors.T @ (mass @ vectors)), lower=True)
    return linalg.solve_triangular(lower, vectors.T, lower=True).T


def _check_gap(values: np.ndarray, harmonic: int) -> None:
    lowest = values[harmonic] if harmonic < len(values) else np.abs(values).max()
    worst = np.abs(values[:harmonic]).max(initial=0.0)
    if not (lowest > 0 and worst <= _GAP * lowest):
        raise NumericalError(
            f"{harmonic} eigenvalues should vanish but reach {worst:.3g}, and the next one is {lowest:.3g}; "
            "the mesh has triangles too thin for double precision: remesh it"
        )
