"""D-Flow: choose the draw of the prior whose image under the deterministic flow costs least.

    min over x_1 of |h(X(x_1))|^2 / 2,        X the map from prior to data that a table of the loop makes

by L-BFGS. The gradient is the adjoint of the table: with ``x_(i+1) = a_i x_i + b_i m(x_i)``,

    g_i = a_i g_(i+1) + b_i (dm/dx_i)^T g_(i+1),       g at the end J^T h

so that one run of the loop and one pull back for each of its steps give it, at the memory of one network call. For
Gaussian data the map is linear, the constraint is met by the least change of ``x_1``, and the result is an exact draw
of the conditioned law; for others it is not. It is slow, and stands here for reference.

References
----------
.. [1] H. Ben-Hamu et al., "D-Flow: differentiating through flows for controlled generation", arXiv:2402.14017
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from scidiff.denoise.denoiser import Denoiser
from scidiff.errors import ConfigError
from scidiff.process.gaussian import GaussianProcess
from scidiff.random import Noise
from scidiff.sample.continuous.keys import Recorder
from scidiff.sample.continuous.table import TableRule
from scidiff.sample.loop import run
from scidiff.sample.state import RunState

from .base import Constraint

__all__ = ["minimise_source", "source_gradient"]


def source_gradient(
    denoiser: Denoiser, process: GaussianProcess, rule: TableRule, start: RunState, constraint: Constraint
) -> tuple[Tensor, Tensor, RunState]:
    """Cost of every draw of the prior, and its gradient.

    Parameters
    ----------
    denoiser, process, rule
        Of the run; the rule a table without memory and without noise.
    start
        State that the run begins with.
    constraint
        ``h``.

    Returns
    -------
    cost, gradient, end
        ``|h|^2 / 2``, shape ``(batch,)``; its gradient with respect to ``start.x``; and the end of the run.
    """
    table = rule.table
    if rule.memory or table.c.any() or table.spread.any():
        raise ConfigError(f"table '{table.name}' has memory or noise; expected a deterministic one without, e.g. ddim")
    kept = Recorder()
    end = run(denoiser, process, rule, rule.plan, state=start, transforms=(kept,))
    h = constraint.residual(end.x)
    gradient = constraint.jacobian(end.x).adjoint(h)
    for i in reversed(range(table.steps)):
        pulled = _pull(lambda x, i=i: _mean(denoiser, process, x, kept.t[i]), kept.x[i].double(), gradient)
        gradient = table.a[i, 0] * gradient + table.b[i, 0] * pulled
    return 0.5 * (h * h).sum(1), gradient, end


def minimise_source(
    denoiser: Denoiser,
    process: GaussianProcess,
    rule: TableRule,
    constraint: Constraint,
    start: RunState,
    iterations: int = 20,
) -> RunState:
    """Run from the draws of the prior that L-BFGS found, all samples at once.

    Parameters
    ----------
    denoiser, process, rule, constraint
        As for `source_gradient`.
    start
        State of the first draws.
    iterations
        Iterations of L-BFGS, with a strong Wolfe line search.

    Returns
    -------
    RunState
        End of the last run, with the calls of all of them.
    """
    x = start.x.double().clone().requires_grad_()
    made = 0
    optimizer = torch.optim.LBFGS([x], max_iter=iterations, line_search_fn="strong_wolfe", tolerance_grad=1e-10)

    def closure() -> Tensor:
        nonlocal made
        made += 1
        begin = RunState.at(x.detach(), 1.0, start.noise)
        cost, gradient, _ = source_gradient(denoiser, process, rule, begin, constraint)
        x.grad = gradient.contiguous()
        return cost.sum()

    optimizer.step(closure)
    end = run(denoiser, process, rule, rule.plan, state=RunState.at(x.detach(), 1.0, start.noise))
    return end.book(2 * made * rule.table.calls)


def _mean(denoiser: Denoiser, process: GaussianProcess, x: Tensor, t: Tensor) -> Tensor:
    return process.convert(denoiser(x, t), denoiser.kind, x, t)


def _pull(function: Callable[[Tensor], Tensor], x: Tensor, v: Tensor) -> Tensor:
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        return torch.autograd.grad(function(x), x, v)[0].double()


def fresh_start(process: GaussianProcess, noise: Noise, shape: tuple[int, ...]) -> RunState:
    """Draw the prior."""
    return RunState.start(process, noise, shape)
