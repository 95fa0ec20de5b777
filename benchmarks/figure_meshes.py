"""Pictures of the meshes: generated fields and flows, and the spectra of the Hodge Laplacians."""

from __future__ import annotations

import functools

import numpy as np
from matplotlib.figure import Figure
from mesh_experiments import CLOCK, Flows
from torch import Tensor

from scidiff.denoise import Denoiser
from scidiff.mesh import (
    HodgeLaplacian,
    SimplicialComplex,
    annulus,
    bumpy_sphere,
    double_torus,
    draw_edges,
    draw_scalar,
    icosphere,
    spectrum,
    torus,
    whitney_stars,
)
from scidiff.process import CochainProcess, Kind, OperatorSchedule
from scidiff.random import Noise
from scidiff.sample import ModeRule, log_snr_grid, run, unipc
from scidiff.spaces import Cochain

STEPS, FLOOR = 40, 1e-3


def field(complex: SimplicialComplex, seed: int) -> np.ndarray:
    """Draw one field of covariance ``(1 + 0.05 l)^-2``, by the exact denoiser and UniPC."""
    space = Cochain(spectrum(HodgeLaplacian(whitney_stars(complex), 0), 60))
    process = CochainProcess(space, OperatorSchedule(CLOCK, 0.05))
    variance = (1 + 0.05 * space.eigenvalues) ** -2.0

    def mean(x: Tensor, t: Tensor, condition: object) -> Tensor:
        alpha, sigma = process.levels(t, x)
        return space.values(alpha * variance / (alpha**2 * variance + sigma**2) * space.coefficients(x))

    rule = ModeRule.build(process, log_snr_grid(CLOCK, STEPS, floor=FLOOR), functools.partial(unipc, order=2))
    denoiser = Denoiser(mean, Kind.MEAN)
    return run(denoiser, process, rule, rule.plan, noise=Noise.range(seed, 1), shape=space.shape).x[0].numpy()


def smooth(figure: Figure) -> Figure:
    """Close the seams between the triangles, and cut the empty margin."""
    for each in figure.axes[0].collections:
        each.set(antialiased=False, linewidth=0)
    figure.set_size_inches(5.6, 4.2)
    return figure


def torus_field() -> Figure:
    """Draw one generated field on a torus."""
    complex = torus(48, 24)
    return smooth(draw_scalar(complex, field(complex, 11), title="A generated field on a torus", label="value"))


def bumpy_sphere_field() -> Figure:
    """Draw one generated field on a bumpy sphere."""
    complex = bumpy_sphere(4, height=0.25, waves=4.0)
    return smooth(draw_scalar(complex, field(complex, 11), title="A generated field on a bumpy sphere", label="value"))


def annulus_flow() -> Figure:
    """Draw one generated flow without divergence on an annulus."""
    flows = Flows.on(4, 24)
    x = flows.sample(1, STEPS, seed=5, stiffness=0.01)[0].numpy()
    complex = flows.space.spectrum.laplacian.stars.complex
    return draw_edges(complex, x, title="A generated flow without divergence", label="circulation per length")


def hodge_spectra() -> Figure:
    """Lowest eigenvalues on vertices, edges and faces; zeros are the Betti numbers."""
    shapes = {
        "sphere": icosphere(2),
        "torus": torus(16, 8),
        "double torus": double_torus(12, 6),
        "annulus": annulus(3, 18),
    }
    figure = Figure(figsize=(8.4, 2.9), layout="constrained")
    for axes, (name, complex) in zip(figure.subplots(1, len(shapes)), shapes.items(), strict=True):
        stars = whitney_stars(complex)
        for degree, (part, marker) in enumerate(zip(("vertices", "edges", "faces"), "osv", strict=True)):
            modes = spectrum(HodgeLaplacian(stars, degree), 24)
            zeros = int((modes.values == 0).sum())
            label = f"{part}: {zeros} zero" + "s" * (zeros != 1)
            axes.plot(np.arange(1, 25), modes.values, marker, markersize=3.5, markerfacecolor="none", label=label)
        axes.set(title=name, xlabel="number of the mode", ylim=(-0.06 * axes.get_ylim()[1], 1.45 * axes.get_ylim()[1]))
        axes.legend(frameon=False, fontsize=7.5, loc="upper left", handletextpad=0.1)
    figure.axes[0].set_ylabel("eigenvalue")
    return figure
