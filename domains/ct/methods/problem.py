"""A scan in the units of a prior: ``y = A x + n``, ``n ~ N(0, W^-1)``, with ``x = mu / unit``.

Every method sees the data through this one object: the projector of dimensionless images, the weights of the noise,
and the products with ``A^T W``. Nothing in it is tuned.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from scidiff.denoise.denoiser import Denoiser
from scidiff.errors import ConfigError
from scidiff.guidance.reward import GaussianLikelihood
from scidiff.process.base import sample_time
from scidiff.spaces.linear import LinearOperator

from ..grid import Grid
from ..operators.used import UsedRays
from ..priors.prior import Prior
from ..scan import Scan

__all__ = ["Problem", "ScaledOperator", "turned"]


class ScaledOperator(LinearOperator):
    """``unit A``: line integrals of dimensionless images.

    Parameters
    ----------
    operator
        ``A``, of images in 1/mm.
    unit
        Attenuation of ``x = 1``, 1/mm.
    """

    def __init__(self, operator: LinearOperator, unit: float) -> None:
        self.operator, self.unit = operator, unit
        self.domain, self.range = operator.domain, operator.range

    def apply(self, x: Tensor) -> Tensor:
        """Line integrals, ``(batch, *domain)`` to ``(batch, *range)``."""
        return self.unit * self.operator.apply(x)

    def adjoint(self, y: Tensor) -> Tensor:
        """Back-projection, ``(batch, *range)`` to ``(batch, *domain)``."""
        return self.unit * self.operator.adjoint(y)


@dataclass(frozen=True, eq=False)
class Problem:
    """Data, grid and prior of one reconstruction.

    Parameters
    ----------
    scan
        The data.
    grid
        Two-dimensional image grid.
    prior
        The law of images.
    scale
        Attenuation of ``x = 1``, 1/mm, where it is not that of the prior: for objects of another contrast.

    Raises
    ------
    ConfigError
        If the grid is not two-dimensional, or no ray is used.
    """

    scan: Scan
    grid: Grid
    prior: Prior
    scale: float | None = None

    def __post_init__(self) -> None:
        if self.grid.dimension != 2:
            raise ConfigError(
                f"the grid has shape {self.grid.shape}; expected two dimensions: use reconstruct_volume for a stack"
            )
        if self.scale is not None and not self.scale > 0:
            raise ConfigError(f"unit is {self.scale}; expected the attenuation of x = 1 in 1/mm, above 0")
        if self.scan.used == 0:
            raise ConfigError("no ray of the scan has a positive weight; look at its counts and flats")

    @property
    def unit(self) -> float:
        """Attenuation of ``x = 1``, 1/mm."""
        return self.prior.unit if self.scale is None else self.scale

    @cached_property
    def operator(self) -> LinearOperator:
        """``A`` for dimensionless images, all rays."""
        return ScaledOperator(self.scan.operator(self.grid), self.unit)

    @property
    def y(self) -> Tensor:
        """Line integrals, float64."""
        return self.scan.projections

    @property
    def w(self) -> Tensor:
        """Weights, float64; 0 for rays that are not used."""
        return self.scan.weights

    @cached_property
    def likelihood(self) -> GaussianLikelihood:
        """``log p(y | x)`` of dimensionless images, over the rays that are used."""
        mask = self.w > 0
        if bool(mask.all()):
            return GaussianLikelihood(self.operator, self.y, self.w.rsqrt())
        return GaussianLikelihood(UsedRays(self.operator, mask), self.y[mask], self.w[mask].rsqrt())

    def pull(self, residual: Tensor) -> Tensor:
        """``A^T W r`` for residuals ``(batch, *rays)``."""
        return self.operator.adjoint(self.w * residual)

    def information(self, x: Tensor) -> Tensor:
        """``A^T W A x``."""
        return self.pull(self.operator.apply(x))

    def residual(self, x: Tensor) -> Tensor:
        """``y - A x``, float64."""
        return self.y - self.operator.apply(x.double())

    def chi2(self, x: Tensor) -> Tensor:
        """``chi^2 / n`` of images ``(batch, rows, columns)``."""
        return self.scan.chi2(self.operator.apply(x.double()))

    @cached_property
    def flat(self) -> float:
        """Level of a constant image in the field of view: the weighted least-squares fit of one number per pixel."""
        ones = self.operator.apply(torch.ones(1, *self.grid.shape, dtype=torch.float64))[0]
        norm = float((self.w * ones * ones).sum())
        return float((self.w * ones * self.y).sum()) / norm if norm > 0 else 0.0


def turned(denoiser: Denoiser) -> Denoiser:
    """Turn and reflect images before the network, and back after it, in one of the eight ways for each noise level.

    A network that learned from turned and reflected crops knows no direction, up to errors; these then differ from
    level to level and average out over a run. Oblong images are turned by half a turn only.

    Parameters
    ----------
    denoiser
        Of images.

    References
    ----------
    M. Terris et al., "Equivariant plug-and-play image reconstruction", CVPR 2024, arXiv:2312.01831
    """

    def function(x: Tensor, t: Tensor | float, condition: Any = None) -> Tensor:
        time = sample_time(t, x)
        way = int(float(time[0]) * 2**40) * 2654435761 % 2**32 >> 29
        quarters, mirrored = (way % 4 if x.shape[-1] == x.shape[-2] else 2 * (way % 2)), way >= 4
        y = torch.rot90(x, quarters, (-2, -1))
        y = denoiser((y.flip(-1) if mirrored else y).contiguous(), time, condition)
        return torch.rot90(y.flip(-1) if mirrored else y, -quarters, (-2, -1)).contiguous()

    return Denoiser(function, denoiser.kind)
