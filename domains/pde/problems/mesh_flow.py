"""Incompressible flow in a region with holes from vorticity and circulations: the div-curl problem on triangles.

    div u = 0,      curl u = omega,      u . n = 0 on the walls,      circulation of u around hole k = gamma_k

The stream function ``psi`` is linear on triangles, constant on each wall, and 0 on the outer one. The numbers of the
solution are the fluxes ``w = d0 psi`` through the edges, so that ``d1 w = 0`` and no wall is crossed, by algebra. With
``K = d0^T M_1 d0`` and lumped masses M,

    (K psi)_i = (M omega)_i  inside,      sum over wall k of (K psi - M omega)_i = gamma_k.

The vorticity alone does not fix a flow: there is one harmonic flow for each hole (the Betti number of the region), and
its coordinate is the circulation. Vorticity has a Matern law (`scidiff.domains.pde.solvers.fem.matern_root`), the
circulations are independent normals, so that flows are a Gaussian field and their posterior from velocity sensors has
closed form (`scidiff.domains.pde.function_space`). The independent check works with circulations along edges
instead: the smallest Nedelec field with the given curl, plus the harmonic ones of `scidiff.mesh.HodgeDecomposition`.
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

from scidiff.errors import ConfigError
from scidiff.mesh import HodgeDecomposition, SimplicialComplex, annulus, whitney_stars, whitney_vectors
from scidiff.random import Source

from ..contract import Field, Problem, State
from ..mesh_domains import walls
from ..sparse import SparseMap
from ..units import Term, Unit

__all__ = ["MeshFlow"]

_SPEED = Unit(length=1, time=-1)


@dataclass(frozen=True)
class MeshFlow(Problem):
    """Random incompressible flows in one region.

    Parameters
    ----------
    mesh
        Region of the plane, connected, with a boundary; an annulus by default.
    kappa
        Inverse correlation length of the vorticity.
    swirl
        Standard deviation of the circulations.
    """

    mesh: SimplicialComplex = field(default_factory=lambda: annulus(6, 48))
    kappa: float = 4.0
    swirl: float = 1.0

    name = "mesh_flow"
    title = "Incompressible flow in a region with holes, from vorticity and circulations"
    fields = (
        Field("omega", "vorticity at vertices", Unit(time=-1), given=True),
        Field("gamma", "circulation around each hole", Unit(length=2, time=-1), given=True),
        Field("w", "flux through edges", Unit(length=2, time=-1)),
    )
    terms = (Term("-lap psi", {"w": 1}, space=2), Term("omega", {"omega": 1}))
    order = 1.0
    truth_error = 0.12
    boundary = "u . n = 0 on the walls"

    def __post_init__(self) -> None:
        if not self.kappa > 0 or not self.swirl > 0:
            raise ConfigError(f"kappa = {self.kappa}, swirl = {self.swirl}; expected positive numbers")

    @property
    def shape(self) -> tuple[int, ...]:
        """Edges."""
        return (len(self.mesh.edges),)

    @property
    def cell(self) -> float:
        """Mean area of a triangle."""
        return float(self.mesh.areas.mean())

    @cached_property
    def wall(self) -> np.ndarray:
        """Wall of each vertex, see `scidiff.domains.pde.mesh_domains.walls`."""
        return walls(self.mesh)

    @property
    def holes(self) -> int:
        """Number of holes, the Betti number of the region."""
        return int(self.wall.max())

    @cached_property
    def mass(self) -> np.ndarray:
        """Lumped masses of the vertices."""
        mesh = self.mesh
        return np.bincount(mesh.triangles.ravel(), np.repeat(mesh.areas / 3, 3), len(mesh.vertices))

    @cached_property
    def stiffness(self) -> sparse.csr_array:
        """``K = d0^T M_1 d0``, with the Whitney mass of edge cochains."""
        d0 = self.mesh.d0.astype(float)
        return (d0.T @ whitney_stars(self.mesh)[1] @ d0).tocsr()

    @cached_property
    def spread(self) -> sparse.csr_array:
        """Matrix from the unknowns to ``psi``: inner vertices, then one number for each hole."""
        inner = np.flatnonzero(self.wall < 0)
        rows = np.concatenate([inner, *(np.flatnonzero(self.wall == k + 1) for k in range(self.holes))])
        sizes = [int((self.wall == k + 1).sum()) for k in range(self.holes)]
        columns = np.concatenate([np.arange(len(inner)), np.repeat(len(inner) + np.arange(self.holes), sizes)])
        shape = (len(self.wall), len(inner) + self.holes)
        return sparse.csr_array((np.ones(len(rows)), (rows, columns)), shape=shape)

    @cached_property
    def factor(self) -> Any:
        """Sparse factor of the stiffness on the unknowns."""
        return splu((self.spread.T @ self.stiffness @ self.spread).tocsc())

    @cached_property
    def vorticity_factor(self) -> Any:
        """Factor of ``kappa^2 M + K`` with natural boundary, of the law of the vorticity."""
        return splu((self.stiffness + self.kappa**2 * sparse.diags_array(self.mass)).tocsc())

    def vorticity(self, white: np.ndarray) -> np.ndarray:
        """Vorticity of white numbers at vertices, shape ``(batch, V)``: of variance 1 far from the walls."""
        return 2 * self.kappa * np.sqrt(np.pi) * self.vorticity_factor.solve((np.sqrt(self.mass) * white).T).T

    def stream(self, omega: np.ndarray, gamma: np.ndarray) -> np.ndarray:
        """``psi`` at vertices, shape ``(batch, V)``."""
        load = (omega * self.mass) @ self.spread
        load[:, load.shape[1] - self.holes :] += gamma
        return self.factor.solve(load.T).T @ self.spread.T

    def draw(self, noise: Source) -> State:
        """Draw vorticities and circulations."""
        white = noise.normal((len(self.mesh.vertices),), step=0, stream="vorticity").numpy()
        gamma = self.swirl * noise.normal((self.holes,), step=0, stream="circulation")
        return {"omega": torch.from_numpy(np.ascontiguousarray(self.vorticity(white))), "gamma": gamma}

    def solve(self, inputs: State) -> State:
        """Solve by a sparse factor."""
        psi = self.stream(inputs["omega"].numpy(), inputs["gamma"].numpy())
        i, j = self.mesh.edges.T
        return {**inputs, "w": torch.from_numpy(np.ascontiguousarray(psi[:, j] - psi[:, i]))}

    @cached_property
    def _operators(self) -> tuple[SparseMap, SparseMap, SparseMap]:
        """Outflow of triangles; curl at the unknowns; and what collects vorticity there."""
        weak = self.spread.T @ self.mesh.d0.T.astype(float) @ whitney_stars(self.mesh)[1]
        collect = self.spread.T @ sparse.diags_array(self.mass)
        return SparseMap.of(self.mesh.d1.astype(float)), SparseMap.of(weak), SparseMap.of(collect)

    def residual(self, state: State) -> Tensor:
        """Divergence of triangles, then curl at inner vertices and circulation around holes, over the mean area."""
        outflow, weak, collect = self._operators
        curl = weak(state["w"]) - collect(state["omega"])
        given = torch.nn.functional.pad(state["gamma"], (curl.shape[1] - self.holes, 0))
        return torch.cat([outflow(state["w"]), curl - given], 1) / self.cell

    def scale(self, state: State) -> Tensor:
        """Largest vorticity, or circulation over the mean area."""
        round_ = state["gamma"].abs().sum(1) / self.cell
        return torch.maximum(state["omega"].abs().amax(1), round_)

    def conserved(self, state: State) -> dict[str, Tensor]:
        """Outflow of triangles, flux through walls, and circulations, each over the largest flux or circulation."""
        w, (outflow, weak, collect) = state["w"], self._operators
        size = w.abs().amax(1)
        found = (weak(w) - collect(state["omega"]))[:, -self.holes :] if self.holes else w[:, :1] * 0
        given = state["gamma"] if self.holes else w[:, :1] * 0
        most = torch.maximum(given.abs().amax(1), size)
        return {
            "divergence": outflow(w).abs().amax(1) / size,
            "wall": w[:, torch.from_numpy(self.mesh.boundary_edges.copy())].abs().amax(1) / size,
            "circulation": (found - given).abs().amax(1) / most,
        }

    @cached_property
    def gradient(self) -> sparse.csr_array:
        """Matrix from ``psi`` to the velocity ``(d_y psi, -d_x psi)`` of triangles, shape ``(2 F, V)``."""
        mesh = self.mesh
        corners = mesh.vertices[mesh.triangles][..., :2]
        side = np.roll(corners, -2, 1) - np.roll(corners, -1, 1)
        ab, ac = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
        twice = (ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0])[:, None]
        slope = np.stack([-side[..., 1], side[..., 0]], -1) / twice[..., None]
        count = len(mesh.triangles)
        rows = np.repeat(np.arange(2 * count), 3)
        values = np.concatenate([slope[..., 1].ravel(), -slope[..., 0].ravel()])
        columns = np.tile(mesh.triangles.ravel(), 2)
        return sparse.csr_array((values, (rows, columns)), shape=(2 * count, len(mesh.vertices)))

    def velocity(self, w: np.ndarray) -> np.ndarray:
        """Velocity of the triangles of fluxes through edges, shape ``(batch, 2, F)``."""
        vectors = np.stack([whitney_vectors(self.mesh, row) for row in w])
        return np.stack([vectors[..., 1], -vectors[..., 0]], 1)

    @cached_property
    def _nedelec(self) -> tuple[Any, np.ndarray, np.ndarray]:
        """Factor of the smallest field with a curl; harmonic fields; what turns their coefficients to circulations."""
        mesh, stars = self.mesh, whitney_stars(self.mesh)
        d1 = mesh.d1.astype(float)
        factor = splu(sparse.block_array([[stars[1], d1.T], [d1, None]], format="csc"))
        random = np.random.default_rng(0).normal(size=(len(mesh.edges), self.holes))
        harmonic = HodgeDecomposition(stars, 1)(random).harmonic if self.holes else random
        return factor, harmonic, self._loops(harmonic)

    def _loops(self, cochain: np.ndarray) -> np.ndarray:
        """Circulation around each hole, counter-clockwise, of edge cochains ``(E, columns)``."""
        mesh = self.mesh
        out = np.zeros((self.holes, cochain.shape[1]))
        orientation = np.zeros(len(mesh.edges))
        np.add.at(orientation, mesh.face_edges.ravel(), (mesh.face_signs * np.array([1, 1, -1])).ravel())
        # a positive triangle has its boundary on the left hand: around a hole it runs clockwise
        sense = -1.0 if self._positive else 1.0
        for edge in mesh.boundary_edges:
            hole = self.wall[mesh.edges[edge, 0]] - 1
            if hole >= 0:
                out[hole] += sense * orientation[edge] * cochain[edge]
        return out

    @property
    def _positive(self) -> bool:
        a, b, c = self.mesh.vertices[self.mesh.triangles[0]][:, :2]
        return bool((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]) > 0)

    def reference(self, inputs: State) -> State:
        """Nedelec fields: fluxes through edges from the mean velocity of the triangles beside them."""
        mesh, (factor, harmonic, turn) = self.mesh, self._nedelec
        sign = 1.0 if self._positive else -1.0
        omega = inputs["omega"].numpy()[:, mesh.triangles].mean(2) * mesh.areas * sign
        size = len(mesh.edges)
        along = factor.solve(np.concatenate([np.zeros((size, len(omega))), omega.T]))[:size]
        if self.holes:
            along = along + harmonic @ np.linalg.solve(turn, inputs["gamma"].numpy().T - self._loops(along))
        step = mesh.vertices[mesh.edges[:, 1]] - mesh.vertices[mesh.edges[:, 0]]
        count = np.bincount(mesh.face_edges.ravel(), minlength=size)
        out = []
        for row in along.T:
            u = whitney_vectors(mesh, row)
            mean = np.stack([np.bincount(mesh.face_edges.ravel(), np.repeat(part, 3), size) for part in u.T[:2]], 1)
            out.append((mean[:, 1] * -step[:, 0] + mean[:, 0] * step[:, 1]) / count)
        return {**inputs, "w": torch.from_numpy(np.stack(out))}
