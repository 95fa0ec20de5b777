"""Perturb and solve: exact draws of a Gaussian given a scan, and their mean.

If ``x ~ N(m, K^2)`` and ``y = A x0 + W^-1/2 e1``, then by Matheron's rule

    x + K u,      (1 + K A^T W A K) u = K A^T W (y - A x + W^-1/2 e1),      e1 ~ N(0, 1) fresh,

is a draw given ``y``, and ``m + K u`` with ``x = m``, ``e1 = 0`` their mean [1]_. ``K K = C`` is the covariance of
``x``: a number times the identity, or diagonal in Fourier space.

The system is preconditioned by the root of ``1 + h C``, with ``h`` the circulant part of ``A^T W A``: the full power
costs iterations where few views leave directions unseen, none costs them where all are seen. It is solved for all
samples at once by conjugate gradients. As the system is at least 1, the error of ``u`` is at most the residual: it is
stopped once that is a small part of ``sqrt(n)``, the size of ``u``.

References
----------
.. [1] G. Papandreou and A. Yuille, "Gaussian sampling by local perturbations", NIPS 2010
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.random import Noise

from .problem import Problem

__all__ = ["Conditional", "Root", "Solved", "Spectral", "White"]


class Root(Protocol):
    """A symmetric root ``K`` of a covariance."""

    def apply(self, u: Tensor) -> Tensor:
        """``K u``."""
        ...

    def power(self, shape: tuple[int, ...]) -> Tensor:
        """Eigenvalues of ``C`` on the modes of ``rfft2`` of that shape."""
        ...


@dataclass(frozen=True)
class White:
    """``C = r^2 1``.

    Parameters
    ----------
    r
        Standard deviation.
    """

    r: float

    def apply(self, u: Tensor) -> Tensor:
        """``r u``."""
        return self.r * u

    def power(self, shape: tuple[int, ...]) -> Tensor:
        """Eigenvalues, all the same."""
        return torch.full((shape[0], shape[1] // 2 + 1), self.r**2, dtype=torch.float64)


@dataclass(frozen=True, eq=False)
class Spectral:
    """``C`` diagonal in Fourier space: the covariance of a stationary law on the torus.

    Parameters
    ----------
    values
        Eigenvalues of ``C``, non-negative, on the modes of ``rfft2``.
    """

    values: Tensor

    def apply(self, u: Tensor) -> Tensor:
        """``K u``."""
        return torch.fft.irfft2(self.values.sqrt() * torch.fft.rfft2(u), s=u.shape[-2:])

    def power(self, shape: tuple[int, ...]) -> Tensor:
        """Eigenvalues."""
        return self.values


class Solved(NamedTuple):
    """Images, and how well the system was solved.

    Parameters
    ----------
    x
        ``(batch, rows, columns)``.
    residual
        Largest root mean square of the residual: a bound of the error in units of the spread.
    iterations
        Number of iterations.
    """

    x: Tensor
    residual: float
    iterations: int


@dataclass(frozen=True, eq=False)
class Conditional:
    """Gaussians given the data of a problem.

    Parameters
    ----------
    problem
        The data.
    tolerance
        Largest root mean square error of an image, in units of its spread ``K``.
    iterations
        Largest number of conjugate gradients.
    """

    problem: Problem
    tolerance: float = 0.03
    iterations: int = 200

    def __post_init__(self) -> None:
        if not (self.tolerance > 0 and self.iterations >= 1):
            raise ConfigError(f"tolerance {self.tolerance}, iterations {self.iterations}; expected positive numbers")

    def mean(self, m: Tensor, root: Root) -> Solved:
        """Mean of ``N(m, K^2)`` given the data.

        Parameters
        ----------
        m
            ``(batch, rows, columns)``.
        root
            ``K``.
        """
        e = self.problem.residual(m)
        return self._solve(m, root, root.apply(self.problem.pull(e)))

    def draw(self, m: Tensor, root: Root, noise: Noise, step: int, stream: str) -> Solved:
        """Draw of ``N(m, K^2)`` given the data.

        Parameters
        ----------
        m, root
            As for `mean`.
        noise, step, stream
            Which noise.
        """
        xi = noise.normal(tuple(m.shape[1:]), step=step, stream=f"{stream}/image").to(m.device)
        return self.correct(m + root.apply(xi), root, noise, step, stream)

    def correct(self, x: Tensor, root: Root, noise: Noise, step: int, stream: str) -> Solved:
        """Turn draws of ``N(m, K^2)`` into draws given the data, by Matheron's rule.

        ``x + K (1 + K A^T W A K)^-1 K A^T W (y - A x + W^-1/2 e1)``, whatever ``m`` is. Draws of another law keep what
        of them the data do not see.

        Parameters
        ----------
        x
            ``(batch, rows, columns)``.
        root, noise, step, stream
            As for `draw`.
        """
        w = self.problem.w
        e1 = noise.normal(tuple(self.problem.y.shape), step=step, stream=f"{stream}/data").to(x.device)
        perturbed = self.problem.residual(x) + torch.where(w > 0, e1 * torch.where(w > 0, w, 1.0).rsqrt(), 0.0)
        return self._solve(x, root, root.apply(self.problem.pull(perturbed)))

    def seen(self, x: Tensor, root: Root) -> Solved:
        """What the data carry of images at the noise level: ``(H + C^-1)^-1 H x`` with ``H = A^T W A``.

        Parameters
        ----------
        x
            ``(batch, rows, columns)``.
        root
            Root of ``C``, the size of what is looked for.
        """
        return self._solve(torch.zeros_like(x), root, root.apply(self.problem.information(x)))

    @cached_property
    def symbol(self) -> Tensor:
        """Circulant part of ``A^T W A`` on the modes of ``rfft2``: the response to a point, averaged over five."""
        rows, columns = self.problem.grid.shape
        places = [(rows // 2, columns // 2)]
        places += [(rows // 2 + a * rows // 6, columns // 2 + b * columns // 6) for a in (-1, 1) for b in (-1, 1)]
        points = torch.zeros(len(places), rows, columns, dtype=torch.float64)
        for k, (i, j) in enumerate(places):
            points[k, i, j] = 1.0
        replies = self.problem.information(points)
        centred = torch.stack([torch.roll(r, (-i, -j), (0, 1)) for r, (i, j) in zip(replies, places, strict=True)])
        return torch.fft.rfft2(centred.mean(0)).real.clamp_min(0.0)

    def _solve(self, m: Tensor, root: Root, b: Tensor) -> Solved:
        scale = (1.0 + self.symbol * root.power(tuple(m.shape[1:]))) ** -0.5

        def normal(u: Tensor) -> Tensor:
            return u + root.apply(self.problem.information(root.apply(u)))

        def precondition(r: Tensor) -> Tensor:
            return torch.fft.irfft2(scale * torch.fft.rfft2(r), s=r.shape[-2:])

        u, residual, count = _conjugate_gradients(normal, precondition, b, self.tolerance, self.iterations)
        return Solved(m + root.apply(u), residual, count)


def _conjugate_gradients(normal, precondition, b: Tensor, tolerance: float, most: int) -> tuple[Tensor, float, int]:
    """Preconditioned conjugate gradients from 0, one system a row; a row that has converged rests."""

    def dot(u: Tensor, v: Tensor) -> Tensor:
        return (u * v).flatten(1).sum(1)[:, None, None]

    tiny = torch.finfo(b.dtype).tiny
    x, r = torch.zeros_like(b), b.clone()
    z = precondition(r)
    p, rz, size = z.clone(), dot(r, z), math.sqrt(b[0].numel())
    count, off = 0, dot(r, r).sqrt() / size
    while count < most and bool((off > tolerance).any()):
        q = normal(p)
        step = torch.where(off > tolerance, rz / dot(p, q).clamp_min(tiny), 0.0)
        x, r = x + step * p, r - step * q
        z = precondition(r)
        new = dot(r, z)
        p, rz = z + new / rz.clamp_min(tiny) * p, new
        count, off = count + 1, dot(r, r).sqrt() / size
    return x, float(off.max()), count
