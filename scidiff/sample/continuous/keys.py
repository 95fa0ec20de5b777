"""What evaluation policies are made of: the best steps to evaluate at, and the sensitivity of a network.

From one dense run with predictions ``m_0 .. m_(n-1)`` at ``lam_0 < lam_1 < ...``, `dp_keys` chooses `count` key steps.
Between the keys ``p < i`` and the next key ``j`` the predictions of the steps ``i + 1 .. j - 1`` are replaced by what
the policy makes of ``m_p`` and ``m_i``, at the cost

    C[p, i, j] = sum_(i < k < j) w_k |m_k - m^(lam_k)|,     w_k = 1 - exp(lam_k - lam_(k+1))

where ``w_k`` is the weight of a prediction in a step of DDIM. With ``V[i, j]`` the least cost of a path whose last two
keys are ``i, j``, ``V[i, j] = min_p V[p, i] + C[p, i, j]`` gives the exact minimum [1]_.

References
----------
.. [1] Cui et al., "DPCache", arXiv:2602.22654
"""

from __future__ import annotations

import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.process.gaussian import GaussianProcess
from scidiff.sample.continuous.table import TableRule
from scidiff.sample.loop import run
from scidiff.sample.model import Evaluation, Model
from scidiff.sample.state import RunState
from scidiff.sample.transform import Transform
from scidiff.spaces import State

__all__ = ["Recorder", "dp_keys", "sensitivities"]


class Recorder(Transform):
    """Keep the prediction of every step of one run, and the state it was made at; for calibration only."""

    def __init__(self) -> None:
        self.m: list[Tensor] = []
        self.x: list[Tensor] = []
        self.t: list[Tensor] = []

    def __call__(self, m: State, state: RunState, evaluation: Evaluation) -> tuple[State, RunState]:
        """Keep, and change nothing."""
        self.m.append(m)
        self.x.append(state.x)
        self.t.append(state.t)
        return m, state


def dp_keys(lam: Tensor, m: Tensor, count: int, order: int = 0) -> tuple[Tensor, float]:
    """Choose the best steps to evaluate at.

    Parameters
    ----------
    lam
        ``log(alpha / sigma)`` of the steps, rising, shape ``(steps,)``.
    m
        Predictions of a dense run, shape ``(steps, batch, *event)``.
    count
        Number of keys, the first step included.
    order
        0 for a policy that reuses, 1 for one that extrapolates.

    Returns
    -------
    keys, cost
        ``lam`` of the keys, and the cost of the choice.
    """
    steps = len(m)
    if not 1 <= count <= steps:
        raise ConfigError(f"count is {count}; expected 1 to {steps}, the number of steps")
    cost = _costs(lam.double(), m.double().flatten(2), order)
    # best[p, i]: least cost of a path whose last two keys are p < i; a path of one key has p = 0 = i
    best = torch.full((steps, steps), torch.inf, dtype=torch.float64)
    best[0, 0] = 0.0
    back = []
    for _ in range(count - 1):
        through = best.unsqueeze(2) + cost[:, :, :steps]
        new, before = through.min(0)
        back.append(before)
        best = torch.where(torch.ones(steps, steps).triu(1).bool(), new, torch.inf)
    total = best + cost[:, :, steps]
    p, i = divmod(int(total.argmin()), steps)
    keys = [i] if count == 1 else [i, p]
    for before in reversed(back[1:]):
        keys.append(int(before[keys[-1], keys[-2]]))
    return lam[sorted(keys)], float(total.min())


def _costs(lam: Tensor, m: Tensor, order: int) -> Tensor:
    """``C[p, i, j]`` for ``p <= i < j <= steps``; infinite elsewhere."""
    steps = len(m)
    weight = torch.cat([-torch.expm1(lam[:-1] - lam[1:]), torch.ones(1, dtype=torch.float64)])
    cost = torch.full((steps, steps, steps + 1), torch.inf, dtype=torch.float64)
    for i in range(steps):
        later = torch.arange(i + 1, steps)
        for p in range(i + 1):
            if p == i > 0:
                continue
            guess = m[i].expand(len(later), *m[i].shape)
            if order == 1 and p < i:
                slope = ((lam[later] - lam[i]) / (lam[i] - lam[p])).reshape(-1, 1, 1)
                guess = guess + slope * (m[i] - m[p])
            error = weight[later] * (m[later] - guess).pow(2).mean(2).sqrt().mean(1)
            cost[p, i, i + 1 :] = torch.cat([torch.zeros(1, dtype=torch.float64), error.cumsum(0)])
    return cost


def sensitivities(
    model: Model, rule: TableRule, state: RunState, *, step: float = 1e-3
) -> tuple[Tensor, Tensor, Tensor]:
    """``J_x`` and ``J_lam`` along a dense run: root mean squares of finite differences over the samples.

    Parameters
    ----------
    model
        The network.
    rule
        A dense deterministic table.
    state
        Where the run starts.
    step
        Length of a difference in ``lam``, and relative to the noise level in ``x``.

    Returns
    -------
    nodes, to_state, to_level
        ``lam`` of the steps where signal and noise are both there, and the two sensitivities.
    """
    process = model.process
    if not isinstance(process, GaussianProcess):
        raise ConfigError(f"sensitivities of a {type(process).__name__} were asked for; expected a GaussianProcess")
    seen = Recorder()
    run(model.denoiser, process, rule, rule.plan, state=state, condition=model.condition, transforms=(seen,))
    nodes, to_state, to_level = [], [], []
    for k, (m, x, t) in enumerate(zip(seen.m, seen.x, seen.t, strict=True)):
        lam, sigma = process.schedule.lam(t), process.schedule.sigma(t)
        if not bool(lam.isfinite().all()):
            continue
        noise = process.space.project(state.noise.normal(x.shape[1:], step=k, stream="sensitivity").to(x))
        moved, _ = model.at(state, (x + step * sigma * noise).unsqueeze(0), t)
        later, _ = model.at(state, x.unsqueeze(0), process.schedule.t(lam + step))
        nodes.append(float(lam.mean()))
        to_state.append(float((moved[0] - m).pow(2).mean().sqrt() / (step * sigma * noise).pow(2).mean().sqrt()))
        to_level.append(float((later[0] - m).pow(2).mean().sqrt() / step))
    return tuple(torch.tensor(part, dtype=torch.float64) for part in (nodes, to_state, to_level))
