"""Stokes flow on triangles by scikit-fem, with two pairs of elements that do not share an error.

    -nu lap u + grad p = f,      div u = 0,      u = g on the boundary,      mean of p = 0

Taylor-Hood elements (quadratic velocity, linear pressure) [1]_ and the MINI element (linear velocity with a bubble,
linear pressure) [2]_ are both stable. The system is solved by a sparse factor with one pressure pinned, which is exact
if the boundary flux balances; then the mean of the pressure is removed.

References
----------
.. [1] C. Taylor and P. Hood, Computers and Fluids 1, 73 (1973), doi:10.1016/0045-7930(73)90027-3
.. [2] D. Arnold, F. Brezzi and M. Fortin, Calcolo 21, 337 (1984), doi:10.1007/BF02576171
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import skfem
from scipy import sparse
from scipy.sparse.linalg import splu
from skfem.helpers import ddot, div, dot, grad

from ..errors import FluxError, check_finite

__all__ = ["StokesElements", "mini", "taylor_hood"]

_BALANCE = 1e-9


def taylor_hood(mesh: skfem.MeshTri, viscosity: float) -> StokesElements:
    """Quadratic velocity, linear pressure."""
    return StokesElements(mesh, viscosity, skfem.ElementTriP2())


def mini(mesh: skfem.MeshTri, viscosity: float) -> StokesElements:
    """Linear velocity with a bubble, linear pressure."""
    return StokesElements(mesh, viscosity, skfem.ElementTriMini())


class StokesElements:
    """One mesh with one pair of elements.

    Parameters
    ----------
    mesh
        Triangles.
    viscosity
        ``nu``.
    element
        Scalar element of each velocity component.
    """

    def __init__(self, mesh: skfem.MeshTri, viscosity: float, element: skfem.Element) -> None:
        self.mesh = mesh
        self.velocity = skfem.Basis(mesh, skfem.ElementVector(element), intorder=5)
        self.pressure = self.velocity.with_element(skfem.ElementTriP1())

        @skfem.BilinearForm
        def viscous(u, v, w):
            return viscosity * ddot(grad(u), grad(v))

        @skfem.BilinearForm
        def outflow(u, q, w):
            return div(u) * q

        @skfem.BilinearForm
        def product(u, v, w):
            return dot(u, v)

        @skfem.LinearForm
        def one(q, w):
            return 1.0 * q

        self.viscous = viscous.assemble(self.velocity)
        self.divergence = outflow.assemble(self.velocity, self.pressure)
        self.mass = product.assemble(self.velocity)
        self.weights = one.assemble(self.pressure)
        self.rim = np.unique(self.velocity.get_dofs().all())

    @cached_property
    def inner(self) -> np.ndarray:
        """Velocity numbers that are not on the boundary."""
        return np.setdiff1d(np.arange(self.velocity.N), self.rim)

    @cached_property
    def _factor(self) -> Any:
        free, b = self.inner, self.divergence.tocsr()[1:][:, self.inner]
        a = self.viscous.tocsr()[free][:, free]
        return splu(sparse.block_array([[a, -b.T], [-b, None]]).tocsc())

    def check_flux(self, g: np.ndarray) -> None:
        """Raise `FluxError` unless the boundary values, one number for each of `rim`, balance."""
        check_finite(g, "boundary velocity")
        rows = self.divergence.tocsr()[:, self.rim]
        net, size = float((rows @ g).sum()), float(abs(rows @ abs(g)).sum())
        if abs(net) > _BALANCE * max(size, 1e-300):
            raise FluxError(
                f"the boundary velocity carries a net flux of {net:.6g} out of the region; expected 0: an "
                "incompressible "
                "fluid needs as much inflow as outflow",
                net,
            )

    def solve(self, load: np.ndarray, g: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Velocity and pressure.

        Parameters
        ----------
        load
            Load vector of the force, shape ``(velocity.N,)``.
        g
            Velocity numbers on `rim`; 0 by default.

        Raises
        ------
        FluxError
            If the boundary velocity does not balance.
        """
        u = np.zeros(self.velocity.N)
        if g is not None:
            self.check_flux(g)
            u[self.rim] = g
        free = self.inner
        right = np.concatenate([(load - self.viscous @ u)[free], (self.divergence @ u)[1:]])
        found = self._factor.solve(right)
        u[free] = found[: len(free)]
        p = np.concatenate([[0.0], found[len(free) :]])
        return u, p - (self.weights @ p) / self.weights.sum()
