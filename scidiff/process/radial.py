"""Heat kernels: the law of Brownian motion on a manifold, with density, score and exact draws.

The generator is half the Laplacian, so that in flat space ``x_t ~ N(x_0, t)``: ``t`` is a variance, not the clock of a
schedule. Densities are taken with respect to Riemannian volume. On an isotropic manifold the kernel depends on the
distance ``r = d(x0, x)`` alone, ``p(x | x0) = k(r)``, and with ``slope(r) = (d log k / dr) / r``, smooth at 0,

    score = grad_x log p = -slope(r) log_x(x0)        in R^n: slope = -1/t

A draw goes from ``x0`` in a uniform direction, by a radius with density ``k(r) A(r)``, ``A`` the area of the geodesic
sphere. Its inverse CDF is taken from a Chebyshev interpolant of degree 64, whose error is round-off, and Newton steps.
"""

from __future__ import annotations

import functools
import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from scidiff.errors import ConfigError, ShapeError
from scidiff.random import Source
from scidiff.spaces.manifold import Manifold

__all__ = ["HeatKernel", "RadialHeatKernel", "lead_time"]

_DEGREE = 64
_STEPS = 8
_CLOSE = 1e-13
_CHUNK = 1 << 16


def lead_time(t: Tensor | float, lead: tuple[int, ...], device: torch.device | None = None) -> Tensor:
    """Bring a variance to float64 and to the axes before the points.

    Parameters
    ----------
    t
        Positive; one number, one per sample, or one per site.
    lead
        Shape of the axes before the points.
    device
        Where the result lives.

    Raises
    ------
    ConfigError
        If some ``t`` is not positive.
    """
    t = torch.as_tensor(t, dtype=torch.float64, device=device)
    if not bool((t > 0).all()):
        raise ConfigError(f"the smallest t is {float(t.min()):.3g}; expected a variance > 0: at 0 the state is x0")
    t = t.reshape(-1, *(1,) * (len(lead) - 1)) if t.ndim == 1 and lead else t
    return t.expand(lead)


class HeatKernel(ABC):
    """Law of Brownian motion on `space` after a variance ``t``; ``t`` is one number, one per sample, or per site."""

    space: Manifold

    @abstractmethod
    def log_density(self, x0: Tensor, x: Tensor, t: Tensor | float) -> Tensor:
        """Logarithm of the density at ``x``, with respect to volume, float64, one number per point."""

    @abstractmethod
    def score(self, x0: Tensor, x: Tensor, t: Tensor | float) -> Tensor:
        """Gradient of `log_density` in ``x``, a tangent vector at ``x``, in the dtype of ``x``."""

    @abstractmethod
    def sample(self, x0: Tensor, t: Tensor | float, noise: Source, *, step: int, stream: str) -> Tensor:
        """Draw ``x_t``, exactly, in the dtype of ``x0``."""


class RadialHeatKernel(HeatKernel):
    """Heat kernel of an isotropic manifold."""

    @property
    @abstractmethod
    def reach(self) -> float:
        """Largest distance between two points; infinite on open manifolds."""

    @abstractmethod
    def log_radial(self, r: Tensor, t: Tensor) -> Tensor:
        """Logarithm of ``k(r)``; ``r`` and ``t`` of one shape, float64."""

    @abstractmethod
    def slope(self, r: Tensor, t: Tensor) -> Tensor:
        """Return ``(d log k / dr) / r``, finite at 0 and at `reach`."""

    @abstractmethod
    def log_area(self, r: Tensor) -> Tensor:
        """Logarithm of the area of the geodesic sphere of radius ``r``."""

    @abstractmethod
    def horizon(self, t: Tensor) -> Tensor:
        """Radius beyond which the mass is under the resolution of a uniform draw; at most `reach`."""

    def log_density(self, x0: Tensor, x: Tensor, t: Tensor | float) -> Tensor:
        """Logarithm of the density at ``x``, with respect to volume, float64."""
        r = self.space.dist(x0.double(), x.double())
        return self.log_radial(r, lead_time(t, tuple(r.shape), r.device))

    def score(self, x0: Tensor, x: Tensor, t: Tensor | float) -> Tensor:
        """Gradient of `log_density` in ``x``; at the cut locus, where it vanishes, a vector of length round-off."""
        back = self.space.log(x.double(), x0.double())
        r = self.space.norm(x.double(), back)
        slope = self.slope(r, lead_time(t, tuple(r.shape), r.device))
        return (-slope.reshape(*slope.shape, *(1,) * len(self.space.tangent_shape)) * back).to(x.dtype)

    def sample(self, x0: Tensor, t: Tensor | float, noise: Source, *, step: int, stream: str) -> Tensor:
        """Draw ``x_t`` in a uniform direction by a radius from the inverse CDF."""
        self.space.check(x0, "x0")
        if len(noise) != len(x0):
            raise ShapeError(f"{len(x0)} points came with noise for {len(noise)}; expected one stream per sample")
        base = x0.double()
        lead = self.space.lead(x0)
        u = noise.uniform(lead[1:], step=step, stream=f"{stream}/radius").to(x0.device)
        r = self.quantile(u, lead_time(t, lead, x0.device))
        xi = self.space.random_tangent(base, noise, step=step, stream=f"{stream}/direction")
        gain = r / self.space.norm(base, xi)
        return self.space.exp(base, gain.reshape(*lead, *(1,) * len(self.space.tangent_shape)) * xi).to(x0.dtype)

    def quantile(self, u: Tensor, t: Tensor) -> Tensor:
        """Radius below which a share ``u`` of the mass lies.

        Parameters
        ----------
        u
            Numbers in (0, 1), float64.
        t
            Variance, same shape.
        """
        times, row = torch.unique(t, return_inverse=True)
        nodes, _, _ = _chebyshev(_DEGREE)
        half = self.horizon(times) / 2
        r = half.unsqueeze(-1) * (1 + nodes.to(u))
        grid = times.unsqueeze(-1).expand_as(r)
        density = (self.log_radial(r, grid) + self.log_area(r)).exp() * half.unsqueeze(-1)
        parts = zip(row.flatten().split(_CHUNK), u.flatten().split(_CHUNK), strict=True)
        x = torch.cat([_invert(density, which, share, self.space.dim) for which, share in parts])
        return half[row] * (1 + x.reshape(u.shape))


@functools.cache
def _chebyshev(degree: int) -> tuple[Tensor, Tensor, Tensor]:
    """Nodes in [-1, 1], ascending, and the matrices from values there to coefficients and to those of the integral."""
    j = torch.arange(degree + 1, dtype=torch.float64)
    nodes = -torch.cos(math.pi * j / degree)
    basis = torch.cos(j.unsqueeze(0) * (math.pi - math.pi * j.unsqueeze(1) / degree))
    ends = torch.ones(degree + 1, dtype=torch.float64)
    ends[[0, -1]] = 0.5
    to_coefficients = (2 / degree) * ends.unsqueeze(1) * basis * ends.unsqueeze(0)
    c = torch.cat((to_coefficients, torch.zeros(degree + 1, 2, dtype=torch.float64)), dim=1)
    c[:, 0] *= 2
    integral = torch.zeros(degree + 1, degree + 2, dtype=torch.float64)
    k = torch.arange(1, degree + 2)
    integral[:, 1:] = (c[:, k - 1] - c[:, k + 1]) / (2 * k)
    integral[:, 0] = -(integral[:, 1:] * (-1.0) ** k).sum(1)
    return nodes, to_coefficients, integral


def _polynomials(x: Tensor, terms: int) -> Tensor:
    """Chebyshev polynomials ``T_k(x) = cos(k acos x)``, shape ``(*x.shape, terms)``."""
    return torch.cos(torch.arange(terms).to(x) * torch.acos(x.clamp(-1, 1)).unsqueeze(-1))


def _invert(density: Tensor, row: Tensor, u: Tensor, dim: int) -> Tensor:
    """Solve ``integral from -1 to x of density = u * total``; density ``(times, nodes)``, one ``row`` of it per u.

    The start is linear in the cell of the solution, and a root of degree `dim` in the first one; a Newton step that
    leaves the bracket is replaced by its middle.
    """
    nodes, to_coefficients, integral = (part.to(density) for part in _chebyshev(density.shape[1] - 1))
    f, primitive = density @ to_coefficients, density @ integral
    total = primitive.sum(1)
    cdf = (primitive @ _polynomials(nodes, primitive.shape[1]).T)[row]
    f, primitive = (m if len(density) == 1 else m[row] for m in (f, primitive))
    target = u * total[row]
    cell = (cdf < target.unsqueeze(1)).sum(1, keepdim=True).clamp(1, len(nodes) - 1)
    below, above = (cdf.gather(1, side).squeeze(1) for side in (cell - 1, cell))
    cell = cell.squeeze(1)
    low, high = nodes[cell - 1], nodes[cell]
    share = ((target - below) / (above - below).clamp_min(torch.finfo(u.dtype).tiny)).clamp(0, 1)
    x = low + (high - low) * torch.where(cell == 1, share ** (1 / dim), share)
    for _ in range(_STEPS):
        t = _polynomials(x, primitive.shape[1])
        gap = (primitive * t).sum(1) - target
        low, high = torch.where(gap < 0, x, low), torch.where(gap < 0, high, x)
        newton = x - gap / (f * t[:, : f.shape[1]]).sum(1)
        good = ((newton >= low) & (newton <= high)) | ((newton - x).abs() < _CLOSE)
        x = torch.where(good, newton, (low + high) / 2)
    return x
