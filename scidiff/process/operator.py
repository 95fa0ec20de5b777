"""Schedules whose levels depend on the mode: the Ornstein-Uhlenbeck process of a mesh.

For cochains with Hodge Laplacian ``L`` the forward equation

    dX = -1/2 beta(t) (i + c L) X dt + sqrt(beta(t)) Q^1/2 dW

damps every mode of eigenvalue ``l`` at its own rate ``r(l) = i + c l``. With ``B(t) = int_0^t beta`` and ``q(l)`` the
eigenvalue of ``Q`` in the same basis, each coefficient obeys ``x_t = alpha x_0 + sigma eps`` with

    alpha(t, l) = exp(-r B / 2)        sigma(t, l)^2 = q (1 - alpha^2) / r.

By default ``Q = i + c L``: every mode tends to unit variance, the prior is white, and detail is lost before shape.

**The trap.** Pure heat, ``i = 0``, never forgets the harmonic space: there ``l = 0`` and so ``alpha = 1`` for ever. On
a torus the circulations around the two holes would pass into the prior undamped. The identity term ``i > 0`` is what
makes the prior free of data.

The clock is a variance-preserving schedule; its own ``alpha = exp(-B / 2)`` gives ``B = log(1 + exp(-2 lam))``. The
mean-reverting equation with a topological drift is that of [1]_; the identity term is added here.

References
----------
.. [1] M. Yang, "Topological Schrödinger Bridge Matching", arXiv:2504.04799
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.process.schedule import Schedule

__all__ = ["ModeSchedule", "OperatorSchedule"]

_PROBES = torch.linspace(0.0, 1.0, 9, dtype=torch.float64)


def _integral(clock: Schedule, t: Tensor | float) -> Tensor:
    """Integral ``B(t)`` of the rate, without loss of digits at either end."""
    lam = clock.lam(t)
    return torch.logaddexp(-2 * lam, torch.zeros_like(lam))


@dataclass(frozen=True)
class ModeSchedule(Schedule):
    """Schedule of one mode.

    Parameters
    ----------
    clock
        Variance-preserving schedule that gives ``B``.
    rate
        Damping ``r > 0`` of the mode, relative to the clock.
    power
        Strength ``q > 0`` of its noise; the variance tends to ``q / r``.
    """

    clock: Schedule
    rate: float
    power: float

    def __post_init__(self) -> None:
        if not (self.rate > 0 and self.power > 0):
            raise ConfigError(
                f"rate = {self.rate}, power = {self.power}; expected both positive: a mode that is not damped keeps "
                "its data, one without noise has no prior"
            )

    def alpha(self, t: Tensor | float) -> Tensor:
        """Signal level at time ``t``."""
        return (-0.5 * self.rate * _integral(self.clock, t)).exp()

    def sigma(self, t: Tensor | float) -> Tensor:
        """Noise level at time ``t``."""
        return (-torch.expm1(-self.rate * _integral(self.clock, t)) * (self.power / self.rate)).sqrt()

    def lam(self, t: Tensor | float) -> Tensor:
        """Half log signal-to-noise ratio, finite also where the signal underflows."""
        return -0.5 * self.rate * _integral(self.clock, t) - self.sigma(t).log()

    def t(self, lam: Tensor | float) -> Tensor:
        """Time at which `lam` has the given value: ``B = log(1 + (r / q) exp(-2 lam)) / r``."""
        lam = torch.as_tensor(lam, dtype=torch.float64)
        level = torch.logaddexp(math.log(self.rate / self.power) - 2 * lam, torch.zeros_like(lam))
        return self.clock.t(-0.5 * torch.expm1(level / self.rate).log())


@dataclass(frozen=True)
class OperatorSchedule:
    """Levels of all modes.

    Parameters
    ----------
    clock
        A variance-preserving schedule, e.g. `VPSchedule` or `CosineSchedule`.
    stiffness
        ``c >= 0``, a squared length in the unit of the coordinates: modes of wavelength below ``2 pi sqrt(c)`` are
        damped faster than the clock. At 0 all modes are treated alike.
    identity
        ``i >= 0``, see the trap above.
    power
        ``q`` as a function of the eigenvalues; ``i + c l`` by default.

    Raises
    ------
    ConfigError
        If the clock does not preserve the variance, or a parameter is negative.
    """

    clock: Schedule
    stiffness: float
    identity: float = 1.0
    power: Callable[[Tensor], Tensor] | None = None

    def __post_init__(self) -> None:
        total = self.clock.alpha(_PROBES) ** 2 + self.clock.sigma(_PROBES) ** 2
        if float((total - 1).abs().max()) > 1e-9:
            raise ConfigError(
                f"{self.clock} does not keep alpha^2 + sigma^2 = 1; expected VPSchedule, CosineSchedule or the like"
            )
        if not (self.stiffness >= 0 and self.identity >= 0):
            raise ConfigError(f"stiffness = {self.stiffness}, identity = {self.identity}; expected both at least 0")

    def rate(self, eigenvalues: Tensor) -> Tensor:
        """Damping ``r`` of each mode, relative to the clock."""
        return self.identity + self.stiffness * eigenvalues

    def strength(self, eigenvalues: Tensor) -> Tensor:
        """Strength ``q`` of the noise of each mode."""
        return self.rate(eigenvalues) if self.power is None else self.power(eigenvalues)

    def integral(self, t: Tensor | float) -> Tensor:
        """Integral ``B(t)`` of the rate of the clock."""
        return _integral(self.clock, t)

    def alpha(self, t: Tensor | float, eigenvalues: Tensor) -> Tensor:
        """Signal level, of the shape in which ``t`` and the eigenvalues broadcast."""
        return (-0.5 * self.rate(eigenvalues) * self.integral(t)).exp()

    def variance(self, span: Tensor, eigenvalues: Tensor) -> Tensor:
        """Variance of the noise that enters while ``B`` grows by `span`: ``q (1 - exp(-r span)) / r``."""
        rate, strength = self.rate(eigenvalues), self.strength(eigenvalues)
        damped = -torch.expm1(-rate * span) / torch.where(rate > 0, rate, 1.0)
        return strength * torch.where(rate > 0, damped, span)

    def sigma(self, t: Tensor | float, eigenvalues: Tensor) -> Tensor:
        """Noise level, of the shape in which ``t`` and the eigenvalues broadcast."""
        return self.variance(self.integral(t), eigenvalues).sqrt()

    def mode(self, eigenvalue: float) -> ModeSchedule:
        """Schedule of one mode, as solvers take it."""
        l = torch.tensor(eigenvalue, dtype=torch.float64)
        return ModeSchedule(self.clock, float(self.rate(l)), float(self.strength(l)))
