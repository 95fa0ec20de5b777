"""Gaussian mixtures: everything about ``x_t = alpha x_0 + sigma eps`` in closed form.

Data ``x_0 ~ sum_k pi_k N(mu_k, C_k)``. With ``C = U diag(e) U^T`` per component, ``y = U^T (x - alpha mu)`` and
``v = alpha^2 e + sigma^2``,

    log p_k(x)     = -1/2 sum (y^2 / v + log 2 pi v)          r_k = softmax_k(log pi_k + log p_k)
    m_k            = mu_k + U (alpha e / v) y                 m   = sum_k r_k m_k
    Cov_k[x_0 | x] = U diag(e sigma^2 / v) U^T

Isotropic and diagonal covariances take a time per site (clean sites condition the others); full ones take one time per
sample. Sums over components are made in the logarithm, and everything is float64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scidiff.denoise.denoiser import Denoiser
from scidiff.errors import ConfigError, ShapeError
from scidiff.process.base import Kind, sample_time, site_time
from scidiff.process.schedule import Schedule
from scidiff.random import Source
from scidiff.spaces.categorical import draw

__all__ = ["GaussianMixture"]

_TINY = 1e-300


@dataclass(frozen=True, eq=False)
class GaussianMixture:
    """Exact denoiser of data that are a Gaussian, or a mixture of Gaussians.

    Parameters
    ----------
    schedule
        Noise schedule.
    weights
        Probability of each component, shape ``(components,)``; a sum within 1e-6 of 1 is scaled to 1.
    means
        Mean of each component, shape ``(components, *event)``.
    covariances
        Variance ``(components,)`` of isotropic components, variances ``(components, dim)`` of diagonal ones, or
        covariance matrices ``(components, dim, dim)``, where ``dim`` is the size of the event.

    Examples
    --------
    >>> import torch
    >>> from scidiff.denoise import GaussianMixture
    >>> from scidiff.process import VESchedule
    >>> schedule = VESchedule(0.01, 10.0)
    >>> data = GaussianMixture.gaussian(schedule, torch.zeros(1), torch.ones(1))
    >>> t = schedule.t(torch.tensor(0.0, dtype=torch.float64))  # lam = 0: noise of size 1
    >>> round(float(data(torch.tensor([[2.0]]), t)), 6)  # halfway back to the mean
    1.0
    """

    schedule: Schedule
    weights: Tensor
    means: Tensor
    covariances: Tensor

    def __post_init__(self) -> None:
        weights, means, covariances = (
            torch.as_tensor(part).double() for part in (self.weights, self.means, self.covariances)
        )
        count, dim = len(means), math.prod(means.shape[1:])
        shapes = [(count,), (count, dim), (count, dim, dim)]
        if weights.shape != (count,) or tuple(covariances.shape) not in shapes:
            raise ShapeError(
                f"weights {tuple(weights.shape)}, means {tuple(means.shape)}, covariances {tuple(covariances.shape)}; "
                f"expected weights {shapes[0]} and covariances of one of the shapes {shapes}"
            )
        if bool((weights < 0).any()) or not math.isclose(float(weights.sum()), 1.0, abs_tol=1e-6):
            raise ConfigError(f"weights sum to {float(weights.sum())}; expected probabilities that sum to 1")
        spectrum, basis = _spectrum(covariances, dim)
        if bool((spectrum < -1e-10 * spectrum.abs().max()).any()):
            raise ConfigError(f"a covariance has the eigenvalue {float(spectrum.min())}; expected none below 0")
        members = {"weights": weights / weights.sum(), "means": means, "covariances": covariances}
        members |= {"_spectrum": spectrum.clamp(min=0), "_basis": basis}
        for name, value in members.items():
            object.__setattr__(self, name, value)

    @classmethod
    def gaussian(cls, schedule: Schedule, mean: Tensor, covariance: Tensor) -> GaussianMixture:
        """Make a single Gaussian of the given mean ``(*event)`` and covariance ``()``, ``(dim,)`` or ``(dim, dim)``.

        Its denoised mean is the Wiener filter.
        """
        return cls(schedule, torch.ones(1), mean.unsqueeze(0), covariance.unsqueeze(0))

    @property
    def denoiser(self) -> Denoiser:
        """The mixture as a denoiser of kind MEAN."""
        return Denoiser(self, Kind.MEAN)

    def __call__(self, x: Tensor, t: Tensor | float, condition: Any = None) -> Tensor:
        """Denoised mean ``E[x_0 | x_t = x]``, shape of ``x``; `condition` is not used."""
        log_p, m, _ = self._components(x, t)
        return torch.einsum("bk,bkd->bd", torch.softmax(log_p, 1), m).reshape(x.shape)

    def responsibilities(self, x: Tensor, t: Tensor | float) -> Tensor:
        """Probability of each component given ``x_t = x``, shape ``(batch, components)``."""
        return torch.softmax(self._components(x, t)[0], 1)

    def log_density(self, x: Tensor, t: Tensor | float) -> Tensor:
        """Log-density of ``x_t``, shape ``(batch,)``."""
        return torch.logsumexp(self._components(x, t)[0], 1)

    def score(self, x: Tensor, t: Tensor | float) -> Tensor:
        """Score ``grad log p(x_t)``, as the average of the scores of the components, shape of ``x``."""
        flat = x.double().flatten(1)
        _, alpha, sigma = self._levels(x, t)
        log_p = self._components(x, t)[0]
        y, variance = self._whiten(flat, alpha, sigma)
        return torch.einsum("bk,bkd->bd", torch.softmax(log_p, 1), self._rotate(-y / variance)).reshape(x.shape)

    def covariance(self, x: Tensor, t: Tensor | float) -> Tensor:
        """Posterior covariance ``Cov[x_0 | x_t = x]``, shape ``(batch, dim, dim)``."""
        log_p, m, spread = self._components(x, t)
        r = torch.softmax(log_p, 1)
        mean = torch.einsum("bk,bkd->bd", r, m)
        between = torch.einsum("bk,bkd,bke->bde", r, m, m) - torch.einsum("bd,be->bde", mean, mean)
        if self._basis is None:
            within = torch.diag_embed(torch.einsum("bk,bkd->bd", r, spread))
        else:
            within = torch.einsum("bk,kdi,bki,kei->bde", r, self._basis, spread, self._basis)
        return within + between

    def draw(self, noise: Source, *, step: int = 0, stream: str = "data") -> Tensor:
        """Draw data ``x_0``, shape ``(batch, *event)``."""
        shape = self.means.shape[1:]
        spread = self._spectrum.expand(len(noise), -1, -1)
        mean = self.means.flatten(1).expand(len(noise), -1, -1)
        log_weights = self.weights.log().expand(len(noise), -1)
        return self._draw(log_weights, mean, spread, noise, step, stream).reshape(-1, *shape)

    def posterior_draw(
        self, x: Tensor, t: Tensor | float, noise: Source, *, step: int = 0, stream: str = "posterior"
    ) -> Tensor:
        """Draw ``x_0`` from its exact law given ``x_t = x``."""
        return self._draw(*self._components(x, t), noise, step, stream).reshape(x.shape)

    def posterior_draws(
        self, x: Tensor, t: Tensor | float, noise: Source, count: int, *, step: int = 0, stream: str = "posterior"
    ) -> Tensor:
        """Draw `count` independent ``x_0`` from their exact law given ``x_t = x``, shape ``(count, *x.shape)``."""
        log_p, mean, spread = self._components(x, t)
        u = noise.uniform((count,), step=step, stream=f"{stream}/component")
        chosen = draw(_usable(log_p).unsqueeze(1).expand(-1, count, -1), u)
        rows = torch.arange(len(x), device=chosen.device).unsqueeze(1)
        xi = noise.normal((count, mean.shape[-1]), step=step, stream=stream).to(spread)
        xi = spread[rows, chosen].sqrt() * xi
        if self._basis is not None:
            xi = torch.einsum("bki,bkdi->bkd", xi, self._basis[chosen])
        return (mean[rows, chosen] + xi).transpose(0, 1).reshape(count, *x.shape)

    def reverse_draw(
        self, x: Tensor, t: Tensor | float, s: Tensor | float, noise: Source, *, step: int = 0, stream: str = "reverse"
    ) -> Tensor:
        """Draw ``x_s`` from its exact law given ``x_t = x``, ``s <= t``: a sampler without any error.

        First ``x_0`` given ``x_t``, then the Gaussian bridge ``x_s`` given ``x_0`` and ``x_t``: with
        ``r = (sigma_s alpha_t / (sigma_t alpha_s))^2`` its mean is ``alpha_s (1 - r) x_0 + r (alpha_s / alpha_t) x_t``
        and its variance ``sigma_s^2 (1 - r)``.
        """
        x0 = self.posterior_draw(x, t, noise, step=step, stream=stream)
        _, alpha_t, sigma_t = self._levels(x, t)
        _, alpha_s, sigma_s = self._levels(x, s)
        keep = torch.where(sigma_t > 0, sigma_s / sigma_t.clamp(min=_TINY), 1.0)
        r = (keep * alpha_t / alpha_s) ** 2
        xi = noise.normal(tuple(x.shape[1:]), step=step, stream=f"{stream}/bridge").flatten(1).to(x0.device)
        mean = alpha_s * (1 - r) * x0.flatten(1) + keep**2 * alpha_t / alpha_s * x.double().flatten(1)
        return (mean + sigma_s * (1 - r).clamp(min=0).sqrt() * xi).reshape(x.shape)

    def _levels(self, x: Tensor, t: Tensor | float) -> tuple[Tensor, Tensor, Tensor]:
        """Time, signal and noise per site, shape ``(batch, dim)``."""
        time = site_time(t, x).expand(x.shape).flatten(1)
        if self._basis is not None:
            sample_time(t, x, "full covariances take one time per sample: use diagonal ones")
        return time, self.schedule.alpha(time), self.schedule.sigma(time)

    def _whiten(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """``y = U^T (x - alpha mu)`` and its variance, shape ``(batch, components, dim)``."""
        y = x.unsqueeze(1) - alpha.unsqueeze(1) * self.means.flatten(1)
        if self._basis is not None:
            y = torch.einsum("bkd,kdi->bki", y, self._basis)
        variance = alpha.unsqueeze(1) ** 2 * self._spectrum + sigma.unsqueeze(1) ** 2
        return y, variance.clamp(min=_TINY)

    def _rotate(self, y: Tensor) -> Tensor:
        return y if self._basis is None else torch.einsum("bki,kdi->bkd", y, self._basis)

    def _components(self, x: Tensor, t: Tensor | float) -> tuple[Tensor, Tensor, Tensor]:
        """``log pi_k p_k(x)``, ``m_k`` and the posterior variances along the eigenvectors."""
        if x.shape[1:] != self.means.shape[1:]:
            raise ShapeError(f"x has shape {tuple(x.shape)}; expected (batch, {tuple(self.means.shape[1:])})")
        _, alpha, sigma = self._levels(x, t)
        y, variance = self._whiten(x.double().flatten(1), alpha, sigma)
        log_p = -0.5 * (y**2 / variance + variance.log() + math.log(2 * math.pi)).sum(-1) + self.weights.log()
        gain = alpha.unsqueeze(1) * self._spectrum / variance
        m = self.means.flatten(1) + self._rotate(gain * y)
        return log_p, m, self._spectrum * sigma.unsqueeze(1) ** 2 / variance

    def _draw(self, log_weights: Tensor, mean: Tensor, spread: Tensor, noise: Source, step: int, stream: str) -> Tensor:
        """Draw a component, then a point of it; all rows ``(batch, components, ...)``."""
        chosen = draw(_usable(log_weights), noise.uniform((), step=step, stream=f"{stream}/component"))
        rows = torch.arange(len(chosen), device=chosen.device)
        xi = spread[rows, chosen].sqrt() * noise.normal((mean.shape[-1],), step=step, stream=stream).to(spread)
        if self._basis is not None:
            xi = torch.einsum("bi,bdi->bd", xi, self._basis[chosen])
        return mean[rows, chosen] + xi


def _usable(log_weights: Tensor) -> Tensor:
    """Weights of components where there are none: a state that is not finite has draws that are not finite either."""
    return torch.where(log_weights.isnan(), 0.0, log_weights)


def _spectrum(covariances: Tensor, dim: int) -> tuple[Tensor, Tensor | None]:
    """Eigenvalues ``(components, dim)``, and eigenvectors where the covariances are not diagonal."""
    if covariances.ndim == 3:
        return torch.linalg.eigh(covariances)
    return (covariances.unsqueeze(1).expand(-1, dim) if covariances.ndim == 1 else covariances), None
