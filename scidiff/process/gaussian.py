"""Gaussian noising of a linear space: ``x_t = alpha x_0 + sigma eps`` with ``eps`` standard normal.

The samplers of this process consume the denoised mean ``m = E[x_0 | x_t]``. With ``v = a x_0 + b eps`` (the velocity of
the schedule) every prediction kind is a linear function of ``m`` and ``x = x_t``:

    eps   = (x - alpha m) / sigma        m = (x - sigma eps) / alpha
    score = -eps / sigma                 m = (x + sigma^2 score) / alpha
    v     = a m + b eps                  m = (b x - sigma v) / (alpha b - sigma a)

At ``sigma = 0`` the state is the data: every kind gives ``m = x / alpha``, and ``eps`` of a smooth density tends to 0.
At ``alpha = 0`` neither ``eps`` nor ``score`` knows anything of ``m``: there the conversion is refused, whereas ``v``
and ``m`` itself pass both ends.

All coefficients are float64; results have the dtype of the state that came.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scidiff.errors import ConfigError, NumericalError, ShapeError
from scidiff.process.base import Kind, Process, site_time
from scidiff.process.schedule import Schedule
from scidiff.process.weight import Weight, mean_weight
from scidiff.random import Source
from scidiff.spaces import Space

__all__ = ["GaussianProcess"]

_KINDS = (Kind.MEAN, Kind.EPS, Kind.V, Kind.SCORE)


@dataclass(frozen=True)
class GaussianProcess(Process):
    """Gaussian noise of one level per site.

    Parameters
    ----------
    space
        R^n or a linear subspace of it; noise is projected onto it.
    schedule
        Signal and noise level.
    weight
        Weight of the loss, see `scidiff.process.weight`.
    """

    space: Space
    schedule: Schedule
    weight: Weight = mean_weight
    kind = Kind.MEAN

    def eps(self, noise: Source, shape: Sequence[int], *, step: int, stream: str) -> Tensor:
        """Draw standard normal noise of the space, float64, shape ``(batch, *shape)``."""
        return self.space.project(noise.normal(tuple(shape), step=step, stream=stream))

    def prior(self, noise: Source, shape: Sequence[int], *, stream: str = "prior") -> Tensor:
        """Draw ``x_1 ~ N(0, sigma(1)^2)``, float64; what signal ``alpha(1) x_0`` is left there is neglected."""
        eps = self.eps(noise, shape, step=0, stream=stream)
        return float(self.schedule.sigma(1.0)) * eps

    def noise(self, x0: Tensor, t: Tensor | float, noise: Source, *, step: int = 0, stream: str = "noise") -> Tensor:
        """Draw ``x_t`` given ``x_0``."""
        self.space.check(x0, "x0")
        t = site_time(t, x0)
        eps = self.eps(noise, x0.shape[1:], step=step, stream=stream).to(x0.device)
        return (self.schedule.alpha(t) * x0 + self.schedule.sigma(t) * eps).to(x0.dtype)

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
        """Draw ``x_t`` given ``x_s``: mean ``r x_s``, variance ``sigma_t^2 - r^2 sigma_s^2``, ``r = alpha_t/alpha_s``.

        Raises
        ------
        ConfigError
            If some ``s > t``.
        """
        self.space.check(x_s, "x_s")
        s, t = torch.broadcast_tensors(site_time(s, x_s), site_time(t, x_s))
        if bool((s > t).any()):
            raise ConfigError("renoise got s > t at some site; expected s <= t: noise is added, not removed")
        still = s == t
        ratio = torch.where(still, 1.0, self.schedule.alpha(t) / self.schedule.alpha(s))
        gain = torch.where(still, 0.0, 2 * (self.schedule.lam(t) - self.schedule.lam(s)))
        std = self.schedule.sigma(t) * (-torch.expm1(gain)).sqrt()
        eps = self.eps(noise, x_s.shape[1:], step=step, stream=stream).to(x_s.device)
        return (ratio * x_s + std * eps).to(x_s.dtype)

    def convert(self, prediction: Tensor, kind: Kind, x_t: Tensor, t: Tensor | float, to: Kind = Kind.MEAN) -> Tensor:
        """Bring a prediction from one kind to another, exactly.

        Parameters
        ----------
        prediction
            Output of a network, same shape as ``x_t``.
        kind
            What it is.
        x_t
            State that the network saw.
        t
            Time per site.
        to
            What is wanted.

        Raises
        ------
        ConfigError
            If a kind has no meaning for Gaussian noise.
        ShapeError
            If prediction and state differ in shape.
        NumericalError
            If the state holds no signal and the mean is asked of ``eps`` or ``score``, or no noise and the score is
            asked for.
        """
        _check_kind(kind)
        _check_kind(to)
        if prediction.shape != x_t.shape:
            raise ShapeError(
                f"prediction has shape {tuple(prediction.shape)}; expected that of x_t, {tuple(x_t.shape)}"
            )
        prediction = prediction.to(x_t.dtype)
        if kind is to:
            return prediction
        t = site_time(t, x_t)
        return self._from_mean(self._to_mean(prediction, kind, x_t, t), to, x_t, t).to(x_t.dtype)

    def _to_mean(self, prediction: Tensor, kind: Kind, x: Tensor, t: Tensor) -> Tensor:
        if kind is Kind.MEAN:
            return prediction
        alpha, sigma = self.schedule.alpha(t), self.schedule.sigma(t)
        if kind is Kind.V:
            a, b = self.schedule.velocity(t)
            return (b * x - sigma * prediction) / (alpha * b - sigma * a)
        if bool((alpha == 0).any()):
            raise NumericalError(
                f"a prediction of kind {kind.name} came at alpha = 0, where it determines no mean; "
                "use a network of kind V or MEAN, or a schedule or grid that keeps alpha > 0"
            )
        return (x - sigma * prediction if kind is Kind.EPS else x + sigma**2 * prediction) / alpha

    def _from_mean(self, m: Tensor, to: Kind, x: Tensor, t: Tensor) -> Tensor:
        if to is Kind.MEAN:
            return m
        alpha, sigma = self.schedule.alpha(t), self.schedule.sigma(t)
        clean = sigma == 0
        if to is Kind.SCORE and bool(clean.any()):
            raise NumericalError("the score was asked for at sigma = 0, where m does not determine it; use t > 0")
        eps = torch.where(clean, 0.0, (x - alpha * m) / torch.where(clean, 1.0, sigma))
        if to is Kind.EPS:
            return eps
        if to is Kind.SCORE:
            return -eps / sigma
        a, b = self.schedule.velocity(t)
        return a * m + b * eps

    def target(self, x0: Tensor, x_t: Tensor, t: Tensor | float, kind: Kind = Kind.MEAN) -> Tensor:
        """Regression target of a network of the given kind, whose mean given ``x_t`` is the ideal prediction."""
        return self.convert(x0.to(x_t.dtype), Kind.MEAN, x_t, t, to=kind)

    def loss(self, m: Tensor, x0: Tensor, x_t: Tensor, t: Tensor | float) -> Tensor:
        """Weighted squared error ``w(t) (m - x_0)^2`` of every entry; 0 where the site is clean."""
        t = site_time(t, x0)
        noisy = self.schedule.sigma(t) > 0
        weight = self.weight(self.schedule, torch.where(noisy, t, 1.0))
        return torch.where(noisy, weight * (m - x0) ** 2, 0.0).to(m.dtype)

    def tilt(self, m: Tensor, x_t: Tensor, t: Tensor | float, gradient: Tensor) -> Tensor:
        """Mean under the law tilted by ``h``: ``m + (sigma^2 / alpha) grad log h(x_t)``.

        Parameters
        ----------
        m
            Denoised mean.
        x_t, t
            State and time.
        gradient
            Gradient of ``log h`` with respect to ``x_t``, where ``h(x_t) = E[h(x_0) | x_t]``; what leads out of a
            linear subspace, such as that of centred points, is dropped.
        """
        t = site_time(t, x_t)
        alpha = self.schedule.alpha(t)
        if bool((alpha == 0).any()):
            raise NumericalError("a tilt was asked for at alpha = 0, where the state says nothing of x_0; use t < 1")
        return (m + self.schedule.sigma(t) ** 2 / alpha * self.space.project(gradient)).to(m.dtype)


def _check_kind(kind: Kind) -> None:
    if kind not in _KINDS:
        allowed = ", ".join(each.name for each in _KINDS)
        raise ConfigError(f"kind {kind} has no meaning for Gaussian noise; expected one of {allowed}")
