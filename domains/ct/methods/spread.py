"""How wide ``x_0`` given ``x_t`` is: the posterior covariance of the prior, by Tweedie's formula and few probes.

    Cov[x_0 | x_t] = sigma^2 J,      J = dD / dx_t

is approximated by its stationary part, diagonal in Fourier space. With white probes ``v`` and the differences
``J v = (D(x_t + h v) - D(x_t)) / h`` the gain of a ring of frequencies is ``sum Re(conj(v^) (J v)^) / sum |v^|^2``. The
gain is that of a Wiener filter, ``g = P / (P + sigma^2)``; its power ``P`` is interpolated between the rings in
logarithms. For a stationary Gaussian prior the result is exact up to this interpolation; for others it is the best
stationary Gaussian of the same local mean.

References
----------
Tweedie's formula: B. Efron, J. Am. Stat. Assoc. 106 (2011) 1602, doi:10.1198/jasa.2011.tm11181
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.sample.model import Evaluation
from scidiff.sample.state import RunState

from .conditional import Spectral

__all__ = ["Probes", "Rings", "frequencies", "posterior_root"]

_LEAST, _MOST = 1e-6, 1.0 - 1e-6


def frequencies(shape: tuple[int, ...]) -> Tensor:
    """``|k|`` of the modes of ``rfft2``, cycles per longer edge, float64."""
    rows, columns = shape
    longer = max(shape)
    ky = torch.fft.fftfreq(rows, dtype=torch.float64) * longer
    kx = torch.fft.rfftfreq(columns, dtype=torch.float64) * longer
    return torch.sqrt(ky[:, None] ** 2 + kx**2)


@dataclass(frozen=True)
class Probes:
    """Stationary posterior covariance from finite differences of the denoiser.

    Parameters
    ----------
    count
        Probes for each step, one network call each, of the first sample of the batch, which pays for them. A run leads
        every batch with sample 0 of its seed, so that samples do not depend on how they are batched.
    reach
        Length of a difference, in units of ``sigma``.
    """

    count: int = 2
    reach: float = 0.3

    def __post_init__(self) -> None:
        if self.count < 1 or not self.reach > 0:
            raise ConfigError(f"count is {self.count} and reach {self.reach}; expected 1 or more, and a length > 0")

    def __call__(self, m: Tensor, state: RunState, evaluation: Evaluation, sigma: float) -> tuple[Tensor, RunState]:
        """Estimate ``P`` on the modes of ``rfft2`` at the present state; the state comes back with the calls booked."""
        rows = torch.zeros(self.count, dtype=torch.long)
        noise = state.noise.take([0])
        v = noise.normal((self.count, *m.shape[1:]), step=state.i, stream="ct/probes")[0].to(m)
        x = state.x[rows].double() + self.reach * sigma * v
        there, state = evaluation.model.ask(state, x.to(state.x), state.t[rows], rows)
        jv = (there.double() - m[rows]) / (self.reach * sigma)
        return _power(v, jv, sigma), state


def posterior_root(power: Tensor, sigma: float) -> Spectral:
    """Root of ``C = P sigma^2 / (P + sigma^2)``.

    Parameters
    ----------
    power
        ``P`` on the modes of ``rfft2``.
    sigma
        Noise level.
    """
    return Spectral(power * sigma**2 / (power + sigma**2))


@dataclass(frozen=True, eq=False)
class Rings:
    """Rings of frequencies of one cycle per longer edge, and averages over them.

    Parameters
    ----------
    shape
        Rows and columns.
    """

    shape: tuple[int, ...]

    @cached_property
    def k(self) -> Tensor:
        """``|k|`` of the modes of ``rfft2``."""
        return frequencies(self.shape)

    @cached_property
    def number(self) -> Tensor:
        """Ring of each mode."""
        return self.k.round().long()

    @cached_property
    def twice(self) -> Tensor:
        """How many modes of ``fft2`` each column stands for."""
        twice = torch.full((self.k.shape[1],), 2.0, dtype=torch.float64)
        twice[0] = 1.0
        if self.shape[1] % 2 == 0:
            twice[-1] = 1.0
        return twice

    def add(self, values: Tensor) -> Tensor:
        """Sums over rings of values on modes, ``(batch, rings)``."""
        out = torch.zeros(len(values), int(self.number.max()) + 1, dtype=torch.float64)
        return out.index_add_(1, self.number.flatten(), (self.twice * values).flatten(1))

    def ratio(self, white: Tensor, u: Tensor, v: Tensor) -> Tensor:
        """``sum Re(conj(u^) v^) / sum |white^|^2`` over each ring, for each image."""
        u_, v_ = torch.fft.rfft2(u), torch.fft.rfft2(v)
        return self.add((u_.conj() * v_).real) / self.add(torch.fft.rfft2(white).abs() ** 2)

    def spread(self, values: Tensor) -> Tensor:
        """Values of rings on the modes, interpolated between the rings, one image after the other."""
        at = torch.arange(values.shape[1], dtype=torch.float64)
        return torch.stack([_interpolate(self.k, at, one) for one in values])


def _power(v: Tensor, jv: Tensor, sigma: float) -> Tensor:
    """``P`` of every mode of ``rfft2``."""
    rings = Rings(tuple(v.shape[1:]))
    weight = (torch.fft.rfft2(v).abs() ** 2).sum(0, keepdim=True)
    total = rings.add(weight)
    gain = (rings.add((torch.fft.rfft2(v).conj() * torch.fft.rfft2(jv)).real.sum(0, keepdim=True)) / total)[0]
    gain = gain.clamp(_LEAST, _MOST)
    at = (rings.add(weight * rings.k) / total)[0]
    power = torch.log(sigma**2 * gain / (1.0 - gain))
    return _interpolate(torch.log1p(rings.k), torch.log1p(at), power).exp()


def _interpolate(x: Tensor, at: Tensor, values: Tensor) -> Tensor:
    """Piecewise linear interpolation, constant beyond the ends."""
    high = torch.searchsorted(at, x.contiguous()).clamp(1, len(at) - 1)
    low = high - 1
    share = ((x - at[low]) / (at[high] - at[low])).clamp(0.0, 1.0)
    return values[low] + share * (values[high] - values[low])
