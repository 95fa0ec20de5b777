"""Energy landscapes with known truths, and the graph of the modes of any landscape with the barriers between them.

The bottleneck between two modes is the lowest pass, ``S_ij = min over paths of the highest saddle on the path``. It
follows from the saddles between neighbours by ``S_ij <- min(S_ij, max(S_ik, S_kj))``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from scidiff.analysis.string import Curve, Field, Smooth, dist, geodesic, inner, minimum_energy_path
from scidiff.errors import ConfigError, ShapeError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EntropicWell", "ModeGraph", "MullerBrown", "WrappedMixture", "find_modes", "mode_graph", "plot_modes"]


@dataclass(frozen=True)
class MullerBrown:
    """The potential of Müller and Brown [1]_: three minima and two saddles in the plane.

    ``E(x, y) = (1/T) sum_k A_k exp(a_k dx^2 + b_k dx dy + c_k dy^2)`` with ``dx = x - x_k``, ``dy = y - y_k``.

    Parameters
    ----------
    temperature
        ``T``, in the unit of the amplitudes.

    References
    ----------
    .. [1] K. Müller, L. D. Brown, "Location of saddle points and minimum energy paths by a constrained simplex
       optimization procedure", doi:10.1007/BF00547608
    """

    temperature: float = 1.0

    def _terms(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Every term, and the derivatives of its exponent."""
        amplitude, a, b, c, x0, y0 = torch.tensor(
            [
                [-200.0, -100.0, -170.0, 15.0],
                [-1.0, -1.0, -6.5, 0.7],
                [0.0, 0.0, 11.0, 0.6],
                [-10.0, -10.0, -6.5, 0.7],
                [1.0, 0.0, -0.5, -1.0],
                [0.0, 0.5, 1.5, 1.0],
            ],
            dtype=torch.float64,
        )
        dx, dy = x[:, :1] - x0, x[:, 1:] - y0
        term = amplitude / self.temperature * (a * dx**2 + b * dx * dy + c * dy**2).exp()
        return term, 2 * a * dx + b * dy, b * dx + 2 * c * dy

    def energy(self, x: Tensor) -> Tensor:
        """Energy of points ``(batch, 2)``."""
        return self._terms(x)[0].sum(1)

    def gradient(self, x: Tensor) -> Tensor:
        """Gradient, shape ``(batch, 2)``."""
        term, along_x, along_y = self._terms(x)
        return torch.stack([(term * along_x).sum(1), (term * along_y).sum(1)], 1)


@dataclass(frozen=True)
class EntropicWell:
    """A double well along ``x`` whose valley is skew across: ``E = h (x^2 - 1)^2 + y^2/2 + 2 y^3/3 + y^4``.

    The minimum-energy path between the wells is ``y = 0``; the principal curve is ``y = E[y]``, another constant.

    Parameters
    ----------
    height
        Barrier ``h`` between the wells.
    """

    height: float = 3.0

    def energy(self, x: Tensor) -> Tensor:
        """Energy of points ``(batch, 2)``."""
        u, y = x[:, 0], x[:, 1]
        return self.height * (u**2 - 1) ** 2 + y**2 / 2 + 2 * y**3 / 3 + y**4

    def gradient(self, x: Tensor) -> Tensor:
        """Gradient, shape ``(batch, 2)``."""
        u, y = x[:, 0], x[:, 1]
        return torch.stack([4 * self.height * u * (u**2 - 1), y + 2 * y**2 + 4 * y**3], 1)

    def mean_across(self) -> float:
        """``E[y]`` at unit temperature, by quadrature."""
        from scipy.integrate import quad

        def weight(y: float) -> float:
            return math.exp(-(y**2 / 2 + 2 * y**3 / 3 + y**4))

        return quad(lambda y: y * weight(y), -8, 8)[0] / quad(weight, -8, 8)[0]


@dataclass(frozen=True, eq=False)
class WrappedMixture:
    """Mixture of products of wrapped normals on a torus, angles in radians: a model of torsions.

    Parameters
    ----------
    weights
        Probability of each component, shape ``(components,)``.
    means, std
        Centre and width of each component along each angle, shape ``(components, angles)``.
    turns
        Images ``-turns ... turns`` of the circle that are summed; 3 leaves out less than 1e-30 for widths below 1.5.
    """

    weights: Tensor
    means: Tensor
    std: Tensor
    turns: int = 3

    def __post_init__(self) -> None:
        if self.means.shape != self.std.shape or self.weights.shape != self.means.shape[:1]:
            raise ShapeError(
                f"weights {tuple(self.weights.shape)}, means {tuple(self.means.shape)}, std {tuple(self.std.shape)}; "
                "expected (components,) and twice (components, angles)"
            )

    def _parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Log-density of the components ``(batch, components)`` and their scores ``(batch, components, angles)``."""
        shift = 2 * math.pi * torch.arange(-self.turns, self.turns + 1, dtype=torch.float64)
        gap = (x.double()[:, None, :, None] - self.means[..., None] + shift) / self.std[..., None]
        log_turn = -0.5 * gap**2
        score = (torch.softmax(log_turn, -1) * -gap).sum(-1) / self.std
        level = torch.logsumexp(log_turn, -1) - self.std.log() - 0.5 * math.log(2 * math.pi)
        return self.weights.log() + level.sum(-1), score

    def energy(self, x: Tensor) -> Tensor:
        """Energy ``-log p`` of angles ``(batch, angles)``."""
        return -torch.logsumexp(self._parts(x)[0], 1)

    def gradient(self, x: Tensor) -> Tensor:
        """Gradient, shape ``(batch, angles)``."""
        log_p, score = self._parts(x)
        return -torch.einsum("bk,bkd->bd", torch.softmax(log_p, 1), score)


@dataclass(frozen=True, eq=False)
class ModeGraph:
    """Modes of a density and the minimum-energy paths between neighbours.

    Parameters
    ----------
    modes
        Minima of the energy, shape ``(count, *event)``, the lowest first.
    energies
        Their energies, shape ``(count,)``.
    edges
        Path from mode ``i`` to mode ``j``, by ``(i, j)`` with ``i < j``; only paths that pass no third mode.
    """

    modes: Tensor
    energies: Tensor
    edges: Mapping[tuple[int, int], Curve]

    @property
    def passes(self) -> np.ndarray:
        """Energy of the lowest pass between any two modes, shape ``(count, count)``; infinite where no path was found.

        The diagonal holds the energies of the modes.
        """
        lowest = np.full((len(self.modes),) * 2, np.inf)
        np.fill_diagonal(lowest, self.energies.numpy())
        for (i, j), curve in self.edges.items():
            lowest[i, j] = lowest[j, i] = float(self.energies[i]) + float(curve.barrier or 0.0)
        for k in range(len(lowest)):
            lowest = np.minimum(lowest, np.maximum(lowest[:, k : k + 1], lowest[k : k + 1, :]))
        return lowest

    @property
    def barriers(self) -> np.ndarray:
        """Energy of the lowest pass above the mode that is left (row), for each mode that is reached (column)."""
        return self.passes - self.energies.numpy()[:, None]


def find_modes(
    space: Smooth,
    gradient: Field,
    starts: Tensor,
    *,
    step: float,
    radius: float,
    iterations: int = 10_000,
    tolerance: float = 1e-3,
) -> Tensor:
    """Descend from many points, and keep one of all that meet.

    Parameters
    ----------
    space, gradient
        As for `scidiff.analysis.string.minimum_energy_path`.
    starts
        First points, e.g. samples, shape ``(count, *event)``.
    step
        As for `scidiff.analysis.string.minimum_energy_path`.
    radius
        Distance within which two minima are one.
    iterations, tolerance
        As for `scidiff.analysis.string.minimum_energy_path`.

    Returns
    -------
    Tensor
        Minima, shape ``(modes, *event)``, in the order of their first start; points that did not come to rest are
        left out.
    """
    x = starts
    for _ in range(iterations):
        g = gradient(x)
        if float(inner(space, x, g, g).max()) < tolerance**2:
            break
        x = space.exp(x, -step * g)
    g = gradient(x)
    found: list[Tensor] = []
    for point in x[inner(space, x, g, g).sqrt() < tolerance].unsqueeze(1):
        if all(float(dist(space, point, other)) > radius for other in found):
            found.append(point)
    if not found:
        raise ConfigError(f"none of {len(starts)} descents came to rest; raise iterations or lower step = {step}")
    return torch.cat(found)


def mode_graph(
    space: Smooth, gradient: Field, energy: Field, modes: Tensor, *, images: int, radius: float, **settings: Any
) -> ModeGraph:
    """Join every two modes by a string from the geodesic, and keep the paths that pass no third mode.

    Parameters
    ----------
    space, gradient, energy
        Geometry and landscape.
    modes
        Minima of the energy, e.g. of `find_modes`.
    images
        Images of each string.
    radius
        Distance from a mode within which a path passes it.
    **settings
        Handed to `minimum_energy_path`, which needs at least ``step``.
    """
    energies = energy(modes)
    order = energies.argsort()
    modes, energies = modes[order], energies[order]
    edges = {}
    for i, j in itertools.combinations(range(len(modes)), 2):
        guess = geodesic(space, modes[i], modes[j], images)
        curve = minimum_energy_path(space, gradient, guess, energy=energy, free_ends=False, **settings)
        others = [k for k in range(len(modes)) if k not in (i, j)]
        near = [float(dist(space, curve.images, modes[k].expand_as(curve.images)).min()) for k in others]
        if curve.converged and all(gap > radius for gap in near):
            edges[i, j] = curve
    return ModeGraph(modes, energies, edges)


def plot_modes(graph: ModeGraph) -> Figure:
    """Draw the energies along all paths of a graph of modes over their common length."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for (i, j), curve in graph.edges.items():
        if curve.energies is not None:
            axes.plot(np.linspace(0, 1, len(curve.images)), curve.energies, label=f"{i} to {j}")
    axes.set(xlabel="part of the path", ylabel="energy / kT")
    if graph.edges:
        axes.legend(frameon=False)
    return figure
