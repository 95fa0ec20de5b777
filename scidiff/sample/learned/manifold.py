"""Learned grids of any deterministic rule, such as `Retracted` on a manifold: the rule itself is differentiated.

The nodes are spaced in time, from equal intervals. Distances are geodesic, squared by ``|log_y(x)|^2``, which is smooth
where the ends meet.
"""

from __future__ import annotations

import time

from torch import Tensor

from scidiff.denoise.denoiser import Denoiser
from scidiff.errors import ConfigError
from scidiff.process.base import Process
from scidiff.sample.learned.descent import descend, robust, robust_scale
from scidiff.sample.learned.fit import Settings
from scidiff.sample.learned.recursion import follow_rule
from scidiff.sample.learned.result import Fit, held_out_error, square_gap
from scidiff.sample.learned.spacing import TimeSpacing
from scidiff.sample.learned.teacher import Pairs
from scidiff.sample.loop import Rule

__all__ = ["fit_rule_grid"]


def fit_rule_grid(
    denoiser: Denoiser,
    process: Process,
    rule: Rule,
    pairs: Pairs,
    held: Pairs,
    *,
    steps: int,
    settings: Settings | None = None,
) -> Fit:
    """Learn the grid of a rule.

    Parameters
    ----------
    denoiser, process
        What the rule will be used with.
    rule
        A rule without noise and with one call a step.
    pairs, held
        Teacher's pairs to fit, and others to judge.
    steps
        Number of steps, which is the number of network calls.
    settings
        How the fit is made; only `iterations`, `scale` and `differentiable` matter.

    Returns
    -------
    Fit
        ``before`` is the error on the grid of equal intervals.
    """
    if (pairs.first, pairs.last) != (held.first, held.last):
        raise ConfigError("the pairs to fit and to judge run over different times; expected the same")
    begun, settings = time.process_time(), settings or Settings()
    spacing = TimeSpacing(pairs.first, pairs.last, steps)
    scale = settings.scale or robust_scale(pairs.end)

    def loss(theta: Tensor) -> Tensor:
        end = follow_rule(denoiser, process, rule, spacing.nodes(theta), pairs.start, pairs.condition)
        return robust(square_gap(process, end, pairs.end), scale)

    found = descend(loss, spacing.start, iterations=settings.iterations, differentiable=settings.differentiable)
    grids = [spacing.nodes(theta) for theta in (spacing.start, found.theta)]
    before, after = (held_out_error(denoiser, process, rule, grid, held) for grid in grids)
    seconds, calls = time.process_time() - begun, found.evaluations * steps
    return Fit(grids[1], found.history, before, after, seconds, calls, found.gradient)
