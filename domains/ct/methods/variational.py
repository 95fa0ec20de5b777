r"""Methods that optimise an image, or the noise that it is made of: RED-diff, HybridReg, DMPlug.

RED-diff follows ``mu``, the mean of a sharp Gaussian ``q``. The divergence of ``q`` from the posterior is
``|y - A mu|_W^2 / 2 + KL(q | p)``, whose second part is read at a noise level,

    d/dmu KL(q_s | p_s) = E (eps_net(x_s) - eps) / sigma_s = E (mu - D(x_s)) / sigma_s^2,      x_s = mu + sigma_s eps,

so that Adam follows

    A^T W (A mu - y)  +  scale l_s (eps_net(x_s) - eps),        l_s = 1 / sigma_s,

while ``sigma_s`` falls. Both parts are sums, not means over rays or pixels, and the first carries the weights of the
scan: nothing is left to choose. (The publication multiplies by the variance of the data and sets ``l_s = lambda
sigma_s`` with ``lambda`` tuned; next to ``W`` of a real scan that term is lost.) In the one loop ``x_s`` is the state
and ``mu`` a record; the rule adds fresh noise.

HybridReg adds noise that remembers: ``eps' = sqrt(1 - beta) eps_net(x_s of the step before) + sqrt(beta) xi``, and
compares with that mixture. ``beta = 1`` is RED-diff, ``beta = 0`` compares two predictions on one path.

DMPlug optimises the start ``z`` of a short deterministic run by Adam on ``|y - A G(z)|_W^2 / n``; it stops at the noise
level.

References
----------
M. Mardani et al., RED-diff, arXiv:2305.04391, proposition 2; H. Dou et al., HybridReg, "Hybrid Regularization Improves
Diffusion-based Inverse Problem Solving", ICLR 2025; H. Wang et al., DMPlug, arXiv:2405.16749; Adam: arXiv:1412.6980
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scidiff.process.gaussian import GaussianProcess
from scidiff.sample.continuous.table import Table, TableRule
from scidiff.sample.model import Evaluation
from scidiff.sample.state import RunState
from scidiff.sample.transform import Transform

from .draws import level
from .problem import Problem

__all__ = ["DMPlug", "MixedNoise", "RedDiff"]

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

    Records ``ct/mu`` and ``ct/eps``, the image and the noise that the network saw.

    Parameters
    ----------
    problem
        The data.
    start
        First ``mu``, shape of an image; the run begins at it plus noise.
    steps
        Number of steps of the run; the rate falls to 0 with them.
    rate
        Length of a step of Adam.
    scale
        Factor of the prior.
    """

    problem: Problem
    start: Tensor
    steps: int
    rate: float = 0.05
    scale: float = 1.0

    def __call__(self, m: Tensor, state: RunState, evaluation: Evaluation) -> tuple[Tensor, RunState]:
        """Step."""
        sigma, x = level(state, evaluation), state.x.double()
        mu = state.records.get("ct/mu", self.start.expand(x.shape).double())
        predicted, eps = (x - m.double()) / sigma, (x - mu) / sigma
        data = -self.problem.pull(self.problem.residual(mu))
        change, state = _adam(state, data + self.scale / sigma * (predicted - eps), self.rate * self._left(state))
        mu = mu + change
        return mu, state.record("ct/mu", mu).record("ct/eps", predicted)

    def _left(self, state: RunState) -> float:
        """Share of the run that is left."""
        return 1.0 - state.i / self.steps


@dataclass(frozen=True)
class MixedNoise(TableRule):
    """Noise the prediction anew with a mixture of the network's noise and fresh noise.

    Parameters
    ----------
    beta
        Share of fresh noise in the variance.
    """

    beta: float = 1.0

    def __call__(self, process: GaussianProcess, state: RunState, m: Tensor, s: Tensor) -> Tensor:
        """Return the state at ``s``."""
        x = super().__call__(process, state, m, s)
        fresh = self.xi(process, state).to(x)
        mixed = (1 - self.beta) ** 0.5 * state.records["ct/eps"] + self.beta**0.5 * fresh
        return x + float(process.schedule.sigma(s.flatten()[0])) * (mixed - fresh)


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
