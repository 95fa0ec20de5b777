"""Poisson and Helmholtz equation on a rectangle: ``lap u + k^2 u = f`` inside, ``u = 0`` on the boundary.

Values are at the nodes ``(i h, j h)``, ``h = 1 / (n - 1)``, the boundary included. The Laplacian is the five-point one,

    (lap u)_ij = (u_{i+1,j} + u_{i-1,j} + u_{i,j+1} + u_{i,j-1} - 4 u_ij) / h^2,

whose eigenfunctions with these values are products of sines with eigenvalues ``-4/h^2 sin^2(pi k h / 2)`` summed over
the axes: a solution costs two sine transforms. The source is a Gaussian field, so that the problem is linear-Gaussian
and its posterior from sensors is known exactly (`scidiff.domains.pde.posterior`). The independent method is quadratic
finite elements on the grid cut into triangles.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy import fft
from torch import Tensor

from scidiff.errors import ConfigError, NumericalError
from scidiff.random import Source

from ..contract import Field, Problem, State
from ..laws import GaussianField, Neumann
from ..posterior import LinearGaussian
from ..solvers.fem import QuadraticElliptic, grid_mesh
from ..units import ONE, Term, Unit

__all__ = ["Helmholtz", "Poisson"]


@dataclass(frozen=True)
class Poisson(Problem):
    """Poisson's equation on the unit square with a random source.

    Parameters
    ----------
    size
        Number of nodes along an axis, boundary included.
    law
        Law of the source on the grid; by default ``tau^(alpha-1) (-lap + tau^2)^(-alpha/2)`` of white noise, alpha = 2,
        tau = 3, without its mean.
    """

    size: int = 128
    law: GaussianField = GaussianField(Neumann(), alpha=2.0, tau=3.0, scale=3.0)  # noqa: RUF009

    name = "poisson"
    title = "Poisson equation, Dirichlet, unit square"
    fields = (Field("f", "source", Unit(length=-2), given=True), Field("u", "potential", ONE))
    terms = (Term("lap u", {"u": 1}, space=2), Term("f", {"f": 1}))
    order = 2.0
    truth_error = 5e-3
    boundary = "u = 0 on every side"
    wave = 0.0

    def __post_init__(self) -> None:
        if self.size < 4:
            raise ConfigError(f"size is {self.size}; expected at least 4 nodes along an axis")

    @property
    def shape(self) -> tuple[int, ...]:
        """Nodes."""
        return (self.size, self.size)

    @property
    def spacing(self) -> float:
        """``h``, for a box of side 1."""
        return 1.0 / (self.size - 1)

    @property
    def cell(self) -> float:
        """``h^2``."""
        return self.spacing**2

    @property
    def x(self) -> Tensor:
        """Nodes along an axis."""
        return torch.linspace(0, 1, self.size, dtype=torch.float64)

    def draw(self, noise: Source) -> State:
        """Draw sources."""
        return {"f": torch.from_numpy(self.law.draw(noise, (self.size, self.size)))}

    @cached_property
    def _symbol(self) -> np.ndarray:
        k = np.arange(1, self.size - 1)
        one = -4 / self.spacing**2 * np.sin(np.pi * k * self.spacing / 2) ** 2
        symbol = one[:, None] + one + self.wave**2
        if abs(symbol).min() < 1e-9 * abs(symbol).max():
            raise NumericalError(f"k = {self.wave} is a resonance of the box: the solution is not unique; change it")
        return symbol

    def solve_array(self, f: np.ndarray) -> np.ndarray:
        """``G f``: symmetric; the source on the boundary has no effect."""
        out = np.zeros_like(f)
        inside = fft.dstn(f[..., 1:-1, 1:-1], type=1, axes=(-2, -1), norm="ortho") / self._symbol
        out[..., 1:-1, 1:-1] = fft.dstn(inside, type=1, axes=(-2, -1), norm="ortho")
        return out

    def solve(self, inputs: State) -> State:
        """Solve by sine transforms."""
        return {**inputs, "u": torch.from_numpy(self.solve_array(inputs["f"].numpy()))}

    def residual(self, state: State) -> Tensor:
        """``lap u + k^2 u - f`` at interior nodes."""
        u, inner = state["u"], slice(1, -1)
        around = u[..., 2:, inner] + u[..., :-2, inner] + u[..., inner, 2:] + u[..., inner, :-2]
        centre = u[..., inner, inner]
        return (around - 4 * centre) / self.spacing**2 + self.wave**2 * centre - state["f"][..., inner, inner]

    def scale(self, state: State) -> Tensor:
        """Largest source."""
        return state["f"].flatten(1).abs().max(1).values

    def conserved(self, state: State) -> dict[str, Tensor]:
        """Boundary value over the largest value."""
        u = state["u"]
        edge = torch.cat([u[:, 0], u[:, -1], u[..., 0], u[..., -1]], 1).abs().max(1).values
        return {"boundary": edge / u.flatten(1).abs().max(1).values}

    @cached_property
    def _elements(self) -> tuple[QuadraticElliptic, np.ndarray]:
        elements = QuadraticElliptic(grid_mesh((self.size, self.size)), reaction=-(self.wave**2))
        grid = np.linspace(0, 1, self.size)
        points = np.stack(np.meshgrid(grid, grid, indexing="ij")).reshape(2, -1)
        return elements, elements.nodes(points)

    def reference(self, inputs: State) -> State:
        """Quadratic finite elements with the source interpolated linearly."""
        elements, nodes = self._elements
        vertices = elements.nodes(elements.mesh.p)
        order = np.argsort(nodes)[np.searchsorted(np.sort(nodes), vertices)]
        sources = -inputs["f"].numpy().reshape(len(inputs["f"]), -1)
        values = np.stack([elements.solve(f[order])[nodes] for f in sources])
        return {**inputs, "u": torch.from_numpy(values.reshape(-1, self.size, self.size))}

    @property
    def gaussian(self) -> LinearGaussian:
        """The problem as a linear map of a Gaussian field."""
        return LinearGaussian(self.law.apply_root, self.solve_array)


@dataclass(frozen=True)
class Helmholtz(Poisson):
    """``lap u + k^2 u = f``, with a source that is 0 on the boundary.

    Parameters
    ----------
    size, law
        As for `Poisson`.
    wave
        Wave number ``k``.
    """

    wave: float = 1.0

    name = "helmholtz"
    title = "Helmholtz equation, Dirichlet, unit square"
    parameters = {"k": Unit(length=-1)}  # noqa: RUF012
    terms = (Term("lap u", {"u": 1}, space=2), Term("k^2 u", {"k": 2, "u": 1}), Term("f", {"f": 1}))

    def _inside(self, f: np.ndarray) -> np.ndarray:
        out = np.zeros_like(f)
        out[..., 1:-1, 1:-1] = f[..., 1:-1, 1:-1]
        return out

    def draw(self, noise: Source) -> State:
        """Draw sources."""
        return {"f": torch.from_numpy(self._inside(self.law.draw(noise, (self.size, self.size))))}

    @property
    def gaussian(self) -> LinearGaussian:
        """The problem as a linear map of a Gaussian field, cut off on the boundary."""
        root = self.law.apply_root
        return LinearGaussian(lambda z: self._inside(root(z)), self.solve_array, lambda f: root(self._inside(f)))
