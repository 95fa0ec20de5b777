"""Fitting a few dozen numbers to a robust endpoint loss by L-BFGS.

    loss(theta) = mean_n sqrt(|x_n(theta) - x*_n|^2 + scale^2) - scale

is quadratic below `scale` and linear above, so that the few trajectories near a separatrix, which no solver of few
steps can follow, do not rule the fit. The gradient is that of autograd where it agrees with a central difference along
itself near the start; a denoiser that lets no gradient through, or only a part of it, is differentiated numerically.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scidiff.errors import NumericalError

__all__ = ["AUTOGRAD", "DIFFERENCES", "Descent", "descend", "robust", "robust_scale"]

AUTOGRAD, DIFFERENCES = "autograd", "finite differences"
_STEP = 1e-4
_AGREE = 0.02
_ASIDE = 0.05

Objective = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Descent:
    """What a fit found: parameters, the loss after every iteration, evaluations made, and how it was differentiated."""

    theta: Tensor
    history: tuple[float, ...]
    evaluations: int
    gradient: str


def robust(square: Tensor, scale: float) -> Tensor:
    """Mean of ``sqrt(square + scale^2) - scale`` over squared distances, shape ``(batch,)``."""
    return (square + scale**2).sqrt().mean() - scale


def robust_scale(end: Tensor) -> float:
    """Return one hundredth of the root mean square distance of the ends from their mean."""
    flat = end.flatten(1)
    return 0.01 * max(float((flat - flat.mean(0)).square().sum(1).mean().sqrt()), 1e-12)


class _Counted:
    """An objective with its gradient, which counts its evaluations and keeps the best that it saw."""

    def __init__(self, objective: Objective) -> None:
        self.objective, self.evaluations = objective, 0
        self.best, self.at = np.inf, np.zeros(0)

    def value(self, theta: np.ndarray) -> float:
        self.evaluations += 1
        with torch.no_grad():
            return float(self.objective(torch.from_numpy(theta.copy())))

    def autograd(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        self.evaluations += 1
        point = torch.from_numpy(theta.copy()).requires_grad_(True)
        with torch.enable_grad():
            loss = self.objective(point)
            (slope,) = torch.autograd.grad(loss, point, allow_unused=True)
        return loss.item(), np.zeros_like(theta) if slope is None else slope.numpy()

    def differences(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        steps = _STEP * np.eye(len(theta))
        slope = [(self.value(theta + step) - self.value(theta - step)) / (2 * _STEP) for step in steps]
        return self.value(theta), np.array(slope)

    def agrees(self, theta: np.ndarray) -> bool:
        """Whether autograd predicts the change along its own direction, beside a start that may be a minimum."""
        theta = theta + _ASIDE * np.cos(1.0 + np.arange(len(theta)))
        slope = self.autograd(theta)[1]
        length = float(np.linalg.norm(slope))
        if not np.isfinite(length) or length == 0:
            return False
        ahead = _STEP * slope / length
        seen = (self.value(theta + ahead) - self.value(theta - ahead)) / (2 * _STEP)
        return abs(seen - length) <= _AGREE * length


def descend(objective: Objective, start: Tensor, *, iterations: int, differentiable: bool | None = None) -> Descent:
    """Minimise by L-BFGS.

    Parameters
    ----------
    objective
        Loss of a parameter vector.
    start
        First parameters, shape ``(count,)``.
    iterations
        Largest number of iterations.
    differentiable
        Whether autograd is used; by default it is tried against a central difference first.

    Returns
    -------
    Descent
        The best parameters seen.

    Raises
    ------
    NumericalError
        If the loss is not finite at the start.
    """
    from scipy.optimize import minimize

    counted, first = _Counted(objective), start.detach().double().numpy()
    begin = counted.value(first)
    if not np.isfinite(begin):
        raise NumericalError(f"the loss is {begin} at the start of the fit; check the teacher's pairs and the denoiser")
    by_autograd = counted.agrees(first) if differentiable is None else differentiable
    counted.best, counted.at = begin, first.copy()
    history = [begin]

    def both(theta: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = (counted.autograd if by_autograd else counted.differences)(theta)
        if not np.isfinite(value) or not np.isfinite(slope).all():
            return 1e6 * (1 + abs(begin)), np.zeros_like(slope)
        if value < counted.best:
            counted.best, counted.at = value, theta.copy()
        return value, slope

    minimize(
        both,
        first,
        jac=True,
        method="L-BFGS-B",
        callback=lambda _theta: history.append(counted.best),
        options={"maxiter": iterations, "maxfun": 2 * iterations + 20},
    )
    gradient = AUTOGRAD if by_autograd else DIFFERENCES
    return Descent(torch.from_numpy(counted.at), tuple(history), counted.evaluations, gradient)
