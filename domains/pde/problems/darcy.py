"""Darcy flow through a random medium: ``-div(a grad u) = f`` on the unit square.

Values are in cells of width h. The flux between two cells has the conductance of two half cells in series, the harmonic
mean; at the boundary only the half cell is left (`scidiff.domains.pde.boundaries`):

    F_{i+1/2} = 2 a_i a_{i+1} / (a_i + a_{i+1}) (u_i - u_{i+1}) / h,      F_boundary = 2 a_i u_i / h  for u = 0 there

    R_i = (sum of the fluxes out of cell i) / h - f_i

This is exact across jumps of the coefficient that lie on faces, of second order for smooth ones, and conservative: the
flux through the boundary is the sum of the sources. The independent method is quadratic finite elements on the cells
cut into triangles, with the same coefficient in each.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.linalg import splu
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.random import Source

from ..boundaries import Neumann as NoFlow
from ..boundaries import Rectangle, conductances
from ..contract import Field, Problem, State
from ..errors import CoefficientError
from ..laws import Binary, GaussianField, LogNormal, Neumann
from ..solvers.fem import QuadraticElliptic, grid_mesh
from ..units import Term, Unit

__all__ = ["Darcy", "DarcyLogNormal", "DarcyWells"]


def _ground() -> GaussianField:
    return GaussianField(Neumann(), alpha=2.0, tau=3.0, scale=3.0)


@dataclass(frozen=True)
class Darcy(Problem):
    """Darcy flow in a binary medium: 12 where a Gaussian field is positive, 3 elsewhere; unit source.

    Parameters
    ----------
    size
        Number of cells along an axis.
    law
        Law of the coefficient.
    source
        Value of ``f`` that is drawn.
    """

    size: int = 128
    law: Binary | LogNormal = Binary(_ground())  # noqa: RUF009
    source: float = 1.0

    name = "darcy"
    title = "Darcy flow, binary medium, Dirichlet, unit square"
    fields = (
        Field("a", "transmissivity", Unit(length=2, time=-1), given=True),
        Field("f", "recharge", Unit(length=1, time=-1), given=True),
        Field("u", "head", Unit(length=1)),
    )
    terms = (Term("div(a grad u)", {"a": 1, "u": 1}, space=2), Term("f", {"f": 1}))
    order = 2.0
    truth_error = 1e-2
    boundary = "u = 0 on every side"

    @cached_property
    def domain(self) -> Rectangle:
        """Unit square, 0 on every side."""
        return Rectangle((self.size, self.size))

    @property
    def shape(self) -> tuple[int, ...]:
        """Cells."""
        return (self.size, self.size)

    @property
    def spacing(self) -> float:
        """``h``, for a box of side 1."""
        return 1.0 / self.size

    @property
    def cell(self) -> float:
        """``h^2``."""
        return self.spacing**2

    def draw(self, noise: Source) -> State:
        """Draw coefficients."""
        a = torch.from_numpy(self.law.draw(noise, (self.size, self.size)))
        return {"a": a, "f": torch.full_like(a, self.source)}

    def check_coefficient(self, a: Tensor) -> None:
        """Raise `CoefficientError` where a coefficient is not positive."""
        wrong = torch.nonzero(~(a > 0))
        if len(wrong):
            place = tuple(int(i) for i in wrong[0])
            raise CoefficientError(
                f"a is {float(a[place]):.4g} at {place} ({len(wrong)} such cells); expected positive numbers: "
                "the equation is not elliptic there; clip, or draw the logarithm",
                wrong.numpy(),
            )

    def residual(self, state: State) -> Tensor:
        """``-div(a grad u) - f`` in cells."""
        return self.domain.divergence(state["a"], state["u"]) - state["f"]

    def scale(self, state: State) -> Tensor:
        """Largest source."""
        return state["f"].flatten(1).abs().max(1).values

    def conserved(self, state: State) -> dict[str, Tensor]:
        """What flows out through the boundary against what the sources supply, over the sum of their sizes."""
        supply = state["f"].flatten(1) * self.cell
        out = self.domain.outflow(state["a"], state["u"])
        return {"mass": (out - supply.sum(1)).abs() / supply.abs().sum(1)}

    def matrix(self, a: Tensor) -> sparse.csc_array:
        """Matrix of ``-div(a grad .)`` for one coefficient of shape ``(nx, ny)``."""
        n, h, cells = self.size, self.spacing, np.arange(self.size**2).reshape(self.size, self.size)
        diagonal, rows, columns, values = np.zeros((n, n)), [], [], []
        for axis, (low, high) in enumerate(self.domain.sides):
            inner = np.moveaxis(conductances(a, axis).numpy(), axis, 0) / h**2
            numbers, along = np.moveaxis(cells, axis, 0), np.moveaxis(diagonal, axis, 0)
            along[:-1] += inner
            along[1:] += inner
            for condition, cell in ((low, 0), (high, n - 1)):
                along[cell] += condition.weight * 2 * a.select(axis, cell).numpy() / h**2
            rows += [numbers[:-1].ravel(), numbers[1:].ravel()]
            columns += [numbers[1:].ravel(), numbers[:-1].ravel()]
            values += [-inner.ravel(), -inner.ravel()]
        entries = np.concatenate([diagonal.ravel(), *values])
        place = np.concatenate([cells.ravel(), *rows]), np.concatenate([cells.ravel(), *columns])
        return sparse.csc_array((entries, place), shape=(n * n, n * n))

    def solve(self, inputs: State) -> State:
        """Solve by sparse factors, one for each coefficient.

        Raises
        ------
        CoefficientError
            If a coefficient is not positive; it says where.
        FluxError
            If every side has a given flux and they do not match the sources.
        """
        self.check_coefficient(inputs["a"])
        self.domain.check_balance(inputs["f"])
        known = self.domain.divergence(inputs["a"], torch.zeros_like(inputs["a"]))
        first, out = int(self.domain.closed), []
        for a, f in zip(inputs["a"], (inputs["f"] - known).numpy(), strict=True):
            matrix = self.matrix(a)[first:, first:]
            factor = splu(matrix, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
            u = factor.solve(f.ravel()[first:])
            u = np.concatenate([np.zeros(first), u]).reshape(self.size, self.size)
            out.append(u - u.mean() if first else u)
        return {**inputs, "u": torch.from_numpy(np.stack(out))}

    @cached_property
    def _elements(self) -> tuple[QuadraticElliptic, np.ndarray, np.ndarray]:
        elements = QuadraticElliptic(grid_mesh((self.size + 1, self.size + 1)), natural=self.domain.closed)
        centre = (np.arange(self.size) + 0.5) / self.size
        nodes = elements.nodes(np.stack(np.meshgrid(centre, centre, indexing="ij")).reshape(2, -1))
        i, j = (elements.mesh.p[:, elements.mesh.t].mean(1) * self.size).astype(int)
        return elements, nodes, i * self.size + j

    def reference(self, inputs: State) -> State:
        """Quadratic finite elements at the middles of the cells."""
        elements, nodes, cell = self._elements
        out = []
        for a, f in zip(inputs["a"].numpy(), inputs["f"].numpy(), strict=True):
            u = elements.solve(f.ravel()[cell], a.ravel()[cell])[nodes].reshape(self.size, self.size)
            out.append(u - u.mean() if self.domain.closed else u)
        return {**inputs, "u": torch.from_numpy(np.stack(out))}


@dataclass(frozen=True)
class DarcyLogNormal(Darcy):
    """Darcy flow in a medium whose logarithm is a Gaussian field.

    Parameters
    ----------
    size, law, source
        As for `Darcy`.
    """

    law: Binary | LogNormal = LogNormal(_ground())  # noqa: RUF009

    name = "darcy_lognormal"
    title = "Darcy flow, log-normal medium, Dirichlet, unit square"
    truth_error = 2e-3


def _exponential(length: float) -> GaussianField:
    """Covariance ``exp(-d / l)`` away from the boundary, whose spectrum is ``(2 pi / l) (l^-2 + k^2)^(-3/2)``."""
    return GaussianField(Neumann(), alpha=1.5, tau=1 / length, scale=(2 * np.pi / length) ** 0.5, centred=False)


@dataclass(frozen=True)
class DarcyWells(Darcy):
    """Flow from an injecting to an extracting well in a closed log-normal medium: no flow through any side.

    The source is +10 in the corner box ``[0, 1/8]^2``, -10 in the opposite one, 0 elsewhere; the mean head is 0.

    Parameters
    ----------
    size
        Number of cells along an axis, a multiple of 8.
    law
        Law of the coefficient; by default the exponential of a field with covariance ``exp(-d / 0.1)``.
    source
        Source in the wells.
    """

    size: int = 64
    law: Binary | LogNormal = LogNormal(_exponential(0.1))  # noqa: RUF009
    source: float = 10.0

    name = "darcy_wells"
    title = "Darcy flow between wells, log-normal medium, no outflow"
    truth_error = 4e-2
    boundary = "no flow through any side"

    def __post_init__(self) -> None:
        if self.size % 8:
            raise ConfigError(
                f"size is {self.size}; expected a multiple of 8, so that the wells are made of whole cells"
            )

    @cached_property
    def domain(self) -> Rectangle:
        """Unit square, closed on every side."""
        return Rectangle((self.size, self.size), NoFlow(), NoFlow(), NoFlow(), NoFlow())

    def draw(self, noise: Source) -> State:
        """Draw coefficients."""
        a, edge = super().draw(noise)["a"], self.size // 8
        f = torch.zeros_like(a)
        f[:, :edge, :edge], f[:, -edge:, -edge:] = self.source, -self.source
        return {"a": a, "f": f}
