"""The denoiser of a data set on a manifold: the posterior mean of ``log_x``, a softmax average over the data.

    m(x, t) = sum_k w_k log_x(y_k),     w_k prop. p(x | y_k, t)

with the density of the path known in closed form: `scidiff.process.contraction.contracted_uniform` for geodesic paths
from the uniform law. The flow with this ``m`` carries the prior to the empirical law of the data.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scidiff.denoise.denoiser import Denoiser
from scidiff.errors import ShapeError
from scidiff.process.base import Kind
from scidiff.process.geodesic import TangentProcess, point_time

__all__ = ["ManifoldDatasetDenoiser"]


@dataclass(frozen=True, eq=False)
class ManifoldDatasetDenoiser:
    """Exact denoiser of an empirical distribution on a manifold; all data are read at once.

    A path in steps may, by its own error, leave the support of every datum. There the nearest datum has all the weight.

    Parameters
    ----------
    process
        Gives space, sites and clock.
    log_density
        Maps ``(process, x0, x, t)`` to the logarithm of the density of ``x_t`` given ``x_0``, one number per point.
    data
        Data, shape ``(count, *sites, *point)``.
    """

    process: TangentProcess
    log_density: Callable[[TangentProcess, Tensor, Tensor, Tensor], Tensor]
    data: Tensor

    def __post_init__(self) -> None:
        self.process.space.check(self.data, "data")

    @property
    def denoiser(self) -> Denoiser:
        """The data set as a denoiser of kind TANGENT."""
        return Denoiser(self, Kind.TANGENT)

    def weights(self, x: Tensor, t: Tensor | float) -> Tensor:
        """Posterior probability of every datum, shape ``(batch, count)``, float64."""
        site, (state, data) = self.process.site, self._pairs(x)
        times = point_time(t, x, site).unsqueeze(1).expand(site.lead(state))
        logits = self.log_density(self.process, data, state, times).reshape(len(x), len(self.data), -1).sum(-1)
        nearest = site.dist(state, data).reshape(len(x), len(self.data), -1).square().sum(-1).argmin(1)
        alone = torch.nn.functional.one_hot(nearest, len(self.data)).double().log()
        return torch.where((logits > -torch.inf).any(1, keepdim=True), logits, alone).softmax(1)

    def __call__(self, x: Tensor, t: Tensor | float, condition: Any = None) -> Tensor:
        """Denoised tangent, float64, shape ``(batch, *sites, *tangent_shape)``; `condition` is not used."""
        return torch.einsum("bk,bk...->b...", self.weights(x, t), self.process.site.log(*self._pairs(x)))

    def _pairs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if x.shape[1:] != self.data.shape[1:]:
            raise ShapeError(f"x has shape {tuple(x.shape)}; expected (batch, {tuple(self.data.shape[1:])})")
        return torch.broadcast_tensors(x.double().unsqueeze(1), self.data.to(x.device).double().unsqueeze(0))
