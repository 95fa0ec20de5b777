"""A run as a function of its coefficients, so that it can be differentiated; the loop itself keeps no gradients.

    x_(i+1) = a_i x_i + alpha_(i+1) sum_j w_ij m_(i-j)

is what `TableRule` does in the loop, for tables without noise and with one state in a row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from scidiff.denoise.denoiser import Denoiser
from scidiff.errors import ConfigError
from scidiff.process.base import Process
from scidiff.process.gaussian import GaussianProcess
from scidiff.random import Noise
from scidiff.sample.loop import Rule
from scidiff.sample.state import RunState

__all__ = ["Predict", "follow_rows", "follow_rule", "gaussian", "predictor"]

Predict = Callable[[Tensor, Tensor], Tensor]


def predictor(denoiser: Denoiser, process: Process, condition: Any = None) -> Predict:
    """Make the function ``(x, t) -> m`` that the loop evaluates, with gradients.

    Parameters
    ----------
    denoiser, process, condition
        As for `scidiff.sample.run`.
    """

    def predict(x: Tensor, t: Tensor) -> Tensor:
        time = t.expand(x.shape)
        return process.convert(denoiser(x, time, condition), denoiser.kind, x, time)

    return predict


def follow_rows(predict: Predict, x: Tensor, nodes: Tensor, alpha: Tensor, a: Tensor, w: Tensor) -> Tensor:
    """Follow the rows of a solver from its first node to its last.

    Parameters
    ----------
    predict
        Denoised mean.
    x
        States at the first node, float64, shape ``(batch, *event)``.
    nodes, alpha
        Times and signal at the nodes, shape ``(steps + 1,)``.
    a, w
        Coefficient of the present state, shape ``(steps,)``, and weights of predictions, shape ``(steps, depth)``.

    Returns
    -------
    Tensor
        States at the last node.
    """
    past: list[Tensor] = []
    for i in range(len(a)):
        past.insert(0, predict(x, nodes[i]).double())
        x = a[i] * x + alpha[i + 1] * sum(w[i, j] * past[j] for j in range(min(w.shape[1], i + 1)))
    return x


def follow_rule(denoiser: Denoiser, process: Process, rule: Rule, nodes: Tensor, x: Tensor, condition: Any) -> Tensor:
    """Follow a rule along a grid as the loop does, with gradients with respect to the times.

    Parameters
    ----------
    denoiser, process, rule
        As for `scidiff.sample.run`; the rule draws no noise.
    nodes
        Times, shape ``(steps + 1,)``.
    x
        States at the first node.
    condition
        Handed to the denoiser.

    Returns
    -------
    Tensor
        States at the last node.
    """
    state = RunState.at(x, nodes[0], Noise.range(0, len(x)))
    for k in range(1, len(nodes)):
        m = process.convert(denoiser(state.x, state.t, condition), denoiser.kind, state.x, state.t)
        s = torch.where(state.free, nodes[k], 0.0)
        state = state.advance(rule(process, state, m, s), s, m, rule.memory)
    return state.x


def gaussian(process: Process) -> GaussianProcess:
    """Return the process, if it is one that tables are made for.

    Raises
    ------
    ConfigError
        If it is another one.
    """
    if not isinstance(process, GaussianProcess):
        raise ConfigError(
            f"a table was to be learned for {type(process).__name__}; expected a GaussianProcess; "
            "for a rule on a manifold use fit_rule_grid"
        )
    return process
