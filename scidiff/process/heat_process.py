"""Brownian motion as a process: noise by an exact heat kernel, and a network that predicts the score.

``x_t`` is Brownian motion from ``x_0`` after the variance ``v(t) = variance * kbar(t)``. Its law is known exactly where
the heat kernel is, and it has no memory: ``x_t`` given ``x_s`` is a draw of the same kernel after ``v(t) - v(s)``. The
score of the marginal law is the posterior mean of the conditional one,

    S(x, t) = E[grad_x log p_v(x | x_0) | x_t = x],       eps = -sqrt(v) S

In R^n ``v S = E[x_0 | x_t] - x``. On a compact space the prior is the uniform law; what of the data is left in it falls
like ``e^(-n v/2)`` on spheres S^n, ``e^-v`` on rotations, ``e^(-v/2)`` on tori, and is neglected.

References
----------
.. [1] V. De Bortoli et al., "Riemannian score-based generative modelling", arXiv:2202.02763
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from scidiff.errors import ConfigError, ShapeError
from scidiff.process.base import Kind, Process
from scidiff.process.clocks import PathClock, PowerClock
from scidiff.process.geodesic import Base, along, one_point, point_time
from scidiff.process.radial import HeatKernel
from scidiff.random import Source
from scidiff.spaces import Manifold

__all__ = ["HeatProcess"]


@dataclass(frozen=True)
class HeatProcess(Process):
    """Noising by Brownian motion.

    Parameters
    ----------
    kernel
        Heat kernel of one site.
    space
        The space of the kernel, or a power of it.
    variance
        Variance per degree of freedom over the whole clock, in squared units of length.
    base
        Draws the prior: called with ``(noise, shape, step=, stream=)``. The uniform law of the space by default.
    clock
        Share of the variance at each time; with power 2 the standard deviation grows evenly.
    """

    kernel: HeatKernel
    space: Manifold
    variance: float
    base: Base | None = None
    clock: PathClock = field(default_factory=lambda: PowerClock(2.0))
    kind = Kind.SCORE

    def __post_init__(self) -> None:
        if self.kernel.space != self.site or not self.variance > 0:
            raise ConfigError(
                f"a kernel of {self.kernel.space!r}, the site {self.site!r} and the variance {self.variance} came; "
                "expected the kernel of the site, and a positive variance"
            )

    @property
    def site(self) -> Manifold:
        """Space of one point."""
        return one_point(self.space)

    def prior(self, noise: Source, shape: Sequence[int], *, stream: str = "prior") -> Tensor:
        """Draw ``x_1``, float64."""
        draw = self.space.uniform if self.base is None else self.base
        return draw(noise, tuple(shape), step=0, stream=stream)

    def _variance(self, t: Tensor | float, x: Tensor) -> Tensor:
        return self.variance * self.clock.remaining(point_time(t, x, self.site))

    def noise(self, x0: Tensor, t: Tensor | float, noise: Source, *, step: int = 0, stream: str = "noise") -> Tensor:
        """Draw ``x_t`` given ``x_0``, exactly; clean sites stay to the last bit."""
        self.space.check(x0, "x0")
        return self._spread(x0, self._variance(t, x0), noise, step, stream)

    def renoise(
        self,
        x_s: Tensor,
        s: Tensor | float,
        t: Tensor | float,
        noise: Source,
        *,
        step: int = 0,
        stream: str = "renoise",
    ) -> Tensor:
        """Draw ``x_t`` given ``x_s``, exactly.

        Raises
        ------
        ConfigError
            If some ``s > t``.
        """
        self.space.check(x_s, "x_s")
        gap = self._variance(t, x_s) - self._variance(s, x_s)
        if bool((gap < 0).any()):
            raise ConfigError("renoise got s > t at some site; expected s <= t: noise is added, not removed")
        return self._spread(x_s, gap, noise, step, stream)

    def _spread(self, x: Tensor, v: Tensor, noise: Source, step: int, stream: str) -> Tensor:
        drawn = self.kernel.sample(x, torch.where(v > 0, v, self.variance), noise, step=step, stream=stream)
        return torch.where((v > 0).reshape(*v.shape, *(1,) * len(self.site.shape)), drawn, x)

    def log_density(self, x0: Tensor, x_t: Tensor, t: Tensor | float) -> Tensor:
        """Logarithm of the density of ``x_t`` given ``x_0`` with respect to volume, one number per point, float64.

        Raises
        ------
        ConfigError
            If some ``t`` is 0.
        """
        return self.kernel.log_density(x0, x_t, self._variance(t, x_t))

    def convert(self, prediction: Tensor, kind: Kind, x_t: Tensor, t: Tensor | float) -> Tensor:
        """Bring a score or ``eps = -sqrt(v) S`` to the score; what is not tangent is projected out.

        Clean sites, which never move, get 0.

        Raises
        ------
        ConfigError
            If the kind is another one.
        ShapeError
            If the prediction has another shape.
        """
        if kind not in (Kind.SCORE, Kind.EPS):
            raise ConfigError(f"kind {kind} has no meaning for a heat kernel; expected SCORE or EPS")
        self._check_tangent(prediction, x_t)
        v = along(self._variance(t, x_t), self.site)
        gain = torch.where(v > 0, v, 1.0) ** -0.5 if kind is Kind.EPS else -torch.ones_like(v)
        score = torch.where(v > 0, -gain * prediction.to(x_t.dtype), 0.0)
        return self.site.project_tangent(x_t, score.to(x_t.dtype))

    def target(self, x0: Tensor, x_t: Tensor, t: Tensor | float) -> Tensor:
        """Score of ``x_t`` given ``x_0``, exact; 0 where the site is clean."""
        v = self._variance(t, x_t)
        score = self.kernel.score(x0, x_t, torch.where(v > 0, v, self.variance))
        return torch.where(along(v, self.site) > 0, score, 0.0)

    def loss(self, m: Tensor, x0: Tensor, x_t: Tensor, t: Tensor | float) -> Tensor:
        """Squared error of ``eps``: ``v |m - S|^2`` in the metric at ``x_t``, one number per point; 0 where clean."""
        self._check_tangent(m, x_t)
        gap = m - self.target(x0, x_t, t).to(m.dtype)
        return (self._variance(t, x_t) * self.site.inner(x_t.to(m.dtype), gap, gap)).to(m.dtype)

    def _check_tangent(self, m: Tensor, x: Tensor) -> None:
        want = (*self.site.lead(x), *self.site.tangent_shape)
        if tuple(m.shape) != want:
            raise ShapeError(f"a tangent vector of shape {tuple(m.shape)} came; expected {want} for {self.space!r}")
