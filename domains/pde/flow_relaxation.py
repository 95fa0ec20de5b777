"""Carry drawn flows on by their equation for a short time, so that their thin layers at the walls form.

The law of snapshots hardly changes within a few hundredths of a passage of the box, but what the equation fixes at
once, the vorticity of the viscous layer in the first cells at a wall, relaxes on the time ``h^2 / nu``: the solver acts
as a corrector whose invariant law is nearly that of the flows, and it keeps divergence and walls as exact as they were.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scidiff.errors import NumericalError

from .flow_geometry import FlowGeometry
from .solvers.mac_flow import MacFlow

__all__ = ["relax_flows"]

_MOST = 1000


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
    groups: dict[int, list[int]] = {}
    for row, geometry in enumerate(geometries):
        groups.setdefault(id(geometry), []).append(row)
    for rows in groups.values():
        stepper = _stepper(geometries[rows[0]], viscosity)
        fine = [row for row in rows if _within(stepper, flows[row], duration)]
        for row, flow in zip(fine, _advance(stepper, [flows[row] for row in fine], duration), strict=True):
            out[row] = flow
        for row in set(rows) - set(fine):
            out[row] = np.full_like(flows[row], np.nan)
    return out


def _within(stepper: MacFlow, flow: np.ndarray, duration: float) -> bool:
    """Whether a flow is finite, and slow enough for a thousand steps."""
    return bool(np.isfinite(flow).all()) and _MOST * stepper.time_step(flow[None]) >= duration


def _stepper(geometry: FlowGeometry, viscosity: float) -> MacFlow:
    """Solver of a geometry, with the factor that the geometry has already."""
    stepper = MacFlow(geometry.grid, viscosity)
    if geometry.operator.rounds > 1:
        stepper.__dict__["_leray"] = geometry.operator
    return stepper


def _advance(stepper: MacFlow, flows: list[np.ndarray], duration: float) -> list[np.ndarray]:
    """Advance together; if one diverges, one by one."""
    if not flows:
        return []
    try:
        return list(stepper.run(np.stack(flows), duration))
    except NumericalError:
        if len(flows) == 1:
            return [np.full_like(flows[0], np.nan)]
    return [_advance(stepper, [flow], duration)[0] for flow in flows]
