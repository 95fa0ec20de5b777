"""A linear Gaussian posterior in closed form, and wrong ones beside it.

``theta ~ N(0, I)`` in two dimensions, ``y = A theta + s eta``. The posterior is ``N(K y, C)`` with
``C = (I + A^T A / s^2)^-1`` and ``K = C A^T / s^2``; its coordinates correlate by -0.71. Wrong posteriors
differ from it in one thing each: the scale of the deviations, a shift in units of the standard deviation, the
correlation at unchanged marginals, or that they are the prior.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

__all__ = ["WRONG", "LinearGaussian"]

_A = np.array([[1.0, 0.6], [0.5, 1.0]])
_S = 0.5


@dataclass(frozen=True)
class LinearGaussian:
    """A posterior sampler, right by default.

    Parameters
    ----------
    scale
        Factor of the deviations from the mean.
    shift
        Shift of both coordinates in units of their standard deviation.
    correlation
        Factor of the correlation, at the same marginals.
    blind
        Whether draws come from the prior.
    """

    scale: float = 1.0
    shift: float = 0.0
    correlation: float = 1.0
    blind: bool = False

    def prior(self, count: int, seed: int) -> np.ndarray:
        """Draw parameters, shape ``(count, 2)``."""
        return np.random.default_rng(seed).standard_normal((count, 2))

    def simulate(self, theta: np.ndarray, seed: int) -> np.ndarray:
        """Draw data, shape of `theta`."""
        return theta @ _A.T + _S * np.random.default_rng(seed).standard_normal(theta.shape)

    def log_likelihood(self, theta: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Log-likelihood up to a constant, shape ``(count,)``."""
        return -0.5 * ((y - theta @ _A.T) ** 2).sum(1) / _S**2

    def posterior(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean ``(count, 2)`` and covariance ``(2, 2)`` of the right posterior."""
        covariance = np.linalg.inv(np.eye(2) + _A.T @ _A / _S**2)
        return y @ (covariance @ _A.T / _S**2).T, covariance

    def sample(self, y: np.ndarray, draws: int, seed: int) -> np.ndarray:
        """Draw from this sampler's posterior, shape ``(count, draws, 2)``."""
        z = np.random.default_rng(seed).standard_normal((len(y), draws, 2))
        if self.blind:
            return z
        mean, covariance = self.posterior(y)
        sd = np.sqrt(np.diag(covariance))
        off = self.correlation * covariance[0, 1]
        wrong = np.array([[covariance[0, 0], off], [off, covariance[1, 1]]])
        return (mean + self.shift * sd)[:, None] + self.scale * z @ np.linalg.cholesky(wrong).T

    def pairs(self, count: int, draws: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Truths ``(count, 2)``, data and draws."""
        theta = self.prior(count, 3 * seed)
        y = self.simulate(theta, 3 * seed + 1)
        return theta, y, self.sample(y, draws, 3 * seed + 2)


_RIGHT = LinearGaussian()

WRONG = {
    "narrow": replace(_RIGHT, scale=0.7),
    "wide": replace(_RIGHT, scale=1.4),
    "shifted": replace(_RIGHT, shift=0.4),
    "uncorrelated": replace(_RIGHT, correlation=0.0),
    "prior": replace(_RIGHT, blind=True),
}
