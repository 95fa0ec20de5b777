"""Carry drawn flows on by their equation for a short time, so that their thin layers at the walls form.

The law of snapshots hardly changes within a few hundredths of a passage of the box, but what the equation fixes at
once, the vorticity of the viscous layer in the first cells at a wall, relaxes on the time ``h^2 / nu``: the solver acts
as a corrector whose invariant law is nearly that of the flows, and it keeps divergence and walls as exact as they were.

The number of steps is a power of two that depends on the flow alone; flows around the same obstacles that take as many
are advanced together. So what becomes of a flow does not depend on the others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from scidiff.errors import NumericalError

from .flow_geometry import FlowGeometry
from .solvers.mac_flow import MacFlow

__all__ = ["relax_flows"]

_MOST = 1000
_SAFETY = 0.8
"""Part of the stable step: a flow may grow faster on the way."""


def relax_flows(
    flows: Sequence[np.ndarray], geometries: Sequence[FlowGeometry], viscosity: float, duration: float
) -> list[np.ndarray]:
    """Flows after a short time.

    Parameters
    ----------
    flows
        Velocities on faces, shape ``(2, nx, ny)`` each, without divergence.
    geometries
        Obstacles of each; flows that share the object are advanced together.
    viscosity
        Kinematic viscosity.
    duration
        Time, in passages of the box; 0 changes nothing.

    Returns
    -------
    list
        The flows; NaN where one was not finite, would take more than a thousand steps, or made the solver diverge.
    """
    out = list(flows)
    if duration == 0:
        return out
    steppers: dict[int, MacFlow] = {}
    groups: dict[tuple[int, int], list[int]] = {}
    for row, (flow, geometry) in enumerate(zip(flows, geometries, strict=True)):
        stepper = steppers.setdefault(id(geometry), _stepper(geometry, viscosity))
        groups.setdefault((id(geometry), _steps(stepper, flow, duration)), []).append(row)
    for (geometry, steps), rows in groups.items():
        taken = [flows[row] for row in rows]
        advanced = _advance(steppers[geometry], taken, duration, steps) if steps else [x * np.nan for x in taken]
        for row, flow in zip(rows, advanced, strict=True):
            out[row] = flow
    return out


def _steps(stepper: MacFlow, flow: np.ndarray, duration: float) -> int:
    """Steps for one flow, a power of two; 0 where it is not finite, or so fast that it would take too many."""
    if not np.isfinite(flow).all():
        return 0
    least = duration / (_SAFETY * stepper.time_step(flow[None]))
    return 0 if least > _MOST else 2 ** max(0, math.ceil(math.log2(least)))


def _stepper(geometry: FlowGeometry, viscosity: float) -> MacFlow:
    """Solver of a geometry, with the factor that the geometry has already."""
    stepper = MacFlow(geometry.grid, viscosity)
    if geometry.operator.rounds > 1:
        stepper.__dict__["_leray"] = geometry.operator
    return stepper


def _advance(stepper: MacFlow, flows: list[np.ndarray], duration: float, steps: int) -> list[np.ndarray]:
    """Advance together; if one diverges, one by one."""
    try:
        return list(stepper.run(np.stack(flows), duration, steps))
    except NumericalError:
        if len(flows) == 1:
            return [np.full_like(flows[0], np.nan)]
    return [_advance(stepper, [flow], duration, steps)[0] for flow in flows]
