"""Linear elasticity in a triangulated region of the plane, clamped on its boundary, under a random force.

    -div sigma = f,      sigma = 2 mu eps(u) + lambda tr eps(u),      u = 0 on the boundary

Quadratic elements. The force is a Matern field at the vertices, each component drawn apart. The residual is that of the
weak form at inner nodes over the mean area of an element. In equilibrium the reactions of the clamp balance the forces
and their moments, and the work of the force is twice the elastic energy. The independent check is linear elements with
an assembly of their own (`scidiff.domains.pde.solvers.elasticity`) on the mesh whose triangles are cut in sixteen.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.mesh import SimplicialComplex, annulus
from scidiff.random import Source

from ..contract import Field, Problem, State
from ..solvers.elasticity import QuadraticElastic, StrainTriangles
from ..solvers.fem import QuadraticElliptic, matern_root, triangle_mesh
from ..sparse import SparseMap
from ..units import Term, Unit

__all__ = ["MeshElasticity"]


@dataclass(frozen=True)
class MeshElasticity(Problem):
    """A clamped elastic body on one mesh.

    Parameters
    ----------
    mesh
        Region of the plane, with a boundary; an annulus by default.
    lame
        ``lambda`` and ``mu``, ``mu > 0`` and ``lambda + mu > 0``.
    kappa
        Inverse correlation length of the force.
    """

    mesh: SimplicialComplex = field(default_factory=lambda: annulus(6, 48))
    lame: tuple[float, float] = (1.0, 1.0)
    kappa: float = 4.0

    name = "mesh_elasticity"
    title = "Linear elasticity on triangles, clamped, plane strain"
    fields = (
        Field("f", "force per volume at vertices", Unit(length=-2, mass=1, time=-2), given=True),
        Field("u", "displacement", Unit(length=1)),
    )
    parameters = {"lambda": Unit(length=-1, mass=1, time=-2), "mu": Unit(length=-1, mass=1, time=-2)}  # noqa: RUF012
    terms = (
        Term("div(2 mu eps(u))", {"mu": 1, "u": 1}, space=2),
        Term("grad(lambda div u)", {"lambda": 1, "u": 1}, space=2),
        Term("f", {"f": 1}),
    )
    order = 3.0
    truth_error = 3e-3
    boundary = "u = 0 on the boundary"

    def __post_init__(self) -> None:
        first, shear = self.lame
        if not shear > 0 or not first + shear > 0:
            raise ConfigError(
                f"lambda = {first}, mu = {shear}; expected mu > 0 and lambda + mu > 0: strains cost energy"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Displacement numbers."""
        return (int(self.elements.basis.N),)

    @property
    def cell(self) -> float:
        """Mean area of an element."""
        return float(self.mesh.areas.mean())

    @cached_property
    def elements(self) -> QuadraticElastic:
        """Quadratic elements."""
        return QuadraticElastic(triangle_mesh(self.mesh.vertices, self.mesh.triangles), self.lame)

    @property
    def corners(self) -> np.ndarray:
        """Numbers of both components at the vertices, shape ``(2, V)``."""
        return self.elements.corners

    def draw(self, noise: Source) -> State:
        """Draw forces, shape ``(batch, 2, vertices)``."""
        root = matern_root(QuadraticElliptic(self.elements.mesh), self.kappa)
        xi = noise.normal((2, len(self.mesh.vertices)), step=0, stream="force").numpy()
        return {"f": torch.from_numpy(np.stack([root(xi[:, 0]), root(xi[:, 1])], 1))}

    def solve(self, inputs: State) -> State:
        """Solve by a sparse factor."""
        one = self.elements
        found = [one.solve(one.load @ f.ravel()) for f in inputs["f"].numpy()]
        return {**inputs, "u": torch.from_numpy(np.stack(found))}

    @cached_property
    def _operators(self) -> tuple[SparseMap, SparseMap]:
        return SparseMap.of(self.elements.stiffness), SparseMap.of(self.elements.load)

    def _unbalanced(self, state: State) -> Tensor:
        """``K u - load`` at all numbers: 0 inside, the reaction of the clamp on the boundary."""
        stiffness, load = self._operators
        return stiffness(state["u"]) - load(state["f"].flatten(1))

    def residual(self, state: State) -> Tensor:
        """``K u - load(f)`` at inner nodes over the mean area of an element."""
        return self._unbalanced(state)[:, torch.from_numpy(self.elements.inner)] / self.cell

    def scale(self, state: State) -> Tensor:
        """Largest force."""
        return state["f"].flatten(1).abs().amax(1)

    def conserved(self, state: State) -> dict[str, Tensor]:
        """Boundary displacement; balance of forces, of moments, and of work with energy, each relative."""
        u, one = state["u"], self.elements
        rim, component = torch.from_numpy(one.rim), torch.from_numpy(one.component)
        stiffness, load = self._operators
        push, reaction = load(state["f"].flatten(1)), self._unbalanced(state)[:, rim]
        places = torch.from_numpy(one.basis.doflocs)
        arm = torch.where(component == 0, -places[1], places[0])
        size = push.abs().sum(1)
        both = [push[:, component == a].sum(1) + reaction[:, component[rim] == a].sum(1) for a in (0, 1)]
        moment = (push * arm).sum(1) + (reaction * arm[rim]).sum(1)
        work, energy = (push * u).sum(1), (u * stiffness(u)).sum(1)
        return {
            "boundary": u[:, rim].abs().amax(1) / u.abs().amax(1),
            "force": torch.stack(both).abs().amax(0) / size,
            "moment": moment.abs() / (size * float(arm.abs().max())),
            "work": (work - energy).abs() / work.abs(),
        }

    @cached_property
    def _fine(self) -> tuple[StrainTriangles, np.ndarray, np.ndarray]:
        """Linear elements, the matrix of the force at their vertices, and their vertices at our nodes."""
        fine = self.elements.mesh.refined(2)
        scalar = QuadraticElliptic(self.elements.mesh)
        middle = QuadraticElliptic(self.elements.mesh.refined())
        spread = middle.linear_to_nodes @ scalar.linear_to_nodes.tocsr()[scalar.nodes(middle.mesh.p)]
        spread = spread.tocsr()[middle.nodes(fine.p)]
        rim = np.unique(np.asarray(fine.facets)[:, fine.boundary_facets()])
        elements = StrainTriangles(fine.p.T, fine.t.T, self.lame, rim)
        return elements, spread, cKDTree(fine.p.T).query(self.elements.basis.doflocs.T)[1]

    def reference(self, inputs: State) -> State:
        """Linear elements on the mesh cut in sixteen, at our nodes."""
        elements, spread, at = self._fine
        found = [elements.solve(np.stack([spread @ part for part in f])) for f in inputs["f"].numpy()]
        return {**inputs, "u": torch.from_numpy(np.stack([u[self.elements.component, at] for u in found]))}
