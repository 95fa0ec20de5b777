"""Mixtures of log-bridges: Brownian motion drawn to the data along ``log_x(x_0)``.

With ``v(t) = variance * kbar(t)`` the variance that is still to come, falling to 0 at the data, a bridge to ``x_0`` is

    dX = log_X(x_0) dv / v + dB,      from v to v' < v:   x' = exp_x(c1 log_x(x_0) + c2 xi),
    c1 = 1 - v'/v,   c2^2 = (v - v') v' / v,

the step being exact in R^n, where ``x_t ~ N(x_0 + (v/V)(x_1 - x_0), v (V - v)/V)`` between the ends, ``V = v(1)``. On a
curved space it is one step of a geodesic random walk, of weak order 1. A mixture of bridges over the data has the drift
``m dv / v`` with ``m = E[log_x(x_0) | x_t]`` [1]_: no heat kernel is needed, and the prior may be any law.

References
----------
.. [1] J. Jo and S. J. Hwang, "Generative modeling on manifolds through mixture of Riemannian diffusion processes",
   arXiv:2310.07216
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.process.geodesic import TangentProcess, along, point_time
from scidiff.random import Source

__all__ = ["LogBridge"]


@dataclass(frozen=True)
class LogBridge(TangentProcess):
    """Bridges from draws of the prior to the data.

    Parameters
    ----------
    space, base, clock, weight
        As for `TangentProcess`.
    variance
        Variance of the Brownian motion over the whole clock, per degree of freedom, in squared units of length.
    walk
        Steps of the walk that draws ``x_t`` given ``x_0`` on a curved space; 1 is exact where the space is flat.
    """

    variance: float = 1.0
    walk: int = 32

    def __post_init__(self) -> None:
        if not self.variance > 0 or self.walk < 1:
            raise ConfigError(f"variance = {self.variance}, walk = {self.walk}; expected variance > 0 and walk >= 1")

    def coming(self, t: Tensor | float) -> Tensor:
        """Variance ``v(t)`` still to come on the way to the data, float64."""
        return self.variance * self.clock.remaining(t)

    def coefficients(self, now: Tensor, then: Tensor) -> tuple[Tensor, Tensor]:
        """Coefficients ``c1`` and ``c2`` of a step from ``v = now`` to ``v' = then <= now``; both 0 at ``now = 0``."""
        share = torch.where(now > 0, then / torch.where(now > 0, now, 1.0), 1.0)
        return 1 - share, ((now - then) * share).clamp_min(0).sqrt()

    def move(self, x: Tensor, m: Tensor, now: Tensor, then: Tensor, noise: Source, *, step: int, stream: str) -> Tensor:
        """Make one step of the bridge, or of the mixture.

        Parameters
        ----------
        x
            Points, float64.
        m
            Tangent vectors to the data.
        now, then
            Variance to come before and after, one per point.
        noise, step, stream
            Source of the normal tangent vector, as in `scidiff.random.Noise.uniform`.
        """
        drift, spread = (along(c, self.site) for c in self.coefficients(now, then))
        xi = self.space.random_tangent(x, noise, step=step, stream=stream)
        return self.space.exp(x, drift * m + spread * xi)

    def noise(self, x0: Tensor, t: Tensor | float, noise: Source, *, step: int = 0, stream: str = "noise") -> Tensor:
        """Draw ``x_t`` given ``x_0``: an end from the prior, then a walk with equal steps of ``sqrt(v)``."""
        self.space.check(x0, "x0")
        draw = self.space.uniform if self.base is None else self.base
        x = draw(noise, tuple(x0.shape[1:]), step=step, stream=stream).to(x0.device)
        return self.bridge(x0, x, t, noise, step=step, stream=stream)

    def bridge(
        self, x0: Tensor, x1: Tensor, t: Tensor | float, noise: Source, *, step: int = 0, stream: str = "noise"
    ) -> Tensor:
        """Draw ``x_t`` of the bridge between given ends, in the dtype of ``x_0``.

        Parameters
        ----------
        x0, x1
            Datum and draw of the prior.
        t
            Time per point.
        noise, step, stream
            Source of the walk; step ``k`` draws from the stream ``f"{stream}/{k}"``.
        """
        end, x = x0.double(), x1.double()
        low = self.coming(point_time(t, x0, self.site)).sqrt()
        top = torch.full_like(low, self.variance**0.5)
        for k in range(self.walk):
            now, then = (((top * (self.walk - j) + low * j) / self.walk) ** 2 for j in (k, k + 1))
            x = self.move(x, self.site.log(x, end), now, then, noise, step=step, stream=f"{stream}/{k}")
        return x.to(x0.dtype)
