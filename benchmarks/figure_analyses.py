"""Pictures of the analyses: paths on a landscape, memorisation, collapse."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.figure import Figure

from scidiff.analysis import (
    CoherentError,
    IndependentErrors,
    MullerBrown,
    Pull,
    Walkers,
    geodesic,
    minimum_energy_path,
    noise_regimes,
    principal_curve,
)
from scidiff.analysis.collapse import coherent_divergence, independent_divergence, recurse
from scidiff.random import Noise
from scidiff.spaces import Flat

MINIMA = ((-0.558, 1.442), (0.623, 0.028))
HOT = 15.0


def mueller_brown() -> Figure:
    """Minimum-energy path and principal curve on the potential of Mueller and Brown, and the energy along the path."""
    cold, warm, plane = MullerBrown(), MullerBrown(HOT), Flat(2)
    ends = torch.tensor(MINIMA, dtype=torch.float64)
    start = geodesic(plane, ends[0], ends[1], 25)
    path = minimum_energy_path(plane, cold.gradient, start, step=2e-4, energy=cold.energy)
    settings = {"walkers": Walkers(60, 1e-3), "pull": Pull(smoothing=0.5, free_ends=False), "iterations": 600}
    curve = principal_curve(plane, warm.gradient, path.images, seed=0, **settings)
    figure = Figure(figsize=(8.0, 3.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    x, y = np.meshgrid(np.linspace(-1.5, 1.2, 160), np.linspace(-0.3, 2.0, 160))
    flat = torch.from_numpy(np.stack([x.ravel(), y.ravel()], 1))
    shades = left.contourf(
        x, y, cold.energy(flat).reshape(x.shape).clamp(max=60), np.arange(-150, 61, 15), cmap="Blues_r"
    )
    left.plot(*path.images.T, color="C1", marker=".", label="minimum-energy path")
    left.plot(*curve.images.T, color="C3", marker=".", linestyle="--", label=f"principal curve, kT = {HOT:g}")
    if path.saddle is not None:
        left.plot(*path.saddle, "k*", markersize=11, label="highest saddle")
    left.set(xlabel="x", ylabel="y", xlim=(-1.5, 1.2), ylim=(-0.3, 2.0))
    left.legend(fontsize=7.5, loc="upper right")
    figure.colorbar(shades, ax=left, label="energy (cut at 60)", location="left")
    length = torch.cat([torch.zeros(1), plane.dist(path.images[1:], path.images[:-1]).cumsum(0)])
    right.plot(length, path.energies, color="C1", marker=".")
    level = float(cold.energy(path.images[:1])) + float(path.barrier or 0.0)
    right.axhline(level, color="0.6", linewidth=0.8, linestyle="--")
    right.annotate(f"saddle {level:.2f}", (length[-1], level), ha="right", va="bottom", fontsize=8)
    right.set(xlabel="length along the path", ylabel="energy")
    return figure


def memorisation() -> Figure:
    """Risk of memorisation against the noise level, in 10 and in 50 dimensions."""
    figure = Figure(figsize=(7.6, 3.1), layout="constrained")
    levels = np.geomspace(0.05, 20.0, 19)
    for axes, dim in zip(figure.subplots(1, 2, sharey=True), (10, 50), strict=True):
        x = Noise.range(0, 1400).normal((dim,), step=0, stream="x")
        found = noise_regimes(x[:1000], x[1000:], levels.tolist(), seed=0)
        axes.plot(found.sigma, found.coverage, "--", label="coverage")
        axes.plot(found.sigma, found.concentration, ":", label="concentration")
        axes.errorbar(found.sigma, found.risk, 1.96 * found.error, label="risk, their product", color="C3")
        axes.axvspan(*found.band(), color="0.93", zorder=0)
        axes.set(xscale="log", xlabel=r"noise level $\sigma/\alpha$", ylim=(0, 1.02))
        axes.set_title(f"1000 normal data in {dim} dimensions")
    figure.axes[1].legend(frameon=False, loc="center left", fontsize=8)
    return figure


def collapse() -> Figure:
    """Divergence from the truth, generation by generation, with different shares of fresh data."""
    law = np.arange(1.0, 21.0) / np.arange(1.0, 21.0).sum()
    error, generations = 0.02, 40
    shape = Noise.range(0, 1).normal((20,), step=0, stream="error")[0].numpy()
    figure = Figure(figsize=(7.6, 3.1), layout="constrained")
    i = np.arange(generations + 1)
    names = ("independent errors", "coherent errors")
    truths = (independent_divergence, coherent_divergence)
    for k, axes in enumerate(figure.subplots(1, 2)):
        for j, fresh in enumerate((0.05, 0.2, 0.5)):
            made = (IndependentErrors(law, error, 0), 40) if k == 0 else (CoherentError(law, error, shape), 1)
            runs = recurse(law, made[0], fresh=fresh, generations=generations, runs=made[1])
            axes.plot(i[1:], runs.mean[1:], ".", color=f"C{j}", markersize=4, label=f"{100 * fresh:g} % fresh data")
            axes.plot(i[1:], truths[k](error, fresh, i)[1:], color=f"C{j}", linewidth=0.9)
        axes.set(title=names[k], xlabel="generation", yscale="log")
    figure.axes[0].set_ylabel("chi-square from the truth")
    figure.axes[1].legend(frameon=False, fontsize=8)
    return figure
