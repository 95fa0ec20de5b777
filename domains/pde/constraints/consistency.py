"""CoCoGen: gradient steps on the squared residual during the last steps of a run, and after it.

    x <- x - gamma grad |r(x)|^2 = x - 2 gamma J^T r

as a corrector: `during` steps of the run, those before the last one included, are each followed by one such step, and
`after` further ones follow the last. It makes no network call, lowers the residual without reaching 0, and moves the
samples off the law that the network knows.

References
----------
.. [1] C. Jacobsen, Y. Zhuang, K. Duraisamy, "CoCoGen: physically-consistent and conditioned score-based generative
   models", arXiv:2312.10527
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch

from scidiff.errors import ConfigError
from scidiff.sample.state import RunState

from .base import Constraint

__all__ = ["ConsistencySteps", "safe_step"]


@dataclass(frozen=True, eq=False)
class ConsistencySteps:
    """Corrector of CoCoGen.

    Parameters
    ----------
    constraint
        ``r``.
    size
        ``gamma``; below ``1 / |J|^2`` every step lowers the residual of an affine constraint, see `safe_step`.
    steps
        Steps of the run.
    during, after
        ``N`` and ``M``: gradient steps during the last steps of the run, and after it.
    """

    constraint: Constraint
    size: float
    steps: int
    during: int = 20
    after: int = 20
    label: ClassVar[str] = "biased"
    citation: ClassVar[str] = "arXiv:2312.10527"

    def __post_init__(self) -> None:
        if not self.size > 0 or self.during < 0 or self.after < 0:
            raise ConfigError(f"size {self.size}, during {self.during}, after {self.after}; expected > 0, >= 0, >= 0")

    def __call__(self, process: Any, state: RunState, estimate: Callable[..., Any]) -> RunState:
        """Make the gradient steps that are due."""
        due = int(state.i > self.steps - self.during) + (self.after if state.i == self.steps else 0)
        x = state.x.double()
        for _ in range(due):
            pull = self.constraint.jacobian(x).adjoint(self.constraint.residual(x))
            x = x - 2 * self.size * torch.where(state.free, pull, 0.0)
        return replace(state, x=x)


def safe_step(constraint: Constraint, share: float = 0.5) -> float:
    """Length ``share / |J|^2`` of a gradient step, from the Jacobian at the field 0."""
    zero = torch.zeros((1, *constraint.domain), dtype=torch.float64)
    return share / constraint.jacobian(zero).norm() ** 2
