"""Estimators for linear measurements that take ``x_0`` given ``x_t`` for a Gaussian ``N(m, C)``.

For ``y = A x_0 + n``, ``n ~ N(0, R)``, and with ``S = R + A C A^T`` and ``e = y - A m``,

    log h  = -1/2 e^T S^-1 e - 1/2 log det(2 pi S)
    m_r    = m + C A^T S^-1 e

They differ in ``C``. With ``J = dm/dx_t`` the true covariance is ``(sigma^2 / alpha) J``:

    PiGDM [1]_   in S: rho^2 1, rho^2 = sigma^2 v / (alpha^2 v + sigma^2), the posterior variance of N(0, v) data
    TMPD  [2]_   in S: diag(A C A^T) ~ (sigma^2 / alpha) A J^T A^T 1
    MMPS  [3]_   in S: the true covariance

and all use the true one outside ``S``, by a pullback. MMPS is exact for Gaussian data; all are biased for others, where
``x_0`` given ``x_t`` has several modes most of all.

References
----------
.. [1] J. Song et al., "Pseudoinverse-guided diffusion models for inverse problems", ICLR 2023
.. [2] B. Boys et al., "Tweedie moment projected diffusions for inverse problems", arXiv:2310.06721
.. [3] F. Rozet et al., "Learning diffusion priors from observations by expectation maximization", arXiv:2405.13712
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.guidance.plug_in import blind, tweedie_gain
from scidiff.guidance.reward import GaussianLikelihood, Reward
from scidiff.guidance.tilt import Estimate
from scidiff.sample.model import Evaluation
from scidiff.sample.state import RunState

__all__ = ["MMPS", "TMPD", "PiGDM"]

_DENSE = 64
_DRIFT = 1e-12


class _Point(NamedTuple):
    """What a solve is made of: the likelihood, the residual, where the run stands, and the true covariance."""

    likelihood: GaussianLikelihood
    e: Tensor
    state: RunState
    evaluation: Evaluation
    covariance: Callable[[Tensor], Tensor]


class _GaussianEstimator(ABC):
    """What the three have in common: the residual, and the pullback of the weighted residual."""

    gradient: ClassVar[bool] = True
    stochastic: ClassVar[bool] = False
    label: ClassVar[str] = "biased"
    citation: ClassVar[str] = ""

    def __call__(self, reward: Reward, m: Tensor, state: RunState, evaluation: Evaluation) -> tuple[Estimate, RunState]:
        """Estimate by pullbacks."""
        if not isinstance(reward, GaussianLikelihood):
            raise ConfigError(
                f"{type(self).__name__} came with a {type(reward).__name__}; expected a GaussianLikelihood: for other "
                "rewards use CBG or PlugIn"
            )
        gain = tweedie_gain(state, evaluation)

        def covariance(v: Tensor) -> Tensor:
            return gain * evaluation.pullback(v).double()

        e = reward.residual(m.double())
        weighted, log_h = self._solve(_Point(reward, e, state, evaluation, covariance))
        if log_h is not None:
            log_h = torch.where(blind(state, evaluation), 0.0, log_h)
        bad = ~e.flatten(1).isfinite().all(1)
        return Estimate(covariance(reward.operator.adjoint(weighted)), log_h, bad), state

    @abstractmethod
    def _solve(self, at: _Point) -> tuple[Tensor, Tensor | None]:
        """``S^-1 e`` and ``log h``."""


@dataclass(frozen=True)
class PiGDM(_GaussianEstimator):
    """Pseudoinverse guidance: a multiple of the identity in ``S``.

    Parameters
    ----------
    variance
        Variance ``v`` of the data, of which `rho` is made; 1 in the paper.
    iterations
        Conjugate gradients where there are more than 64 data; ``log h`` is then not known.
    """

    variance: float = 1.0
    iterations: int = 50
    citation: ClassVar[str] = "ICLR 2023, openreview 9_gsMA8MRKQ"

    def __post_init__(self) -> None:
        if not 0 < self.variance < math.inf:
            raise ConfigError(f"variance is {self.variance}; expected a number > 0, the variance of the data")

    def _solve(self, at: _Point) -> tuple[Tensor, Tensor | None]:
        schedule, t = at.evaluation.model.process.schedule, _one_time(at.state)
        alpha, sigma = schedule.alpha(t), schedule.sigma(t)
        rho = sigma**2 * self.variance / (alpha**2 * self.variance + sigma**2)
        scale = rho.reshape(-1, *(1,) * (at.state.x.ndim - 1))
        return _solve(at.likelihood, at.e, lambda v: scale * v, self.iterations)


@dataclass(frozen=True)
class TMPD(_GaussianEstimator):
    """Tweedie moment projection: the row sums of ``A C A^T`` in place of the matrix; two pullbacks."""

    citation: ClassVar[str] = "arXiv:2310.06721"

    def _solve(self, at: _Point) -> tuple[Tensor, Tensor | None]:
        operator, e = at.likelihood.operator, at.e
        rows = operator.apply(at.covariance(operator.adjoint(torch.ones_like(e))))
        s = at.likelihood.variance.to(e) + rows.clamp_min(0.0)
        log_h = -0.5 * (e**2 / s + s.log() + math.log(2 * math.pi)).flatten(1).sum(1)
        return e / s, log_h


@dataclass(frozen=True)
class MMPS(_GaussianEstimator):
    """Moment matching: the true covariance, dense up to 64 data and by conjugate gradients beyond.

    Parameters
    ----------
    iterations
        Conjugate gradients, one pullback each; ``log h`` is then not known.
    """

    iterations: int = 5
    citation: ClassVar[str] = "arXiv:2405.13712"

    def _solve(self, at: _Point) -> tuple[Tensor, Tensor | None]:
        return _solve(at.likelihood, at.e, at.covariance, self.iterations)


def _one_time(state: RunState) -> Tensor:
    """Time of each sample: the latest of its sites."""
    return state.t.flatten(1).amax(1)


def _solve(
    likelihood: GaussianLikelihood, e: Tensor, covariance: Callable[[Tensor], Tensor], iterations: int
) -> tuple[Tensor, Tensor | None]:
    """Solve ``(R + A C A^T) v = e`` for every sample."""
    operator, noise = likelihood.operator, likelihood.variance.to(e)

    def apply(v: Tensor) -> Tensor:
        return noise * v + operator.apply(covariance(operator.adjoint(v)))

    if operator.size <= _DENSE:
        return _dense(e, noise, apply)
    return _conjugate_gradients(apply, e, iterations), None


def _dense(e: Tensor, noise: Tensor, apply: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Solve by eigenvalues; those of ``S`` are not less than the least variance of the noise, whatever a net says.

    NaN for the samples whose ``S`` is not finite.
    """
    size = noise.numel()
    columns = []
    for k in range(size):
        unit = torch.zeros_like(e).flatten(1)
        unit[:, k] = 1.0
        columns.append(apply(unit.reshape(e.shape)).flatten(1))
    s = torch.stack(columns, dim=-1)
    finite = s.flatten(1).isfinite().all(1)
    values, vectors = torch.linalg.eigh(torch.where(finite[:, None, None], (s + s.transpose(-1, -2)) / 2, 0.0))
    values = torch.where(finite.unsqueeze(1), values.clamp_min(float(noise.min())), torch.nan)
    y = torch.einsum("bij,bi->bj", vectors, e.flatten(1))
    v = torch.einsum("bij,bj->bi", vectors, y / values).reshape(e.shape)
    return v, -0.5 * (y**2 / values + values.log() + math.log(2 * math.pi)).sum(1)


def _conjugate_gradients(apply: Callable[[Tensor], Tensor], e: Tensor, iterations: int) -> Tensor:
    """Conjugate gradients, all samples at once; a sample that has converged rests."""

    def dot(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).flatten(1).sum(1).reshape(-1, *(1,) * (e.ndim - 1))

    v, r = torch.zeros_like(e), e.clone()
    p, rr = r.clone(), dot(r, r)
    least = _DRIFT * rr
    for _ in range(iterations):
        moving = rr > least
        if not bool(moving.any()):
            break
        q = apply(p)
        step = torch.where(moving, rr / dot(p, q).clamp_min(torch.finfo(e.dtype).tiny), 0.0)
        v, r = v + step * p, r - step * q
        new = dot(r, r)
        p = r + torch.where(moving, new / rr.clamp_min(torch.finfo(e.dtype).tiny), 0.0) * p
        rr = new
    return v
