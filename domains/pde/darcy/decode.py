r"""From coordinates to a pair that satisfies the equation: the solution chart.

The medium is the sign of ``s``. Where the medium was read, ``s`` is moved so that the sign is the one that was read:
with the deficits ``d_j = b_j max(0, m - b_j s_j)`` at the sensors, 0 where the sign is right by the margin ``m``,

    s <- s + C_.s C_ss^-1 d

the least change, in the norm of the kriging covariance, that mends the wrong sensors and leaves the others alone. The
head is then not what the network says but the solution of the equation for this medium, so that the residual of every
pair is the round-off of the solver; the network's own head is kept beside it for comparison.
"""

from __future__ import annotations

import numpy as np
import torch

from ..contract import State
from ..problems.darcy import Darcy
from .chart import medium
from .conditions import sign_field
from .observations import Observations

__all__ = ["obey_signs", "relative", "solve_media"]

_MARGIN = 1e-3
_NUGGET = 1e-9


def obey_signs(s: np.ndarray, seen: Observations) -> tuple[np.ndarray, np.ndarray]:
    """Give fields the signs that were read.

    Parameters
    ----------
    s
        Fields, shape ``(count, n, n)``.
    seen
        Readings.

    Returns
    -------
    fields
        Same shape, with the right sign at every sensor of the medium.
    overruled
        Share of these sensors whose sign was wrong before, shape ``(count,)``.
    """
    if seen.medium is None:
        return s, np.zeros(len(s))
    signs, index = seen.signs, seen.medium.index
    short = signs * np.maximum(0.0, _MARGIN - signs * seen.medium.at(s))
    wrong = (signs * seen.medium.at(s) < 0) | ((seen.medium.at(s) == 0) & (signs < 0))
    field = sign_field((s.shape[-2], s.shape[-1]))
    mended = s + field.interpolate(index, short, _NUGGET)
    mended[:, index[:, 0], index[:, 1]] = seen.medium.at(s) + short
    return mended, wrong.mean(1)


def solve_media(s: np.ndarray) -> State:
    """Media of fields, and their heads: ``a``, ``f`` and ``u`` of shape ``(count, n, n)``."""
    problem = Darcy(s.shape[-1])
    a = torch.from_numpy(medium(s))
    return problem.solve({"a": a, "f": torch.full_like(a, problem.source)})


def relative(field: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Relative L2 distance of fields or readings from others, shape ``(count,)``."""
    axes = tuple(range(1, field.ndim))
    return np.sqrt(((field - other) ** 2).sum(axes) / (other**2).sum(axes))
