r"""Coordinates in which coefficient and solution are diffused together, and the law of their noise.

    s = tanh(g / w) / c,      v = (u - ubar) / d,      a = high where s >= 0, low elsewhere

``g`` is the Gaussian field, of standard deviation 1, whose sign is the medium: every real ``s`` is a medium of the two
values, by construction. ``tanh`` keeps what the medium knows of ``g``, where it changes sign, and forgets how large it
is elsewhere. ``ubar`` is the mean head, symmetric as the square is; it and ``v`` vanish on the boundary.

Noise is a function too: ``sum_k (|w_k|^2 + tau^2)^(-alpha/2) xi_k e_k``, cosines for ``s``, sines for ``v``, of
variance 1 on average, with square-integrable draws (``alpha > 1``) and the same modes on every grid. Its spectrum falls
more slowly than that of the data, so that details are lost before the large scale is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch
from torch import Tensor

from scidiff.process.gaussian import GaussianProcess
from scidiff.process.schedule import CosineSchedule
from scidiff.random import Source
from scidiff.spaces.euclidean import Euclidean

from ..laws import Basis, GaussianField, Neumann
from .cells import CellField, DirichletCells

__all__ = ["HIGH", "LOW", "SCHEDULE", "Chart", "PairProcess", "medium", "unit_field"]

LOW, HIGH = 3.0, 12.0
SCHEDULE = CosineSchedule(offset=1e-4)


def medium(s: np.ndarray) -> np.ndarray:
    """Coefficient of a field: `HIGH` where it is at least 0, `LOW` elsewhere."""
    return np.where(s >= 0, HIGH, LOW)


@lru_cache
def unit_field(basis: Basis, alpha: float, tau: float, shape: tuple[int, int]) -> CellField:
    """Gaussian field without its constant mode if that is infinite, scaled to an average variance of 1 on a grid."""
    centred = isinstance(basis, Neumann)
    raw = CellField(GaussianField(basis, alpha, tau, 1.0, centred), shape)
    return CellField(GaussianField(basis, alpha, tau, float(raw.variances.sum() ** -0.5), centred), shape)


@dataclass(frozen=True, eq=False)
class Chart:
    """Coordinates of pairs (medium, head).

    Parameters
    ----------
    mean
        Mean head ``ubar``, shape ``(n, n)``.
    scale
        Unit ``d`` of the deviation of the head.
    width
        ``w``, in standard deviations of ``g``.
    deviation
        Standard deviation ``c`` of ``tanh(g / w)``.
    """

    mean: np.ndarray
    scale: float
    width: float
    deviation: float

    @property
    def shape(self) -> tuple[int, int]:
        """Cells along each axis."""
        return self.mean.shape[0], self.mean.shape[1]

    def encode(self, g: np.ndarray, u: np.ndarray) -> np.ndarray:
        """Coordinates of Gaussian fields (in standard deviations) and heads, shape ``(..., 2, n, n)``."""
        return np.stack([np.tanh(g / self.width) / self.deviation, (u - self.mean) / self.scale], -3)

    def head(self, x: np.ndarray) -> np.ndarray:
        """Head of coordinates, shape ``(..., n, n)``."""
        return self.mean + self.scale * x[..., 1, :, :]

    def latent(self, x: np.ndarray) -> np.ndarray:
        """A field ``g`` with these coordinates, at most 2 widths where the coordinate has forgotten how large it is."""
        return self.width * np.arctanh(np.clip(x[..., 0, :, :] * self.deviation, -np.tanh(2.0), np.tanh(2.0)))


@dataclass(frozen=True, kw_only=True)
class PairProcess(GaussianProcess):
    """Gaussian noising of pairs, ``x_t = alpha x_0 + sigma (eps_s, eps_v)``.

    Parameters
    ----------
    weight, space, schedule
        As for `GaussianProcess`.
    exponents, inverse_lengths
        ``alpha`` and ``tau`` of the noise of medium and head.
    """

    space: Euclidean = Euclidean((2, None, None))  # noqa: RUF009
    schedule: CosineSchedule = SCHEDULE
    exponents: tuple[float, float] = (1.5, 2.0)
    inverse_lengths: tuple[float, float] = (3.0, 3.0)

    @cached_property
    def _bases(self) -> tuple[Basis, Basis]:
        return Neumann(), DirichletCells()

    def eps(self, noise: Source, shape: Sequence[int], *, step: int, stream: str) -> Tensor:
        """Draw the noise, float64, shape ``(batch, 2, n, n)``."""
        grid, out = (int(shape[-2]), int(shape[-1])), []
        for name, basis, alpha, tau in zip("sv", self._bases, self.exponents, self.inverse_lengths, strict=True):
            law = unit_field(basis, alpha, tau, grid).field
            white = law.basis.white(noise, grid, step=step, stream=f"{stream}/{name}")
            out.append(law.basis.synthesis(law.deviations(grid) * white, grid))
        return torch.from_numpy(np.stack(out, 1))
