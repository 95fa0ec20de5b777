r"""Volumes from a prior of slices: neighbours along z are tied by a Gaussian factor.

    p(x) prop. prod_k p_2(x_k) exp(-sum_k |x_{k+1} - x_k|^2 / (2 tau^2)).

Let ``D`` be the slice-wise posterior mean given ``x_t``, ``V`` its covariance and ``L`` the Laplacian of the chain of
slices. For Gaussian slices the mean under the tied law is

    E[x_0 | x_t] = (V^-1 + L / tau^2)^-1 V^-1 D,        V = sigma^2 C (C + sigma^2)^-1,

one division for each frequency in the plane and each cosine mode along z, with the eigenvalues
``4 sin^2(pi j / 2 n)`` of ``L``: **exact** for a `GaussianPrior`. For other priors ``V`` is that of a Gaussian
stand-in, and the result is biased; the tie is the quadratic form of the prior on differences along z of [1]_.

References
----------
.. [1] H. Chung et al., "Solving 3D Inverse Problems Using Pre-trained 2D Diffusion Models", arXiv:2211.10655
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from scidiff.denoise.denoiser import Denoiser
from scidiff.errors import ConfigError, ShapeError
from scidiff.process.base import Kind, sample_time
from scidiff.process.gaussian import GaussianProcess
from scidiff.spaces.euclidean import Euclidean

from ..grid import Grid
from ..volume import Volume
from .gaussian import GaussianPrior
from .prior import PROCESS, Prior
from .stationary import power_law

__all__ = ["VolumePrior"]


@dataclass(frozen=True, eq=False)
class VolumePrior:
    """Slices of a prior, tied along z.

    Parameters
    ----------
    slices
        Prior of a slice.
    tau
        Standard deviation of the difference of neighbouring slices, in units of the prior; see `fit`.
    stand_in
        Gaussian whose posterior covariance stands for that of `slices`; itself if that is Gaussian.
    """

    slices: Prior
    tau: float
    stand_in: GaussianPrior | None = None

    def __post_init__(self) -> None:
        if not (self.tau > 0 and math.isfinite(self.tau)):
            raise ConfigError(f"tau is {self.tau}; expected the positive spread of differences between slices")

    @classmethod
    def fit(cls, slices: Prior, volume: Volume, stand_in: GaussianPrior | None = None) -> Self:
        """Take ``tau`` from the differences between the slices of a volume like the one that is wanted."""
        values = volume.attenuation() / slices.unit
        if values.ndim != 3 or len(values) < 2:
            raise ShapeError(f"the volume has shape {tuple(values.shape)}; expected at least two slices")
        x = values.clamp(slices.lower, slices.upper)
        return cls(slices, float(x.diff(dim=0).square().mean().sqrt()), stand_in)

    @property
    def process(self) -> GaussianProcess:
        """The process of the slices, for volumes."""
        return GaussianProcess(Euclidean((None, None, None)), PROCESS.schedule)

    @property
    def label(self) -> str:
        """``exact`` for Gaussian slices, ``biased`` for others."""
        return "exact" if isinstance(self.slices, GaussianPrior) and self.stand_in is None else "biased"

    def denoiser(self, grid: Grid) -> Denoiser:
        """Denoiser of kind MEAN of states ``(count, slices, rows, columns)``; all slices are one batch of the network.

        Parameters
        ----------
        grid
            Three-dimensional grid; the distance of its slices is what `tau` belongs to.

        Raises
        ------
        ConfigError
            If the grid is not three-dimensional.
        """
        if grid.dimension != 3:
            raise ConfigError(f"the grid has shape {grid.shape}; expected (slices, rows, columns)")
        plane = Grid(grid.shape[1:], grid.lengths[1:])
        inner, depth = self.slices.denoiser(plane), grid.shape[0]
        gaussian = self.stand_in or (self.slices if isinstance(self.slices, GaussianPrior) else GaussianPrior())
        values = power_law(plane, gaussian.sd, gaussian.length, gaussian.power)
        stiffness = 4 * torch.sin(math.pi * torch.arange(depth, dtype=torch.float64) / (2 * depth)) ** 2 / self.tau**2
        cosines = _cosines(depth)

        def function(x: Tensor, t: Tensor | float, condition: Any = None) -> Tensor:
            if x.ndim != 4 or tuple(x.shape[1:]) != grid.shape:
                raise ShapeError(
                    f"volumes have shape {tuple(x.shape)}; expected (count, {', '.join(map(str, grid.shape))})"
                )
            time = sample_time(t, x)
            mean = inner(x.flatten(0, 1), time.repeat_interleave(depth)).reshape(x.shape).double()
            variance = PROCESS.schedule.sigma(time).reshape(-1, 1, 1, 1) ** 2
            spread = variance * values / (values + variance)
            modes = torch.fft.rfft2(torch.einsum("jk,bkrc->bjrc", cosines, mean))
            back = torch.fft.irfft2(modes / (1 + stiffness[:, None, None] * spread), s=grid.shape[1:])
            return torch.einsum("jk,bjrc->bkrc", cosines, back).to(x.dtype)

        return Denoiser(function, Kind.MEAN)

    def provenance(self) -> dict[str, Any]:
        """The prior of the slices, and the tie."""
        return {**self.slices.provenance(), "tau": self.tau, "tie": self.label}


def _cosines(count: int) -> Tensor:
    """Orthonormal eigenvectors of the Laplacian of a chain, one for each row, float64."""
    k = torch.arange(count, dtype=torch.float64)
    rows = torch.cos(math.pi * k[:, None] * (k + 0.5) / count) * math.sqrt(2.0 / count)
    rows[0] = math.sqrt(1.0 / count)
    return rows
