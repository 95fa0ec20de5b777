"""Linear multistep on manifolds: the step is a tangent vector, and the exponential map takes it.

With ``l = -log kbar`` the flow of a `GeodesicFlow` is ``dx/dl = m(x, l)``. In R^n, where ``m = x0 - x`` with ``x0`` the
denoised mean, it is ``dx/dl = x0 - x``, which exponential Adams solves with ``x0`` interpolated in ``l``. Seen from the
present point, an earlier estimate of ``x0`` is ``u_j = transport(m_j) + log_x(x_j)``, linear in ``m_j``. So with
``h = l' - l`` and ``h1`` the step before, both rules read

    order 1    x' = exp_x((1 - e^-h) m)
    order 2    x' = exp_x((1 - e^-h) m + phi (m - u_1)),     phi = (h - 1 + e^-h) / h1

Order 2 holds on every manifold: ``(m - u_1)/h1`` is the covariant derivative of ``m`` along the flow plus ``m`` itself,
up to ``O(h)``, and ``exp_x(h m + h^2/2 Dm/dl)`` follows a curve up to ``O(h^3)``. In R^n both are the exponential Adams
solvers of a process with ``alpha = 1`` and ``sigma = kbar``; order 1 is DDIM on a straight path. The step into the data
has ``h`` infinite and lands on ``exp_x(m)``.

The noise of a heat kernel has no memory, so that the strength of the noise of a sampler is free. With the score ``S``
and ``v`` the variance, ``v S`` is the tangent to the denoised mean of R^n, and a step is DDIM [1]_ taken by ``exp``:

    x' = exp_x((1 - sqrt((v' - c^2)/v)) v S + c xi),     c^2 = eta^2 (v - v') v' / v

References
----------
.. [1] J. Song et al., "Denoising diffusion implicit models", arXiv:2010.02502
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.process.geodesic import GeodesicFlow, TangentProcess, along, point_time
from scidiff.process.heat_process import HeatProcess
from scidiff.process.log_bridge import LogBridge
from scidiff.sample.state import RunState

__all__ = ["Retracted", "RetractedBridge", "RetractedHeat"]


@dataclass(frozen=True)
class Retracted:
    """Rule of a `GeodesicFlow`: exponential Adams of order 1 or 2, taken by the exponential map.

    Steps may run backward or forward in time, point by point; where the point before does not help, at the first step
    and at the step into ``t = 0``, order 2 falls back to a step of order 1.

    Parameters
    ----------
    order
        1 (Euler) or 2 (Adams-Bashforth); one network call a step.
    """

    order: int = 2

    def __post_init__(self) -> None:
        if self.order not in (1, 2):
            raise ConfigError(
                f"order is {self.order}; expected 1 or 2: beyond it the curvature enters the coefficients"
            )

    @property
    def memory(self) -> int:
        """Number of past evaluations that a step uses."""
        return self.order - 1

    @property
    def label(self) -> str:
        """What the rule claims."""
        return f"consistent({self.order})"

    def __call__(self, process: GeodesicFlow, state: RunState, m: Tensor, s: Tensor) -> Tensor:
        """Return the state at ``s``, float64.

        Raises
        ------
        ConfigError
            If the process is another one, or a clean site is to be noised.
        """
        if not isinstance(process, GeodesicFlow):
            raise ConfigError(f"Retracted came with {type(process).__name__}; expected a GeodesicFlow")
        x, m = state.x.double(), m.double()
        now, then = _levels(process, state, s)
        if bool(((now == 0) & (then > 0)).any()):
            raise ConfigError("a clean site was sent to s > 0; the flow cannot leave t = 0: start at a small t > 0")
        moving = now > 0
        h = torch.where(moving, now.log() - then.log(), 0.0)
        v = along(-torch.expm1(-h), process.site) * m
        if self.order == 2 and state.history:
            v = v + self._correction(process, state, x, m, now, h)
        still = (now == then).reshape(*now.shape, *(1,) * len(process.site.shape))
        return torch.where(still, x, process.space.exp(x, v))

    def _correction(
        self, process: GeodesicFlow, state: RunState, x: Tensor, m: Tensor, now: Tensor, h: Tensor
    ) -> Tensor:
        """Return ``phi (m - u_1)``, 0 where a step is infinite or none was made before."""
        past, site = state.history[-1], process.site
        h1 = process.clock.remaining(point_time(past.t, x, site)).log() - now.log()
        use = h.isfinite() & h1.isfinite() & (h1 != 0)
        h, h1 = torch.where(use, h, 0.0), torch.where(use, h1, 1.0)
        old = past.x.double()
        seen = site.transport(old, x, past.m.double()) + site.log(x, old)
        return along((h + torch.expm1(-h)) / h1, site) * (m - seen)


@dataclass(frozen=True)
class RetractedBridge:
    """Rule of a `LogBridge`: ``x' = exp_x(c1 m + c2 xi)``, of weak order 1; exact for a single datum in R^n."""

    memory = 0
    label = "consistent(1)"

    def __call__(self, process: LogBridge, state: RunState, m: Tensor, s: Tensor) -> Tensor:
        """Return the state at ``s``, float64.

        Raises
        ------
        ConfigError
            If the process is another one, or a site is to move away from the data.
        """
        if not isinstance(process, LogBridge):
            raise ConfigError(f"RetractedBridge came with {type(process).__name__}; expected a LogBridge")
        x = state.x.double()
        now, then = _levels(process, state, s)
        if bool((then > now).any()):
            raise ConfigError("a site was sent to s > t; a bridge leads to the data only: use a grid that falls")
        moved = process.move(
            x, m.double(), process.variance * now, process.variance * then, state.noise, step=state.i, stream="bridge"
        )
        still = (now == then).reshape(*now.shape, *(1,) * len(process.site.shape))
        return torch.where(still, x, moved)


@dataclass(frozen=True)
class RetractedHeat:
    """Rule of a `HeatProcess`: DDIM by the exponential map, of order 1 (weakly where ``eta > 0``).

    Parameters
    ----------
    eta
        Strength of the noise, in [0, 1]: 0 is the probability flow, 1 the reverse of Brownian motion.
    """

    eta: float = 0.0
    memory = 0
    label = "consistent(1)"

    def __post_init__(self) -> None:
        if not 0 <= self.eta <= 1:
            raise ConfigError(f"eta is {self.eta}; expected a strength in [0, 1]")

    def __call__(self, process: HeatProcess, state: RunState, m: Tensor, s: Tensor) -> Tensor:
        """Return the state at ``s``, float64.

        Raises
        ------
        ConfigError
            If the process is another one, or a site is to move away from the data.
        """
        if not isinstance(process, HeatProcess):
            raise ConfigError(f"RetractedHeat came with {type(process).__name__}; expected a HeatProcess")
        x, site = state.x.double(), process.site
        now, then = (process.variance * level for level in _levels(process, state, s))
        if bool((then > now).any()):
            raise ConfigError("a site was sent to s > t; use a grid that falls, or renoise, which is exact")
        share = torch.where(now > 0, then / torch.where(now > 0, now, 1.0), 1.0)
        c2 = self.eta**2 * (now - then) * share
        v = along((1 - (share - c2 / torch.where(now > 0, now, 1.0)).clamp_min(0).sqrt()) * now, site) * m.double()
        if self.eta > 0:
            xi = process.space.random_tangent(x, state.noise, step=state.i, stream="heat")
            v = v + along(c2.clamp_min(0).sqrt(), site) * xi
        still = (now == then).reshape(*now.shape, *(1,) * len(site.shape))
        return torch.where(still, x, process.space.exp(x, v))


def _levels(process: TangentProcess | HeatProcess, state: RunState, s: Tensor) -> tuple[Tensor, Tensor]:
    """Share of the way that remains before and after the step, one per point."""
    return tuple(process.clock.remaining(point_time(time, state.x, process.site)) for time in (state.t, s))
