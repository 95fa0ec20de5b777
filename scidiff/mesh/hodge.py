"""Hodge decomposition of cochains: ``w = d f + delta g + h``, three parts orthogonal in the mass inner product.

* exact: ``d f`` with ``d^T M d f = d^T M w``, the nearest coboundary of a cochain of lower degree;
* coexact: ``c = M^-1 d^T y``, the smallest cochain with ``d c = d w``, from the saddle-point system
  ``M c - d^T y = 0, d c = d w``;
* harmonic: the rest, ``d h = 0`` and ``d^T M h = 0``, a space of dimension ``b_k``.

Both systems are singular, ``f`` up to a constant on every component and ``y`` up to a constant on every closed one; one
vertex, or one triangle, of each is left out, which changes neither part. Factorisations are made once for all cochains
of a degree [1]_.

References
----------
.. [1] N. Bell, A. Hirani, "PyDEC: Software and Algorithms for Discretization of Exterior Calculus", arXiv:1103.3076
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import SuperLU, splu

from scidiff.errors import ConfigError, ShapeError
from scidiff.mesh.stars import Stars

__all__ = ["HodgeDecomposition", "HodgeParts"]


@dataclass(frozen=True, eq=False)
class HodgeParts:
    """The three parts of a cochain, each of the shape of the cochain; their sum is the cochain.

    Parameters
    ----------
    exact
        Coboundary of a cochain of lower degree: gradients, where the degree is 1.
    coexact
        Codifferential of a cochain of higher degree: circulations around vertices, where the degree is 1.
    harmonic
        Neither: circulations around the holes and handles.
    """

    exact: np.ndarray
    coexact: np.ndarray
    harmonic: np.ndarray


@dataclass(frozen=True, eq=False)
class HodgeDecomposition:
    """Splits cochains of one degree into exact, coexact and harmonic parts.

    Parameters
    ----------
    stars
        Inner products; that of the degree has to be positive.
    degree
        0, 1 or 2.
    """

    stars: Stars
    degree: int

    def __post_init__(self) -> None:
        self.stars.mass(self.degree)

    def __call__(self, cochain: np.ndarray) -> HodgeParts:
        """Split one cochain, shape ``(size,)``, or the columns of ``(size, columns)``.

        Raises
        ------
        ShapeError
            If the first axis does not have one entry per simplex.
        """
        w = np.asarray(cochain, dtype=np.float64)
        size = self.stars.complex.sizes[self.degree]
        if w.ndim not in (1, 2) or len(w) != size:
            raise ShapeError(f"the cochain has shape {w.shape}; expected ({size},) or ({size}, columns)")
        if self.degree == 0:
            harmonic = self._constants(w)
            return HodgeParts(np.zeros_like(w), w - harmonic, harmonic)
        if self.degree == 2:
            harmonic = self._volumes(w)
            return HodgeParts(w - harmonic, np.zeros_like(w), harmonic)
        exact, coexact = self._gradient_part(w), self._curl_part(w)
        return HodgeParts(exact, coexact, w - exact - coexact)

    def potential(self, cochain: np.ndarray) -> np.ndarray:
        """Vertex cochain ``f`` whose ``d f`` is the exact part of an edge cochain; 0 at one vertex per component."""
        if self.degree != 1:
            raise ConfigError(f"degree is {self.degree}; a potential at the vertices belongs to degree 1")
        d = self.stars.complex.d0
        f = np.zeros((self.stars.complex.sizes[0], *cochain.shape[1:]))
        f[self._free_vertices] = self._gradient_factor.solve((d.T @ (self.stars[1] @ cochain))[self._free_vertices])
        return f

    def _gradient_part(self, w: np.ndarray) -> np.ndarray:
        """Project on gradients; the second pass removes what round-off of the first has left."""
        d = self.stars.complex.d0
        part = d @ self.potential(w)
        return part + d @ self.potential(w - part)

    def _curl_part(self, w: np.ndarray) -> np.ndarray:
        part = self._smallest(w)
        return part + self._smallest(w - part)

    def _smallest(self, w: np.ndarray) -> np.ndarray:
        """Smallest edge cochain with the curl of `w`."""
        d = self.stars.complex.d1[self._free_triangles]
        return self._curl_factor.solve(np.concatenate([np.zeros_like(w), d @ w]))[: len(w)]

    @cached_property
    def _free_vertices(self) -> np.ndarray:
        component = self.stars.complex.vertex_component
        return np.setdiff1d(np.arange(len(component)), np.unique(component, return_index=True)[1])

    @cached_property
    def _free_triangles(self) -> np.ndarray:
        complex = self.stars.complex
        labels, first = np.unique(complex.face_component, return_index=True)
        return np.setdiff1d(np.arange(len(complex.triangles)), first[np.isin(labels, complex.closed_components)])

    @cached_property
    def _gradient_factor(self) -> SuperLU:
        d = self.stars.complex.d0[:, self._free_vertices].astype(np.float64)
        return splu((d.T @ self.stars[1] @ d).tocsc())

    @cached_property
    def _curl_factor(self) -> SuperLU:
        d = self.stars.complex.d1[self._free_triangles].astype(np.float64)
        return splu(sparse.block_array([[self.stars[1], d.T], [d, None]], format="csc"))

    def _constants(self, w: np.ndarray) -> np.ndarray:
        """Mean of a vertex cochain over each component."""
        component = self.stars.complex.vertex_component
        member = sparse.csr_array((np.ones(len(component)), (component, np.arange(len(component)))))
        weights = self.stars[0] @ np.ones(len(component))
        means = _rows(1 / (member @ weights), member @ (self.stars[0] @ w))
        return means[component]

    def _volumes(self, w: np.ndarray) -> np.ndarray:
        """Multiple of ``M^-1 1`` with the same integral as a triangle cochain over each closed component."""
        complex = self.stars.complex
        component = complex.face_component
        volume = 1 / self.stars[2].diagonal()
        member = sparse.csr_array((np.ones(len(component)), (component, np.arange(len(component)))))
        density = _rows(1 / (member @ volume), member @ w)
        closed = np.isin(component, complex.closed_components)
        return _rows(volume * closed, density[component])


def _rows(factors: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Multiply every row of `values` by its factor."""
    return factors.reshape(-1, *(1,) * (values.ndim - 1)) * values
