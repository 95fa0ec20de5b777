"""How close a sampler comes to the uniform law on a universe whose every member is known.

The samples are counted over the K keys of the universe. `coverage` returns the divergences from uniform with
intervals, the mass on molecules that training never saw, and, beside every plain plug-in value, what a perfect
uniform sampler would have shown with as many samples: its exact mean and standard deviation.
"""

from __future__ import annotations

from .counts import Estimate, PlugIn, count_keys
from .report import CoverageReport, coverage

__all__ = ["CoverageReport", "Estimate", "PlugIn", "count_keys", "coverage"]
