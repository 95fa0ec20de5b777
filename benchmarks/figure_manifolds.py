"""Pictures of the manifolds: heat kernels against their draws, and the orders of the retracted solvers."""

from __future__ import annotations

import math

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from scidiff.analysis import plot_geometries
from scidiff.bench.core.curvature import CASES, compared
from scidiff.denoise.manifold_dataset import ManifoldDatasetDenoiser
from scidiff.process import (
    IGSO3,
    GeodesicFlow,
    HyperbolicHeatKernel,
    RadialHeatKernel,
    SphereHeatKernel,
    WrappedNormal,
    contracted_uniform,
)
from scidiff.random import Noise
from scidiff.sample import Grid, Retracted, RunState, run, uniform_grid
from scidiff.spaces import SO3, Hyperbolic, Manifold, Sphere, Torus

DRAWS, TIMES = 20_000, (0.1, 0.5, 2.0)


def radial(kernel: RadialHeatKernel, r: Tensor, v: float) -> Tensor:
    """Density of the distance from the start."""
    return (kernel.log_radial(r, torch.full_like(r, v)) + kernel.log_area(r)).exp()


def on_circle(kernel: WrappedNormal, r: Tensor, v: float) -> Tensor:
    """Density of the distance on the circle: both sides."""
    x = r.unsqueeze(1)
    return 2 * kernel.log_density(torch.zeros_like(x), x, torch.full_like(r, v)).exp()


def heat_kernels() -> Figure:
    """Distance of Brownian motion from its start: closed-form density and histogram of exact draws."""
    pole = {"S^2": [0.0, 0.0, 1.0], "SO(3)": [1.0, 0.0, 0.0, 0.0], "T^1": [0.0], "H^3": [0.0, 0.0, 0.0, 1.0]}
    cases = {
        "S^2": ("sphere $S^2$", Sphere(2), SphereHeatKernel(), radial, math.pi),
        "SO(3)": ("rotations $SO(3)$", SO3(), IGSO3(), radial, math.pi),
        "T^1": ("circle $T^1$", Torus(1), WrappedNormal(), on_circle, math.pi),
        "H^3": ("hyperbolic space $H^3$", Hyperbolic(3), HyperbolicHeatKernel(), radial, 7.5),
    }
    figure = Figure(figsize=(7.6, 5.2), layout="constrained")
    for axes, (name, (title, space, kernel, density, end)) in zip(
        figure.subplots(2, 2).flat, cases.items(), strict=True
    ):
        start = torch.tensor(pole[name], dtype=torch.float64).expand(DRAWS, -1)
        r = torch.linspace(1e-3, end - 1e-3, 300, dtype=torch.float64)
        for k, v in enumerate(TIMES):
            spread = torch.full((DRAWS,), v, dtype=torch.float64)
            x = kernel.sample(start, spread, Noise.range(k, DRAWS), step=0, stream="figure")
            axes.hist(space.dist(start, x).numpy(), 60, range=(0, end), density=True, color=f"C{k}", alpha=0.3)
            axes.plot(r, density(kernel, r, v), color=f"C{k}", linewidth=1.3, label=f"variance {v:g}")
        axes.set(title=title, xlabel="distance from the start", ylabel="density", xlim=(0, end))
    figure.axes[0].legend(frameon=False)
    return figure


def cloud(space: Manifold, count: int, seed: int) -> Tensor:
    """Points near a fixed centre."""
    centre = space.uniform(Noise.range(1, 1), space.shape, step=0, stream="centre").expand(count, *space.shape)
    xi = space.random_tangent(centre, Noise.range(seed, count), step=0, stream="cloud").clamp(-2, 2)
    return space.exp(centre, 0.25 * xi)


def flowed(space: Manifold, rule: Retracted, steps: int) -> Tensor:
    """Follow the flow of an exact denoiser of four points from t = 0.95 to 0.4."""
    flow = GeodesicFlow(space)
    denoiser = ManifoldDatasetDenoiser(flow, contracted_uniform, cloud(space, 4, 3)).denoiser
    state = RunState.at(cloud(space, 30, 4), 0.95, Noise.range(0, 30))
    return run(denoiser, flow, rule, Grid(uniform_grid(steps, start=0.95, end=0.4)), state=state).x


def retracted_orders() -> Figure:
    """Error of the flow against the steps, for both orders on two manifolds."""
    counts = np.array([5, 10, 20, 40, 80])
    figure = Figure(figsize=(7.2, 3.2), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (title, space) in zip(panels, {"sphere": Sphere(2), "rotations": SO3()}.items(), strict=True):
        reference = flowed(space, Retracted(2), 480)
        for order, marker in ((1, "o"), (2, "s")):
            errors = [
                float(space.dist(flowed(space, Retracted(order), n), reference).median()) for n in counts.tolist()
            ]
            slope = math.log(errors[-2] / errors[-1], 2)
            axes.loglog(counts, errors, marker, color=f"C{order - 1}", label=f"order {order}: slope {slope:.2f}")
            guide = errors[-1] * (counts[-1] / counts) ** order
            axes.loglog(counts, guide, color=f"C{order - 1}", linewidth=0.8, linestyle="--")
        axes.set(title=title, xlabel="steps", xticks=counts, xticklabels=counts)
        axes.minorticks_off()
        axes.legend(frameon=False)
    panels[0].set_ylabel("median distance to 480 steps of order 2")
    return figure


def mixed_curvature() -> Figure:
    """Average distortion of four products of metrics in spaces of equal dimension, with the radii that were found."""
    return plot_geometries({name: compared(name, 0) for name in list(CASES)[:4]})
