"""Flow matching along premetrics: straight paths, exact fall, great circles, the law of the chord, a data set."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch

from scidiff.denoise import Denoiser
from scidiff.denoise.manifold_dataset import ManifoldDatasetDenoiser
from scidiff.errors import ConfigError, NumericalError
from scidiff.mesh import (
    HodgeLaplacian,
    Premetric,
    SurfacePoints,
    annulus,
    biharmonic,
    bumpy_sphere,
    diffusion,
    icosphere,
    spectrum,
    square,
    torus,
    whitney_stars,
)
from scidiff.mesh import premetric as module
from scidiff.process import ExponentialClock, Kind, PowerClock, PremetricFlow
from scidiff.random import Noise
from scidiff.sample import Grid, Retracted, run, uniform_grid
from scidiff.spaces import MeshSurface, Power, Sphere
from scidiff.testing_targets.caps import blobs, cap_density, chord_sphere


def drawn(space: MeshSurface, count: int, stream: str = "points") -> torch.Tensor:
    return space.uniform(Noise.range(0, count), (4,), step=0, stream=stream)


@functools.cache
def plane() -> MeshSurface:
    complex = square(7, 5)
    return MeshSurface(Premetric(SurfacePoints(complex), complex.vertices[:, :2].copy()))


@functools.cache
def spectral(name: str) -> MeshSurface:
    make = {"bumpy": lambda: bumpy_sphere(3), "torus": lambda: torus(24, 12), "annulus": lambda: annulus(6, 36)}
    laplacian = HodgeLaplacian(whitney_stars(make[name]()), 0)
    return MeshSurface.spectral(spectrum(laplacian, 40))


def test_in_the_plane_the_path_is_straight():
    """With the coordinates as the map everything is that of R^2, up to round-off."""
    space = plane()
    flow, x0, x1 = PremetricFlow(space), drawn(space, 80), drawn(space, 80, "ends")
    a, b = space.positions(x0), space.positions(x1)
    for t in (0.0, 1e-6, 0.3, 0.9, 1.0):
        x_t = flow.path(x0, x1, t)
        space.check(x_t)
        assert float((space.positions(x_t) - (a + t * (b - a))).abs().max()) < 1e-13
        assert float((flow.target(x0, x_t, t) - (a - space.positions(x_t))).abs().max()) < 1e-12
    assert float((space.dist(x0, x1) - (a - b).norm(dim=1)).abs().max()) < 1e-14
    assert torch.equal(flow.path(x0, x1, 0.0), x0)


@pytest.mark.parametrize("clock", [PowerClock(2.0), ExponentialClock(3.0)], ids=["power", "exponential"])
@pytest.mark.parametrize("name", ["bumpy", "torus", "annulus"])
def test_the_premetric_falls_as_the_clock_says(name, clock):
    """``d(x_t, x_0) = kbar(t) d(x_1, x_0)`` at every time, to round-off, whatever the pieces of the path."""
    space = spectral(name)
    x0, x1 = drawn(space, 60), drawn(space, 60, "ends")
    whole = space.dist(x1, x0)
    for pieces, t in ((4, 0.7), (32, 0.4), (32, 0.1)):
        x_t = PremetricFlow(space, clock=clock, pieces=pieces).path(x0, x1, t)
        space.check(x_t)
        # the level is met to 1e-12 of itself by construction; the sum over 39 images adds a few units of round-off
        assert float((space.dist(x_t, x0) / whole / clock.remaining(t) - 1).abs().max()) < 2e-12
    # the end of a path is near the datum in space, too
    near = PremetricFlow(space).path(x0, x1, 1e-3)
    assert float((space.positions(near) - space.positions(x0)).norm(dim=1).max()) < 0.02


@pytest.mark.parametrize("name", ["chord", "biharmonic", "diffusion"])
def test_on_the_sphere_paths_follow_great_circles(name):
    """Any zonal premetric falls fastest along the great circle; what a mesh of width ``h`` adds is ``O(h)``.

    Distances from the plane of the circle, of pairs at less than 2.5 radians (farther away the direction itself is ill
    determined); median and largest, the width halves three times.
    """
    medians, worst = [], []
    for subdivisions in (1, 2, 3):
        complex = icosphere(subdivisions)
        modes = spectrum(HodgeLaplacian(whitney_stars(complex), 0), 25)
        weight = {"biharmonic": biharmonic, "diffusion": diffusion(0.3)}
        space = chord_sphere(subdivisions) if name == "chord" else MeshSurface.spectral(modes, weight[name])
        x0, x1 = drawn(space, 200), drawn(space, 200, "ends")
        x_t = PremetricFlow(space).path(x0, x1, 0.4)
        unit = [part / part.norm(dim=1, keepdim=True) for part in map(space.positions, (x0, x1, x_t))]
        normal = torch.linalg.cross(unit[0], unit[1])
        off = ((normal / normal.norm(dim=1, keepdim=True)) * unit[2]).sum(1).abs()
        off = off[(unit[0] * unit[1]).sum(1) > np.cos(2.5)]
        medians.append(float(off.median()))
        worst.append(float(off.max()))
    assert medians[0] > 1.5 * medians[1] > 1.5**2 * medians[2]
    # the width of the finest mesh is 0.14
    assert worst[2] < 0.14 / 5


def test_the_tangent_lets_the_premetric_fall_by_itself():
    """Derivative of ``log d`` along the tangent, by a small step: -1 where the mesh is fine, with an error ``O(h)``."""
    errors = []
    for subdivisions in (2, 3, 4):
        space = chord_sphere(subdivisions)
        x, y = drawn(space, 400), drawn(space, 400, "ends")
        fall = (space.dist(space.exp(x, 1e-6 * space.log(x, y)), y) / space.dist(x, y)).log() / 1e-6
        errors.append(float((fall + 1).abs().median()))
    assert errors[0] > 1.5 * errors[1] > 1.5**2 * errors[2] and errors[2] < 0.05


def test_the_chord_of_a_noised_point_has_its_law():
    """``d^2 / (4 kbar^2)`` is uniform: Kolmogorov-Smirnov against 1.95 / sqrt(n), which 1 in 1000 exceed, plus ``h^2``.

    The area of the icosphere and the sag of its chords differ from those of the sphere by less than ``h^2 / 4``.
    """
    space, count = chord_sphere(4), 2000
    flow = PremetricFlow(space)
    x0 = space.vertex_points([33]).expand(count, 4)
    for t in (1.0, 0.35):
        chord = space.dist(flow.noise(x0, t, Noise.range(3, count)), x0) ** 2 / (4 * t**2)
        rank = np.sort(chord.numpy())
        gap = np.abs(rank - (np.arange(count) + 0.5) / count).max()
        assert gap < 1.95 / count**0.5 + 0.07**2 / 4


def test_one_datum_is_reached():
    """The step into ``t = 0`` lands on ``exp_x(m)``: in the plane, with one datum, on the datum."""
    space = plane()
    flow, y = PremetricFlow(space), drawn(space, 1, "datum")
    denoiser = Denoiser(lambda x, t, condition: space.log(x, y.expand_as(x)), Kind.TANGENT)
    end = run(denoiser, flow, Retracted(order=1), Grid(uniform_grid(3)), noise=Noise.range(2, 20), shape=(4,))
    assert float((space.positions(end.x) - space.positions(y)).abs().max()) < 1e-13


@pytest.mark.slow
def test_the_flow_of_a_data_set_gives_its_law():
    """Two blobs of 36 and 84 data on a sphere; uniform prior, exact posterior.

    The share of the first blob is 0.3, within four binomial standard errors plus the error of 60 steps of order 1,
    which was measured to be below 0.01; every sample ends near a datum; means and squares of the coordinates in space
    are those of the data, within four standard errors and the same 0.02.
    """
    space, count = chord_sphere(3), 800
    flow, data = PremetricFlow(space), blobs(chord_sphere(3), (36, 84))
    denoiser = ManifoldDatasetDenoiser(flow, cap_density, data).denoiser
    end = run(denoiser, flow, Retracted(order=1), Grid(uniform_grid(60)), noise=Noise.range(4, count), shape=(4,))
    space.check(end.x)
    found, truth = space.positions(end.x), space.positions(data)
    gap = torch.cdist(found, truth)
    assert float((gap.amin(1) < 0.05).double().mean()) > 0.97
    share = float((gap.argmin(1) < 36).double().mean())
    assert abs(share - 0.3) < 4 * (0.3 * 0.7 / count) ** 0.5 + 0.01
    for power in (1, 2):
        error = (found**power).mean(0) - (truth**power).mean(0)
        assert bool((error.abs() < 4 * (truth**power).std(0) / count**0.5 + 0.02).all())


def test_training_takes_it():
    """The loss vanishes at the target, clean sites stay, sites of a power have their own times."""
    space = spectral("torus")
    flow = PremetricFlow(Power(space, (3,)))
    x0 = flow.space.uniform(Noise.range(5, 6), (3, 4), step=0, stream="data")
    t = torch.tensor([0.0, 0.4, 1.0]).expand(6, 3)
    x_t = flow.noise(x0, t, Noise.range(6, 6))
    assert torch.equal(x_t[:, 0], x0[:, 0]) and not torch.equal(x_t[:, 1], x0[:, 1])
    assert torch.equal(x_t[:, 2], flow.prior(Noise.range(6, 6), (3, 4), stream="noise")[:, 2])
    m = flow.target(x0, x_t, t)
    assert m.shape == (6, 3, 3) and float(flow.loss(m, x0, x_t, t).abs().max()) < 1e-20
    moved = flow.loss(m + 0.1, x0, x_t, t)
    assert moved.shape == (6, 3) and bool((moved[:, 1:] > 0).all()) and not moved[:, 0].any()
    velocity = flow.target(x0[:, 1:], x_t[:, 1:], t[:, 1:], Kind.V)
    back = flow.convert(velocity, Kind.V, x_t[:, 1:], t[:, 1:])
    assert torch.allclose(back, m[:, 1:], atol=1e-12)


def test_a_premetric_with_other_minima_is_refused(monkeypatch):
    """Short heat kernels in few modes: the sum of the series wiggles at a distance."""
    modes = spectrum(HodgeLaplacian(whitney_stars(icosphere(2)), 0), 16)
    space = MeshSurface.spectral(modes, diffusion(0.02))
    monkeypatch.setattr(module, "_PIECES", 300)
    with pytest.raises(NumericalError, match="other minima: take more modes"):
        PremetricFlow(space).path(drawn(space, 20), drawn(space, 20, "ends"), 0.1)
    with pytest.raises(ConfigError, match="expected a MeshSurface"):
        PremetricFlow(Sphere())
    with pytest.raises(ConfigError, match="pieces"):
        PremetricFlow(space, pieces=1)
