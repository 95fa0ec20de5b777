"""Poisson's equation on a triangulated region of the plane: ``-lap u = f``, ``u = 0`` on the boundary.

Quadratic finite elements; unknowns are values at vertices and at the middles of edges, the source is linear. The
residual is that of the weak form at inner nodes, ``K u - load(f)``, over the mean area of an element, so that it has
the unit of f. The source has the Matern law of the stochastic equation ``(kappa^2 - lap) f = white noise`` [1]_ with
natural boundary conditions, drawn with linear elements. The independent check is the cotangent Laplacian of
`scidiff.mesh` on the mesh whose triangles are cut in four: its vertices are the nodes of the quadratic elements.

References
----------
.. [1] F. Lindgren, H. Rue and J. Lindstrom, J. R. Stat. Soc. B 73, 423 (2011), doi:10.1111/j.1467-9868.2011.00777.x
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.linalg import splu
from torch import Tensor

from scidiff.mesh import SimplicialComplex, annulus
from scidiff.random import Source

from ..contract import Field, Problem, State
from ..solvers.fem import QuadraticElliptic, matern_root, triangle_mesh
from ..sparse import SparseMap
from ..units import ONE, Term, Unit

__all__ = ["MeshPoisson", "cotangent_stiffness"]


def cotangent_stiffness(surface: SimplicialComplex) -> tuple[sparse.csr_array, np.ndarray]:
    """Stiffness matrix ``d0^T *1 d0`` with cotangent weights, and the lumped masses of the vertices."""
    weight = np.bincount(surface.face_edges.ravel(), 0.5 * surface.cotangents.ravel(), len(surface.edges))
    d0 = surface.d0.astype(float)
    mass = np.bincount(surface.triangles.ravel(), np.repeat(surface.areas / 3, 3), len(surface.vertices))
    return (d0.T @ sparse.diags_array(weight) @ d0).tocsr(), mass


@dataclass(frozen=True)
class MeshPoisson(Problem):
    """Poisson's equation on one mesh.

    Parameters
    ----------
    mesh
        Region of the plane, with a boundary; an annulus by default.
    kappa
        Inverse correlation length of the source.
    """

    mesh: SimplicialComplex = field(default_factory=lambda: annulus(6, 48))
    kappa: float = 4.0

    name = "mesh_poisson"
    title = "Poisson equation on triangles"
    fields = (Field("f", "source at vertices", Unit(length=-2), given=True), Field("u", "potential at nodes", ONE))
    terms = (Term("lap u", {"u": 1}, space=2), Term("f", {"f": 1}))
    order = 3.0
    truth_error = 1e-2
    boundary = "u = 0 on the boundary"

    @property
    def shape(self) -> tuple[int, ...]:
        """Nodes."""
        return (int(self.elements.basis.N),)

    @property
    def cell(self) -> float:
        """Mean area of an element."""
        return float(self.mesh.areas.mean())

    @cached_property
    def elements(self) -> QuadraticElliptic:
        """Quadratic elements."""
        return QuadraticElliptic(triangle_mesh(self.mesh.vertices, self.mesh.triangles))

    def draw(self, noise: Source) -> State:
        """Draw sources."""
        xi = noise.normal((len(self.mesh.vertices),), step=0, stream="source").numpy()
        return {"f": torch.from_numpy(matern_root(self.elements, self.kappa)(xi))}

    def solve(self, inputs: State) -> State:
        """Solve by a sparse factor."""
        return {**inputs, "u": torch.from_numpy(np.stack([self.elements.solve(f) for f in inputs["f"].numpy()]))}

    @cached_property
    def _operators(self) -> tuple[SparseMap, SparseMap]:
        inner = self.elements.inner
        stiffness: Any = self.elements.stiffness
        load: Any = self.elements.linear_load
        return SparseMap.of(stiffness.tocsr()[inner]), SparseMap.of(load.tocsr()[inner])

    def residual(self, state: State) -> Tensor:
        """``K u - load(f)`` at inner nodes over the mean area of an element."""
        stiffness, load = self._operators
        return (stiffness(state["u"]) - load(state["f"])) / self.cell

    def scale(self, state: State) -> Tensor:
        """Largest source."""
        return state["f"].abs().max(1).values

    def conserved(self, state: State) -> dict[str, Tensor]:
        """Boundary value over the largest value."""
        edge = np.setdiff1d(np.arange(self.elements.basis.N), self.elements.inner)
        u = state["u"].abs()
        return {"boundary": u[:, torch.from_numpy(edge)].max(1).values / u.max(1).values}

    @cached_property
    def _cotangent(self) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray]:
        fine = self.elements.mesh.refined()
        surface = SimplicialComplex.from_arrays(fine.p.T, fine.t.T, repair_orientation=True)
        stiffness, mass = cotangent_stiffness(surface)
        rim = np.unique(surface.edges[surface.boundary_edges])
        inner = np.setdiff1d(np.arange(len(mass)), rim)
        nodes = self.elements.nodes(fine.p)
        return splu(stiffness[inner][:, inner].tocsc()), mass, inner, nodes

    def reference(self, inputs: State) -> State:
        """Cotangent Laplacian on the mesh cut in four."""
        factor, mass, inner, nodes = self._cotangent
        spread = self.elements.linear_to_nodes
        out = np.zeros((len(inputs["f"]), len(nodes)))
        for row, f in zip(out, inputs["f"].numpy(), strict=True):
            row[nodes[inner]] = factor.solve((mass * (spread @ f)[nodes])[inner])
        return {**inputs, "u": torch.from_numpy(out)}
