"""DiffusionPDE: gradients of the norms of observations and of the equation's residual, in hand-set weights.

After a step from ``x_t`` to ``x_s`` with the denoised mean ``m(x_t)``,

    x_s <- x_s - z_obs grad_(x_t) |A m - y| - z_pde grad_(x_t) |R(m)| / N

with ``z_pde = 0`` in the first 80 % of the steps, and ``0.1 z_obs`` in the rest. As a step is ``x_s = a x_t + b m``,
the change is made to ``m``, divided by ``b``. Norms are not squared, the weights stand for no noise level, and the
samples do not obey anything exactly. FunDPS [2]_ takes squares, whose pull vanishes with the defect, and a weight that
falls with the noise:

    x_s <- x_s - z min(1, sigma_t) grad_(x_t) |A m - y|^2 / K,        K observations

References
----------
.. [1] J. Huang et al., "DiffusionPDE: generative PDE-solving under partial observation", arXiv:2406.17763
.. [2] J. Yao et al., "Guided diffusion sampling on function spaces with applications to PDEs", arXiv:2505.17004
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.process.base import site_time
from scidiff.sample.continuous.table import TableRule
from scidiff.sample.model import Evaluation
from scidiff.sample.state import RunState
from scidiff.sample.transform import Transform

from .base import Constraint

__all__ = ["NormGuidance", "SquareGuidance"]


@dataclass(frozen=True, eq=False)
class NormGuidance(Transform):
    """Guidance of DiffusionPDE.

    Parameters
    ----------
    rule
        Rule of the same run, a table without memory.
    observations
        ``A x - y`` as a constraint.
    equation
        ``R(x)`` as a constraint; None for none.
    observe, physics
        ``z_obs`` and ``z_pde``.
    late
        Share of the steps before the equation counts.
    """

    rule: TableRule
    observations: Constraint
    equation: Constraint | None = None
    observe: float = 1.0
    physics: float = 1.0
    late: float = 0.8
    label: ClassVar[str] = "biased"
    citation: ClassVar[str] = "arXiv:2406.17763"

    def __post_init__(self) -> None:
        if self.rule.memory:
            raise ConfigError(f"table '{self.rule.table.name}' has memory; expected a rule without, e.g. ddim")
        if not (self.observe >= 0 and self.physics >= 0 and 0 <= self.late <= 1):
            raise ConfigError(
                f"weights {self.observe}, {self.physics}, late {self.late}; expected >= 0, >= 0, and a share"
            )

    @property
    def gradient(self) -> bool:
        """A vector is pulled back through the network."""
        return True

    def __call__(self, m: Tensor, state: RunState, evaluation: Evaluation) -> tuple[Tensor, RunState]:
        """Return the shifted prediction."""
        b, _ = self.rule.drift(state)
        if b == 0:
            return m, state
        early = state.i < self.late * self.rule.table.steps or self.equation is None
        pull = (self.observe if early else 0.1 * self.observe) * _norm_gradient(self.observations, m)
        if not early and self.equation is not None:
            sites = m[0].numel()
            pull = pull + self.physics / sites * _norm_gradient(self.equation, m)
        return m - evaluation.pullback(pull).double() / b, state


@dataclass(frozen=True, eq=False)
class SquareGuidance(Transform):
    """Guidance of FunDPS.

    Parameters
    ----------
    rule
        Rule of the same run, a table without memory.
    observations
        ``A x - y`` as a constraint.
    weight
        ``z``; 1e3 to 1e4 as published, for data of size 1.
    """

    rule: TableRule
    observations: Constraint
    weight: float = 1e3
    label: ClassVar[str] = "biased"
    citation: ClassVar[str] = "arXiv:2505.17004"

    def __post_init__(self) -> None:
        if self.rule.memory or not self.weight >= 0:
            raise ConfigError(
                f"table '{self.rule.table.name}' and weight {self.weight} came; expected a table without memory, e.g. "
                "ddim, and a weight >= 0"
            )

    @property
    def gradient(self) -> bool:
        """A vector is pulled back through the network."""
        return True

    def __call__(self, m: Tensor, state: RunState, evaluation: Evaluation) -> tuple[Tensor, RunState]:
        """Return the shifted prediction."""
        b, _ = self.rule.drift(state)
        if b == 0:
            return m, state
        h = self.observations.residual(m)
        pull = self.observations.jacobian(m).adjoint(2 * h / h.shape[1])
        sigma = evaluation.model.process.schedule.sigma(site_time(state.t, state.x)).clamp_max(1.0)
        return m - self.weight * sigma * evaluation.pullback(pull).double() / b, state


def _norm_gradient(constraint: Constraint, m: Tensor) -> Tensor:
    """Gradient of ``|h|`` with respect to the field; 0 where ``h`` vanishes."""
    h = constraint.residual(m)
    size = h.norm(dim=1, keepdim=True)
    unit = torch.where(size > 0, h / torch.where(size > 0, size, 1.0), 0.0)
    return constraint.jacobian(m).adjoint(unit)
