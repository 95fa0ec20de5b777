"""Stokes flow in a triangulated region of the plane, driven by a random force and a given boundary velocity.

    -nu lap u + grad p = f,      div u = 0,      u = g on the boundary

Taylor-Hood elements. The force is a Matern field at the vertices (`scidiff.domains.pde.problems.mesh_poisson`), each
component drawn apart. The residual is that of the weak form, momentum at inner nodes and continuity at vertices, over
the mean area of an element. The independent check is the MINI element on the mesh whose triangles are cut in four, of
first order for the pressure and second for the velocity.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import skfem
import torch
from scipy import sparse
from scipy.spatial import cKDTree
from torch import Tensor

from scidiff.mesh import SimplicialComplex, annulus
from scidiff.random import Source

from ..contract import Field, Problem, State
from ..solvers.fem import QuadraticElliptic, matern_root, triangle_mesh
from ..solvers.stokes import StokesElements, mini, taylor_hood
from ..sparse import SparseMap
from ..units import Term, Unit

__all__ = ["MeshStokes"]

_SPEED = Unit(length=1, time=-1)


@dataclass(frozen=True)
class MeshStokes(Problem):
    """Stokes flow on one mesh.

    Parameters
    ----------
    mesh
        Region of the plane, with a boundary; an annulus by default.
    viscosity
        ``nu``.
    kappa
        Inverse correlation length of the force.
    """

    mesh: SimplicialComplex = field(default_factory=lambda: annulus(6, 48))
    viscosity: float = 1.0
    kappa: float = 4.0

    name = "mesh_stokes"
    title = "Stokes flow on triangles"
    fields = (
        Field("f", "force at vertices", Unit(length=1, time=-2), given=True),
        Field("u", "velocity", _SPEED),
        Field("p", "pressure over density", Unit(length=2, time=-2)),
    )
    parameters = {"nu": Unit(length=2, time=-1)}  # noqa: RUF012
    terms = (
        Term("nu lap u", {"nu": 1, "u": 1}, space=2),
        Term("grad p", {"p": 1}, space=1),
        Term("f", {"f": 1}),
    )
    order = 2.0
    truth_error = 6e-2
    boundary = "u = 0 on the boundary"

    @property
    def shape(self) -> tuple[int, ...]:
        """Velocity numbers."""
        return (int(self.elements.velocity.N),)

    @property
    def cell(self) -> float:
        """Mean area of an element."""
        return float(self.mesh.areas.mean())

    @cached_property
    def elements(self) -> StokesElements:
        """Taylor-Hood elements."""
        return taylor_hood(triangle_mesh(self.mesh.vertices, self.mesh.triangles), self.viscosity)

    @property
    def corners(self) -> np.ndarray:
        """Numbers of both components at the vertices, shape ``(2, V)``."""
        dofs: Any = self.elements.velocity.dofs
        return np.asarray(dofs.nodal_dofs)

    def draw(self, noise: Source) -> State:
        """Draw forces, shape ``(batch, 2, vertices)``."""
        root = matern_root(QuadraticElliptic(self.elements.mesh), self.kappa)
        xi = noise.normal((2, len(self.mesh.vertices)), step=0, stream="force").numpy()
        return {"f": torch.from_numpy(np.stack([root(xi[:, 0]), root(xi[:, 1])], 1))}

    @cached_property
    def _load(self) -> Any:
        """Matrix from a force at vertices, component by component, to the load vector."""
        return _force_matrix(self.elements)

    def solve(self, inputs: State) -> State:
        """Solve by a sparse factor."""
        found = [self.elements.solve(self._load @ f.ravel()) for f in inputs["f"].numpy()]
        u, p = (torch.from_numpy(np.stack(part)) for part in zip(*found, strict=True))
        return {**inputs, "u": u, "p": p}

    @cached_property
    def _operators(self) -> tuple[SparseMap, SparseMap, SparseMap, SparseMap]:
        one, inner = self.elements, self.elements.inner
        pick = lambda matrix: SparseMap.of(matrix.tocsr()[inner])  # noqa: E731
        return pick(one.viscous), pick(one.divergence.T), pick(self._load), SparseMap.of(one.divergence)

    def residual(self, state: State) -> Tensor:
        """Momentum at inner nodes and continuity at vertices, over the mean area of an element."""
        viscous, gradient, load, divergence = self._operators
        momentum = viscous(state["u"]) - gradient(state["p"]) - load(state["f"].flatten(1))
        return torch.cat([momentum, divergence(state["u"])], 1) / self.cell

    def scale(self, state: State) -> Tensor:
        """Largest force."""
        return state["f"].flatten(1).abs().max(1).values

    def conserved(self, state: State) -> dict[str, Tensor]:
        """Boundary velocity, and total outflow of the elements around a vertex, over the largest velocity."""
        u, size = state["u"], state["u"].abs().max(1).values
        rim = torch.from_numpy(self.elements.rim)
        outflow = self._operators[3](u).abs().max(1).values / self.cell**0.5
        return {"boundary": u[:, rim].abs().max(1).values / size, "mass": outflow / size}

    @cached_property
    def _fine(self) -> tuple[StokesElements, Any, np.ndarray]:
        """MINI elements on the mesh cut in four, the matrix of their load, and their numbers at our nodes."""
        fine = mini(self.elements.mesh.refined(), self.viscosity)
        scalar = QuadraticElliptic(self.elements.mesh)
        load = _force_matrix(fine) @ _both(scalar.linear_to_nodes.tocsr()[scalar.nodes(fine.mesh.p)])
        return fine, load, _numbers(self.elements, fine)

    def reference(self, inputs: State) -> State:
        """MINI elements on the mesh cut in four, at our nodes."""
        fine, load, numbers = self._fine
        found = [fine.solve(load @ f.ravel()) for f in inputs["f"].numpy()]
        vertices = cKDTree(fine.mesh.p.T).query(self.elements.mesh.p.T)[1]
        u, p = (np.stack(part) for part in zip(*found, strict=True))
        return {**inputs, "u": torch.from_numpy(u[:, numbers]), "p": torch.from_numpy(p[:, vertices])}


def _both(matrix: Any) -> Any:
    """The same matrix for both components."""
    return sparse.block_array([[matrix, None], [None, matrix]]).tocsr()


def _force_matrix(elements: StokesElements) -> Any:
    """Load of a force that is linear on triangles, from ``(2 V,)`` numbers, component by component."""
    forms = []
    for axis in (0, 1):

        @skfem.BilinearForm
        def form(f, v, w, axis=axis):
            return f * v[axis]

        forms.append(form.assemble(elements.pressure, elements.velocity))
    return sparse.hstack(forms).tocsr()


def _numbers(coarse: StokesElements, fine: StokesElements) -> np.ndarray:
    """Velocity number of the fine elements for each of the coarse ones: same place, same component."""
    at = cKDTree(fine.mesh.p.T).query(coarse.velocity.doflocs.T)[1]
    component = np.zeros(coarse.velocity.N, dtype=int)
    dofs: Any = coarse.velocity.dofs
    for table in (dofs.nodal_dofs, dofs.facet_dofs):
        component[table[1]] = 1
    return np.asarray(fine.velocity.dofs.nodal_dofs)[component, at]
