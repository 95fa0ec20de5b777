"""Methods that change the denoised mean: gradients through the network, and proximal steps without.

With ``D = E[x_0 | x_s]``, ``J = dD/dx_s``, the weights ``W`` of the scan and ``L^2 = |A^T W A|``:

    DPS      D + sigma^2 / (1 + sigma^2 L^2)  J^T A^T W (y - A D)
    MCG      DPS, then x + C A^T R (y - A x),  R = 1 / (A 1),  C = 1 / (A^T 1)
    DDS      k conjugate gradients from D on  (1 + r^2 A^T W A) x = D + r^2 A^T W y,   r = scale sigma
    DiffPIR  the same solved to a tolerance
    SITCOM   D(v),  v = argmin |y - A D(v)|_W^2 / n + |v - x_s|^2 / sigma^2 until chi^2 / n <= 1

The publication of DPS divides a tuned step by the norm of the residual; here the bound of stability of a gradient step
takes its place, so that nothing is tuned. PiGDM, TMPD, MMPS and CBG are those of `scidiff.guidance`.

References
----------
H. Chung et al., DPS, arXiv:2209.14687; MCG, arXiv:2206.00941; DDS, arXiv:2303.05754; Y. Zhu et al., DiffPIR,
arXiv:2305.08995; I. Alkhouri et al., SITCOM, arXiv:2410.04479
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from scidiff.guidance.plug_in import PlugIn
from scidiff.guidance.reward import Reward
from scidiff.guidance.tilt import Estimate
from scidiff.sample.model import Evaluation
from scidiff.sample.state import RunState
from scidiff.sample.transform import Transform

from .conditional import Conditional, White
from .draws import level, note
from .problem import Problem

__all__ = ["DPS", "Proximal", "Sirt", "Sitcom", "information_norm"]

_EMPTY = 1e-8


def information_norm(problem: Problem, iterations: int = 20) -> float:
    """``L^2``, the largest eigenvalue of ``A^T W A``, by power iteration from a constant image."""
    x = torch.ones(1, *problem.grid.shape, dtype=torch.float64)
    value = 0.0
    for _ in range(iterations):
        x = problem.information(x / x.norm())
        value = float(x.norm())
    return value


@dataclass(frozen=True, eq=False)
class DPS:
    """Plug-in gradient with the step of a stable gradient descent.

    Parameters
    ----------
    norm
        ``L^2``.
    scale
        Extra factor.
    """

    norm: float
    scale: float = 1.0
    gradient: ClassVar[bool] = True
    stochastic: ClassVar[bool] = False
    label: ClassVar[str] = "biased"
    citation: ClassVar[str] = "arXiv:2209.14687"

    def __call__(self, reward: Reward, m: Tensor, state: RunState, evaluation: Evaluation) -> tuple[Estimate, RunState]:
        """Estimate by one pullback."""
        estimate, state = PlugIn(self.scale)(reward, m, state, evaluation)
        return estimate._replace(shift=estimate.shift / (1.0 + level(state, evaluation) ** 2 * self.norm)), state


@dataclass(frozen=True, eq=False)
class Sirt(Transform):
    """One SIRT step towards ``A x = y``: the projection of MCG.

    Parameters
    ----------
    problem
        The data.
    """

    problem: Problem

    @cached_property
    def _scales(self) -> tuple[Tensor, Tensor]:
        operator, used = self.problem.operator, (self.problem.w > 0).double()
        rows = operator.apply(torch.ones(1, *self.problem.grid.shape, dtype=torch.float64))
        columns = operator.adjoint(used[None])
        by_row = torch.where(rows > _EMPTY, used / rows.clamp_min(_EMPTY), 0.0)
        return by_row, torch.where(columns > _EMPTY, 1.0 / columns.clamp_min(_EMPTY), 0.0)

    def __call__(self, m: Tensor, state: RunState, evaluation: Evaluation) -> tuple[Tensor, RunState]:
        """Project."""
        by_row, by_column = self._scales
        m = m.double()
        return m + by_column * self.problem.operator.adjoint(by_row * self.problem.residual(m)), state


@dataclass(frozen=True, eq=False)
class Proximal(Transform):
    """Move the denoised mean to the data: the mean of ``N(D, r^2)`` given the scan, ``r = scale sigma``.

    Parameters
    ----------
    conditional
        Gaussians given the scan; few iterations make it the Krylov step of DDS.
    scale
        Extra factor of ``r``.
    until
        Step from which the mean is left as it is; none by default.
    """

    conditional: Conditional
    scale: float = 1.0
    until: int | None = None

    def __call__(self, m: Tensor, state: RunState, evaluation: Evaluation) -> tuple[Tensor, RunState]:
        """Solve."""
        if self.until is not None and state.i >= self.until:
            return m.double(), state
        solved = self.conditional.mean(m.double(), White(self.scale * level(state, evaluation)))
        return solved.x, note(state, solved.residual, solved.iterations)


@dataclass(frozen=True, eq=False)
class Sitcom(Transform):
    """Optimise the input of the network, so that its output explains the data; stop at the noise level.

    Parameters
    ----------
    problem
        The data.
    iterations
        Gradient steps (Adam) at most for each level, one network call each.
    rate
        Length of a step, in units of ``sigma``.
    scale
        Factor of the pull to ``x_s``.
    betas
        Decay of the two averages of Adam.
    """

    problem: Problem
    iterations: int = 10
    rate: float = 0.1
    scale: float = 1.0
    betas: tuple[float, float] = field(default=(0.9, 0.999))

    def __call__(self, m: Tensor, state: RunState, evaluation: Evaluation) -> tuple[Tensor, RunState]:
        """Optimise."""
        x, sigma, rows = state.x.double(), level(state, evaluation), torch.arange(len(state))
        v = x.clone().requires_grad_()
        adam = torch.optim.Adam([v], lr=self.rate * sigma, betas=self.betas)
        best, open_ = m.double(), torch.ones(len(x), dtype=torch.bool, device=x.device)
        for _ in range(self.iterations):
            with torch.enable_grad():
                out, state = evaluation.model.ask(state, v.to(state.x), state.t, rows)
                misfit = self.problem.chi2(out)
                pull = ((v - x) / sigma).square().flatten(1).mean(1)
                loss = (misfit + self.scale * pull).sum()
            best = torch.where(open_[:, None, None], out.detach().double(), best)
            open_ = open_ & (misfit > 1).to(open_.device)
            if not bool(open_.any()):
                break
            adam.zero_grad()
            loss.backward()
            adam.step()
        return best, state
