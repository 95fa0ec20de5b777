"""Pictures of the samplers: the audit of the discrete rules, ways to unmask, and all claims of the core at once."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from scidiff.bench.core import rows
from scidiff.bench.core.picture import tv_against_calls
from scidiff.sample import audit_figure, audit_rules
from scidiff.testing_targets.few_calls import distance, floor, learned, log_table


def audit() -> Figure:
    """Exact error of every rule for masks against its network calls, with a right and with a wrong denoiser."""
    figure = audit_figure(audit_rules(), title="Masked chain of three sites: error by enumeration")
    lines = [*(axes.lines for axes in figure.axes), figure.legends[0].legend_handles]
    for each in lines:
        for line, colour in zip(each, colormaps["tab20"].colors, strict=False):
            line.set_color(colour)
    return figure


def unmasking() -> Figure:
    """Grids against unmasking plans, on a masked chain of four sites; what is exact stands at the bottom."""
    figure, floor = tv_against_calls(), 3e-3
    axes = figure.axes[0]
    exact = [line for line in axes.lines if max(line.get_ydata()) < 1e-12]
    for line, shift in zip(exact, np.linspace(0.93, 1.07, len(exact)), strict=True):
        line.set_data([line.get_xdata()[0] * shift], [floor])
    axes.set_ylim(0.8 * floor, 1.0)
    axes.set_yticks([floor, 1e-2, 1e-1, 1.0], ["round-off", "0.01", "0.1", "1"])
    axes.set_xticks([1, 2, 4, 8, 16, 32, 64], ["1", "2", "4", "8", "16", "32", "64"])
    axes.minorticks_off()
    axes.legend(frameon=False, fontsize=7.5, loc="lower left")
    return figure


def bench_core() -> Figure:
    """Every claim of the fast core benchmark: measured deviation in units of its tolerance, by group."""
    measured: dict[str, list[float]] = {}
    missed = 0
    for row in rows(True, 0):
        missed += row.passed is False
        if row.bar:
            part = row.bar / max(row.value, 1e-300) if row.above else row.value / row.bar
            measured.setdefault(row.name.split("/")[0], []).append(part)
    figure = Figure(figsize=(7.6, 0.17 * len(measured) + 1.2), layout="constrained")
    axes = figure.subplots()
    for k, values in enumerate(measured.values()):
        axes.plot(np.maximum(values, 1e-4), [k] * len(values), "o", color="C0", markersize=3, alpha=0.5, clip_on=False)
    axes.axvline(1, color="C3", linewidth=1)
    axes.set_yticks(range(len(measured)), [f"{name} ({len(v)})" for name, v in measured.items()], fontsize=6.5)
    axes.set(xscale="log", xlim=(1e-4, 3), ylim=(len(measured), -1))
    axes.set_xlabel("part of the tolerance that is used (left: at most 1e-4; red: the bar)")
    total = sum(map(len, measured.values()))
    axes.set_title(f"{total} claims of the core with a bar, {missed} missed", fontsize=9)
    axes.grid(axis="x", alpha=0.3)
    return figure


def few_calls() -> Figure:
    """Distance to the data against network calls: exponential Adams on the log grid, and a learned table."""
    calls = (4, 5, 6, 7, 8, 10)
    plain = [distance(log_table(count)) for count in calls]
    fitted = [distance(learned(count).table) for count in calls]
    figure = Figure(figsize=(5.2, 3.4), layout="constrained")
    axes = figure.subplots()
    axes.semilogy(calls, plain, "o-", color="C7", label="exponential Adams 2, log grid")
    axes.semilogy(calls, fitted, "o-", color="C0", label="learned table")
    axes.axhline(floor(), color="k", linewidth=0.8, linestyle=":", label="exact draws of the same size")
    axes.set(xlabel="network calls", ylabel="sliced $W_2$ to the data", xticks=calls)
    axes.legend(frameon=False)
    return figure
