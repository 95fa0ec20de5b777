"""Hodge Laplacians of cochains, as pairs of symmetric matrices.

    L_k = M_k^-1 A_k        A_k = d_k^T M_(k+1) d_k + M_k d_(k-1) M_(k-1)^-1 d_(k-1)^T M_k

``A_k`` is the quadratic form ``|d u|^2 + |delta u|^2`` with the codifferential ``delta = M_(k-1)^-1 d_(k-1)^T M_k``;
its eigenvalues ``A_k u = l M_k u`` have the unit of an inverse squared length. The kernel is the harmonic space, of
dimension ``b_k``. At a boundary the conditions are the natural ones (absolute: no flux through it, ``w(n) = 0``).

With stars that are not diagonal ``M_(k-1)^-1``, and so ``A_k``, is full. Systems with ``A_k + s M_k`` are then solved
in mixed form, sparse and exact, with the codifferential ``p`` as a second unknown:

    [ M_k d p + (d^T M d + s M_k) u ]   [ b ]
    [ d^T M_k u - M_(k-1) p         ] = [ 0 ]
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu

from scidiff.errors import ConfigError
from scidiff.mesh.stars import Stars

__all__ = ["HodgeLaplacian"]


@dataclass(frozen=True, eq=False)
class HodgeLaplacian:
    """Laplacian of the cochains of one degree.

    Parameters
    ----------
    stars
        Inner products; those of degrees up to `degree` have to be positive.
    degree
        0, 1 or 2.
    """

    stars: Stars
    degree: int

    def __post_init__(self) -> None:
        self.stars.mass(self.degree)
        if self.degree > 0:
            self.stars.mass(self.degree - 1)

    @property
    def size(self) -> int:
        """Number of simplices."""
        return self.stars.complex.sizes[self.degree]

    @property
    def harmonic(self) -> int:
        """Dimension of the kernel, the Betti number of the degree."""
        return self.stars.complex.betti[self.degree]

    @property
    def mass(self) -> sparse.csr_array:
        """Inner product ``M_k``."""
        return self.stars.mass(self.degree)

    def _up(self) -> sparse.csr_array:
        """Form ``|d u|^2``."""
        if self.degree == 2:
            return sparse.csr_array((self.size, self.size))
        d = self.stars.complex.coboundary(self.degree).astype(np.float64)
        return (d.T @ self.stars[self.degree + 1] @ d).tocsr()

    def _down(self) -> tuple[sparse.csr_array, sparse.csr_array]:
        """Matrices ``M_k d_(k-1)`` and ``M_(k-1)``."""
        d = self.stars.complex.coboundary(self.degree - 1).astype(np.float64)
        return (self.mass @ d).tocsr(), self.stars.mass(self.degree - 1)

    def form(self) -> sparse.csr_array:
        """Return ``A_k``, sparse.

        Raises
        ------
        ConfigError
            If ``degree > 0`` and the stars are not diagonal; `dense` and `solver` have no such limit.
        """
        up = self._up()
        if self.degree == 0:
            return up
        self.stars.require_diagonal()
        down, lower = self._down()
        return (up + down @ sparse.diags_array(1 / lower.diagonal()) @ down.T).tocsr()

    def dense(self) -> np.ndarray:
        """Return ``A_k`` as a full matrix, for small meshes."""
        up = self._up().toarray()
        if self.degree == 0:
            return up
        down, lower = self._down()
        total = up + down @ splu(lower.tocsc()).solve(down.T.toarray())
        return (total + total.T) / 2

    def apply(self, u: np.ndarray) -> np.ndarray:
        """Return ``L_k u`` for cochains of shape ``(size,)`` or ``(size, columns)``."""
        total = self._up() @ u
        if self.degree > 0:
            down, lower = self._down()
            total = total + down @ splu(lower.tocsc()).solve(down.T @ u)
        return splu(self.mass.tocsc()).solve(total)

    def solver(self, shift: float) -> Callable[[np.ndarray], np.ndarray]:
        """Return the map ``b -> (A_k + shift M_k)^-1 b``.

        Parameters
        ----------
        shift
            Positive number, in the unit of an eigenvalue.

        Returns
        -------
        callable
            Takes shape ``(size,)`` or ``(size, columns)``; the factorisation is made once.
        """
        if not shift > 0:
            raise ConfigError(f"shift is {shift}; expected a positive number: the form itself has a kernel")
        block = self._up() + shift * self.mass
        if self.degree == 0:
            return splu(block.tocsc()).solve
        down, lower = self._down()
        factor = splu(sparse.block_array([[block, down], [down.T, -lower]], format="csc"))
        rest = self.stars.complex.sizes[self.degree - 1]

        def solve(b: np.ndarray) -> np.ndarray:
            padded = np.concatenate([b, np.zeros((rest, *b.shape[1:]))])
            return factor.solve(padded)[: self.size]

        return solve
