"""Draws of ``x_0`` given ``x_t`` whose spread is that of the network at this very image.

By Tweedie's formula ``Cov[x_0 | x_t] = sigma^2 J`` with the Jacobian ``J = dD / dx_t``, symmetric, its eigenvalues from
0 to 1: small where an image is flat, large at its edges. A draw with the covariance ``sigma^2 J^2`` costs one call,

    sigma J xi = (D(x_t + h xi) - D(x_t)) sigma / h,      xi ~ N(0, 1).

What is missing, ``J - J^2``, is largest where the network is undecided, and at most 1/4. It is drawn with the power
that it has in rings of frequencies, known from the same call: ``sum Re(conj(xi^) (J xi)^) / sum |xi^|^2`` is the mean
of ``J`` over a ring, and ``sum |(J xi)^|^2 / sum |xi^|^2`` that of ``J^2``. For a stationary Gaussian prior the law is
exact up to the averages over a ring.

References
----------
Tweedie's formula: B. Efron, J. Am. Stat. Assoc. 106 (2011) 1602, doi:10.1198/jasa.2011.tm11181
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.sample.model import Evaluation
from scidiff.sample.state import RunState
from scidiff.sample.transform import Transform

from .draws import level
from .spread import Rings

__all__ = ["JacobianDraw"]


@dataclass(frozen=True, eq=False)
class JacobianDraw(Transform):
    """Replace the denoised mean by a draw of ``x_0`` given ``x_t``; one more call for each sample.

    Parameters
    ----------
    reach
        Length ``h`` of the difference, in units of ``sigma``.
    """

    reach: float = 0.3

    def __post_init__(self) -> None:
        if not self.reach > 0:
            raise ConfigError(f"reach is {self.reach}; expected a length in units of sigma, above 0")

    @property
    def stochastic(self) -> bool:
        """It draws."""
        return True

    def __call__(self, m: Tensor, state: RunState, evaluation: Evaluation) -> tuple[Tensor, RunState]:
        """Draw."""
        m, sigma, shape = m.double(), level(state, evaluation), tuple(m.shape[1:])
        xi = state.noise.normal(shape, step=state.i, stream="ct/draw/jacobian").to(m)
        beyond = (state.x.double() + self.reach * sigma * xi).to(state.x)
        there, state = evaluation.model.ask(state, beyond, state.t, torch.arange(len(state)))
        moved = (there.double() - m) / (self.reach * sigma)
        rings = Rings(shape)
        missing = (rings.ratio(xi, xi, moved) - rings.ratio(xi, moved, moved)).clamp_min(0.0)
        zeta = state.noise.normal(shape, step=state.i, stream="ct/draw/image").to(m)
        rest = torch.fft.irfft2(rings.spread(missing).sqrt() * torch.fft.rfft2(zeta), s=shape)
        return m + sigma * (moved + rest), state
