"""Pictures of calibration: ranks in their bands, coverage over its nominal level, error over spread."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scidiff.analysis.calibration.coverage import Coverage, Tarp
from scidiff.analysis.calibration.ranks import RankTest
from scidiff.analysis.calibration.scores import SpreadSkill

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_coverage", "draw_ecdf", "draw_tarp", "plot_ranks", "plot_reliability", "plot_spread_skill"]

_GREY = "0.6"


def draw_ecdf(axes: Axes, test: RankTest) -> None:
    """Draw the empirical less the uniform distribution of the ranks of every coordinate, and the band of one."""
    z = test.probability.cumsum()[:-1]
    axes.fill_between(z, test.low, test.high, color=_GREY, alpha=0.4, linewidth=0, label=f"{test.confidence:.0%} band")
    axes.plot(z, test.difference)
    axes.set(xlabel="rank / draws", ylabel="ECDF - uniform")
    axes.legend(frameon=False)


def draw_coverage(axes: Axes, coverage: Coverage) -> None:
    """Draw measured over nominal coverage with bootstrap intervals."""
    axes.plot([0, 1], [0, 1], color=_GREY, linewidth=0.8)
    bars = [coverage.pooled - coverage.pooled_low, coverage.pooled_high - coverage.pooled]
    axes.errorbar(coverage.levels, coverage.pooled, np.maximum(bars, 0), marker="o", linestyle="none")
    axes.set(xlabel="nominal coverage", ylabel=f"measured, {coverage.draws} draws", xlim=(0, 1), ylim=(0, 1))


def draw_tarp(axes: Axes, tarp: Tarp) -> None:
    """Draw the coverage of balls over their credibility with its bootstrap band."""
    axes.plot([0, 1], [0, 1], color=_GREY, linewidth=0.8)
    axes.fill_between(tarp.levels, tarp.low, tarp.high, alpha=0.3, linewidth=0)
    axes.plot(tarp.levels, tarp.coverage)
    axes.set(xlabel="credibility", ylabel="coverage of balls", xlim=(0, 1), ylim=(0, 1))


def plot_ranks(test: RankTest) -> Figure:
    """Draw a histogram of ranks for every coordinate, over what uniform ranks give.

    Parameters
    ----------
    test
        What `rank_test` found.
    """
    from matplotlib.figure import Figure

    dim = test.counts.shape[1]
    columns = min(dim, 4)
    figure = Figure(figsize=(3 * columns, 2.2 * -(-dim // columns)), layout="constrained")
    edges = np.concatenate([[0.0], test.probability.cumsum()])
    expected, total = test.probability * test.counts[:, 0].sum(), test.counts[:, 0].sum()
    deviation = 2 * np.sqrt(expected * (1 - expected / total))
    for i, axes in enumerate(figure.subplots(-(-dim // columns), columns, squeeze=False).reshape(-1)):
        if i >= dim:
            axes.set_axis_off()
            continue
        axes.stairs(expected + deviation, edges, baseline=expected - deviation, fill=True, color=_GREY, alpha=0.4)
        axes.stairs(test.counts[:, i], edges)
        axes.set(title=f"coordinate {i}", xlabel="rank / draws")
    return figure


def plot_reliability(coverage: Coverage) -> Figure:
    """Draw a reliability diagram: measured over nominal coverage."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4, 4), layout="constrained")
    draw_coverage(figure.subplots(), coverage)
    return figure


def plot_spread_skill(found: SpreadSkill) -> Figure:
    """Draw the error of the mean over the corrected spread, bin by bin.

    Parameters
    ----------
    found
        What `spread_skill` found.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4, 4), layout="constrained")
    axes = figure.subplots()
    top = 1.05 * float(max(found.spread.max(), found.skill.max()))
    axes.plot([0, top], [0, top], color=_GREY, linewidth=0.8)
    axes.plot(found.spread, found.skill, marker="o")
    axes.set(xlabel="spread", ylabel="error of the mean", title=f"ratio {found.ratio:.3f}")
    return figure
