"""The discrete and continuous bounds on ``-log p(x_0)`` of one site, by enumeration and quadrature.

A batch row is a time, its sites are all ``D`` states that the noisy site can take, weighted with ``Q_t[x_0, x_t]``: the
expectation over ``x_t`` is exact, the one over ``t`` is a quadrature or the sum over the intervals of a grid. The data
are one class of four with law `P`; the site is known to be class `X0`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from scidiff.process import (
    Cosine,
    DiscreteProcess,
    Kernel,
    Kind,
    LevelKernel,
    Linear,
    MatrixKernel,
    Power,
    marginal,
    mask,
    tree,
    uniform,
)
from scidiff.spaces import Categorical
from scidiff.testing_targets.kernels import banded

__all__ = ["EVERY", "HIERARCHIES", "X0", "P", "Predictor", "constant", "continuous", "discrete", "sites"]

P = torch.tensor([0.1, 0.25, 0.35, 0.3], dtype=torch.float64)
X0 = 1
Predictor = Callable[[DiscreteProcess, Tensor, Tensor], Tensor]

HIERARCHIES: dict[str, LevelKernel] = {
    "mask": mask(4),
    "mask-cosine": mask(4, Cosine()),
    "tree": tree([0, 1, 1, 0]),
    "tree-power": tree([0, 1, 1, 0], survivals=(Power(2), Power(3.5))),
    "tree-3": tree([0, 1, 1, 2], [0, 0, 1], survivals=(Linear(), Power(2), Power(3))),
}
EVERY: dict[str, Kernel] = {
    **HIERARCHIES,
    "uniform": uniform(4),
    "uniform-cosine": uniform(4, Cosine()),
    "marginal": marginal([0.4, 0.3, 0.2, 0.1]),
    "banded": MatrixKernel(banded(4)),
}


def constant(kind: Kind) -> Predictor:
    """Make a predictor that says `P` whatever the time and the state, as a posterior or a leave-one-out posterior."""

    def predict(process: DiscreteProcess, x: Tensor, t: Tensor) -> Tensor:
        return process.convert(P.log().expand(*x.shape, -1), kind, x, t)

    return predict


def sites(kernel: Kernel, t: Tensor) -> tuple[DiscreteProcess, Tensor, Tensor, Tensor, Tensor]:
    """Process, reachable states of every time, their clean value, times, and their probabilities."""
    process = DiscreteProcess(Categorical(kernel.states, (None,)), kernel)
    weight = kernel.row(torch.tensor(X0), t)
    x = torch.where(weight > 0, torch.arange(kernel.states), weight.argmax(-1, keepdim=True))
    return process, x, torch.full_like(x, X0), t.unsqueeze(1).expand(x.shape), weight


def continuous(kernel: Kernel, predict: Predictor, points: int = 400) -> float:
    """Bound in continuous time, in nats.

    Gauss-Legendre in ``v`` with ``t = v^3 (10 - 15 v + 6 v^2)``, which flattens the ends, where log t may appear.

    Parameters
    ----------
    kernel
        Noise of the site.
    predict
        The predictor.
    points
        Nodes of the quadrature.
    """
    nodes, weights = np.polynomial.legendre.leggauss(points)
    v = torch.from_numpy(0.5 * (nodes + 1))
    t, slope = v**3 * (10 - 15 * v + 6 * v**2), 30 * v**2 * (1 - v) ** 2
    process, x, x0, times, law = sites(kernel, t)
    integrand = process.nelbo(predict(process, x, times), x0, x, times)
    return float(((law * integrand).sum(1) * slope * torch.from_numpy(0.5 * weights)).sum())


def discrete(kernel: Kernel, predict: Predictor, steps: int) -> float:
    """Bound in discrete time, in nats: the sum of the divergences over a uniform grid of `steps` intervals."""
    grid = torch.linspace(1, 0, steps + 1, dtype=torch.float64)
    process, x, x0, times, law = sites(kernel, grid[:-1])
    terms = process.nelbo_step(predict(process, x, times), x0, x, times, grid[1:].unsqueeze(1).expand(x.shape))
    return float((law * terms).sum())
