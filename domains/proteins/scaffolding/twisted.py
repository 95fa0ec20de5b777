"""Twisted sampling towards a motif: sequential Monte Carlo on the CA factor of the chain process.

CA run on straight paths from a polymer prior, ``x_t = (1 - k) x_0 + k e``, ``e ~ N(0, K)``. With the predicted clean
``x^ = x_t + m`` a step with noise is that of DDIM [1]_ in the metric of the polymer,

    x_s = (1 - k_s) x^ + sqrt(k_s^2 - c^2) (x_t - (1 - k) x^)/k + c xi,     xi ~ N(0, K)
    c^2 = eta^2 k_s^2 (1 - ((1 - k) k_s / ((1 - k_s) k))^2)

A motif ``M`` with target ``y``, superposed body by body on the prediction, and a likelihood ``N(y; x_M, sd^2)`` have
the twist of a Gaussian posterior of spread ``g K``, ``g = k^2 / ((1 - k)^2 + k^2)``, the prior being about as wide as
the data:

    S = g K_MM + sd^2,    log h = -(1/2) D^T S^-1 D - (3/2) log det S,    D = y - x^_M
    shift of x^ = g K_.M S^-1 D

Any twist leaves the target of the particles right in the limit of many [2]_; this one is exact for Gaussian data and a
fixed pose. The shift of the mean of a step has ``log p/q = -<xi, K^+ d>/c - d^T K^+ d/(2 c^2)``.

References
----------
.. [1] J. Song et al., "Denoising diffusion implicit models", arXiv:2010.02502
.. [2] L. Wu et al., "Practical and asymptotically exact conditional sampling in diffusion models", arXiv:2306.17775
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from scidiff.guidance.particles import Particles, effective_size
from scidiff.guidance.tilt import BaseTilt
from scidiff.process.base import ProductProcess
from scidiff.process.geodesic import GeodesicFlow, point_time
from scidiff.sample.loop import Plan
from scidiff.sample.model import Evaluation
from scidiff.sample.state import RunState
from scidiff.spaces import State

from ..superpose import apply, kabsch

__all__ = ["LoggedParticles", "MotifPotential", "MotifTwist", "PathMoves", "PolymerPath", "TwistSettings"]

_CA = "ca"


@dataclass(frozen=True)
class TwistSettings:
    """Settings of twisted sampling.

    Parameters
    ----------
    sd
        Standard deviation of a motif CA from its place, Å.
    eta
        Strength of the noise, in (0, 1].
    threshold
        Share of the particles below which the effective size makes them resample; 0 never resamples, at the end
        neither: samples are then guided, differ from each other, and are biased, as their weights tell.
    """

    sd: float = 0.5
    eta: float = 0.7
    threshold: float = 0.5


@dataclass(frozen=True, eq=False)
class PolymerPath:
    """Rule of the CA factor: DDIM with polymer noise.

    Parameters
    ----------
    covariance
        ``K``, shape ``(length, length)``.
    root
        A matrix with ``root root^T = K``.
    eta
        Strength of the noise, in [0, 1].
    """

    covariance: Tensor
    root: Tensor
    eta: float = 0.7
    memory: ClassVar[int] = 0
    label: ClassVar[str] = "consistent(1)"

    @classmethod
    def of(cls, root: Tensor, eta: float = 0.7) -> PolymerPath:
        """Rule for a square root of the covariance, float64."""
        return cls(root @ root.T, root, eta)

    def xi(self, state: RunState) -> Tensor:
        """Noise of the coming step of the factor."""
        return self.root @ state.noise.normal(tuple(state.x.shape[1:]), step=state.i, stream="path")

    def drift(self, process: GeodesicFlow, state: RunState, s: Tensor) -> tuple[float, float, float, float]:
        """Return ``k``, ``k_s``, ``c``, and the factor ``b`` of a shift of the prediction."""
        times = (point_time(time, state.x, process.site) for time in (state.t, s))
        k, k_s = (float(process.clock.remaining(time).flatten()[0]) for time in times)
        left = 0.0 if k_s >= 1 else (1 - k) * k_s / ((1 - k_s) * k)
        c = self.eta * k_s * math.sqrt(max(1 - left * left, 0.0))
        return k, k_s, c, (1 - k_s) - math.sqrt(max(k_s * k_s - c * c, 0.0)) * (1 - k) / k

    def __call__(self, process: GeodesicFlow, state: RunState, m: Tensor, s: Tensor) -> Tensor:
        """Return the state at ``s``, float64; all sites move together."""
        k, k_s, c, _ = self.drift(process, state, s)
        x = state.x.double()
        clean = x + m.double()
        moved = (1 - k_s) * clean + math.sqrt(max(k_s * k_s - c * c, 0.0)) * (x - (1 - k) * clean) / k
        return moved + c * self.xi(state) if c > 0 else moved


@dataclass(frozen=True, eq=False)
class MotifPotential:
    """Log-likelihood of CA in their places, up to a constant: the reward at the end of a run.

    Parameters
    ----------
    group
        Rigid body of each residue, from 1, and 0 where nothing is given, shape ``(length,)``.
    target
        CA in the unit of the state, shape ``(length, 3)``.
    sd
        Standard deviation in that unit.
    pose
        Whether the target has its pose too; otherwise each body is superposed.
    """

    group: Tensor
    target: Tensor
    sd: float
    pose: bool = False

    def missing(self, ca: Tensor) -> Tensor:
        """``y - x_M``, bodies one after the other, shape ``(batch, motif, 3)``; `places` has the residues."""
        found = []
        for body in self._bodies:
            here = self.group == body
            seen, want = ca[:, here], self.target[here].to(ca).expand(len(ca), -1, -1)
            if not self.pose:
                want = apply(kabsch(want, seen, torch.ones_like(seen[..., 0])), want)
            found.append(want - seen)
        return torch.cat(found, dim=1)

    @property
    def _bodies(self) -> list[int]:
        return [body for body in self.group.unique().tolist() if body]

    @property
    def places(self) -> Tensor:
        """Residues in the order of `missing`."""
        return torch.cat([torch.nonzero(self.group == body).squeeze(1) for body in self._bodies])

    def __call__(self, x: State) -> Tensor:
        """Reward of clean states."""
        ca = (x if isinstance(x, Tensor) else x[_CA]).double()
        return -0.5 * (self.missing(ca) ** 2).sum((1, 2)) / self.sd**2


@dataclass(frozen=True, eq=False)
class MotifTwist(BaseTilt):
    """Twist and guidance of the CA factor; see the head of the module.

    Parameters
    ----------
    reward
        The potential.
    estimator
        The rule of the factor, whose covariance the twist takes.
    guide
        Whether the prediction is changed.
    """

    reward: MotifPotential
    estimator: PolymerPath
    guide: bool = True
    citation: ClassVar[str] = "arXiv:2306.17775"

    @property
    def stochastic(self) -> bool:
        """No noise is drawn."""
        return False

    @property
    def label(self) -> str:
        """Guidance alone is biased; the particles mend it."""
        return "biased"

    def __call__(self, m: Any, state: RunState, evaluation: Evaluation) -> tuple[Any, RunState]:
        """Shift the predicted CA and record ``log h``."""
        part = state.factor(_CA)
        process = evaluation.model.process.factors[_CA]
        k = float(process.clock.remaining(point_time(part.t, part.x, process.site)).flatten()[0])
        g, covariance, places = k * k / ((1 - k) ** 2 + k * k), self.estimator.covariance, self.reward.places
        d = self.reward.missing(part.x.double() + m[_CA].double())
        spread = g * covariance[places][:, places] + self.reward.sd**2 * torch.eye(len(places), dtype=torch.float64)
        factor = torch.linalg.cholesky(spread)
        solved = torch.cholesky_solve(d.transpose(0, 1).flatten(1), factor).reshape(len(places), len(d), 3)
        solved = solved.transpose(0, 1)
        log_h = -0.5 * (d * solved).sum((1, 2)) - 3 * factor.diagonal().log().sum()
        shift = g * covariance[:, places] @ solved
        state = state.record("tilt/log_h", log_h + 3 * len(places) * math.log(self.reward.sd))
        return ({**m, _CA: m[_CA] + shift.to(m[_CA])} if self.guide else m), state


@dataclass(frozen=True, eq=False)
class PathMoves:
    """How the moves of `PolymerPath` are weighed.

    Parameters
    ----------
    rule
        The rule of the CA factor.
    plan
        The plan of the run.
    """

    rule: PolymerPath
    plan: Plan

    def log_ratio(self, process: ProductProcess, state: RunState, m: Any, raw: Any) -> tuple[Any, Tensor]:
        """Return the prediction to move by and ``log p/q``; the last step, without noise, is not guided."""
        part, flow = state.factor(_CA), process.factors[_CA]
        if not isinstance(flow, GeodesicFlow):
            return raw, torch.zeros_like(state.log_w)
        *_, c, b = self.rule.drift(flow, part, self.plan.next(state, m)[_CA])
        if c == 0:
            return raw, torch.zeros_like(state.log_w)
        d = b * (m[_CA] - raw[_CA]).double()
        inverse = torch.linalg.pinv(self.rule.covariance, hermitian=True, rtol=1e-9)
        pulled = inverse @ d
        return m, -(self.rule.xi(part) * pulled).sum((1, 2)) / c - 0.5 * (d * pulled).sum((1, 2)) / c**2


@dataclass(frozen=True, eq=False)
class LoggedParticles(Particles):
    """Particles that keep the effective size before each step: record ``particles/ess``, shape ``(batch, steps)``."""

    def _resample(self, m: Any, raw: Any, state: RunState) -> tuple[Any, Any, RunState]:
        size = effective_size(state.log_w.reshape(-1, self.size)).repeat_interleave(self.size).unsqueeze(1)
        before = state.records.get("particles/ess", size[:, :0])
        return super()._resample(m, raw, state.record("particles/ess", torch.cat((before, size), dim=1)))
