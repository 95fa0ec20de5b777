"""Total variation with positivity, solved to a duality gap by the algorithm of Chambolle and Pock.

    P(x) = (1/2) sum w_i (y_i - (A x)_i)^2 + lambda |D x|_{2,1}   on   0 <= x <= M

``M`` is a bound that no pixel reaches (it is raised if one does); it makes the dual finite everywhere,

    D(p, q) = - (1/2) sum p_i^2 / w_i - <p, y> + M sum_j min(0, (A^T p + D^T q)_j),     |q| <= lambda,

so that ``P(x) - D(p, q)`` bounds the distance from the minimum at every iterate. Steps are diagonal,
``sigma_i = omega / sum_j |K_ij|``, ``tau_j = 1 / (omega sum_i |K_ij|)``; their ratio is the natural scale of the
duals, the noise level, over that of the image, ``1 / lambda``: half of this was near the fastest of fixed ratios.

References
----------
A. Chambolle and T. Pock, J. Math. Imaging Vis. 40 (2011) 120, doi:10.1007/s10851-010-0251-1; T. Pock and A. Chambolle,
ICCV 2011, doi:10.1109/ICCV.2011.6126441
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.spaces.linear import LinearOperator

from ..grid import Grid
from ..scan import Scan
from .differences import divergence, gradient
from .iterative import sirt
from .result import Reconstruction

__all__ = ["tv"]

_CHECK = 25
_BALANCE = 0.5


@dataclass
class _Problem:
    """Scaled problem: weights of mean 1, image in units of `unit`, difference block scaled by `c`."""

    operator: LinearOperator
    y: Tensor
    w: Tensor
    level: float
    top: float
    c: float
    rows: Tensor
    columns: Tensor

    def primal(self, projected: Tensor, slopes: Tensor) -> float:
        data = 0.5 * (self.w * (projected - self.y) ** 2).sum()
        return float(data + self.level * slopes.norm(dim=1).sum())

    def dual(self, p: Tensor, q: Tensor, pull: Tensor) -> float:
        used = self.w > 0
        energy = torch.where(used, p**2 / torch.where(used, self.w, 1.0), 0.0)
        return float(-0.5 * energy.sum() - (p * self.y).sum() + self.top * pull.clamp_max(0.0).sum())


def tv(
    scan: Scan,
    grid: Grid,
    weight: float,
    tolerance: float = 1e-3,
    iterations: int = 5000,
    start: Reconstruction | None = None,
) -> Reconstruction:
    """Total variation with positivity.

    Parameters
    ----------
    scan, grid
        Data and image grid.
    weight
        ``lambda``, mm: one over a typical difference of neighbours.
    tolerance
        Stop once the duality gap is at most this times ``P(x)``.
    iterations
        Largest number of iterations.
    start
        Earlier result on the same scan and grid, to go on from.

    Returns
    -------
    Reconstruction
        The image, with the relative gap among its facts.

    Raises
    ------
    ConfigError
        If a parameter is out of range.
    """
    if not (weight > 0 and tolerance > 0 and iterations >= 1):
        raise ConfigError(f"weight {weight}, tolerance {tolerance}, iterations {iterations}; expected positive numbers")
    problem, first = _prepare(scan, grid, weight)
    if start is not None and len(start.state) == 3:
        x, p, q = (part.clone() for part in start.state)
        q = q * min(1.0, weight / start.facts["weight"])
        problem.top = max(problem.top, 2 * float(x.max()))
    else:
        x, p = first, torch.zeros_like(problem.y)
        q = torch.zeros_like(gradient(x))
    omega = _BALANCE * weight * (scan.used / float(scan.weights.sum())) ** 0.5
    while True:
        x, p, q, gap, count = _iterate(problem, (x, p, q), omega, tolerance, iterations)
        if float(x.max()) < problem.top * (1 - 1e-9):
            break
        problem.top *= 2.0
    chi2 = float(scan.chi2(problem.operator.apply(x))[0])
    facts = {"weight": weight, "gap": gap, "omega": omega}
    return Reconstruction(x[0], grid, "TV+", chi2, count, gap <= tolerance, facts, (x, p, q))


def _prepare(scan: Scan, grid: Grid, weight: float) -> tuple[_Problem, Tensor]:
    """Scale the problem, and give a first image."""
    operator = scan.operator(grid)
    mean = float(scan.weights.sum()) / scan.used
    rows = operator.apply(torch.ones(1, *grid.shape, dtype=torch.float64))
    columns = operator.adjoint(torch.ones(1, *scan.projections.shape, dtype=torch.float64))
    c = float(columns.mean()) / (2 * grid.dimension)
    begun = sirt(scan, grid, 20, stop=0.0)
    top = max(2.0 * float(begun.image.max()), torch.finfo(torch.float32).tiny)
    w = scan.weights[None] / mean
    problem = _Problem(operator, scan.projections[None], w, weight / mean, top, c, rows.clamp_min(1e-8), columns)
    return problem, begun.image[None]


def _iterate(
    problem: _Problem, state: tuple[Tensor, Tensor, Tensor], omega: float, tolerance: float, iterations: int
) -> tuple[Tensor, Tensor, Tensor, float, int]:
    """Run until the gap is small."""
    x, p, q = state
    operator, c, dimension = problem.operator, problem.c, x.ndim - 1
    pull = operator.adjoint(p) - divergence(q)
    used = problem.w > 0
    inverse = 1.0 / torch.where(used, problem.w, 1.0)
    gap, count = math.inf, 0
    for count in range(1, iterations + 1):
        tau = 1.0 / (omega * (problem.columns + 2 * dimension * c))
        new = (x - tau * pull).clamp(0.0, problem.top)
        ahead = 2 * new - x
        x = new
        sigma = omega / problem.rows
        p = torch.where(used, (p + sigma * (operator.apply(ahead) - problem.y)) / (1.0 + sigma * inverse), 0.0)
        q = q + (0.5 * omega * c) * gradient(ahead)
        q = q / (q.norm(dim=1, keepdim=True) / problem.level).clamp_min(1.0)
        pull = operator.adjoint(p) - divergence(q)
        if count % _CHECK == 0 or count == iterations:
            value = problem.primal(operator.apply(x), gradient(x))
            gap = (value - problem.dual(p, q, pull)) / max(value, 1e-300)
            if gap <= tolerance:
                break
    return x, p, q, gap, count
