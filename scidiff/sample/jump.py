"""Straight jumps as a rule: where a flow map lands, exactly.

    x_s = exp_x(e x + c m),        (e, c) the terms of the straight jump from t to s

see `scidiff.process.straight`. The denoiser of a `scidiff.denoise.flow_map.FlowMap` predicts the ``m`` for which this
is ``X_{t,s}(x)``, so that its steps may be as long as the map allows, and transforms of ``m`` (guidance, projections
of the clean estimate) act on it as on any other prediction. With an ordinary denoiser the rule is DDIM, taken by the
exponential map where the space is curved. Times are per site, and may fall or rise.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.process.base import Process, site_time
from scidiff.process.geodesic import one_point, point_time
from scidiff.process.straight import displacement, move
from scidiff.sample.state import RunState
from scidiff.spaces import Manifold

__all__ = ["Jump"]


@dataclass(frozen=True)
class Jump:
    """Rule of two-time flow maps, and of first order with any other denoiser.

    It takes Gaussian processes on linear spaces, geodesic flows and heat processes.
    """

    memory = 0
    label = "consistent(1)"

    def __call__(self, process: Process, state: RunState, m: Tensor, s: Tensor) -> Tensor:
        """Return the state at ``s``, float64.

        Raises
        ------
        ConfigError
            If a clean site is to be noised, or the process has no straight jump.
        """
        x = state.x.double()
        if bool(((state.t == 0) & (s > 0)).any()):
            raise ConfigError("a clean site was sent to s > 0; a flow cannot leave t = 0: start at a small t > 0")
        moved = move(process.space, x, displacement(process, m.double(), x, state.t, s))
        return torch.where(_still(process, x, state.t, s), x, moved)


def _still(process: Process, x: Tensor, t: Tensor, s: Tensor) -> Tensor:
    """Where a site or a point stays, with the axes of ``x`` or 1."""
    if not isinstance(process.space, Manifold):
        return site_time(t, x) == site_time(s, x)
    site = one_point(process.space)
    rests = point_time(t, x, site) == point_time(s, x, site)
    return rests.reshape(*rests.shape, *(1,) * len(site.shape))
