"""Transforms that bring the estimate of the clean field, or the finished sample, to a constraint.

`Correction` changes the prediction ``m`` of every step, in a metric given by a covariance ``C``:

    m <- m - C J^T (J C J^T)^+ h(m),     repeated for nonlinear h

With ``C = Cov[x_0 | x_t]`` and affine ``h`` this is conditioning, exact for Gaussian data and the same formula as
`scidiff.guidance.LinearConstraint`; with ``C = 1`` it is the correction of ECI [1]_ and, in one step, of PCFM [2]_.
`EndProjection` leaves the steps alone and changes the sample. Both polish the sample after the last step in float64.

Records, per sample: ``constraint/before`` and ``constraint/after``, the largest ``|h|`` of the sample before and after
the polish; ``constraint/iterations`` of the polish; ``failed/constraint`` where a step or the polish did not converge.

References
----------
.. [1] C. Cheng et al., "Gradient-free generation for hard-constrained systems", arXiv:2412.01786
.. [2] U. Utkarsh et al., "Physics-constrained flow matching", arXiv:2506.04171
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.guidance.covariances import Covariance, White
from scidiff.process.gaussian import GaussianProcess
from scidiff.sample.model import Evaluation
from scidiff.sample.state import RunState
from scidiff.sample.transform import Transform

from .base import Constraint
from .newton import Action, SchurSolver, gauss_newton, identity, shared_schur

__all__ = ["Correction", "EndProjection", "Polish"]

_EUCLIDEAN = White()


@dataclass(frozen=True, eq=False)
class Polish(Transform):
    """Leave the steps as they are, and bring the sample to the constraint after the last one.

    Parameters
    ----------
    constraint
        ``h``.
    action
        Metric ``v -> C v`` of the change; Euclidean by default.
    iterations, tolerance
        Of the Gauss-Newton iteration.
    reference
        Field at which ``S`` is taken, once for all samples, shape ``event``: a chord iteration, whose steps are cheap
        and which converges where the Jacobian varies little. ``S`` at each sample by default.
    """

    constraint: Constraint
    action: Action = identity
    iterations: int = 20
    tolerance: float = 1e-12
    reference: Tensor | None = None

    def __call__(self, m: Tensor, state: RunState, evaluation: Evaluation) -> tuple[Tensor, RunState]:
        """Change nothing."""
        return m, state

    def close(self, process: Any, state: RunState) -> RunState:
        """Polish the samples."""
        before = self.constraint.violation(state.x)
        report = gauss_newton(
            self.constraint,
            state.x,
            self.action,
            nearest=self.reference is None,
            iterations=self.iterations,
            tolerance=self.tolerance,
            solve=self._chord(self.action),
        )
        failed = state.records.get("failed/constraint", torch.zeros(len(state), dtype=torch.bool)) | ~report.converged
        state = replace(state, x=torch.where(state.free, report.x, state.x.double()))
        state = state.record("constraint/before", before).record("constraint/after", report.violation)
        return state.record("constraint/iterations", report.iterations).record("failed/constraint", failed)

    def _chord(self, action: Action, noise: float = 0.0) -> SchurSolver | None:
        """Solver with ``S`` at the reference field, where there is one; at any field of an affine constraint."""
        if self.reference is None and not self.constraint.affine:
            return None
        zero = torch.zeros(self.constraint.domain, dtype=torch.float64)
        at = zero if self.reference is None else self.reference.double()
        return shared_schur(self.constraint.jacobian(at.unsqueeze(0)), action, noise**2)


@dataclass(frozen=True, eq=False)
class EndProjection(Polish):
    """Project the finished sample, in the metric of a covariance of the data.

    With the covariance of Gaussian data, an exact sampler and affine ``h`` this is conditioning by kriging [1]_: the
    projected draw of the prior is an exact draw of the conditioned law. In the Euclidean metric it is biased.

    References
    ----------
    .. [1] G. Matheron, "The intrinsic random functions and their applications", doi:10.2307/1425829
    """

    def close(self, process: Any, state: RunState) -> RunState:
        """Project in the metric, then polish by the least change."""
        report = gauss_newton(
            self.constraint, state.x, self.action, nearest=True, iterations=self.iterations, tolerance=self.tolerance
        )
        return Polish(self.constraint).close(process, replace(state, x=torch.where(state.free, report.x, state.x)))


@dataclass(frozen=True, eq=False)
class Correction(Polish):
    """Bring the prediction of every step to the constraint, in the metric of a covariance.

    Parameters
    ----------
    constraint, action, iterations, tolerance
        As for `Polish`; `action` is the metric of the polish.
    covariance
        ``C`` at the present time; Euclidean by default.
    newton
        Steps of the Gauss-Newton iteration for each prediction; 1 is enough for an affine constraint.
    nearest
        Whether the least-squares form is used, or the root form.
    strict
        Whether a prediction that is off the constraint by more than `tolerance` after its steps marks its sample as
        failed. The polish comes anyway.
    linear_iterations
        Bound on the conjugate gradients of one step.
    noise
        Standard deviation that is granted to the equations within the steps, where `S` is one for all samples: what the
        metric cannot reach is then left to the polish, instead of being forced into directions of no variance.
    """

    covariance: Covariance = _EUCLIDEAN
    newton: int = 1
    nearest: bool = True
    strict: bool = False
    linear_iterations: int = 200
    noise: float = 0.0

    @property
    def gradient(self) -> bool:
        """As the covariance says."""
        return self.covariance.gradient

    def __call__(self, m: Tensor, state: RunState, evaluation: Evaluation) -> tuple[Tensor, RunState]:
        """Return the corrected prediction."""
        process = evaluation.model.process
        if not isinstance(process, GaussianProcess):
            raise ConfigError(f"a correction on a {type(process).__name__} was asked for; expected a GaussianProcess")
        action = self.covariance(state, evaluation)
        report = gauss_newton(
            self.constraint,
            m,
            lambda v: torch.where(state.free, process.space.project(action(v)), 0.0),
            nearest=self.nearest and self.reference is None,
            iterations=self.newton,
            tolerance=self.tolerance,
            solve=self._shared(m, state, evaluation),
            linear_iterations=self.linear_iterations,
        )
        good = report.x.flatten(1).isfinite().all(1)
        failed = state.records.get("failed/constraint", torch.zeros(len(state), dtype=torch.bool)) | ~good
        if self.strict:
            failed = failed | ~report.converged
        keep = good.reshape(-1, *(1,) * (m.ndim - 1))
        return torch.where(keep, report.x, m.double()), state.record("failed/constraint", failed)

    def _shared(self, m: Tensor, state: RunState, evaluation: Evaluation) -> SchurSolver | None:
        """One solver for all samples, where covariance, time and the field of the Jacobian are the same for all."""
        same = not self.covariance.gradient and bool(state.free.all()) and bool((state.t == state.t.flatten()[0]).all())
        if not same or not (self.constraint.affine or self.reference is not None):
            return None
        covariance, space = self.covariance(state.take([0]), evaluation), evaluation.model.process.space

        def action(v: Tensor) -> Tensor:
            return space.project(covariance(v))

        return self._chord(action, self.noise)
