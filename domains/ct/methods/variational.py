"""Methods that optimise an image, or the noise that it is made of: RED-diff, HybridReg, DMPlug.

RED-diff follows ``mu``, the mean of a sharp Gaussian, by Adam on

    |y - A mu|_W^2 / (2 n)  +  lambda_s <stop(eps_net(x_s) - eps), mu> / n_pixels,      x_s = mu + sigma_s eps,

with ``lambda_s = 1 / snr = sigma_s`` of its publication. In the one loop ``x_s`` is the state, ``mu`` a record, and the
rule adds fresh noise. HybridReg mixes the noise of the step before with fresh noise,
``eps' = beta eps + sqrt(1 - beta^2) xi``, and compares with that mixture. DMPlug optimises the start ``z`` of a short
deterministic run by Adam on ``|y - A G(z)|_W^2 / n``; it stops at the noise level.

References
----------
M. Mardani et al., RED-diff, arXiv:2305.04391; HybridReg, as in DM4CT, arXiv:2602.18589; H. Wang et al., DMPlug,
arXiv:2405.16749; Adam: arXiv:1412.6980
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scidiff.sample.model import Evaluation
from scidiff.sample.state import RunState
from scidiff.sample.table import Table
from scidiff.sample.transform import Transform

from .draws import level
from .problem import Problem

__all__ = ["DMPlug", "RedDiff"]

_B1, _B2, _TINY = 0.9, 0.99, 1e-12


def _adam(state: RunState, gradient: Tensor, rate: float) -> tuple[Tensor, RunState]:
    """Change of an Adam step, whose moments are records of the run."""
    first = state.records.get("ct/adam/1", torch.zeros_like(gradient))
    second = state.records.get("ct/adam/2", torch.zeros_like(gradient))
    first, second = _B1 * first + (1 - _B1) * gradient, _B2 * second + (1 - _B2) * gradient**2
    k = state.i + 1
    change = -rate * (first / (1 - _B1**k)) / ((second / (1 - _B2**k)).sqrt() + _TINY)
    return change, state.record("ct/adam/1", first).record("ct/adam/2", second)


@dataclass(frozen=True, eq=False)
class RedDiff(Transform):
    """One optimiser step on ``mu``, which becomes the prediction.

    Parameters
    ----------
    problem
        The data.
    start
        First ``mu``, shape of an image.
    steps
        Number of steps of the run; the rate falls to 0 with them.
    rate
        Length of a step of Adam.
    scale
        Factor of the prior.
    beta
        Share of the network's noise in that of HybridReg; 0 is RED-diff.
    """

    problem: Problem
    start: Tensor
    steps: int
    rate: float = 0.05
    scale: float = 1.0
    beta: float = 0.0

    def __call__(self, m: Tensor, state: RunState, evaluation: Evaluation) -> tuple[Tensor, RunState]:
        """Step."""
        sigma = level(state, evaluation)
        mu = state.records.get("ct/mu", self.start.expand(state.x.shape).double())
        predicted = (state.x.double() - m.double()) / sigma
        eps = (state.x.double() - mu) / sigma
        if self.beta > 0:
            fresh = state.noise.normal(tuple(m.shape[1:]), step=state.i, stream="ct/hybrid").to(eps)
            eps = self.beta * eps + (1 - self.beta**2) ** 0.5 * fresh
        data = -self.problem.pull(self.problem.residual(mu)) / self.problem.scan.used
        gradient = data + self.scale * sigma * (predicted - eps) / mu[0].numel()
        change, state = _adam(state, gradient, self.rate * (1 - state.i / self.steps))
        mu = mu + change
        return mu, state.record("ct/mu", mu)


@dataclass(frozen=True, eq=False)
class DMPlug(Transform):
    """One optimiser step on the start of a short run; the prediction of the last step is its end.

    Parameters
    ----------
    problem
        The data.
    table
        The short run, e.g. three steps of `ddim`.
    steps
        Number of optimiser steps.
    rate
        Length of a step of Adam, in units of the first noise level.
    """

    problem: Problem
    table: Table
    steps: int
    rate: float = 0.05

    def __call__(self, m: Tensor, state: RunState, evaluation: Evaluation) -> tuple[Tensor, RunState]:
        """Step."""
        start = state.records.get("ct/z", state.x.double())
        with torch.enable_grad():
            z = start.detach().requires_grad_()
            x, state = self._unrolled(z, state, evaluation)
            misfit = self.problem.chi2(x)
            gradient = torch.autograd.grad(misfit.sum(), z)[0]
        gradient = torch.where((misfit > 1)[:, None, None], gradient, 0.0)
        change, state = _adam(state, gradient, self.rate * float(self.table.sigma[0]))
        moved = torch.where((misfit > 1)[:, None, None], start + change, start)
        return x.detach(), state.record("ct/z", moved)

    def _unrolled(self, z: Tensor, state: RunState, evaluation: Evaluation) -> tuple[Tensor, RunState]:
        """Follow the rows of a table of depth 1, with their graph."""
        rows, x = torch.arange(len(state)), z
        for row in range(self.table.steps):
            t = torch.full(z.shape, float(self.table.nodes[row]), dtype=torch.float64)
            m, state = evaluation.model.ask(state, x, t, rows)
            x = float(self.table.a[row, 0]) * x + float(self.table.b[row, 0]) * m.double()
        return x, state
