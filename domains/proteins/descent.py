"""Descent of the relaxation energy in the metric of displacement.

A torsion in the middle of a chain moves half of it by many Å, one near an end hardly anything; plain gradient steps are
either too long for the one or too short for the other. With ``M = C C^T`` the metric of `levers.displacement_metric`,
brought to the variables of `relaxation.Variables` and with `_FLOOR` on its diagonal, the descent runs in ``z = C^T x``:

    g_z = C^-1 g_x        dx = C^-T dz

by Adam [1]_ with an `_EPS` that makes steps small where gradients are. The metric is renewed every `_RENEW` steps.
Steps are longer, by the factor ``1 + 4 (ratio - r)``, where the radius of gyration is too large, as the way is.

References
----------
.. [1] D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization", arXiv:1412.6980
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from .backbone import build
from .bounded import SLOPES
from .levers import displacement_metric
from .relaxation import Relaxation, Strain, Variables
from .shape import rg_ratio

__all__ = ["descend"]

_FLOOR = 4.0
_RENEW = 15
_EPS = 1.0
_BETAS = (0.8, 0.95)
_FARTHER = 4.0


def _joined(now: Variables) -> Tensor:
    """Variables side by side: phi, psi, v, u; shape ``(batch, length, 6)``."""
    return torch.cat((now.phi_psi, now.v.unsqueeze(-1), now.u), dim=-1)


def _parted(x: Tensor, like: Variables) -> Variables:
    return replace(like, phi_psi=x[..., :2], v=x[..., 2], u=x[..., 3:])


def _factor(now: Variables) -> Tensor:
    """Cholesky factor of the metric of the variables."""
    batch, size = now.mask.shape
    metric = displacement_metric(build(now.internal()), now.mask)
    bent = 1 - torch.cat((now.v.unsqueeze(-1), now.u), dim=-1).tanh() ** 2
    slope = torch.cat((torch.ones_like(now.phi_psi), bent * now.u.new_tensor(SLOPES)), dim=-1).reshape(batch, 6 * size)
    metric = metric * slope.unsqueeze(1) * slope.unsqueeze(2)
    floor = torch.ones_like(_joined(now)) * now.u.new_tensor((1.0, 1.0, 0.25, 0.25, 0.25, 0.25)) * _FLOOR
    return torch.linalg.cholesky(metric + torch.diag_embed(floor.reshape(batch, 6 * size)))


def descend(strain: Strain, start: Variables, settings: Relaxation) -> Variables:
    """Descend from the start.

    Parameters
    ----------
    strain
        The energy.
    start
        First variables.
    settings
        Steps and rate; the rate falls to zero as a half cosine.

    Returns
    -------
    Variables
        The last ones.
    """
    x, pairs, factor = _joined(start), None, _factor(start)
    first = second = torch.zeros_like(x).flatten(1)
    stretched = (rg_ratio(build(start.internal())[:, :, 1], start.mask) - settings.ratio).clamp(min=0)
    reach = settings.rate * (1 + _FARTHER * stretched).unsqueeze(1)
    for step in range(settings.steps):
        if step % _RENEW == 0:
            factor, pairs = _factor(_parted(x, start)) if step else factor, None
        with torch.enable_grad():
            here = x.detach().requires_grad_()
            energy, pairs = strain(_parted(here, start), pairs)
            (gradient,) = torch.autograd.grad(energy.sum(), here)
        g = torch.linalg.solve_triangular(factor, gradient.flatten(1).unsqueeze(-1), upper=False).squeeze(-1)
        first = _BETAS[0] * first + (1 - _BETAS[0]) * g
        second = _BETAS[1] * second + (1 - _BETAS[1]) * g * g
        bias = 1 - _BETAS[0] ** (step + 1), 1 - _BETAS[1] ** (step + 1)
        rate = reach * (1 + math.cos(math.pi * step / settings.steps)) / 2
        dz = -rate * (first / bias[0]) / ((second / bias[1]).sqrt() + _EPS)
        dx = torch.linalg.solve_triangular(factor.transpose(1, 2), dz.unsqueeze(-1), upper=True).squeeze(-1)
        x = x.detach() + dx.reshape(x.shape)
    return _parted(x, start)
