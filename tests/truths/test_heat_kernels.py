"""Heat kernels on tori, spheres and H^3: mass, heat equation, score, eigenfunctions, draws."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.process.heat import HyperbolicHeatKernel, WrappedNormal
from scidiff.process.igso3 import IGSO3
from scidiff.process.radial import RadialHeatKernel
from scidiff.process.sphere_heat import SphereHeatKernel, sphere_descent, sphere_spectral
from scidiff.process.sphere_images import three_sphere_images
from scidiff.random import Noise
from scidiff.spaces import SO3, Hyperbolic, Sphere, Torus

S2, S3, S7, H3 = SphereHeatKernel(), SphereHeatKernel(Sphere(3)), SphereHeatKernel(Sphere(7)), HyperbolicHeatKernel()
RADIAL = [
    (S2, (1e-6, 0.01, 0.2, 0.34, 0.36, 1.0, 5.0)),
    (S3, (1e-5, 0.05, 0.34, 1.0)),
    (S7, (0.31, 2.0)),
    (H3, (1e-6, 0.1, 1.0, 6.0)),
]
CASES = [(kernel, t) for kernel, times in RADIAL for t in times]
NAMES = [f"{type(kernel.space).__name__}{kernel.space.size}-{t}" for kernel, t in CASES]


def at(t: float, like: Tensor) -> Tensor:
    return torch.full_like(like, t)


def radii(kernel: RadialHeatKernel, t: float, count: int = 300) -> tuple[Tensor, Tensor]:
    """Gauss-Legendre nodes and weights up to the horizon."""
    top = float(kernel.horizon(torch.tensor(t, dtype=torch.float64)))
    nodes, weights = (torch.from_numpy(part) for part in np.polynomial.legendre.leggauss(count))
    return (nodes + 1) / 2 * top, weights * top / 2


def radial_law(kernel: RadialHeatKernel, t: float) -> tuple[Tensor, Tensor]:
    r, weights = radii(kernel, t)
    return r, (kernel.log_radial(r, at(t, r)) + kernel.log_area(r)).exp() * weights


@pytest.mark.parametrize(("kernel", "t"), CASES, ids=NAMES)
def test_the_mass_is_one(kernel, t):
    assert float(radial_law(kernel, t)[1].sum()) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(("kernel", "t"), CASES, ids=NAMES)
def test_the_first_eigenfunction_decays(kernel, t):
    """``E cos r = e^(-nt/2)`` on S^n and ``E cosh r = e^(nt/2)`` on H^n, by quadrature.

    The tail of the growing function beyond the horizon is below 1e-10.
    """
    r, law = radial_law(kernel, t)
    n, sign = kernel.space.dim, -1 if kernel.reach == math.pi else 1
    mean = float((law * (r.cos() if sign < 0 else r.cosh())).sum())
    assert mean == pytest.approx(math.exp(sign * n * t / 2), rel=1e-10)


@pytest.mark.parametrize(("kernel", "t"), CASES, ids=NAMES)
def test_the_slope_is_the_derivative(kernel, t):
    """Central differences with step ``1e-4 sqrt t``; errors of the third derivative 1e-8, of round-off 1e-16/1e-4."""
    r, h = radii(kernel, t, 40)[0], 1e-4 * min(math.sqrt(t), 1)
    r = r[(r > 2 * h) & (r < kernel.reach - 2 * h)]
    up, down = kernel.log_radial(r + h, at(t, r)), kernel.log_radial(r - h, at(t, r))
    size = (1 + up.abs()) / h * 1e-11 + 1e-7 * (1 + r / t)
    assert bool((((up - down) / (2 * h) - kernel.slope(r, at(t, r)) * r).abs() < size).all())


@pytest.mark.parametrize(("kernel", "t"), [case for case in CASES if case[1] >= 0.1], ids=lambda value: None)
def test_the_heat_equation(kernel, t):
    """``dk/dt = (k'' + (n-1) cot(r) k') / 2`` in the form of log k, by differences of step 1e-3; error O(h^2)."""
    r, h = torch.linspace(0.2, 2.8, 27, dtype=torch.float64), 1e-3
    log_k = kernel.log_radial
    by_time = (log_k(r, at(t + h * t, r)) - log_k(r, at(t - h * t, r))) / (2 * h * t)
    up, here, down = log_k(r + h, at(t, r)), log_k(r, at(t, r)), log_k(r - h, at(t, r))
    first, second = (up - down) / (2 * h), (up - 2 * here + down) / h**2
    bend = 1 / r.tan() if kernel.reach == math.pi else 1 / r.tanh()
    by_space = (second + first**2 + (kernel.space.dim - 1) * bend * first) / 2
    assert torch.allclose(by_time, by_space, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("t", [0.35, 0.38, 0.4])
def test_small_and_large_times_agree_on_spheres(t):
    """Measured below 1e-11; the series loses what ``e^(pi^2 / 2t)`` takes of 16 digits at the antipode."""
    r = torch.linspace(0, math.pi, 301, dtype=torch.float64)
    for small, n in ((sphere_descent, 2), (three_sphere_images, 3)):
        near, series = small(r, at(t, r)), sphere_spectral(n, r, at(t, r))
        assert float((near[0] - series[0]).abs().max()) < 1e-10
        assert float((near[1] - series[1]).abs().max()) < 1e-10


def test_rotations_are_the_three_sphere_without_signs():
    """IGSO(3) is the kernel of S^3 at both quaternions of a rotation, angles halved and time a quarter."""
    w = torch.linspace(0, math.pi, 101, dtype=torch.float64)
    for t in (0.01, 1.0, 2.0, 5.0):
        both = sum(S3.log_radial(r, at(t / 4, r)).exp() for r in (w / 2, math.pi - w / 2))
        assert torch.allclose(both / 8, IGSO3().log_radial(w, at(t, w)).exp(), rtol=1e-9)


@pytest.mark.parametrize(("kernel", "t"), CASES, ids=NAMES)
def test_the_sampler_inverts_the_cdf(kernel, t):
    """Mass below the quantile of ``u``, by Gauss-Legendre up to it, is ``u``."""
    u = torch.tensor([1e-6, 0.01, 0.3, 0.5, 0.9, 0.999, 1 - 1e-6], dtype=torch.float64)
    for share, top in zip(u, kernel.quantile(u, at(t, u)), strict=True):
        nodes, weights = (torch.from_numpy(part) for part in np.polynomial.legendre.leggauss(100))
        r = (nodes + 1) / 2 * top
        mass = ((kernel.log_radial(r, at(t, r)) + kernel.log_area(r)).exp() * weights).sum() * top / 2
        assert float(mass) == pytest.approx(float(share), abs=1e-11)


def away_from(space, noise: Noise) -> tuple[Tensor, Tensor]:
    """Random pairs of points."""
    if isinstance(space, Hyperbolic):
        origin = torch.zeros(len(noise), 4, dtype=torch.float64)
        origin[:, 3] = 1
        x0, x = (space.exp(origin, space.random_tangent(origin, noise, step=k, stream="x")) for k in (0, 1))
        return x0, x
    return tuple(space.uniform(noise, space.shape, step=k, stream="x") for k in (0, 1))


@pytest.mark.parametrize("kernel", [S2, S3, S7, H3, IGSO3(), WrappedNormal(Torus(3))], ids=lambda k: repr(k.space))
def test_the_score_is_the_gradient_on_the_manifold(kernel):
    """Derivative of log p along random geodesics by central differences of step 1e-4."""
    noise, h = Noise.range(4, 50), 1e-4
    x0, x = away_from(kernel.space, noise)
    t = 0.5 + 3 * noise.uniform((), step=0, stream="t")
    v = kernel.space.random_tangent(x, noise, step=2, stream="v")
    up, down = (kernel.log_density(x0, kernel.space.exp(x, s * h * v), t) for s in (1, -1))
    slope = kernel.space.inner(x, kernel.score(x0, x, t), v)
    assert torch.allclose((up - down) / (2 * h), slope, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("t", [0.05, 0.7, 1.9, 3.0])
@pytest.mark.parametrize("kernel", [S2, S3, H3, IGSO3(), WrappedNormal(Torus(3))], ids=lambda k: repr(k.space))
def test_the_density_is_differentiable_and_its_gradient_is_the_score(kernel, t):
    """Autograd of log p through exp at rest; at ``x = x0`` both vanish. Round-off 1e-16 over a few distances."""
    space, noise = kernel.space, Noise.range(6, 20)
    x0, x = away_from(space, noise)
    x0 = torch.cat((x[:2], x0[2:]))
    v = torch.zeros(20, *space.tangent_shape, dtype=torch.float64, requires_grad=True)
    log_p = kernel.log_density(x0, space.exp(x, space.project_tangent(x, v)), t)
    (grad,) = torch.autograd.grad(log_p.sum(), v)
    score = kernel.score(x0, x, t)
    assert torch.allclose(grad, score, atol=1e-9 * (1 + float(score.abs().max())))
    assert float(grad[:2].abs().max()) < 1e-12 / t


@pytest.mark.parametrize("t", [0.01, 0.5, 1.99, 2.01, 8.0])
def test_the_wrapped_normal(t):
    """Mass, mean and score of one angle: the trapezoidal rule is exact for smooth periodic functions."""
    count = 400
    x = (torch.arange(count, dtype=torch.float64) / count - 0.5).unsqueeze(1) * 2 * math.pi
    x0 = torch.full_like(x, 0.3)
    kernel = WrappedNormal(Torus(1))
    density = kernel.log_density(x0, x, t).exp() * 2 * math.pi / count
    assert float(density.sum()) == pytest.approx(1, abs=1e-12)
    assert float((density * torch.cos(x[:, 0] - 0.3)).sum()) == pytest.approx(math.exp(-t / 2), abs=1e-12)
    # integration by parts: E [score g] = -E g' for periodic g
    score = kernel.score(x0, x, t)[:, 0]
    assert float((density * score * torch.sin(x[:, 0])).sum()) == pytest.approx(
        -math.exp(-t / 2) * math.cos(0.3), abs=1e-12
    )


@pytest.mark.parametrize(
    ("kernel", "t"), [(S2, 0.05), (S2, 1.3), (S3, 0.2), (S7, 0.8), (H3, 0.5), (WrappedNormal(Torus(2)), 0.9)]
)
def test_draws_have_the_exact_mean(kernel, t):
    """The mean of the first eigenfunction within five standard errors, from draws around random points."""
    noise = Noise.range(8, 20_000)
    space = kernel.space
    x0, _ = away_from(space, noise)
    x = kernel.sample(x0, t, noise, step=3, stream="draw")
    if isinstance(space, Torus):
        value, exact = torch.cos(x - x0).mean(1), math.exp(-t / 2)
    elif isinstance(space, Hyperbolic):
        value, exact = space.dist(x0, x).cosh(), math.exp(space.dim * t / 2)
    else:
        value, exact = space.dist(x0, x).cos(), math.exp(-space.dim * t / 2)
    assert abs(float(value.mean()) - exact) < 5 * float(value.std()) / math.sqrt(len(noise))
    space.check(x)
    assert torch.allclose(space.project(x), x, atol=1e-12)


def test_directions_are_uniform():
    """The second moments of the direction of departure are 1/n, within five standard errors."""
    count = 20_000
    noise = Noise.range(9, count)
    x0, _ = away_from(Sphere(2), noise)
    x = S2.sample(x0, 0.4, noise, step=0, stream="x")
    v = Sphere(2).log(x0, x)
    along = (v / v.norm(dim=1, keepdim=True) * Sphere(2).project_tangent(x0, torch.eye(3)[:1].double())).sum(1)
    size = Sphere(2).project_tangent(x0, torch.eye(3)[:1].double()).square().sum(1)
    gap = along**2 - size / 2
    assert abs(float(gap.mean())) < 5 * float(gap.std()) / math.sqrt(count)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: HyperbolicHeatKernel(Hyperbolic(2)),
        lambda: SphereHeatKernel(Sphere(1)),
        lambda: S7.log_density(torch.eye(8)[:1], torch.eye(8)[:1], 0.1),
        lambda: IGSO3().log_density(torch.eye(4)[:1], torch.eye(4)[:1], -1.0),
    ],
)
def test_what_is_refused(wrong):
    with pytest.raises(ConfigError, match=r"use|expected"):
        wrong()


def test_the_dtype_of_the_state_is_kept():
    x0 = SO3().uniform(Noise.range(0, 3), (4,), step=0, stream="x").float()
    assert IGSO3().sample(x0, 0.3, Noise.range(0, 3), step=0, stream="y").dtype == torch.float32
    angles = torch.zeros(3, 1)
    assert WrappedNormal().sample(angles, 0.3, Noise.range(0, 3), step=0, stream="y").dtype == torch.float32
