"""Matrix-free Gauss-Newton for ``h(x) = 0`` in a metric, with a line search and a report.

With the metric given by a covariance ``C`` (lengths are measured by ``C^-1``), the Jacobian ``J`` at the present ``y``
and ``S = J C J^T + R``, one step is

    root            y <- y     - C J^T S^+ h(y)                            some solution, near where it began
    least squares   y <- y_ref - C J^T S^+ (h(y) + J (y_ref - y))          the nearest one to ``y_ref`` in the metric

For affine ``h`` both end after one step, and agree. ``S`` is inverted by its eigenvalues up to 64 equations, rows that
depend on each other included, and by conjugate gradients beyond. A step is halved until ``|h|`` falls; a field whose
``|h|`` does not fall at the least step has *stalled*: at the floor of round-off, or because Newton's method diverges,
which the report tells apart by the tolerance. All arithmetic is float64.

References
----------
.. [1] P. Cheng et al., "Physics-constrained flow matching", arXiv:2506.04171 (both forms, one step, no line search)
.. [2] J. Nocedal, S. Wright, "Numerical optimization", 2006, sections 10.3 and 11.2
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.spaces.linear import LinearOperator

from .base import Constraint

__all__ = ["Action", "NewtonReport", "SchurSolver", "gauss_newton", "identity", "shared_schur"]

_DENSE = 64
_RANK = 1e-13
_HALVINGS = 6
_DECREASE = 1e-4
Action = Callable[[Tensor], Tensor]
Solve = Callable[[Tensor], Tensor]
SchurSolver = Callable[[LinearOperator, Action, Tensor], Tensor]


def identity(v: Tensor) -> Tensor:
    """Return the vector as it is: the Euclidean metric."""
    return v


@dataclass(frozen=True, eq=False)
class NewtonReport:
    """Where the iteration ended.

    Parameters
    ----------
    x
        Fields, float64, shape ``(batch, *domain)``.
    violation
        Largest ``|h|`` of each field, shape ``(batch,)``.
    iterations
        Steps that each field took, shape ``(batch,)``.
    converged
        Whether the violation is within the tolerance, shape ``(batch,)``; what is not has diverged or has no solution.
    """

    x: Tensor
    violation: Tensor
    iterations: Tensor
    converged: Tensor


def gauss_newton(
    constraint: Constraint,
    x: Tensor,
    action: Action = identity,
    *,
    nearest: bool = False,
    iterations: int = 20,
    tolerance: float = 1e-12,
    solve: SchurSolver | None = None,
    linear_iterations: int = 200,
) -> NewtonReport:
    """Bring fields to a constraint.

    Parameters
    ----------
    constraint
        ``h``.
    x
        Fields, and ``y_ref`` of the least-squares form, shape ``(batch, *domain)``.
    action
        ``v -> C v``; the Euclidean metric by default.
    nearest
        Whether to find the nearest solution (the least-squares form) or any (the root form).
    iterations
        Bound on the steps; 1 is the published step of PCFM.
    tolerance
        Largest ``|h|`` of a converged field.
    solve
        Replaces the solution with ``S``, see `shared_schur`.
    linear_iterations
        Bound on the conjugate gradients of one step.

    Returns
    -------
    NewtonReport
        The fields; none is refused here.
    """
    if iterations < 1 or not tolerance > 0:
        raise ConfigError(f"iterations is {iterations} and tolerance {tolerance}; expected at least 1, and > 0")
    reference, y = x.double(), x.double()
    h = constraint.residual(y)
    size = h.abs().amax(1)
    taken = torch.zeros(len(y), dtype=torch.int64, device=y.device)
    moving = size.isfinite() & (size > 0.01 * tolerance)
    for _ in range(iterations):
        if not bool(moving.any()):
            break
        operator = constraint.jacobian(y)
        e = h + operator.apply(reference - y) if nearest and not constraint.affine else h
        v = _solve(operator, action, torch.where(moving.unsqueeze(1), e, 0.0), linear_iterations, solve)
        change = -action(operator.adjoint(v))
        target = reference + change if nearest and not constraint.affine else y + change
        y, h, size, moved = _search(constraint, y, target, h, size, moving)
        taken = taken + moved
        moving = moved & (size > 0.01 * tolerance)
    return NewtonReport(y, size, taken, size <= tolerance)


def _search(
    constraint: Constraint, y: Tensor, target: Tensor, h: Tensor, size: Tensor, moving: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Go from `y` towards `target` as far as ``|h|`` falls, halving the way; fields that cannot stay."""
    trying, step = moving & target.flatten(1).isfinite().all(1), 1.0
    moved = torch.zeros_like(moving)
    before = h.norm(dim=1)
    for _ in range(_HALVINGS):
        if not bool(trying.any()):
            break
        trial = torch.where(_wide(trying, y), y + step * (target - y), y)
        value = constraint.residual(trial)
        better = trying & (value.norm(dim=1) <= (1 - _DECREASE * step) * before)
        y = torch.where(_wide(better, y), trial, y)
        h = torch.where(better.unsqueeze(1), value, h)
        moved, trying, step = moved | better, trying & ~better, step / 2
    return y, h, torch.where(size.isfinite(), h.abs().amax(1), size), moved


def _solve(operator: LinearOperator, action: Action, e: Tensor, iterations: int, solve: SchurSolver | None) -> Tensor:
    """``S^+ e`` for every field."""
    if solve is not None:
        return solve(operator, action, e)
    if e.shape[1] <= _DENSE:
        return pseudo_solve(_dense(operator, action, e), e)
    return conjugate_gradients(lambda v: operator.apply(action(operator.adjoint(v))), e, iterations)


def _dense(operator: LinearOperator, action: Action, e: Tensor) -> Tensor:
    """``S`` of every field, shape ``(batch, size, size)``, by one product for each equation."""
    units = torch.eye(e.shape[1]).to(e)
    columns = [operator.apply(action(operator.adjoint(unit.expand_as(e)))) for unit in units]
    s = torch.stack(columns, -1)
    return (s + s.mT) / 2


def shared_schur(operator: LinearOperator, action: Action, noise: float = 0.0) -> SchurSolver:
    """Solver with one ``S`` for all fields: for an affine constraint and a metric that is the same for all.

    Parameters
    ----------
    operator
        ``A``.
    action
        ``v -> C v`` for any number of vectors.
    noise
        Variance ``R`` of the data.
    """
    units = torch.eye(operator.size, dtype=torch.float64)
    s = operator.apply(action(operator.adjoint(units)))
    values, vectors = torch.linalg.eigh((s + s.T) / 2 + noise * units)
    inverse = torch.where(values > _RANK * len(s) * values.abs().max(), 1 / values, 0.0)
    matrix = (vectors * inverse) @ vectors.T
    return lambda operator, action, e: e @ matrix.to(e)


def pseudo_solve(s: Tensor, e: Tensor) -> Tensor:
    """``S^+ e`` by eigenvalues; those below the rank of the matrix count as 0. Rows that are not finite give NaN."""
    finite = s.flatten(1).isfinite().all(1)
    values, vectors = torch.linalg.eigh(torch.where(finite[:, None, None], s, 0.0))
    least = _RANK * s.shape[-1] * values.abs().amax(1, keepdim=True)
    inverse = torch.where(values > least, 1 / torch.where(values > least, values, 1.0), 0.0)
    v = (vectors @ (inverse * (vectors.mT @ e.unsqueeze(-1)).squeeze(-1)).unsqueeze(-1)).squeeze(-1)
    return torch.where(finite.unsqueeze(1), v, torch.nan)


def conjugate_gradients(apply: Action, e: Tensor, iterations: int) -> Tensor:
    """Solve symmetric positive systems, one for each row; a row that has converged, or meets no curvature, rests."""
    v, r = torch.zeros_like(e), e.clone()
    p, rr = r.clone(), (r * r).sum(1, keepdim=True)
    least = 1e-28 * rr
    for _ in range(iterations):
        if not bool((rr > least).any()):
            break
        q = apply(p)
        curvature = (p * q).sum(1, keepdim=True)
        step = torch.where((rr > least) & (curvature > 0), rr / torch.where(curvature > 0, curvature, 1.0), 0.0)
        v, r = v + step * p, r - step * q
        new = (r * r).sum(1, keepdim=True)
        p = r + torch.where(rr > 0, new / torch.where(rr > 0, rr, 1.0), 0.0) * p
        rr = new
    return v


def _wide(mask: Tensor, like: Tensor) -> Tensor:
    return mask.reshape(-1, *(1,) * (like.ndim - 1))
