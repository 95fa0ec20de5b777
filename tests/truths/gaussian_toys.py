"""Gaussian targets: the names of `scidiff.testing_targets` under which tests of laws know them."""

from __future__ import annotations

from scidiff.testing_targets.gaussian import VE, Impulse, final_variance, flow, follow, standard_normal, target_a

__all__ = ["VE", "Impulse", "final_variance", "flow", "follow", "standard_normal", "target_a"]
