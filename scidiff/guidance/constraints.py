"""Linear constraints ``A x_0 = b``: hard, or up to Gaussian noise of the data.

If ``x_0`` given ``x_t`` is ``N(m, C)``, then given ``A x_0 + n = b`` as well, ``n ~ N(0, R)``, its mean is

    m_b = m + C A^T S^+ (b - A m),      S = A C A^T + R

With ``R = 0`` the constraint is hard and ``m_b`` obeys it; the metric of the correction is that of ``C^-1``. For
Gaussian data with their true covariance this is the exact denoiser of the conditioned law. For all others it is biased:
every sample obeys the constraint, and their law is not the conditioned one. Particles over a likelihood are the remedy.

What is left by a covariance that is not symmetric, singular or truncated is removed by the least change
``A^T (A A^T)^+ (b - A m)``. The same least change polishes the samples after the last step, in float64. ``A`` may have
dependent rows as long as ``b`` agrees with them; a system without a solution is refused.

Records, per sample: ``constraint/before``, ``constraint/after``, the residual ``|A x - b|`` of the samples before and
after the polish; ``failed/constraint`` where the network's mean or covariance was not finite.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from scidiff.errors import ConfigError, NumericalError, ShapeError
from scidiff.guidance.covariances import Covariance, Tweedie
from scidiff.process.gaussian import GaussianProcess
from scidiff.sample.model import Evaluation
from scidiff.sample.state import RunState
from scidiff.sample.transform import Transform
from scidiff.spaces.linear import LinearOperator

__all__ = ["LinearConstraint"]

_DENSE = 64
_RANK = 1e-12
_CONSISTENT = 1e-8
Action = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class LinearConstraint(Transform):
    """Condition on ``A x_0 = b``; the last of the transforms that change the prediction.

    Parameters
    ----------
    operator
        ``A``.
    b
        Data, shape ``range`` for all samples or ``(batch, *range)``.
    covariance
        ``C``, see `scidiff.guidance.covariances`; by default that of the network.
    sd
        Standard deviation of the noise of the data; 0 for a hard constraint.
    iterations
        Bound on the conjugate gradients where there are more than 64 data.

    Raises
    ------
    NumericalError
        If the system has no solution.

    Examples
    --------
    >>> import torch
    >>> from scidiff.guidance import LinearConstraint
    >>> from scidiff.spaces import MatrixOperator
    >>> LinearConstraint(MatrixOperator(torch.tensor([[1.0, 1.0]])), torch.tensor([0.5])).exact_for
    'Gaussian data'
    """

    operator: LinearOperator
    b: Tensor
    covariance: Covariance = field(default_factory=Tweedie)
    sd: float = 0.0
    iterations: int = 200
    citation: ClassVar[str] = "derived here; with White, arXiv:2212.00490 and arXiv:2412.01786"

    def __post_init__(self) -> None:
        b, shape = torch.as_tensor(self.b).double(), tuple(self.operator.range)
        if tuple(b.shape) != shape and tuple(b.shape[1:]) != shape:
            raise ShapeError(f"b has shape {tuple(b.shape)}; expected {shape} or (batch, *{shape})")
        if not bool(b.isfinite().all()):
            raise ConfigError(f"b has {int((~b.isfinite()).sum())} values that are not finite; leave those data out")
        if not 0 <= self.sd < float("inf") or self.iterations < 1:
            raise ConfigError(
                f"sd is {self.sd} and iterations {self.iterations}; expected a number >= 0 (0: hard), and at least 1"
            )
        object.__setattr__(self, "b", b if b.ndim > len(shape) else b.unsqueeze(0))
        if self.hard:
            x = torch.zeros((len(self.b), *self.operator.domain), dtype=torch.float64)
            _refuse(self._misfit(x, lambda v: v)[1], self.b)

    @property
    def gradient(self) -> bool:
        """As the covariance says."""
        return self.covariance.gradient

    @property
    def hard(self) -> bool:
        """Whether the constraint is exact."""
        return self.sd == 0

    @property
    def label(self) -> str:
        """``biased``; exact for the data that `exact_for` names."""
        return "biased"

    @property
    def exact_for(self) -> str:
        """Data for which the conditioning is exact."""
        return self.covariance.exact_for

    def residual(self, x0: Tensor) -> Tensor:
        """``b - A x_0``, float64, shape ``(batch, *range)``."""
        b = self.b.to(x0.device)
        if len(b) not in (1, len(x0)):
            raise ShapeError(f"{len(x0)} states came for {len(b)} sets of data; expected as many, or one set for all")
        return b - self.operator.apply(x0.double())

    def __call__(self, m: Tensor, state: RunState, evaluation: Evaluation) -> tuple[Tensor, RunState]:
        """Return the mean conditioned on the data."""
        process = evaluation.model.process
        if not isinstance(process, GaussianProcess):
            raise ConfigError(f"a constraint on a {type(process).__name__} was asked for; expected a GaussianProcess")
        limit = _limit(process, state)
        action = self.covariance(state, evaluation)
        m = m.double()
        e = self.residual(m)
        good = e.flatten(1).isfinite().all(1)
        each = good.reshape(-1, *(1,) * (e.ndim - 1))
        shift = self._correction(torch.where(each, e, 0.0), lambda v: limit(action(v)))
        good = good & shift.flatten(1).isfinite().all(1)
        shift = torch.where(good.reshape(-1, *(1,) * (m.ndim - 1)), shift, 0.0)
        corrected = m + shift
        if self.hard:
            rest, misfit = self._misfit(torch.where(_rows(good, m), corrected, 0.0), limit)
            _refuse(torch.where(good, misfit, 0.0), self.b, clamped=not bool(state.free.all()))
            corrected = corrected + torch.where(_rows(good, m), rest, 0.0)
        failed = state.records.get("failed/constraint", torch.zeros(len(state), dtype=torch.bool)) | ~good
        return corrected, state.record("failed/constraint", failed)

    def close(self, process: Any, state: RunState) -> RunState:
        """Polish the samples of a hard constraint; records the residual before and after."""
        x = state.x.double()
        state = state.record("constraint/before", self.residual(x).flatten(1).norm(dim=1))
        if self.hard:
            finite = _rows(x.flatten(1).isfinite().all(1), x)
            for _ in range(2):
                x = x + torch.where(finite, self._misfit(torch.where(finite, x, 0.0), _limit(process, state))[0], 0.0)
            state = replace(state, x=x)
        return state.record("constraint/after", self.residual(x).flatten(1).norm(dim=1))

    def _correction(self, e: Tensor, action: Action) -> Tensor:
        """``C A^T S^+ e``."""
        noise = self.sd**2
        if self.operator.size <= _DENSE:
            columns = torch.stack([action(self.operator.adjoint(u)) for u in _units(e)])
            s = _matrix(self.operator, columns)
            v = _pseudo_solve(s + noise * torch.eye(s.shape[-1]).to(s), e.flatten(1), floor=noise)
            return torch.einsum("bk,kb...->b...", v, columns)
        v = _conjugate_gradients(
            lambda u: noise * u + self.operator.apply(action(self.operator.adjoint(u))), e, self.iterations
        )
        return action(self.operator.adjoint(v))

    def _misfit(self, x: Tensor, limit: Action) -> tuple[Tensor, Tensor]:
        """Least change that brings ``x`` to the constraint, and the norm of what no change can remove."""
        e = self.residual(x)
        if self.operator.size <= _DENSE:
            columns = torch.stack([limit(self.operator.adjoint(u)) for u in _units(e)])
            v = _pseudo_solve(_matrix(self.operator, columns), e.flatten(1))
            change = torch.einsum("bk,kb...->b...", v, columns)
        else:
            change = _least_squares(self.operator, e, limit, self.iterations)
        return change, (e - self.operator.apply(change)).flatten(1).norm(dim=1)


def _limit(process: GaussianProcess, state: RunState) -> Action:
    """Keep the sites that do not move, and the subspace of the process."""
    return lambda v: torch.where(state.free, process.space.project(v), 0.0)


def _rows(mask: Tensor, like: Tensor) -> Tensor:
    return mask.reshape(-1, *(1,) * (like.ndim - 1))


def _refuse(misfit: Tensor, b: Tensor, clamped: bool = False) -> None:
    """Raise where the least-squares residual does not vanish."""
    bad = misfit > _CONSISTENT * (1 + b.flatten(1).norm(dim=1)).to(misfit.device)
    if bool(bad.any()):
        where = torch.nonzero(bad)[:, 0].tolist()
        hint = "sites that are not free among them" if clamped else "rows of A that depend on each other"
        raise NumericalError(
            f"A x = b has no solution for samples {where[:5]}: the best x leaves {float(misfit.max()):.3g}; "
            f"look for data that contradict each other ({hint}), or give them a noise: sd > 0"
        )


def _units(e: Tensor) -> Tensor:
    """Unit vectors of the data, one at a time for all samples, shape ``(size, batch, *range)``."""
    size = e[0].numel()
    return torch.eye(size).to(e).reshape(size, 1, *e.shape[1:]).expand(size, *e.shape)


def _matrix(operator: LinearOperator, columns: Tensor) -> Tensor:
    """``A W`` for columns ``(size, batch, *domain)``, its symmetric part, shape ``(batch, size, size)``."""
    size, batch = columns.shape[:2]
    s = operator.apply(columns.flatten(0, 1)).reshape(size, batch, -1).permute(1, 2, 0)
    return (s + s.transpose(1, 2)) / 2


def _pseudo_solve(s: Tensor, e: Tensor, floor: float = 0.0) -> Tensor:
    """``S^+ e`` by eigenvalues: those below `floor`, or below the rank of a matrix without noise, count as 0."""
    finite = s.flatten(1).isfinite().all(1)
    values, vectors = torch.linalg.eigh(torch.where(_rows(finite, s), s, 0.0))
    least = _RANK * s.shape[-1] * values.abs().amax(1, keepdim=True)
    safe = values.clamp_min(floor) if floor > 0 else values
    inverse = torch.where(safe > least, 1 / torch.where(safe > least, safe, 1.0), 0.0)
    v = torch.einsum("bij,bj,bkj,bk->bi", vectors, inverse, vectors, e)
    return torch.where(finite.unsqueeze(1), v, torch.nan)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return _rows((a * b).flatten(1).sum(1), a)


def _ratio(a: Tensor, b: Tensor) -> Tensor:
    return torch.where(b > 0, a / torch.where(b > 0, b, 1.0), 0.0)


def _conjugate_gradients(apply: Action, e: Tensor, iterations: int) -> Tensor:
    """Solve a symmetric positive system for every sample; one that has converged, or meets no curvature, rests."""
    v, r = torch.zeros_like(e), e.clone()
    p, rr = r.clone(), _dot(r, r)
    least = 1e-20 * rr
    for _ in range(iterations):
        if not bool((rr > least).any()):
            break
        q = apply(p)
        step = torch.where(rr > least, _ratio(rr, _dot(p, q)), 0.0)
        v, r = v + step * p, r - step * q
        new = _dot(r, r)
        p, rr = r + _ratio(new, rr) * p, new
    return v


def _least_squares(operator: LinearOperator, e: Tensor, limit: Action, iterations: int) -> Tensor:
    """Least ``x`` of least ``|A x - e|``, by conjugate gradients on the normal equations (CGLS)."""
    r = e.clone()
    s = limit(operator.adjoint(r))
    x, p, ss = torch.zeros_like(s), s.clone(), _dot(s, s)
    least = 1e-28 * ss
    for _ in range(iterations):
        if not bool((ss > least).any()):
            break
        q = operator.apply(p)
        qq = (q * q).flatten(1).sum(1)
        moving = (ss > least).flatten()
        step = torch.where(moving, _ratio(ss.flatten(), qq), 0.0)
        x, r = x + _rows(step, x) * p, r - _rows(step, r) * q
        s = limit(operator.adjoint(r))
        new = _dot(s, s)
        p, ss = s + _ratio(new, ss) * p, new
    return x
