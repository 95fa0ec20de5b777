"""Noise for cochains on a mesh, mode by mode: ``x_t = alpha_t(L) x_0 + sigma_t(L) eps``.

Coefficients in the basis of the Hodge Laplacian are noised each by its own schedule (`OperatorSchedule`); the values at
the simplices are what comes and goes. ``eps`` is white noise of the space, so that the prediction kinds are those of a
Gaussian process with operators in place of numbers,

    eps = sigma^-1 (x - alpha m)        v = alpha eps - sigma m        m = (alpha^2 + sigma^2)^-1 (alpha x - sigma v).

A network of kind EPS is ill-posed where a mode has lost its signal: an error of the prediction is enlarged by
``sigma / alpha``, and high modes lose their signal early. Networks of kind V or MEAN have no such limit.

One operator acts on all simplices, so the time is one number per sample: a single simplex cannot have a clock of its
own, and cannot be clamped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from scidiff.errors import ConfigError, NumericalError, ShapeError
from scidiff.process.base import Kind, Process, site_time
from scidiff.process.operator import OperatorSchedule
from scidiff.process.weight import Weight, mean_weight
from scidiff.random import Source
from scidiff.spaces import Cochain

__all__ = ["CochainProcess"]

_Time = Tensor | float
_FORGOTTEN = 0.1


@dataclass(frozen=True, eq=False)
class CochainProcess(Process):
    """Ornstein-Uhlenbeck noise of the cochains of one degree.

    Parameters
    ----------
    space
        Cochains and their modes.
    schedule
        Levels of the modes.
    weight
        Weight of the loss as a function of the clock, see `scidiff.process.weight`.

    Raises
    ------
    ConfigError
        If some mode keeps more than a tenth of its signal to the end: its data would leak into the prior.
    """

    space: Cochain
    schedule: OperatorSchedule
    weight: Weight = mean_weight
    kind: ClassVar[Kind] = Kind.MEAN

    def __post_init__(self) -> None:
        left = self.schedule.alpha(1.0, self.space.eigenvalues)
        kept = int((left > _FORGOTTEN).sum())
        if kept:
            raise ConfigError(
                f"{kept} of {self.space.modes} modes keep up to {float(left.max()):.2g} of their signal at t = 1 (the "
                f"first {self.space.spectrum.laplacian.harmonic} are harmonic, and heat alone never damps them); "
                "raise the identity term of the schedule, or the end of its clock"
            )

    # ---- modes ---------------------------------------------------------------------------------------------------

    def sample_time(self, t: _Time, x: Tensor) -> Tensor:
        """Bring a time to one number per sample, float64, shape ``()`` or ``(batch, 1)``.

        Raises
        ------
        ConfigError
            If the simplices of a sample have different times.
        """
        t = site_time(t, x)
        if t.ndim < 2:
            return t
        if bool((t != t[:, :1]).any()):
            raise ConfigError(
                "the simplices of a sample have different times; cochains take one time per sample: clamp nothing, and "
                "put known values in by guidance"
            )
        return t[:, :1]

    def levels(self, t: _Time, x: Tensor) -> tuple[Tensor, Tensor]:
        """Signal and noise of every mode, shape ``(modes,)`` for one time and ``(batch, modes)`` for one per sample."""
        t, eigenvalues = self.sample_time(t, x), self.space.eigenvalues.to(x.device)
        return self.schedule.alpha(t, eigenvalues), self.schedule.sigma(t, eigenvalues)

    def white(self, noise: Source, *, step: int, stream: str) -> Tensor:
        """Coefficients of white noise, float64, shape ``(batch, modes)``; low modes do not depend on their number."""
        return noise.normal((self.space.modes,), step=step, stream=stream)

    def eps(self, noise: Source, shape: Sequence[int], *, step: int, stream: str) -> Tensor:
        """White noise of the space, float64, shape ``(batch, simplices)``."""
        self._check_shape(shape)
        return self.space.values(self.white(noise, step=step, stream=stream))

    def _check_shape(self, shape: Sequence[int]) -> None:
        if tuple(shape) != self.space.shape:
            raise ShapeError(f"shape is {tuple(shape)}; expected {self.space.shape}, the simplices of {self.space!r}")

    # ---- forward law ---------------------------------------------------------------------------------------------

    def prior(self, noise: Source, shape: Sequence[int], *, stream: str = "prior") -> Tensor:
        """Draw ``x_1``, float64; the signal ``alpha_1(L) x_0`` that is left there is neglected."""
        self._check_shape(shape)
        z = self.white(noise, step=0, stream=stream)
        return self.space.values(self.schedule.sigma(1.0, self.space.eigenvalues).to(z.device) * z)

    def noise(self, x0: Tensor, t: _Time, noise: Source, *, step: int = 0, stream: str = "noise") -> Tensor:
        """Draw ``x_t`` given ``x_0``."""
        self.space.check(x0, "x0")
        alpha, sigma = self.levels(t, x0)
        z = self.white(noise, step=step, stream=stream).to(x0.device)
        x_t = self.space.values(alpha * self.space.coefficients(x0) + sigma * z)
        return torch.where(self.sample_time(t, x0) == 0, x0, x_t.to(x0.dtype))

    def renoise(
        self, x_s: Tensor, s: _Time, t: _Time, noise: Source, *, step: int = 0, stream: str = "renoise"
    ) -> Tensor:
        """Draw ``x_t`` given ``x_s``: per mode the mean ``exp(-r (B_t - B_s) / 2) x_s``.

        Raises
        ------
        ConfigError
            If some ``s > t``.
        """
        self.space.check(x_s, "x_s")
        s, t = torch.broadcast_tensors(self.sample_time(s, x_s), self.sample_time(t, x_s))
        if bool((s > t).any()):
            raise ConfigError("renoise got s > t for some sample; expected s <= t: noise is added, not removed")
        eigenvalues = self.space.eigenvalues.to(x_s.device)
        span = torch.where(s == t, 0.0, self.schedule.integral(t) - self.schedule.integral(s))
        ratio = (-0.5 * self.schedule.rate(eigenvalues) * span).exp()
        std = self.schedule.variance(span, eigenvalues).sqrt()
        z = self.white(noise, step=step, stream=stream).to(x_s.device)
        x_t = self.space.values(ratio * self.space.coefficients(x_s) + std * z)
        return torch.where(s == t, x_s, x_t.to(x_s.dtype))

    # ---- predictions ---------------------------------------------------------------------------------------------

    def convert(self, prediction: Tensor, kind: Kind, x_t: Tensor, t: _Time, to: Kind = Kind.MEAN) -> Tensor:
        """Bring a prediction from one kind to another, exactly.

        Parameters
        ----------
        prediction
            Output of a network, same shape as ``x_t``.
        kind
            What it is: `Kind.MEAN`, `Kind.EPS` or `Kind.V`.
        x_t
            State that the network saw.
        t
            Time per sample.
        to
            What is wanted.

        Raises
        ------
        ConfigError
            If a kind has no meaning here.
        ShapeError
            If prediction and state differ in shape.
        NumericalError
            If the mean is asked of ``eps`` where the signal of a mode has vanished.
        """
        for each in (kind, to):
            if each not in (Kind.MEAN, Kind.EPS, Kind.V):
                raise ConfigError(f"kind {each} has no meaning for cochains; expected one of MEAN, EPS, V")
        if prediction.shape != x_t.shape:
            raise ShapeError(
                f"prediction has shape {tuple(prediction.shape)}; expected that of x_t, {tuple(x_t.shape)}"
            )
        if kind is to:
            return prediction.to(x_t.dtype)
        x, p = self.space.coefficients(x_t), self.space.coefficients(prediction)
        alpha, sigma = self.levels(t, x_t)
        m = _to_mean(p, kind, x, alpha, sigma)
        if to is Kind.MEAN:
            return self.space.values(m).to(x_t.dtype)
        clean = sigma == 0
        eps = torch.where(clean, 0.0, (x - alpha * m) / torch.where(clean, 1.0, sigma))
        return self.space.values(eps if to is Kind.EPS else alpha * eps - sigma * m).to(x_t.dtype)

    def target(self, x0: Tensor, x_t: Tensor, t: _Time, kind: Kind = Kind.MEAN) -> Tensor:
        """Regression target of a network of the given kind, whose mean given ``x_t`` is the ideal prediction."""
        return self.convert(x0.to(x_t.dtype), Kind.MEAN, x_t, t, to=kind)

    def loss(self, m: Tensor, x0: Tensor, x_t: Tensor, t: _Time) -> Tensor:
        """Share of each simplex in ``w(t) <m - x_0, m - x_0>``, shape ``(batch, simplices)``; 0 at ``t = 0``.

        The shares ``r_i (M r)_i`` sum to the squared norm in the mass, which is what is least at the posterior mean; a
        single share may be negative where the mass matrix is not diagonal.
        """
        t, rest = self.sample_time(t, x0), m - x0
        noisy = t > 0
        weight = self.weight(self.schedule.clock, torch.where(noisy, t, 1.0))
        return torch.where(noisy, weight * rest * self.space.flat(rest), 0.0).to(m.dtype)


def _to_mean(p: Tensor, kind: Kind, x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """Mean from a prediction, in coefficients."""
    if kind is Kind.MEAN:
        return p
    if kind is Kind.V:
        return (alpha * x - sigma * p) / (alpha**2 + sigma**2)
    if bool((alpha == 0).any()):
        raise NumericalError(
            "a prediction of kind EPS came where the signal of a mode has vanished, so that it determines no mean; use "
            "a network of kind V or MEAN, a smaller stiffness, or fewer modes"
        )
    return (x - sigma * p) / alpha
