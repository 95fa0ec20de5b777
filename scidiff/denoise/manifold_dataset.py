"""The denoiser of a data set on a manifold: a softmax average of the targets of the data.

    m(x, t) = sum_k w_k target(x; y_k, t),     w_k prop. p(x | y_k, t)

with the density known in closed form: `scidiff.process.contracted_uniform` for geodesic paths from the uniform law, or
`scidiff.process.HeatProcess.log_density`. The target is ``log_x(y_k)`` of the former and the score of the latter. The
flow with this ``m`` carries the prior to the empirical law of the data. A point at ``t = 0`` is clean: it speaks for
the data that have it, up to the round-off of a path.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scidiff.denoise.denoiser import Denoiser
from scidiff.errors import ShapeError
from scidiff.process.geodesic import TangentProcess, point_time
from scidiff.process.heat_process import HeatProcess

__all__ = ["ManifoldDatasetDenoiser"]

_ROUND_OFF = 1e-6


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

    process: TangentProcess | HeatProcess
    log_density: Callable[[Any, Tensor, Tensor, Tensor], Tensor]
    data: Tensor

    def __post_init__(self) -> None:
        self.process.space.check(self.data, "data")

    @property
    def denoiser(self) -> Denoiser:
        """The data set as a denoiser of the kind of the process."""
        return Denoiser(self, self.process.kind)

    def weights(self, x: Tensor, t: Tensor | float) -> Tensor:
        """Posterior probability of every datum, shape ``(batch, count)``, float64."""
        site, (state, data, times) = self.process.site, self._pairs(x, t)
        apart = site.dist(state, data)
        density = self.log_density(self.process, data, state, torch.where(times > 0, times, 1.0))
        density = torch.where(times > 0, density, torch.where(apart < _ROUND_OFF, 0.0, -torch.inf))
        logits = density.reshape(len(x), len(self.data), -1).sum(-1)
        nearest = apart.reshape(len(x), len(self.data), -1).square().sum(-1).argmin(1)
        alone = torch.nn.functional.one_hot(nearest, len(self.data)).double().log()
        return torch.where((logits > -torch.inf).any(1, keepdim=True), logits, alone).softmax(1)

    def __call__(self, x: Tensor, t: Tensor | float, condition: Any = None) -> Tensor:
        """Posterior mean of the target, float64, shape ``(batch, *sites, *tangent_shape)``; `condition` is not used."""
        state, data, times = self._pairs(x, t)
        return torch.einsum("bk,bk...->b...", self.weights(x, t), self.process.target(data, state, times))

    def _pairs(self, x: Tensor, t: Tensor | float) -> tuple[Tensor, Tensor, Tensor]:
        """States, data and times of every pair, with the axes ``(batch, count)`` in front."""
        if x.shape[1:] != self.data.shape[1:]:
            raise ShapeError(f"x has shape {tuple(x.shape)}; expected (batch, {tuple(self.data.shape[1:])})")
        state, data = torch.broadcast_tensors(x.double().unsqueeze(1), self.data.to(x.device).double().unsqueeze(0))
        site = self.process.site
        return state, data, point_time(t, x, site).unsqueeze(1).expand(site.lead(state))
