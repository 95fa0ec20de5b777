"""Residuals of the equation in the training loss: PIDM, and PBFM with conflict-free gradients.

PIDM [1]_ takes the residual at the denoised mean as a virtual observation whose variance is that of the posterior:

    |m - x_0|^2 w(t) + c |R(m)|^2 / (2 s(t)),        s = sigma^2 v / (alpha^2 v + sigma^2),  v the variance of the data

PBFM [2]_ unrolls the flow from ``x_t`` to the data in ``n`` Euler steps and weighs the residual of the end by the share
of signal, ``L_R = |(1 - t) R(x_end)|^2``; its gradient ``g_2`` and that of the denoising loss ``g_1`` are joined by
ConFIG [3]_, which has a positive product with both, whatever their sizes:

    g_v = U( U(g_1 - P_(g_2) g_1) + U(g_2 - P_(g_1) g_2) ),      g = (g_1 g_v + g_2 g_v) g_v,      U(g) = g / |g|

The residual of a mean is not the mean of the residuals where ``R`` is not affine, so that both pull the samples off the
law of the data, and leave a residual that is small and not 0: biased. Both are tasks of `scidiff.train`.

References
----------
.. [1] J.-H. Bastek, W. Sun, D. Kochmann, "Physics-informed diffusion models", arXiv:2403.14404
.. [2] G. Baldan et al., "Flow matching meets PDEs: physics-based flow matching", arXiv:2506.08604
.. [3] Q. Liu, M. Chu, N. Thuerey, "ConFIG: towards conflict-free training of physics informed neural networks",
   arXiv:2408.11104
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from scidiff.errors import ConfigError
from scidiff.process.base import site_time
from scidiff.process.gaussian import GaussianProcess
from scidiff.process.straight import displacement
from scidiff.random import SharedNoise
from scidiff.train.denoising import DenoisingTask

from .base import Constraint

__all__ = ["PBFMTask", "PIDMTask", "config_direction", "with_gradient"]

_TINY = 1e-30


def config_direction(first: Tensor, second: Tensor) -> Tensor:
    """Conflict-free direction of two gradients, shape ``(size,)``; the sum where one of them is 0.

    Parameters
    ----------
    first, second
        ``g_1``, ``g_2``.

    References
    ----------
    .. [1] Liu et al., arXiv:2408.11104, eq. for two losses
    """
    if float(first.norm()) < _TINY or float(second.norm()) < _TINY:
        return first + second
    only_first = first - second * (first @ second) / (second @ second)
    only_second = second - first * (first @ second) / (first @ first)
    along = _unit(_unit(only_first) + _unit(only_second))
    return (first @ along + second @ along) * along


def with_gradient(value: Tensor, parameters: Sequence[Tensor], gradient: Tensor) -> Tensor:
    """Scalar of the given value whose gradient with respect to the parameters is the given one.

    Parameters
    ----------
    value
        Shape ``()``.
    parameters
        The parameters.
    gradient
        Their gradient, flattened one behind the other.
    """
    pieces = gradient.split([part.numel() for part in parameters])
    carrier = sum((part * piece.reshape(part.shape)).sum() for part, piece in zip(parameters, pieces, strict=True))
    return value.detach() + carrier - carrier.detach()  # type: ignore[union-attr]


@dataclass
class PIDMTask(DenoisingTask):
    """Denoising with the residual of the mean as a virtual observation.

    Parameters
    ----------
    equation
        ``R`` as a constraint.
    strength
        ``c``; about 1e-3 as published.
    variance
        ``v``, variance of a site of the data.
    """

    equation: Constraint | None = None
    strength: float = 1e-3
    variance: float = 1.0

    def loss(self, network: nn.Module, batch: Tensor, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Both losses; the residual is in the metrics."""
        equation, process = _physics(self)
        draw = self.levels.draw(len(batch), generator)
        m, x_t = self._predict(batch, draw.t, SharedNoise(generator, len(batch)))
        terms = process.loss(m, batch, x_t, draw.t).flatten(1).sum(1)
        squares = (equation.residual(m) ** 2).mean(1)
        alpha2, sigma2 = process.schedule.alpha(draw.t) ** 2, process.schedule.sigma(draw.t) ** 2
        posterior = sigma2 * self.variance / (alpha2 * self.variance + sigma2)
        total = (draw.weight * terms).mean() + self.strength * (squares / (2 * posterior.clamp_min(1e-6))).mean()
        return total, {"residual": squares.detach().mean(), **draw.metrics()}


@dataclass
class PBFMTask(DenoisingTask):
    """Denoising and the residual of the unrolled end, joined without conflict.

    Parameters
    ----------
    equation
        ``R`` as a constraint.
    unroll
        Euler steps ``n`` from ``x_t`` to the data.
    """

    equation: Constraint | None = None
    unroll: int = 1

    def loss(self, network: nn.Module, batch: Tensor, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Denoising loss, with the joined gradient; the residual is in the metrics."""
        equation, process = _physics(self)
        draw = self.levels.draw(len(batch), generator)
        m, x_t = self._predict(batch, draw.t, SharedNoise(generator, len(batch)))
        terms = (draw.weight * process.loss(m, batch, x_t, draw.t).flatten(1).sum(1)).mean()
        share = process.schedule.alpha(draw.t).unsqueeze(1)
        squares = ((share * equation.residual(self._end(process, x_t, draw.t, m))) ** 2).mean(1).mean()
        parameters = [part for part in self.denoiser.parameters() if part.requires_grad]
        first, second = (_gradient(value, parameters) for value in (terms, squares))
        joined = with_gradient(terms, parameters, config_direction(first, second))
        return joined, {"residual": squares.detach(), **draw.metrics()}

    def _end(self, process: GaussianProcess, x: Tensor, t: Tensor, m: Tensor) -> Tensor:
        """End of `unroll` Euler steps, the first of them with the prediction that is there."""
        if self.unroll < 1:
            raise ConfigError(f"unroll is {self.unroll}; expected at least one step")
        for k in range(self.unroll):
            now, then = t * (1 - k / self.unroll), t * (1 - (k + 1) / self.unroll)
            mean = m if k == 0 else self.mean(x, now)
            x = x + displacement(process, mean, x, site_time(now, x), site_time(then, x))
        return x


def _physics(task: PIDMTask | PBFMTask) -> tuple[Constraint, GaussianProcess]:
    if task.equation is None or not isinstance(task.process, GaussianProcess):
        raise ConfigError(
            f"equation {task.equation} and a {type(task.process).__name__} came; expected an equation, and a "
            "GaussianProcess"
        )
    return task.equation, task.process


def _gradient(value: Tensor, parameters: Sequence[Tensor]) -> Tensor:
    parts = torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True)
    return torch.cat(
        [(torch.zeros_like(p) if g is None else g).flatten() for p, g in zip(parameters, parts, strict=True)]
    )


def _unit(g: Tensor) -> Tensor:
    return g / g.norm().clamp_min(_TINY)
