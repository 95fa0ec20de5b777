"""Tilts on finite sets: ``p_r(x_0) ~ p(x_0) exp r(x_0)`` for states of classes.

The exact prediction of the tilted law is the per-site posterior under the weight ``exp r``,

    F_r(v) = E[1(x_0 = v) exp r | x_t] / E[exp r | x_t],      h(x_t) = E[exp r(x_0) | x_t]

so that every rule for finite sets draws from the tilted law as well as it draws from ``p``. It needs the joint law of
the sites given ``x_t``, of which the network knows the marginals ``F`` only. Estimators, from exact to cheap:

    Enumeration     the joint law from a table of the data                        exact
    WeightedDraws   draws x^k of x_0 given x_t:                                   as the draws: with the joint law
                    F_r(v) ~ F(v) (mean exp r + sum_{k: x^k = v} exp r^k) / (1 + count of v)       consistent(0.5)
    Factorised      the sum over all x_0 of prod F, as if sites were independent  biased
    Differences     F_r(v) ~ F(v) exp(r(x* with v) - r(x*)), x* the mode of F     biased [1]_
    Relaxation      F_r(v) ~ F(v) exp(dr/dp(v) at p = F), r on the simplex        biased [2]_, [3]_

The last three are right for additive rewards of independent sites. `WeightedDraws` is calibrated Bayesian guidance
[4]_ on a finite set; a pseudo-count of one draw of mean weight keeps every class that ``F`` allows, so that particles
can repair what is left.

References
----------
.. [1] H. Nisonoff et al., "Unlocking guidance for discrete state-space diffusion and flow models", arXiv:2406.01572
.. [2] C. Vignac et al., "DiGress: discrete denoising diffusion for graph generation", arXiv:2209.14734
.. [3] H. Lin et al., "TFG-Flow: training-free guidance in multimodal generative flow", arXiv:2501.14216
.. [4] Geyfman et al., "Calibrated test-time guidance for Bayesian inference", arXiv:2602.22428
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor

from scidiff.denoise.enumerated import Enumerated
from scidiff.errors import ConfigError
from scidiff.guidance.discrete_draws import SiteDraws, all_states, joint_log_weights
from scidiff.guidance.reward import Reward, evaluate_reward, mark_failed, reward_gradient
from scidiff.guidance.tilt import BaseTilt
from scidiff.process.discrete import DiscreteProcess
from scidiff.sample.model import Evaluation
from scidiff.sample.state import RunState

__all__ = [
    "Differences",
    "DiscreteTilt",
    "Enumeration",
    "Factorised",
    "Relaxation",
    "SiteEstimate",
    "SiteEstimator",
    "WeightedDraws",
]


class SiteEstimate(NamedTuple):
    """What an estimator says of one step.

    Parameters
    ----------
    log_probs
        ``log F_r``, shape ``(batch, *sites, K)``, normalised or not.
    log_h
        ``log h(x_t)``, shape ``(batch,)``.
    bad
        True for samples whose reward or gradient was not finite.
    """

    log_probs: Tensor
    log_h: Tensor
    bad: Tensor


class SiteEstimator(Protocol):
    """A way to estimate the tilted prediction of a finite set."""

    @property
    def stochastic(self) -> bool:
        """Whether noise is drawn."""
        ...

    @property
    def label(self) -> str:
        """``exact``, ``consistent(order)`` or ``biased``."""
        ...

    @property
    def citation(self) -> str:
        """Where it was published."""
        ...

    def __call__(
        self, reward: Reward, m: Tensor, state: RunState, evaluation: Evaluation
    ) -> tuple[SiteEstimate, RunState]:
        """Estimate at the present state; the state comes back with further calls booked."""
        ...


@dataclass(frozen=True, eq=False)
class DiscreteTilt(BaseTilt):
    """Guide a discrete process towards large rewards.

    Records ``tilt/log_h``, and ``tilt/shift``, the total variation of the change, summed over the sites.

    Parameters
    ----------
    reward
        ``r(x_0)`` of classes, shape ``(n, *sites)`` to ``(n,)``; minus infinity where a state is impossible.
    estimator
        How the tilted prediction is estimated.
    guide
        Whether the prediction is changed; otherwise only ``log h`` is recorded, for particles that weigh and do not
        steer.
    """

    reward: Reward
    estimator: SiteEstimator
    guide: bool = True

    def __call__(self, m: Tensor, state: RunState, evaluation: Evaluation) -> tuple[Tensor, RunState]:
        """Return the tilted prediction; that of the network where the reward failed."""
        process = evaluation.model.process
        if not isinstance(process, DiscreteProcess):
            raise ConfigError(
                f"a tilt of a {type(process).__name__} came; expected a DiscreteProcess of one factor: for Gaussian "
                "processes use Tilt"
            )
        estimate, state = self.estimator(self.reward, m, state, evaluation)
        possible = estimate.log_probs.amax(-1, keepdim=True) > -math.inf
        tilted = torch.log_softmax(torch.where(possible, estimate.log_probs, m), -1)
        bad = estimate.bad | estimate.log_h.isnan() | tilted.isnan().flatten(1).any(1)
        still = bad.reshape(-1, *(1,) * (m.ndim - 1)) | ~state.free.unsqueeze(-1)
        tilted = torch.where(still, m, tilted)
        moved = 0.5 * (tilted.exp() - m.exp()).abs().flatten(1).sum(1)
        state = mark_failed(state, self.reward, bad).record("tilt/shift", moved)
        state = state.record("tilt/log_h", torch.where(bad, -torch.inf, estimate.log_h))
        return (tilted if self.guide else m), state


@dataclass(frozen=True, eq=False)
class Enumeration:
    """Sum over all clean states of a law that is known as a table.

    Parameters
    ----------
    oracle
        The law of the data and its kernel; at most 65536 states.
    """

    oracle: Enumerated
    stochastic: ClassVar[bool] = False
    label: ClassVar[str] = "exact"
    citation: ClassVar[str] = "Bayes' rule"

    def __call__(
        self, reward: Reward, m: Tensor, state: RunState, evaluation: Evaluation
    ) -> tuple[SiteEstimate, RunState]:
        """Sum over the joint law of ``x_0`` given ``x_t``."""
        states = all_states(self.oracle.kernel.clean, self.oracle.length).to(m.device)
        return _summed(reward, joint_log_weights(self.oracle, state.x, state.t, states), states, m), state


@dataclass(frozen=True)
class Factorised:
    """Sum over all clean states as if the sites were independent given ``x_t``; at most 65536 states."""

    stochastic: ClassVar[bool] = False
    label: ClassVar[str] = "biased"
    citation: ClassVar[str] = "arXiv:2602.22428, on the factorised prediction"

    def __call__(
        self, reward: Reward, m: Tensor, state: RunState, evaluation: Evaluation
    ) -> tuple[SiteEstimate, RunState]:
        """Sum over the product of the predictions."""
        flat = m.flatten(1, -2)
        states = all_states(flat.shape[2], flat.shape[1]).to(m.device)
        log_w = sum(
            (flat[:, site][:, states[:, site]] for site in range(flat.shape[1])), torch.zeros_like(flat[:, 0, :1])
        )
        return _summed(reward, log_w, states, m), state


@dataclass(frozen=True, eq=False)
class WeightedDraws:
    """Draws of ``x_0`` given ``x_t``, weighted by ``exp r``.

    Parameters
    ----------
    draws
        How to draw, see `scidiff.guidance.discrete_draws`.
    count
        Draws for each sample and step.
    """

    draws: SiteDraws
    count: int = 64
    stochastic: ClassVar[bool] = True
    citation: ClassVar[str] = "arXiv:2602.22428"

    def __post_init__(self) -> None:
        if self.count < 2:
            raise ConfigError(f"count is {self.count}; expected at least 2 draws, of which weights can be made")

    @property
    def label(self) -> str:
        """Consistent in the number of draws where the draws have the joint law."""
        return "biased" if self.draws.label == "biased" else "consistent(0.5)"

    def __call__(
        self, reward: Reward, m: Tensor, state: RunState, evaluation: Evaluation
    ) -> tuple[SiteEstimate, RunState]:
        """Draw and weigh."""
        x0, state = self.draws(m, state, evaluation, self.count)
        values, bad = evaluate_reward(reward, x0.flatten(0, 1))
        r = values.reshape(x0.shape[:2])
        none = (r == -math.inf).all(0)
        log_h = torch.logsumexp(r, 0) - math.log(self.count)
        scaled = (r - torch.where(none, 0.0, r.amax(0))).exp().reshape(*r.shape, *(1,) * (m.ndim - 2)).expand(x0.shape)
        seen = torch.zeros_like(m)
        weight = torch.zeros_like(m)
        for k in range(self.count):
            seen.scatter_add_(-1, x0[k].unsqueeze(-1), torch.ones_like(scaled[k]).unsqueeze(-1))
            weight.scatter_add_(-1, x0[k].unsqueeze(-1), scaled[k].unsqueeze(-1))
        mean = scaled.mean(0).unsqueeze(-1)
        estimate = m + ((weight + mean) / (seen + 1)).log()
        return SiteEstimate(estimate, log_h, bad.reshape(r.shape).any(0) | none), state


@dataclass(frozen=True)
class Differences:
    """Values of the reward with one site changed at a time, around the most probable state.

    Parameters
    ----------
    scale
        Factor of the differences.
    """

    scale: float = 1.0
    stochastic: ClassVar[bool] = False
    label: ClassVar[str] = "biased"
    citation: ClassVar[str] = "arXiv:2406.01572"

    def __post_init__(self) -> None:
        _check_scale(self.scale)

    def __call__(
        self, reward: Reward, m: Tensor, state: RunState, evaluation: Evaluation
    ) -> tuple[SiteEstimate, RunState]:
        """Evaluate ``sites x K`` neighbours of each mode."""
        flat = m.flatten(1, -2)
        batch, sites, classes = flat.shape
        mode = flat.argmax(-1)
        here, bad = evaluate_reward(reward, mode.reshape(state.x.shape))
        near = mode.reshape(batch, 1, 1, sites).repeat(1, sites, classes, 1)
        index = torch.arange(sites)
        near[:, index, :, index] = torch.arange(classes).to(near)
        values, wrong = evaluate_reward(reward, near.reshape(-1, *state.x.shape[1:]))
        r = self.scale * values.reshape(batch, sites, classes)
        each = torch.logsumexp(flat + r, -1)
        known = here > -math.inf
        base = self.scale * torch.where(known, here, 0.0)
        log_h = torch.where(known, base + (each - base.unsqueeze(1)).sum(1), each.amax(1))
        bad = bad | wrong.reshape(batch, -1).any(1)
        return SiteEstimate((flat + r).reshape(m.shape), log_h, bad), state


@dataclass(frozen=True, eq=False)
class Relaxation:
    """Gradient of the reward on the simplex, at the prediction.

    Parameters
    ----------
    relaxed
        ``r`` of probabilities, shape ``(n, *sites, K)`` to ``(n,)``, differentiable; equal to the reward at corners.
    scale
        Factor of the gradient.
    """

    relaxed: Callable[[Tensor], Tensor]
    scale: float = 1.0
    stochastic: ClassVar[bool] = False
    label: ClassVar[str] = "biased"
    citation: ClassVar[str] = "arXiv:2209.14734"

    def __post_init__(self) -> None:
        _check_scale(self.scale)

    def __call__(
        self, reward: Reward, m: Tensor, state: RunState, evaluation: Evaluation
    ) -> tuple[SiteEstimate, RunState]:
        """Take the gradient at ``p = F``."""
        p = m.exp()
        values, gradient, bad = reward_gradient(self.relaxed, p)
        g = self.scale * gradient
        centred = g - (p * g).sum(-1, keepdim=True)
        log_h = self.scale * values + torch.logsumexp(m + centred, -1).flatten(1).sum(1)
        return SiteEstimate(m + centred, log_h, bad), state


def _summed(reward: Reward, log_w: Tensor, states: Tensor, m: Tensor) -> SiteEstimate:
    """Marginals of the sites under ``w exp r``, and the mean of ``exp r`` under ``w``."""
    values, bad = evaluate_reward(reward, states.reshape(-1, *m.shape[1:-1]))
    touched = ((log_w > -math.inf) & bad).any(1)
    tilted = log_w + values
    total = torch.logsumexp(tilted, 1)
    w = torch.where((total > -math.inf).unsqueeze(1), (tilted - total.clamp_min(-1e300).unsqueeze(1)).exp(), 0.0)
    classes, flat = m.shape[-1], m.flatten(1, -2)
    sites = [torch.zeros(len(m), classes).to(w).index_add_(1, states[:, site], w) for site in range(flat.shape[1])]
    log_h = total - torch.logsumexp(log_w, 1)
    return SiteEstimate(torch.stack(sites, 1).log().reshape(m.shape), log_h, touched | (total == -math.inf))


def _check_scale(scale: float) -> None:
    if not math.isfinite(scale):
        raise ConfigError(f"scale is {scale}; expected a finite number, 1 for the reward as it is")
