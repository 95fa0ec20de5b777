r"""Exact posteriors of Gaussian images given linear data, ``y = A x + n``, ``n ~ N(0, R)``.

With ``r = y - A m`` and ``K = A C A^T + R``,

    mean = m + C A^T K^-1 r,        covariance = C - C A^T K^-1 A C,        log p(y) = log N(r; 0, K).

`DensePosterior` forms the matrices, for images of a few thousand pixels at most. `StationaryPosterior` never does: it
solves with ``R^-1/2 K R^-1/2 = I + B C B^T`` by conjugate gradients, and draws by Matheron's rule: with
``x' ~ N(m, C)`` and ``y' = A x' + n'``, the image ``x' + C A^T K^-1 (y - y')`` is an exact draw, up to the tolerance of
the solver.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from scidiff.errors import ConfigError, NumericalError
from scidiff.guidance.reward import GaussianLikelihood
from scidiff.random import Noise

from ..classical.iterative import conjugate_gradients
from .stationary import StationaryCovariance

__all__ = ["DensePosterior", "StationaryPosterior", "dense_posterior"]

_LARGEST = 5000
_ITERATIONS = 5000


@dataclass(frozen=True, eq=False)
class DensePosterior:
    """A Gaussian law of flattened images.

    Parameters
    ----------
    mean
        Shape of an image, float64.
    covariance
        ``(pixels, pixels)``, float64.
    log_evidence
        ``log p(y)``.
    """

    mean: Tensor
    covariance: Tensor
    log_evidence: float

    @property
    def sd(self) -> Tensor:
        """Standard deviation of every pixel, shape of an image."""
        return self.covariance.diagonal().clamp_min(0.0).sqrt().reshape(self.mean.shape)

    def draw(self, count: int, *, seed: int = 0, first: int = 0) -> Tensor:
        """Exact draws, ``(count, *image)``."""
        values, vectors = torch.linalg.eigh(self.covariance)
        xi = Noise.range(seed, count, first).normal((len(values),), step=0, stream="ct/dense-posterior")
        return self.mean + ((xi * values.clamp_min(0.0).sqrt()) @ vectors.T).reshape(count, *self.mean.shape)


def dense_posterior(mean: Tensor, covariance: Tensor, likelihood: GaussianLikelihood) -> DensePosterior:
    """Posterior by matrices.

    Parameters
    ----------
    mean
        ``m``, shape of an image.
    covariance
        ``C``, ``(pixels, pixels)``.
    likelihood
        Data, one set; its operator takes images of the shape of `mean`.

    Raises
    ------
    ConfigError
        If the problem is too large for matrices.
    """
    count = mean.numel()
    if max(count, likelihood.operator.size) > _LARGEST:
        raise ConfigError(
            f"{count} pixels and {likelihood.operator.size} data; matrices are made up to {_LARGEST}: use the "
            "posterior of a stationary prior, which makes none"
        )
    unit = torch.eye(count, dtype=torch.float64).reshape(count, *mean.shape)
    a = likelihood.operator.apply(unit).double().reshape(count, -1).T
    ac = a @ covariance
    k = ac @ a.T + torch.diag(likelihood.variance.flatten())
    factor = torch.linalg.cholesky(k)
    r = (likelihood.y - likelihood.operator.apply(mean[None].double())[0]).double().flatten()
    half = torch.linalg.solve_triangular(factor, torch.cat([ac, r[:, None]], 1), upper=False)
    white, z = half[:, :-1], half[:, -1]
    evidence = -0.5 * float(z @ z) - float(factor.diagonal().log().sum()) - 0.5 * len(r) * math.log(2 * math.pi)
    return DensePosterior(mean + (white.T @ z).reshape(mean.shape), covariance - white.T @ white, evidence)


@dataclass(frozen=True, eq=False)
class StationaryPosterior:
    """Posterior of a stationary Gaussian image, without a matrix.

    Parameters
    ----------
    prior_mean
        ``m``, shape of an image.
    covariance
        ``C``.
    likelihood
        Data, one set.
    """

    prior_mean: Tensor
    covariance: StationaryCovariance
    likelihood: GaussianLikelihood

    def mean(self, tolerance: float = 1e-8) -> Tensor:
        """Posterior mean, float64.

        Parameters
        ----------
        tolerance
            Relative residual of the solver.

        Raises
        ------
        NumericalError
            If the solver does not reach it.
        """
        return self.prior_mean + self._pull(self.likelihood.residual(self.prior_mean[None]), tolerance)[0]

    def draw(self, count: int, *, seed: int = 0, first: int = 0, tolerance: float = 1e-6) -> Tensor:
        """Exact draws, ``(count, rows, columns)``, float64; parameters as for `mean`."""
        noise = Noise.range(seed, count, first)
        x = self.prior_mean + self.covariance.draw(noise, stream="ct/posterior/prior")
        n = noise.normal(self.likelihood.operator.range, step=0, stream="ct/posterior/data")
        return x + self._pull(self.likelihood.residual(x) - self.likelihood.variance.sqrt() * n, tolerance)

    def dense(self) -> DensePosterior:
        """The same law by matrices, with its covariance and evidence; for small images."""
        return dense_posterior(self.prior_mean, self.covariance.dense(), self.likelihood)

    def _pull(self, residual: Tensor, tolerance: float) -> Tensor:
        """``C A^T K^-1 r`` for rows of residuals."""
        operator, sd = self.likelihood.operator, self.likelihood.variance.sqrt()

        def back(u: Tensor) -> Tensor:
            return self.covariance.apply(operator.adjoint(u / sd).double())

        b = residual / sd
        u, left, count = conjugate_gradients(
            lambda u: u + operator.apply(back(u)).double() / sd, b, torch.zeros_like(b), tolerance, _ITERATIONS
        )
        if not left <= 10 * tolerance:
            raise NumericalError(
                f"conjugate gradients left a relative residual of {left:.1e} after {count} iterations; expected "
                f"{tolerance:.0e}: ask for less, or use an operator in float64"
            )
        return back(u)
