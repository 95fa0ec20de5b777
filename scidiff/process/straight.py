"""Straight jumps: the step of first order of each deterministic flow, which is linear in the prediction ``m``.

A jump from time ``t`` to ``s`` leaves ``x`` along ``u = e x + c m``, to ``x + u`` or ``exp_x(u)``:

    Gaussian      e = sigma_s / sigma_t - 1    c = alpha_s - alpha_t sigma_s / sigma_t     m the denoised mean
    geodesic      e = 0                        c = 1 - kbar_s / kbar_t                     m the tangent to the data
    heat kernel   e = 0                        c = v_t - sqrt(v_s v_t)                     m the score

DDIM is the first line. With the ``m`` of the present point it errs by ``O((t - s)^2)``; on the other hand every
displacement ``u`` is the straight jump of exactly one ``m = (u - e x) / c``, so that a rule of this form follows any
map whose ``m`` it is given. For ``s -> t`` the terms over ``s - t`` tend to those of the velocity
``dx/dt = e' x + c' m``:

    Gaussian      e' = (log sigma)'            c' = alpha' - alpha (log sigma)'
    geodesic      e' = 0                       c' = -kbar' / kbar
    heat kernel   e' = 0                       c' = -v' / 2

Clean sites, ``t = 0``, have all terms 0: they do not move.
"""

from __future__ import annotations

from functools import singledispatch
from typing import Any

import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.process.base import Process, site_time
from scidiff.process.gaussian import GaussianProcess
from scidiff.process.geodesic import GeodesicFlow, along, point_time
from scidiff.process.heat_process import HeatProcess
from scidiff.spaces import Manifold, Space

__all__ = [
    "between",
    "carry",
    "displacement",
    "flow_terms",
    "jump_terms",
    "move",
    "prediction",
    "stretch",
    "tangent",
    "velocity",
]

Terms = tuple[Tensor, Tensor]


def move(space: Space, x: Tensor, u: Tensor) -> Tensor:
    """Go from ``x`` along ``u``: ``exp_x(u)``, which is ``x + u`` where the space is linear."""
    return space.exp(x, u) if isinstance(space, Manifold) else x + u


def between(space: Space, x: Tensor, y: Tensor) -> Tensor:
    """Displacement that leads from ``x`` to ``y``: ``log_x(y)``, which is ``y - x`` where the space is linear."""
    return space.log(x, y) if isinstance(space, Manifold) else y - x


def carry(space: Space, x: Tensor, y: Tensor, u: Tensor) -> Tensor:
    """Carry a displacement in parallel from ``x`` to ``y``."""
    return space.transport(x, y, u) if isinstance(space, Manifold) else u


def tangent(space: Space, x: Tensor, u: Tensor) -> Tensor:
    """Nearest displacement at ``x`` that stays in the space."""
    return space.project_tangent(x, u) if isinstance(space, Manifold) else space.project(u)


def stretch(process: Process, value: Tensor | float, x: Tensor) -> Tensor:
    """Give one number per sample or per site the axes of a displacement at ``x``, in the dtype of ``x``."""
    if _curved(process):
        return along(point_time(value, x, process.site), process.site).to(x.dtype)
    return site_time(value, x).to(x.dtype)


@singledispatch
def jump_terms(process: Any, x: Tensor, t: Tensor | float, s: Tensor | float) -> Terms:
    """Terms ``(e, c)`` of the straight jump from ``t`` to ``s``, float64, with the axes of a displacement or 1.

    Parameters
    ----------
    process
        A `GaussianProcess`, `GeodesicFlow` or `HeatProcess`.
    x
        State, whose shape says what one time belongs to.
    t, s
        Times per sample or per site.

    Raises
    ------
    ConfigError
        If the process has no deterministic flow of this form.
    """
    raise ConfigError(
        f"a straight jump of {type(process).__name__} was asked for; expected a GaussianProcess, a GeodesicFlow or a "
        "HeatProcess, whose flow is known"
    )


@singledispatch
def flow_terms(process: Any, x: Tensor, t: Tensor | float) -> Terms:
    """Terms ``(e', c')`` of the velocity at ``t``; parameters as in `jump_terms`."""
    return jump_terms(process, x, t, t)


def velocity(process: Process, m: Tensor, x: Tensor, t: Tensor | float) -> Tensor:
    """Velocity ``dx_t/dt`` of the deterministic flow from the prediction ``m``, in the dtype of ``x``.

    Parameters
    ----------
    process
        A `GaussianProcess`, `GeodesicFlow` or `HeatProcess`.
    m
        Prediction of the kind of the process; the regression target of a datum gives the conditional velocity.
    x, t
        State and time; the velocity is 0 where ``t`` is 0.
    """
    return _combine(process, flow_terms(process, x, t), m, x)


def displacement(process: Process, m: Tensor, x: Tensor, t: Tensor | float, s: Tensor | float) -> Tensor:
    """Displacement ``u = e x + c m`` of the straight jump from ``t`` to ``s``, in the dtype of ``x``."""
    return _combine(process, jump_terms(process, x, t, s), m, x)


def prediction(process: Process, u: Tensor, x: Tensor, t: Tensor | float, s: Tensor | float) -> Tensor:
    """Prediction ``m`` whose straight jump from ``t`` to ``s`` is ``u``; the inverse of `displacement`.

    Parameters
    ----------
    process
        A `GaussianProcess`, `GeodesicFlow` or `HeatProcess`.
    u
        Displacement at ``x``; where ``s = t``, the velocity.
    x, t, s
        State and times. A clean site, ``t = 0``, gets ``x`` itself or the tangent 0.
    """
    e, c = (
        torch.where(stretch(process, s, x) == stretch(process, t, x), still, moving)
        for still, moving in zip(flow_terms(process, x, t), jump_terms(process, x, t, s), strict=True)
    )
    fixed = c == 0
    rest = u if _curved(process) else u - e * x
    m = rest / torch.where(fixed, 1.0, c)
    return torch.where(fixed, torch.zeros_like(m) if _curved(process) else x.to(m.dtype), m).to(x.dtype)


def _curved(process: Process) -> bool:
    return isinstance(process, GeodesicFlow | HeatProcess)


def _combine(process: Process, terms: Terms, m: Tensor, x: Tensor) -> Tensor:
    """Return ``e x + c m``; on curved spaces ``c m``, as points and displacements have other axes there."""
    e, c = terms
    return (c * m if _curved(process) else e * x + c * m).to(x.dtype)


@jump_terms.register
def _gaussian_jump(process: GaussianProcess, x: Tensor, t: Tensor | float, s: Tensor | float) -> Terms:
    t, s = torch.broadcast_tensors(site_time(t, x), site_time(s, x))
    schedule, noisy = process.schedule, t > 0
    ratio = torch.where(noisy, schedule.sigma(s) / schedule.sigma(torch.where(noisy, t, 1.0)), 1.0)
    return ratio - 1.0, torch.where(noisy, schedule.alpha(s) - ratio * schedule.alpha(t), 0.0)


@flow_terms.register
def _gaussian_flow(process: GaussianProcess, x: Tensor, t: Tensor | float) -> Terms:
    t = site_time(t, x)
    noisy = t > 0
    safe = torch.where(noisy, t, 1.0)
    alpha, slope = _derivative(process.schedule.alpha, safe)
    sigma, growth = _derivative(process.schedule.sigma, safe)
    e = growth / sigma
    return torch.where(noisy, e, 0.0), torch.where(noisy, slope - alpha * e, 0.0)


@jump_terms.register
def _geodesic_jump(process: GeodesicFlow, x: Tensor, t: Tensor | float, s: Tensor | float) -> Terms:
    now, then = (process.clock.remaining(point_time(time, x, process.site)) for time in (t, s))
    c = along(torch.where(now > 0, 1 - then / torch.where(now > 0, now, 1.0), 0.0), process.site)
    return torch.zeros_like(c), c


@flow_terms.register
def _geodesic_flow(process: GeodesicFlow, x: Tensor, t: Tensor | float) -> Terms:
    pace = process.clock.pace(point_time(t, x, process.site))
    c = along(torch.where(pace > 0, -1 / torch.where(pace > 0, pace, 1.0), 0.0), process.site)
    return torch.zeros_like(c), c


@jump_terms.register
def _heat_jump(process: HeatProcess, x: Tensor, t: Tensor | float, s: Tensor | float) -> Terms:
    now, then = (process.variance * process.clock.remaining(point_time(time, x, process.site)) for time in (t, s))
    c = along(torch.where(now > 0, now - (now * then).sqrt(), 0.0), process.site)
    return torch.zeros_like(c), c


@flow_terms.register
def _heat_flow(process: HeatProcess, x: Tensor, t: Tensor | float) -> Terms:
    t = point_time(t, x, process.site)
    safe = torch.where(t > 0, t, 1.0)
    growth = process.variance * process.clock.remaining(safe) / process.clock.pace(safe)
    c = along(torch.where(t > 0, -0.5 * growth, 0.0), process.site)
    return torch.zeros_like(c), c


def _derivative(level: Any, t: Tensor) -> Terms:
    """A level of a schedule and its slope, by forward differentiation."""
    return torch.func.jvp(level, (t,), (torch.ones_like(t),))
