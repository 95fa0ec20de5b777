"""The string method against saddles, averages and flows that are known."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from scidiff.analysis.fields import flow_velocity, score_gradient
from scidiff.analysis.landscapes import EntropicWell, MullerBrown, WrappedMixture, find_modes, mode_graph
from scidiff.analysis.principal import Walkers, principal_curve
from scidiff.analysis.string import arc_length, geodesic, minimum_energy_path, transport
from scidiff.denoise import GaussianMixture
from scidiff.process import EDMSchedule, GaussianProcess, LinearFlowSchedule, VPSchedule
from scidiff.spaces import Euclidean
from scidiff.spaces.sphere import Sphere
from scidiff.spaces.torus import Torus

PLANE = Euclidean((2,))
SURFACE = MullerBrown()


def point(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("images", [20, 40])
@pytest.mark.parametrize("with_energy", [True, False])
def test_saddle_of_muller_and_brown(images, with_energy):
    """Published: saddle -40.665 at (-0.822, 0.624) between minima of -146.700 and -108.167."""
    guess = geodesic(PLANE, point(-0.55, 1.4), point(0.6, 0.05), images)
    energy = SURFACE.energy if with_energy else None
    curve = minimum_energy_path(PLANE, SURFACE.gradient, guess, step=2e-4, energy=energy, tolerance=1e-2)
    assert curve.converged
    assert torch.allclose(curve.saddle, point(-0.822, 0.624), atol=1e-3)
    assert float(SURFACE.energy(curve.saddle[None])) == pytest.approx(-40.665, abs=1e-3)
    ends = SURFACE.energy(curve.images[[0, -1]])
    assert ends.tolist() == pytest.approx([-146.700, -108.167], abs=1e-3)
    if with_energy:
        assert curve.barrier == pytest.approx(146.700 - 40.665, abs=2e-3)
    # the gradient is along the curve; its images are equally spaced
    spacing = arc_length(PLANE, curve.images).diff()
    assert float((spacing / spacing.mean() - 1).abs().max()) < 1e-2
    assert curve.residual < 1e-2 < float(SURFACE.gradient(curve.images).norm(dim=1).max())


def test_energy_by_work_converges_at_second_order():
    """The trapezoidal rule along the curve: four times as good with twice the images."""
    errors = []
    for images in (40, 79):
        guess = geodesic(PLANE, point(-0.55, 1.4), point(0.6, 0.05), images)
        curve = minimum_energy_path(PLANE, SURFACE.gradient, guess, step=1e-4, tolerance=1e-2)
        errors.append(abs(curve.barrier - 106.035))
    assert errors[0] < 0.02 * 106
    assert errors[0] / errors[1] == pytest.approx(4, abs=1.0)


def test_fine_strings_on_steep_slopes_find_their_step():
    """With 60 images the first step is too long for the slope; it is halved until the string rests."""
    guess = geodesic(PLANE, point(-0.55, 1.4), point(0.6, 0.05), 60)
    curve = minimum_energy_path(PLANE, SURFACE.gradient, guess, step=4e-4, energy=SURFACE.energy, tolerance=0.05)
    assert curve.converged
    assert curve.barrier == pytest.approx(106.035, abs=2e-3)


def test_energy_against_entropy():
    """One landscape separates two regimes: the path of least energy is y = 0, the principal curve is y = E[y]."""
    well = EntropicWell(3.0)
    mean = well.mean_across()
    assert mean == pytest.approx(-0.12822, abs=1e-5)
    guess = geodesic(PLANE, point(-1.1, 0.3), point(0.9, 0.2), 15)
    path = minimum_energy_path(PLANE, well.gradient, guess, step=2e-2, energy=well.energy, tolerance=1e-5)
    assert float(path.images[:, 1].abs().max()) < 1e-3
    assert path.barrier == pytest.approx(3.0, abs=1e-6)
    curve = principal_curve(
        PLANE, well.gradient, path.images, walkers=Walkers(300, 0.03), iterations=1500, seed=0, energy=well.energy
    )
    # standard error 0.004 over seeds, measured; the step of the walkers shifts E[y] by -0.0015
    assert float(curve.images[:, 1].mean()) == pytest.approx(mean, abs=0.01)
    assert float((curve.images[:, 1] - mean).abs().max()) < 0.04
    assert float((curve.images[:, 0] - path.images[:, 0]).abs().max()) < 0.1
    assert float(curve.energies.mean()) > float(path.energies.mean())


def test_principal_curves_repeat_with_their_seed():
    well = EntropicWell(3.0)
    guess = geodesic(PLANE, point(-1, 0), point(1, 0), 5)
    settings = {"walkers": Walkers(5, 0.02), "iterations": 10}
    runs = [principal_curve(PLANE, well.gradient, guess, seed=seed, **settings).images for seed in (0, 0, 1)]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


MIXTURE_MEANS = torch.tensor([[-2.0, 0.0], [2.0, 0.0]], dtype=torch.float64)


def two_modes(schedule) -> GaussianMixture:
    return GaussianMixture(schedule, torch.tensor([0.5, 0.5]), MIXTURE_MEANS, torch.tensor([0.3, 0.3]))


def noise_curve(count: int) -> Tensor:
    u = torch.linspace(-1, 1, count, dtype=torch.float64)
    return torch.stack([2 * u, 0.8 * torch.cos(2 * u)], 1)


def distance_to(curve: Tensor, points: Tensor) -> float:
    """Largest distance of points to a polygon."""
    a, b = curve[:-1], curve[1:]
    way = b - a
    part = (((points[:, None] - a) * way).sum(-1) / way.square().sum(-1)).clamp(0, 1)
    return float((points[:, None] - a - part[..., None] * way).norm(dim=-1).amin(1).max())


def test_transport_makes_a_continuous_curve_of_samples():
    """Every image lies on the image of the noise curve under the flow, up to the square of the spacing."""
    schedule = LinearFlowSchedule()
    velocity = flow_velocity(two_modes(schedule).denoiser, GaussianProcess(PLANE, schedule))
    times = torch.linspace(1, 0, 41, dtype=torch.float64).tolist()
    truth = noise_curve(20_001)
    for t, s in itertools.pairwise(times):
        middle = truth + 0.5 * (s - t) * velocity(truth, t)
        truth = truth + (s - t) * velocity(middle, 0.5 * (t + s))
    errors = []
    for images in (81, 161):
        curve = transport(PLANE, velocity, noise_curve(images), times)
        errors.append(distance_to(truth, curve.images))
        assert curve.converged and curve.iterations == 40
    spacing = arc_length(PLANE, curve.images).diff()
    assert float(spacing.max() / spacing.min()) < 1.02
    assert errors[1] < 0.002
    assert errors[0] / errors[1] > 3
    # pushed without re-spacing, the images leave the gap between the modes open
    plain = noise_curve(161)
    for t, s in itertools.pairwise(times):
        middle = plain + 0.5 * (s - t) * velocity(plain, t)
        plain = plain + (s - t) * velocity(middle, 0.5 * (t + s))
    assert float(arc_length(PLANE, plain).diff().max()) > 2 * float(spacing.max())


@pytest.mark.parametrize("schedule", [VPSchedule(), LinearFlowSchedule(), EDMSchedule(20.0)])
def test_the_flow_of_a_gaussian_keeps_its_quantiles(schedule):
    """Data N(0, v): x_t / std_t is constant along the flow. The midpoint rule in 200 steps errs by less than 1 %."""
    v = 0.49
    model = GaussianMixture.gaussian(schedule, torch.zeros(1), torch.tensor(v))
    velocity = flow_velocity(model.denoiser, GaussianProcess(Euclidean((1,)), schedule))
    first = math.sqrt(float(schedule.alpha(1.0)) ** 2 * v + float(schedule.sigma(1.0)) ** 2)
    start = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    times = torch.linspace(1, 0.0, 201, dtype=torch.float64).tolist()
    end = transport(Euclidean((1,)), velocity, first * start, times).images
    assert torch.allclose(end, math.sqrt(v) * start, atol=0.01 * 2 * math.sqrt(v))


def test_path_of_a_score_between_modes():
    """From the score alone: the barrier of a symmetric mixture is log p(mode) - log p(centre)."""
    schedule, t = VPSchedule(), 0.05
    mixture = two_modes(schedule)
    gradient = score_gradient(mixture.denoiser, GaussianProcess(PLANE, schedule), t)
    guess = geodesic(PLANE, point(-1.8, 0.2), point(1.7, -0.1), 41)
    curve = minimum_energy_path(PLANE, gradient, guess, step=0.05, tolerance=1e-6)
    assert torch.allclose(curve.saddle, point(0, 0), atol=1e-5)
    exact = mixture.log_density(torch.stack([curve.images[0], curve.saddle]), t).diff().neg()
    # the trapezoidal rule in 20 intervals
    assert curve.barrier == pytest.approx(float(exact), rel=1e-2)


@pytest.mark.parametrize("height", [0.5, 2.0])
def test_a_path_on_the_sphere(height):
    """E = b x^2 + c z^2 with c > b: minima at +-y, saddles at +-x of height b, tops at the poles."""
    sphere = Sphere(2)

    def energy(x: Tensor) -> Tensor:
        return height * x[:, 0] ** 2 + 3 * x[:, 2] ** 2

    def gradient(x: Tensor) -> Tensor:
        return sphere.project_tangent(x, torch.stack([2 * height * x[:, 0], 0 * x[:, 1], 6 * x[:, 2]], 1))

    u = torch.linspace(-0.45, 0.5, 21, dtype=torch.float64) * math.pi
    guess = torch.stack([u.cos(), u.sin(), 0.6 * torch.cos(0.9 * u)], 1)
    guess = guess / guess.norm(dim=1, keepdim=True)
    for given in (energy, None):
        curve = minimum_energy_path(sphere, gradient, guess, step=0.05, energy=given, tolerance=1e-6)
        assert curve.converged
        assert torch.allclose(curve.saddle, point(1, 0, 0), atol=1e-5)
        assert curve.barrier == pytest.approx(height, rel=1e-6 if given else 0.02)
        assert torch.allclose(curve.images.norm(dim=1), torch.ones(21, dtype=torch.float64), atol=1e-12)
        assert float(curve.images[:, 2].abs().max()) < 1e-5


TORSIONS = WrappedMixture(
    torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64),
    torch.tensor([[-1.4, 2.6], [-1.2, -0.7], [1.0, 0.6]], dtype=torch.float64),
    torch.tensor([[0.6, 0.6], [0.5, 0.6], [0.5, 0.7]], dtype=torch.float64),
)


def lowest_passes(energy: np.ndarray, wells: list[tuple[int, int]]) -> np.ndarray:
    """Lowest pass between cells of a periodic grid: flood it cell by cell, and see when two wells meet."""
    size = len(energy)
    parent = -np.ones(size * size, dtype=np.int64)

    def root(k: int) -> int:
        while parent[k] != k:
            parent[k] = parent[parent[k]]
            k = parent[k]
        return k

    passes = np.full((len(wells), len(wells)), np.inf)
    flat = energy.ravel()
    homes = [i * size + j for i, j in wells]
    for k in np.argsort(flat).tolist():
        parent[k] = k
        i, j = divmod(k, size)
        for a, b in ((i + 1, j), (i - 1, j), (i, j + 1), (i, j - 1)):
            other = (a % size) * size + b % size
            if parent[other] < 0 or root(other) == root(k):
                continue
            sides = [
                {n for n, home in enumerate(homes) if parent[home] >= 0 and root(home) == side}
                for side in (root(k), root(other))
            ]
            for one in sides[0]:
                for two in sides[1]:
                    passes[one, two] = passes[two, one] = flat[k]
            parent[root(other)] = root(k)
    return passes


def test_torsions_the_graph_of_modes_has_the_barriers_of_the_density():
    """Barriers of strings on the torus against a flood of the analytic density on a grid of 240 x 240.

    A grid misses a saddle by at most half a cell along and across, 0.013: with curvatures of 1/0.5^2 by 1e-3.
    """
    torus = Torus(2)
    starts = (torch.rand(40, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 0.5) * 2 * math.pi
    modes = find_modes(torus, TORSIONS.gradient, starts, step=0.1, radius=0.2, iterations=2000, tolerance=1e-6)
    assert len(modes) == 3
    graph = mode_graph(
        torus, TORSIONS.gradient, TORSIONS.energy, modes, images=25, radius=0.3, step=0.1, tolerance=1e-3
    )
    axis = -math.pi + 2 * math.pi * np.arange(240) / 240
    cells = torch.from_numpy(np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2))
    energy = TORSIONS.energy(cells).numpy().reshape(240, 240)
    wells = [tuple(round((float(x) + math.pi) / (2 * math.pi) * 240) % 240 for x in mode) for mode in graph.modes]
    truth = lowest_passes(energy, wells)
    off = ~np.eye(3, dtype=bool)
    assert np.allclose(graph.passes[off], truth[off], atol=3e-3)
    assert (graph.barriers[off] > 0).all()
    assert graph.energies.tolist() == sorted(graph.energies.tolist())
    # the first two modes are nearest across the seam of the second angle
    steps = torch.linalg.norm(graph.edges[0, 1].images.diff(dim=0), dim=1)
    assert float(steps.max()) > 3


def test_the_density_of_torsions_is_normalised_and_its_gradient_right():
    axis = -math.pi + 2 * math.pi * torch.arange(200, dtype=torch.float64) / 200
    cells = torch.cartesian_prod(axis, axis)
    total = (-TORSIONS.energy(cells)).exp().sum() * (2 * math.pi / 200) ** 2
    assert float(total) == pytest.approx(1, abs=1e-10)
    for surface, x in ((TORSIONS, cells[::3331]), (SURFACE, 0.3 * cells[::3331]), (EntropicWell(), cells[::3331])):
        x = x.clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(surface.energy(x).sum(), x)
        assert torch.allclose(surface.gradient(x.detach()), gradient, rtol=1e-10, atol=1e-10)
