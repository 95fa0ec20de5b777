r"""What makes up for a flow network of finite size: numbers fitted around validation obstacles, kept on its card.

.. math::
    x_1 \to c\, x_1, \qquad w \to \Phi_\delta(w)

A factor ``c`` of the first noise, by number of network calls, and a time ``delta`` for which the equation carries the
flow on (`scidiff.domains.pde.flow_relaxation`). Both keep flows without divergence and tangential to walls.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["FlowCalibration"]


@dataclass(frozen=True)
class FlowCalibration:
    """Fitted numbers; see `scidiff.domains.pde.flow_fit.fit_calibration`.

    Parameters
    ----------
    noise_scale
        ``c`` by number of calls; that of the nearest number is taken, 1 where there is none. A network of finite
        capacity draws samples together; a factor above 1 makes up for it.
    relax
        ``delta``, in passages of the box.
    """

    noise_scale: Mapping[int, float] = field(default_factory=dict)
    relax: float = 0.0

    @classmethod
    def from_card(cls, told: Mapping[str, Any]) -> FlowCalibration:
        """Read the part ``calibration`` of a card; one number for the noise stands for all numbers of calls."""
        noise = told.get("noise_scale", {})
        scales = noise if isinstance(noise, Mapping) else {told.get("calls", 1): noise}
        return cls({int(calls): float(scale) for calls, scale in scales.items()}, float(told.get("relax", 0.0)))

    def to_card(self) -> dict[str, Any]:
        """Plain values for a card."""
        return {
            "noise_scale": {str(calls): scale for calls, scale in self.noise_scale.items()},
            "relax": self.relax,
        }

    def noise(self, calls: int) -> float:
        """``c`` for a number of calls."""
        if not self.noise_scale:
            return 1.0
        return self.noise_scale[min(self.noise_scale, key=lambda known: abs(math.log(known / calls)))]
