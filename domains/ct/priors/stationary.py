r"""The covariance of a stationary random field on a periodic grid, diagonal in Fourier space.

The field has a spectral density that falls like ``f^-p`` above ``1 / L`` and is flat below (``f`` in cycles per mm),

    S(f) = sd^2 \frac{(p - 2) L^2}{2 \pi} (1 + L^2 f^2)^{-p/2},        \int S d^2 f = sd^2.

On pixels of ``h_r x h_c`` mm the covariance ``C`` has the eigenvalues ``S(f_k) / (h_r h_c)`` at the frequencies of the
grid: a coarser grid holds the same field without what it cannot resolve, and the pixels then vary by less than ``sd``.
The grid is a torus; images that end in air lose nothing by it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from scidiff.random import Noise
from scidiff.spaces.linear import LinearOperator

from ..grid import Grid

__all__ = ["StationaryCovariance", "frequencies", "power_law"]


def frequencies(grid: Grid) -> Tensor:
    """Length of the frequency of each coefficient of a real transform, cycles per mm, ``(rows, columns // 2 + 1)``."""
    (rows, columns), (h_r, h_c) = grid.shape, grid.lengths
    f_r = torch.fft.fftfreq(rows, h_r, dtype=torch.float64)
    f_c = torch.fft.rfftfreq(columns, h_c, dtype=torch.float64)
    return torch.hypot(f_r[:, None], f_c[None])


def power_law(grid: Grid, sd: float, length: float, power: float) -> Tensor:
    """Eigenvalues of the covariance at the head of this module, ``(rows, columns // 2 + 1)``.

    Parameters
    ----------
    grid
        Two-dimensional grid.
    sd
        Standard deviation of the field at a point.
    length
        ``L``, mm.
    power
        ``p``, above 2.
    """
    level = sd**2 * (power - 2) * length**2 / (2 * math.pi * math.prod(grid.lengths))
    return level * (1 + (length * frequencies(grid)) ** 2) ** (-power / 2)


class StationaryCovariance(LinearOperator):
    """A circulant covariance ``C`` of images, and functions of it.

    Parameters
    ----------
    eigenvalues
        ``(rows, columns // 2 + 1)``, positive.
    shape
        Rows and columns.
    """

    def __init__(self, eigenvalues: Tensor, shape: tuple[int, ...]) -> None:
        self.eigenvalues, self.domain, self.range = eigenvalues, tuple(shape), tuple(shape)

    def function(self, of: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """``of(C) x`` for a function of the eigenvalues, in the dtype of ``x``.

        Parameters
        ----------
        of
            Takes the eigenvalues and returns factors, ``(rows, columns // 2 + 1)`` or with an axis of the batch.
        x
            ``(batch, rows, columns)``.
        """
        self.check(x, self.domain, "x")
        factors = of(self.eigenvalues.to(x.device))
        return torch.fft.irfft2(factors * torch.fft.rfft2(x.double()), s=self.domain).to(x.dtype)

    def apply(self, x: Tensor) -> Tensor:
        """``C x``."""
        return self.function(lambda values: values, x)

    def adjoint(self, y: Tensor) -> Tensor:
        """``C^T y = C y``."""
        return self.apply(y)

    def draw(self, noise: Noise, *, step: int = 0, stream: str = "field") -> Tensor:
        """Draw from ``N(0, C)``, exactly: ``C^(1/2)`` of white noise, float64."""
        return self.function(torch.sqrt, noise.normal(self.domain, step=step, stream=stream))

    def dense(self) -> Tensor:
        """``C`` as a matrix of flattened images, float64; for small images."""
        count = math.prod(self.domain)
        return self.apply(torch.eye(count, dtype=torch.float64).reshape(count, *self.domain)).reshape(count, count)
