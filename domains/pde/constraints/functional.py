"""A small functional flow: fields in the coordinates of their principal modes, as in PCA-Net [1]_.

A field is ``mu + U y`` and a rest of variance ``rho``; noise is white in ``y`` as well. With ``v = alpha^2 c +
sigma^2``, the variance of each coefficient, and ``s(c)`` the posterior variances of the Gaussian reference,

    y_0 given y_t  =  alpha c y_t / v + sqrt(s(c)) F(y_t / sqrt(v), lam)           coefficients, F a residual network
    m(x_t, t)      =  mu + U y_0 + alpha rho / (alpha^2 rho + sigma^2) (1 - U U^T) (x_t - alpha mu)

so that nothing that is linear has to be learned, and the output of ``F`` has size 1 at every level. Modes are
functions: the same network serves any grid on which they are known. It is trained on coefficients with a weight that
makes the loss of an untrained network 1 at every level.

``F`` may be given the initial slice as well. It is shown to half of the rows of a batch and hidden from the others, so
that one network knows the law of the family and the law given the slice; without a condition it is the former.

References
----------
.. [1] K. Bhattacharya, B. Hosseini, N. Kovachki, A. Stuart, "Model reduction and neural networks for parametric PDEs",
   arXiv:2005.03180
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from scidiff.denoise.denoiser import Denoiser
from scidiff.nets.unet import level_features
from scidiff.process.base import Kind, sample_time
from scidiff.process.gaussian import GaussianProcess
from scidiff.process.schedule import LinearFlowSchedule, Schedule
from scidiff.spaces.euclidean import Euclidean
from scidiff.train.noise_allocation import FixedNoise
from scidiff.train.noise_levels import LogNoiseAxis, LogNormalNoise

from .reference_law import ReferenceLaw

__all__ = ["FieldFlow", "ModeNet", "coefficient_process", "noise_levels"]

_LEVELS = 32


class ModeNet(nn.Module):
    """Denoiser of coefficients.

    Parameters
    ----------
    variances
        ``c``, shape ``(modes,)``.
    width, blocks
        Size of the residual network.
    seed
        Seed of the weights.
    given
        Numbers of a condition, 0 for none.
    """

    variances: Tensor

    def __init__(self, variances: Tensor, width: int = 256, blocks: int = 3, seed: int = 0, *, given: int = 0) -> None:
        super().__init__()
        self.schedule: Schedule = LinearFlowSchedule()
        self.register_buffer("variances", variances.float())
        modes, self.given = len(variances), given
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.inlet = nn.Linear(modes + _LEVELS + (given + 1 if given else 0), width)
            self.blocks = nn.ModuleList(
                nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
                for _ in range(blocks)
            )
            self.outlet = nn.Linear(width, modes)
        nn.init.zeros_(self.outlet.weight)
        nn.init.zeros_(self.outlet.bias)

    def forward(self, y: Tensor, t: Tensor, condition: Any = None) -> Tensor:
        """Mean of ``y_0``.

        Parameters
        ----------
        y
            Noisy coefficients, shape ``(batch, modes)``.
        t
            Times, one for each sample.
        condition
            What is given, shape ``(batch, given)``; NaN in rows from which it is hidden; None hides it from all.
        """
        t = sample_time(t, y)
        alpha, sigma = (level(t).unsqueeze(1).to(y.dtype) for level in (self.schedule.alpha, self.schedule.sigma))
        c = self.variances.to(y.dtype)
        v = alpha**2 * c + sigma**2
        lam = self.schedule.lam(t.clamp_min(1e-9))
        seen = [(y / v.sqrt()).float(), level_features(lam.unsqueeze(1), _LEVELS)]
        h = self.inlet(torch.cat([*seen, *self._told(condition, y)], 1))
        for block in self.blocks:
            h = h + block(h)
        out = self.outlet(nn.functional.silu(h)).to(y.dtype)
        return alpha * c * y / v + sigma * (c / v).sqrt() * out

    def _told(self, condition: Tensor | None, y: Tensor) -> list[Tensor]:
        """The condition with a mark of where it is shown."""
        if not self.given:
            return []
        if condition is None:
            return [torch.zeros((len(y), self.given + 1), device=y.device)]
        shown = condition.isfinite().all(1, keepdim=True)
        return [torch.where(shown, condition, 0.0).float(), shown.float()]


class _UnitLoss:
    """Weight by which the loss of the reference is 1 at every level."""

    def __init__(self, variances: Tensor) -> None:
        self.variances = variances.double()

    def __call__(self, schedule: Schedule, t: Tensor) -> Tensor:
        a2, s2 = schedule.alpha(t) ** 2, schedule.sigma(t) ** 2
        c = self.variances
        return 1 / (s2.unsqueeze(-1) * c / (a2.unsqueeze(-1) * c + s2.unsqueeze(-1))).sum(-1)


def coefficient_process(variances: Tensor) -> GaussianProcess:
    """Straight path of the coefficients, with the weight of the training."""
    return GaussianProcess(Euclidean((len(variances),)), LinearFlowSchedule(), _UnitLoss(variances))


def noise_levels(variances: Tensor) -> FixedNoise:
    """Levels to train at, from the sizes of the coefficients."""
    top = float(variances.max().sqrt())
    axis = LogNoiseAxis(LinearFlowSchedule(), 1e-3 * top, 20 * top)
    return FixedNoise(axis, LogNormalNoise(mean=-0.5, std=2.0))


@dataclass(frozen=True, eq=False)
class FieldFlow:
    """A flow of fields.

    Parameters
    ----------
    law
        Reference: mean, modes, variances, rest.
    network
        Denoiser of the coefficients.
    """

    law: ReferenceLaw
    network: ModeNet

    @property
    def process(self) -> GaussianProcess:
        """Straight path of the fields."""
        return GaussianProcess(Euclidean(tuple(self.law.mean.shape)), LinearFlowSchedule())

    @property
    def denoiser(self) -> Denoiser:
        """The flow as a denoiser of kind MEAN."""
        return Denoiser(self, Kind.MEAN)

    def __call__(self, x: Tensor, t: Tensor, condition: Any = None) -> Tensor:
        """Denoised mean, shape of ``x``; one time for each sample."""
        time = sample_time(t, x)
        schedule, law = self.network.schedule, self.law
        alpha, sigma = (level(time).unsqueeze(1) for level in (schedule.alpha, schedule.sigma))
        centred = x.double().flatten(1) - alpha * law.mean.flatten()
        y = centred @ law.modes.T
        gain = alpha * law.rest / (alpha**2 * law.rest + sigma**2).clamp_min(1e-300)
        inside = (self.network(y, time, condition) - gain * y) @ law.modes
        return (law.mean.flatten() + inside + gain * centred).reshape(x.shape).to(x.dtype)
