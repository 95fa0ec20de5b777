"""Posteriors in closed form: a Gaussian mixture seen through a linear measurement is a Gaussian mixture.

For component ``N(mu, C)`` of weight ``pi`` and data ``y = A x_0 + n``, ``n ~ N(0, sd^2)``, with ``S = A C A^T + sd^2``
and ``G = C A^T S^-1``, the posterior component has mean ``mu + G (y - A mu)``, covariance ``C - G A C`` and weight
``~ pi N(y; A mu, S)``; the weights sum to the evidence.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from scidiff.denoise import GaussianMixture
from scidiff.process import Schedule
from scidiff.testing_targets.gaussian import VE

__all__ = ["linear_posterior", "random_mixture", "sliced_wasserstein"]


def random_mixture(dim: int, components: int, seed: int, schedule: Schedule = VE) -> GaussianMixture:
    """Mixture with means ``2 N(0, 1)`` and standard deviations in [0.15, 0.5], equal weights."""
    rng = np.random.default_rng(seed)
    means = 2 * rng.standard_normal((components, dim))
    sd = rng.uniform(0.15, 0.5, components)
    return GaussianMixture(
        schedule, torch.full((components,), 1 / components), torch.from_numpy(means), torch.from_numpy(sd**2)
    )


def linear_posterior(mixture: GaussianMixture, matrix: Tensor, y: Tensor, sd: float) -> tuple[GaussianMixture, float]:
    """Posterior of a mixture given ``y = A x_0 + n``, and the log-evidence.

    Parameters
    ----------
    mixture
        Law of the data.
    matrix
        ``A``, shape ``(data, dim)``.
    y
        Data, shape ``(data,)``.
    sd
        Standard deviation of the noise.
    """
    dim = mixture.means.shape[1]
    c = mixture.covariances
    c = torch.diag_embed(c.unsqueeze(1).expand(-1, dim)) if c.ndim == 1 else torch.diag_embed(c) if c.ndim == 2 else c
    a = matrix.double()
    s = a @ c @ a.T + sd**2 * torch.eye(len(y), dtype=torch.float64)
    gain = c @ a.T @ torch.linalg.inv(s)
    e = y.double() - mixture.means @ a.T
    fit = (e.unsqueeze(1) @ torch.linalg.solve(s, e.unsqueeze(-1))).flatten() + torch.logdet(2 * math.pi * s)
    log_weights = mixture.weights.log() - 0.5 * fit
    covariance = c - gain @ a @ c
    posterior = GaussianMixture(
        mixture.schedule,
        torch.softmax(log_weights, 0),
        mixture.means + (gain @ e.unsqueeze(-1)).squeeze(-1),
        (covariance + covariance.transpose(-1, -2)) / 2,
    )
    return posterior, float(torch.logsumexp(log_weights, 0))


def sliced_wasserstein(x: Tensor, y: Tensor, *, directions: int = 64, quantiles: int = 2000, seed: int = 0) -> float:
    """Sliced 2-Wasserstein distance of two samples: root mean over directions and quantiles of the squared gap."""
    rng = np.random.default_rng(seed)
    u = torch.from_numpy(rng.standard_normal((x.shape[1], directions)))
    u = u / u.norm(dim=0)
    level = (np.arange(quantiles) + 0.5) / quantiles
    gap = (np.quantile((part.double() @ u).numpy(), level, axis=0) for part in (x, y))
    return float(np.sqrt(((next(gap) - next(gap)) ** 2).mean()))
