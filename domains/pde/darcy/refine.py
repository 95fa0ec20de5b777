r"""Corrections of a medium towards the sensors of the head: Gauss-Newton steps with adjoint gradients.

Let ``g`` be a field whose sign is the medium, ``F(g)`` the head at the sensors, and ``a'(g)`` the coefficient's
derivative as if it rose from low to high over a width ``e``, the change of ``g`` from cell to cell. One factor of
the matrix ``A`` of the medium gives the head and, solved for each sensor, the rows of the Jacobian,

    J_ji = -l_j^T (dA/da_i) u a'(g_i),      A l_j = delta_j,

and the step is that of Levenberg and Marquardt in the norm of the prior covariance ``C`` of the Gaussian field,

    g <- g + C J^T (J C J^T + mu tr(J C J^T) / M)^-1 (y - F(g)),

kept if the misfit ``|y - F(g)|`` of the sharp medium falls, else tried again with a larger ``mu``. The step moves only
what the sensors see: the spread of draws in all other directions stays. It is a correction, not a draw of a posterior.

References
----------
.. [1] M. A. Iglesias, Y. Lu, A. M. Stuart, "A Bayesian level set method for geometric inverse problems",
   arXiv:1504.00313
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import linalg
from scipy.sparse.linalg import SuperLU, splu

from scidiff.random import Noise

from ..laws import Neumann
from ..problems.darcy import Darcy
from .cells import CellField
from .chart import HIGH, LOW, medium, unit_field
from .decode import obey_signs
from .observations import Observations, Readings
from .signs import SignPosterior

__all__ = ["Fit", "gauss_newton", "latent_field", "refine_fields", "sensitivity"]

_WIDTH = 0.12
_TRIES = 6
_START, _EASIER, _HARDER = 1e-3, 0.3, 10.0


def latent_field(size: int) -> CellField:
    """Prior of ``g``, in standard deviations: the field whose sign the medium of `Darcy` is."""
    return unit_field(Neumann(), 2.0, 3.0, (size, size))


@dataclass(frozen=True, eq=False)
class Fit:
    """A medium corrected.

    Parameters
    ----------
    g
        Field, shape ``(n, n)``.
    misfit
        Relative L2 misfit at the sensors before, and after each accepted step.
    solves
        Factors that were computed.
    """

    g: np.ndarray
    misfit: tuple[float, ...]
    solves: int


def _solved(problem: Darcy, a: np.ndarray) -> tuple[SuperLU, np.ndarray]:
    matrix = problem.matrix(torch.from_numpy(a))
    factor = splu(matrix, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
    return factor, factor.solve(np.full(a.size, problem.source)).reshape(a.shape)


def sensitivity(a: np.ndarray, u: np.ndarray, adjoint: np.ndarray) -> np.ndarray:
    """Derivative of heads with respect to the coefficient of every cell.

    Parameters
    ----------
    a, u
        Coefficient and head, shape ``(n, n)``.
    adjoint
        Solutions ``l_j``, shape ``(sensors, n, n)``.

    Returns
    -------
    ndarray
        ``d u_j / d a_i``, shape ``(sensors, n, n)``.
    """
    out = np.zeros_like(adjoint)
    for axis in (0, 1):
        low, high = np.take(a, range(len(a) - 1), axis), np.take(a, range(1, len(a)), axis)
        product = np.diff(adjoint, axis=axis + 1) * np.diff(u, axis=axis)
        share = 2 / (low + high) ** 2
        moved, products = np.moveaxis(out, axis + 1, 1), np.moveaxis(product, axis + 1, 1)
        moved[:, :-1] -= np.moveaxis(share * high**2, axis, 0) * products
        moved[:, 1:] -= np.moveaxis(share * low**2, axis, 0) * products
        rows, flat = np.moveaxis(adjoint, axis + 1, 1), np.moveaxis(u, axis, 0)
        for end in (0, -1):
            moved[:, end] -= 2 * rows[:, end] * flat[end]
    return out * len(a) ** 2


def gauss_newton(g: np.ndarray, seen: Observations, head: Readings, rounds: int) -> Fit:
    """Correct one field.

    Parameters
    ----------
    g
        Field in standard deviations of its prior, shape ``(n, n)``.
    seen, head
        Readings; the signs that were read stay right.
    rounds
        Steps at most.
    """
    problem, prior, cells = Darcy(len(g)), latent_field(len(g)), head.index
    size, mu = float(np.linalg.norm(head.values)), _START
    factor, u = _solved(problem, medium(g))
    gap = head.values - head.at(u)
    misfit, solves = [float(np.linalg.norm(gap)) / size], 1
    units = np.zeros((len(cells), *g.shape))
    units[np.arange(len(cells)), cells[:, 0], cells[:, 1]] = 1.0
    for _ in range(rounds):
        adjoint = factor.solve(units.reshape(len(cells), -1).T.copy()).T.reshape(units.shape)
        slope = (HIGH - LOW) / (2 * _WIDTH) / np.cosh(np.clip(g / _WIDTH, -30, 30)) ** 2
        rows = sensitivity(medium(g), u, adjoint) * slope
        back = prior.smooth(rows).reshape(len(cells), -1)
        gram = rows.reshape(len(cells), -1) @ back.T
        for _ in range(_TRIES):
            damped = gram + mu * np.trace(gram) / len(cells) * np.eye(len(cells))
            step = linalg.solve(damped, gap, assume_a="pos") @ back
            trial, _ = obey_signs((g + step.reshape(g.shape))[None], seen)
            new, v = _solved(problem, medium(trial[0]))
            rest, solves = head.values - head.at(v), solves + 1
            if np.linalg.norm(rest) < np.linalg.norm(gap):
                g, factor, u, gap, mu = trial[0], new, v, rest, mu * _EASIER
                misfit.append(float(np.linalg.norm(gap)) / size)
                break
            mu *= _HARDER
        else:
            break
    return Fit(g, tuple(misfit), solves)


def refine_fields(
    g: np.ndarray, seen: Observations, rounds: int, noise: Noise
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Correct fields by what was read: by the head, where it was; else by the medium.

    Towards the head, Gauss-Newton steps. Where the medium alone was read, sweeps of the Gibbs sampler whose law is the
    exact posterior (`SignPosterior`), begun at the fields.

    Parameters
    ----------
    g
        Fields, shape ``(count, n, n)``, with the right signs.
    seen
        Readings.
    rounds
        Steps or sweeps for each field at most; 0 for none.
    noise
        Randomness of the fields.

    Returns
    -------
    fields
        Same shape.
    records
        ``corrections``: steps that were accepted, or sweeps.
    """
    head, signs = seen.head, seen.medium
    if head is None and signs is not None and rounds:
        law = SignPosterior(latent_field(g.shape[-1]), signs.index, seen.signs)
        swept = law.draw(noise, sweeps=rounds, start=signs.at(g))
        return obey_signs(swept, seen)[0], {"corrections": np.full(len(g), rounds)}
    if head is None or rounds == 0:
        return g, {"corrections": np.zeros(len(g), dtype=np.int64)}
    fits = [gauss_newton(each, seen, head, rounds) for each in g]
    return np.stack([fit.g for fit in fits]), {"corrections": np.array([len(fit.misfit) - 1 for fit in fits])}
