r"""Exact posterior of a Gaussian field given its signs at sensors: the classical answer to the forward task.

At the sensors the law is the normal law of covariance ``K = C_ss``, cut to the orthant of the signs that were read. A
Gibbs sampler draws one value after another from its exact conditional law, with the precision matrix ``P = K^-1``,

    z_j | rest ~ N(z_j - (P z)_j / P_jj, 1 / P_jj)   cut to b_j z_j > 0,

and a draw ``f`` of the prior becomes a draw of the posterior by ``f + C_.s K^-1 (z - f_s)`` (Matheron's rule). Every
sweep leaves the law as it is; the first ones start from the kriged signs.

References
----------
.. [1] J. Geweke, "Efficient simulation from the multivariate normal and Student-t distributions subject to linear
   constraints", Computing Science and Statistics 23 (1991)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg
from scipy.special import log_ndtr, ndtri_exp

from scidiff.random import Noise

from .cells import CellField

__all__ = ["SignPosterior"]

_NUGGET = 1e-6


@dataclass(frozen=True, eq=False)
class SignPosterior:
    """Law of a Gaussian field given signs.

    Parameters
    ----------
    field
        Prior.
    index
        Sensors, shape ``(sensors, 2)``.
    signs
        +1 or -1, shape ``(sensors,)``.
    """

    field: CellField
    index: np.ndarray
    signs: np.ndarray

    def draw(self, noise: Noise, *, sweeps: int = 100, start: np.ndarray | None = None) -> np.ndarray:
        """Draw fields, one chain each.

        Parameters
        ----------
        noise
            Randomness of the fields.
        sweeps
            Sweeps of each chain.
        start
            Values at the sensors that the chains begin with, of the right signs, shape ``(count, sensors)``; half a
            standard deviation by default.

        Returns
        -------
        ndarray
            Shape ``(count, nx, ny)``.
        """
        law = self.field.field
        covariance = self.field.covariance(self.index, self.index) + _NUGGET * np.eye(len(self.index))
        precision = linalg.inv(covariance)
        z = np.tile(0.5 * self.signs, (len(noise), 1)) if start is None else start.copy()
        z = self._swept(z, precision, noise, sweeps)
        prior = law.draw(noise, self.field.shape, stream="prior")
        rough = np.sqrt(_NUGGET) * noise.normal((len(self.index),), step=0, stream="nugget").numpy()
        weights = np.zeros_like(prior)
        at = (slice(None), self.index[:, 0], self.index[:, 1])
        weights[at] = (z - prior[at] - rough) @ precision
        return prior + self.field.smooth(weights)

    def _swept(self, z: np.ndarray, precision: np.ndarray, noise: Noise, sweeps: int) -> np.ndarray:
        """Values at the sensors after so many sweeps, shape ``(count, sensors)``."""
        scale = 1 / np.sqrt(np.diag(precision))
        for sweep in range(sweeps):
            uniform = noise.uniform((len(scale),), step=sweep, stream="gibbs").numpy()
            for j, sd in enumerate(scale):
                mean = z[:, j] - z @ precision[j] * sd**2
                z[:, j] = self.signs[j] * _above_zero(self.signs[j] * mean, sd, uniform[:, j])
        return z


def _above_zero(mean: np.ndarray, sd: float, uniform: np.ndarray) -> np.ndarray:
    """Normal draws cut to positive numbers: ``mean - sd Phi^-1(u Phi(mean / sd))``, without loss in either tail."""
    return np.maximum(mean - sd * ndtri_exp(np.log(uniform) + log_ndtr(mean / sd)), 1e-300)
