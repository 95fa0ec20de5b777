"""BDIA: sampling that can be undone to the last digits [1]_.

With ``D(i -> j)`` the increment of a DDIM step from ``x_i``, one evaluation at ``x_i`` serves two steps:

    x_(i+1) = x_i + D(i -> i+1) + g [(x_(i-1) - x_i) - D(i -> i-1)]
    x_(i-1) = x_i + D(i -> i-1) + [(x_(i+1) - x_i) - D(i -> i+1)] / g

The second line is the first one backward in time with ``1/g`` in the place of ``g``, so that one rule goes both ways.
Back it needs the last pair ``(x_(N-1), x_N)``. For ``g = 1`` the order is two, for ``g < 1`` one, with a constant
smaller by ``(1 - g) / (1 + g)``, and it is steadier. Round-off of the inverse grows like ``g^-N``: use 0.9 to 1,
float64, and heed the warning.

References
----------
.. [1] G. Zhang, J. P. Lewis, W. B. Kleijn, "Exact diffusion inversion via bi-directional integration approximation",
   arXiv:2307.10829
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from scidiff.denoise.denoiser import Denoiser
from scidiff.errors import ConfigError, NumericalWarning
from scidiff.process.base import site_time
from scidiff.process.gaussian import GaussianProcess
from scidiff.sample.grids import Grid
from scidiff.sample.loop import run
from scidiff.sample.state import RunState, Stamp
from scidiff.sample.transform import Transform

__all__ = ["Bdia", "amplification", "invert_bdia"]

_ROUND_OFF = 2.0**-53
_TRUSTED = 1e-8


@dataclass(frozen=True)
class Bdia:
    """Bi-directional integration approximation [1]_; the first step is one of DDIM.

    Parameters
    ----------
    gamma
        ``g``: 1 is the second-order scheme, towards 0 it becomes DDIM. The inverse needs values near 1.
    """

    gamma: float = 0.9
    memory: ClassVar[int] = 1
    citation: ClassVar[str] = "arXiv:2307.10829"

    def __post_init__(self) -> None:
        if not 0 < self.gamma < math.inf:
            raise ConfigError(f"gamma is {self.gamma}; expected a number > 0, 0.9 to 1 where the run is to be undone")

    @property
    def label(self) -> str:
        """Second order for ``g = 1``."""
        return "consistent(2)" if self.gamma == 1 else "consistent(1)"

    def __call__(self, process: GaussianProcess, state: RunState, m: Tensor, s: Tensor) -> Tensor:
        """Return the state at ``s``, float64."""
        x, m = state.x.double(), m.double()
        moved = x + _increment(process, state.t, s, x, m)
        if not state.history:
            return moved
        before = state.history[-1]
        return moved + self.gamma * (before.x.double() - x - _increment(process, state.t, before.t, x, m))


def _increment(process: GaussianProcess, t: Tensor, s: Tensor, x: Tensor, m: Tensor) -> Tensor:
    """``D(t -> s)`` of DDIM; sites without noise stay."""
    t, s = site_time(t, x), site_time(s, x)
    alpha, sigma = process.schedule.alpha, process.schedule.sigma
    noisy = sigma(t) > 0
    keep = torch.where(noisy, sigma(s) / torch.where(noisy, sigma(t), 1.0), 1.0)
    return torch.where(noisy, (keep - 1) * x + (alpha(s) - keep * alpha(t)) * m, 0.0)


def amplification(gamma: float, steps: int) -> float:
    """Factor by which the inverse of a run of `steps` steps enlarges round-off: ``g^(1 - steps)``, at least 1."""
    return max(1.0, gamma ** (1 - steps))


@torch.no_grad()
def invert_bdia(
    denoiser: Denoiser,
    process: GaussianProcess,
    grid: Tensor,
    state: RunState,
    *,
    gamma: float = 0.9,
    condition: Any = None,
    transforms: Sequence[Transform] = (),
) -> RunState:
    """Run a BDIA run backward to its start.

    Parameters
    ----------
    denoiser, process
        As in the run.
    grid
        Grid of the run.
    state
        The last state of the run; with its memory of one step it holds the pair that is needed.
    gamma
        That of the run.
    condition, transforms
        As in the run.

    Returns
    -------
    RunState
        State at the first node, float64; the ledger counts on.

    Warns
    -----
    NumericalWarning
        If round-off is enlarged beyond 1e-8.
    """
    steps = len(grid) - 1
    if len(state.history) != 1 or steps < 2:
        raise ConfigError(
            f"the state remembers {len(state.history)} steps of a grid of {steps}; expected the last state of a run of "
            "Bdia, which remembers one, over at least two steps"
        )
    last = state.history[0]
    pairs = zip((last.t, state.t), grid[-2:], strict=True)
    if not all(bool((torch.where(state.free, time, node) == node).all()) for time, node in pairs):
        raise ConfigError("the state does not stand at the end of this grid; pass the grid of the run")
    grown = amplification(gamma, steps) * _ROUND_OFF
    if grown > _TRUSTED:
        warnings.warn(
            f"gamma = {gamma:g} over {steps} steps enlarges round-off to {grown:.1g} and more; use one nearer to 1",
            NumericalWarning,
            stacklevel=2,
        )
    start = replace(state, x=last.x.double(), t=last.t, history=(Stamp(state.t, state.x, last.m),))
    plan = Grid(grid[:-1].flip(0), offset=state.i)
    rule = Bdia(1 / gamma)
    return run(denoiser, process, rule, plan, state=start, condition=condition, transforms=transforms)
