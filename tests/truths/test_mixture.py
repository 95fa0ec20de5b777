"""The mixture denoiser against quadrature, derivatives of its own density, brute force, and conditioning by hand."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from torch.autograd.functional import hessian, jacobian

from scidiff.denoise import GaussianMixture
from scidiff.errors import ConfigError, ShapeError
from scidiff.process import EDMSchedule, GaussianProcess, LinearFlowSchedule, VESchedule, VPSchedule
from scidiff.random import Noise
from scidiff.sample import TableRule, log_snr_grid, run, unipc
from scidiff.spaces import Euclidean

SCHEDULES = [VPSchedule(), EDMSchedule(), LinearFlowSchedule()]
every = pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
GENERATOR = torch.Generator().manual_seed(0)
MEANS = torch.randn(3, 4, generator=GENERATOR, dtype=torch.float64)
ROOTS = torch.randn(3, 4, 4, generator=GENERATOR, dtype=torch.float64)
COVARIANCES = {
    "isotropic": torch.tensor([0.1, 0.5, 1.0], dtype=torch.float64),
    "diagonal": 0.1 + torch.rand(3, 4, generator=GENERATOR, dtype=torch.float64),
    "full": ROOTS @ ROOTS.mT / 4,
}
WEIGHTS = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
X = 1.5 * torch.randn(5, 4, generator=GENERATOR, dtype=torch.float64)
shapes = pytest.mark.parametrize("covariances", COVARIANCES.values(), ids=COVARIANCES)


def dense(covariances: torch.Tensor) -> torch.Tensor:
    """Covariance matrices of any of the three forms."""
    if covariances.ndim == 3:
        return covariances
    return torch.diag_embed(covariances.unsqueeze(1).expand(3, 4) if covariances.ndim == 1 else covariances)


@every
@pytest.mark.parametrize("t", [0.3, 0.8])
def test_mean_and_variance_by_quadrature(schedule, t):
    """One dimension: ``E[x_0 | x_t]`` and ``Var[x_0 | x_t]`` by adaptive quadrature to 1e-9."""
    mixture = GaussianMixture(schedule, WEIGHTS, MEANS[:, :1], COVARIANCES["isotropic"])
    alpha, sigma = float(schedule.alpha(t)), float(schedule.sigma(t))
    components = list(zip(WEIGHTS.tolist(), MEANS[:, 0].tolist(), COVARIANCES["isotropic"].tolist(), strict=True))
    for x in (-2.0, 0.1, 1.4):

        def joint(y: float, power: int, x: float = x) -> float:
            data = sum(w * math.exp(-((y - m) ** 2) / (2 * v)) / math.sqrt(2 * math.pi * v) for w, m, v in components)
            return y**power * data * math.exp(-0.5 * ((x - alpha * y) / sigma) ** 2) / sigma / math.sqrt(2 * math.pi)

        near = [x / alpha + k * sigma / alpha for k in (-8, -1, 0, 1, 8)]
        points = sorted({*(min(max(p, -9.9), 9.9) for p in near), *MEANS[:, 0].tolist()})
        z, first, second = (quad(joint, -10, 10, args=(k,), points=points, epsabs=1e-13)[0] for k in range(3))
        point = torch.tensor([[x]], dtype=torch.float64)
        assert float(mixture(point, t)) == pytest.approx(first / z, abs=1e-8)
        assert float(mixture.covariance(point, t)) == pytest.approx(second / z - (first / z) ** 2, abs=1e-8)
        assert float(mixture.log_density(point, t)) == pytest.approx(math.log(z), abs=1e-8)


@every
@shapes
@pytest.mark.parametrize("t", [0.2, 0.6, 0.95])
def test_tweedie(schedule, covariances, t):
    """Score, mean and covariance are derivatives of the log-density: ``m = (x + sigma^2 score) / alpha``, and

    ``Cov[x_0 | x] = (sigma / alpha)^2 (1 + sigma^2 Hess log p)``.
    """
    mixture = GaussianMixture(schedule, WEIGHTS, MEANS, covariances)
    alpha, sigma = float(schedule.alpha(t)), float(schedule.sigma(t))
    for x in X:
        density = lambda y: mixture.log_density(y.unsqueeze(0), t)[0]  # noqa: E731
        score = jacobian(density, x)
        curvature = hessian(density, x)
        point = x.unsqueeze(0)
        size = float(score.abs().max())
        assert torch.allclose(mixture.score(point, t)[0], score, atol=1e-10 * (1 + size))
        assert torch.allclose(mixture(point, t)[0], (x + sigma**2 * score) / alpha, atol=1e-9 * (1 + 1 / alpha))
        tweedie = (sigma / alpha) ** 2 * (torch.eye(4) + sigma**2 * curvature)
        assert torch.allclose(mixture.covariance(point, t)[0], tweedie, atol=1e-9 * (1 + (sigma / alpha) ** 2))
        # the denoiser passes gradients, as guidance needs them: dm/dx = alpha / sigma^2 Cov
        slope = jacobian(lambda y: mixture(y.unsqueeze(0), t)[0], x)
        assert torch.allclose(slope, alpha / sigma**2 * mixture.covariance(point, t)[0], atol=1e-7)


@shapes
def test_the_dense_formula(covariances):
    """Means and log-densities of the components by Cholesky factors of ``alpha^2 C + sigma^2``."""
    schedule, t = VPSchedule(), 0.4
    mixture = GaussianMixture(schedule, WEIGHTS, MEANS, covariances)
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    cov = dense(covariances)
    total = alpha**2 * cov + sigma**2 * torch.eye(4)
    gap = X[:, None] - alpha * MEANS
    log_p = torch.stack(
        [torch.distributions.MultivariateNormal(alpha * MEANS[k], total[k]).log_prob(X) for k in range(3)], 1
    )
    r = torch.softmax(log_p + WEIGHTS.log(), 1)
    m = MEANS + torch.einsum("kde,bke->bkd", alpha * cov @ torch.linalg.inv(total), gap)
    assert torch.allclose(mixture.responsibilities(X, t), r, atol=1e-12)
    assert torch.allclose(mixture(X, t), torch.einsum("bk,bkd->bd", r, m), atol=1e-11)


@shapes
def test_ends_of_the_clock(covariances):
    mixture = GaussianMixture(LinearFlowSchedule(), WEIGHTS, MEANS, covariances)
    assert torch.allclose(mixture(X, 0.0), X, atol=1e-12)
    assert torch.allclose(mixture(X, 1.0), (WEIGHTS @ MEANS).expand(5, 4), atol=1e-12)
    assert torch.allclose(mixture.responsibilities(X, 1.0), WEIGHTS.expand(5, 3), atol=1e-12)
    spread = torch.einsum("k,kde->de", WEIGHTS, dense(covariances)) + torch.cov(MEANS.T, aweights=WEIGHTS, correction=0)
    assert torch.allclose(mixture.covariance(X, 1.0)[0], spread, atol=1e-12)
    assert torch.allclose(mixture.covariance(X, 0.0), torch.zeros(4, 4, dtype=torch.float64), atol=1e-12)


def test_point_masses():
    """Components without spread: the softmax over points; at ``t = 0`` a point is itself."""
    mixture = GaussianMixture(VESchedule(), WEIGHTS, MEANS, torch.zeros(3))
    sigma = float(VESchedule().sigma(0.7))
    w = torch.softmax(WEIGHTS.log() - torch.cdist(X, MEANS) ** 2 / (2 * sigma**2), 1)
    assert torch.allclose(mixture(X, 0.7), w @ MEANS, atol=1e-12)
    assert torch.allclose(mixture(MEANS, 0.0), MEANS, atol=1e-12)


@every
@shapes
def test_draws_have_the_exact_moments(schedule, covariances):
    """Mean and covariance of data, and of ``x_0`` given ``x_t``, within five standard errors of 20 000 draws."""
    mixture = GaussianMixture(schedule, WEIGHTS, MEANS, covariances)
    noise, count = Noise.range(0, 20_000), 20_000
    data = mixture.draw(noise)
    point = X[:1].expand(count, 4)
    for draws, mean, cov in (
        (data, WEIGHTS @ MEANS, mixture.covariance(torch.zeros(1, 4, dtype=torch.float64), 1.0)[0]),
        (mixture.posterior_draw(point, 0.6, noise), mixture(X[:1], 0.6)[0], mixture.covariance(X[:1], 0.6)[0]),
    ):
        if draws is data and schedule != LinearFlowSchedule():
            continue  # the covariance of the data is read off at the end without signal
        gap = draws - mean
        products = torch.einsum("bd,be->bde", gap, gap)
        assert bool((gap.mean(0).abs() < 5 * gap.std(0) / count**0.5).all())
        assert bool(((products.mean(0) - cov).abs() < 5 * products.std(0) / count**0.5 + 1e-12).all())


def test_the_exact_reverse_sampler_keeps_the_marginals():
    """Three large exact steps from the law at ``t = 0.9``: log-density at the end as of direct draws.

    The mean of ``log p(x_s)`` over draws is minus the entropy; two independent estimates agree within five standard
    errors. Steps of this size by a first-order sampler miss it by far.
    """
    schedule = VPSchedule()
    mixture = GaussianMixture(schedule, WEIGHTS, MEANS, COVARIANCES["isotropic"] / 10)
    process = GaussianProcess(Euclidean((4,)), schedule)
    noise, count = Noise.range(0, 10_000), 10_000
    x = process.noise(mixture.draw(noise), 0.9, noise)
    times = [0.9, 0.5, 0.2, 0.02]
    for step, (t, s) in enumerate(pairwise(times)):
        x = mixture.reverse_draw(x, t, s, noise, step=step)
    other = Noise.range(1, count)
    direct = process.noise(mixture.draw(other), 0.02, other)
    a, b = mixture.log_density(x, 0.02), mixture.log_density(direct, 0.02)
    assert abs(float(a.mean() - b.mean())) < 5 * math.sqrt(float(a.var() + b.var()) / count)
    shares = [torch.bincount(mixture.responsibilities(y, 0.02).argmax(1), minlength=3) / count for y in (x, direct)]
    assert bool(((shares[0] - shares[1]).abs() < 5 * (0.5 / count) ** 0.5).all())


@pytest.mark.parametrize("covariances", ["isotropic", "diagonal"])
def test_clean_sites_condition_the_others(covariances):
    """With the last two sites clean, the denoiser of the first two is that of the conditional mixture, made by hand.

    Then a whole run with clamped sites ends, to round-off, where the run of the conditional mixture ends.
    """
    schedule, cov = VPSchedule(), torch.diagonal(dense(COVARIANCES[covariances]), dim1=1, dim2=2)
    mixture = GaussianMixture(schedule, WEIGHTS, MEANS, COVARIANCES[covariances])
    known = torch.tensor([0.3, -0.4], dtype=torch.float64)
    log_w = WEIGHTS.log() - 0.5 * ((known - MEANS[:, 2:]) ** 2 / cov[:, 2:] + cov[:, 2:].log()).sum(1)
    conditional = GaussianMixture(schedule, torch.softmax(log_w, 0), MEANS[:, :2], cov[:, :2])
    x = torch.cat([X[:, :2], known.expand(5, 2)], 1)
    t = torch.tensor([0.6, 0.6, 0.0, 0.0], dtype=torch.float64).expand(5, 4)
    m = mixture(x, t)
    assert torch.allclose(m[:, :2], conditional(X[:, :2], 0.6), atol=1e-12) and torch.allclose(m[:, 2:], x[:, 2:])

    rule = TableRule(unipc(schedule, log_snr_grid(schedule, 8)))
    free = torch.tensor([True, True, False, False]).expand(5, 4)
    noise = Noise.range(0, 5)
    clamped = run(
        mixture.denoiser,
        GaussianProcess(Euclidean((4,)), schedule),
        rule,
        rule.plan,
        noise=noise,
        shape=(4,),
        free=free,
        clean=x,
    )
    alone = run(
        conditional.denoiser, GaussianProcess(Euclidean((2,)), schedule), rule, rule.plan, noise=noise, shape=(2,)
    )
    assert torch.allclose(clamped.x[:, :2], alone.x, atol=1e-10) and torch.equal(clamped.x[:, 2:], x[:, 2:])


def test_events_of_any_shape():
    flat = GaussianMixture(VPSchedule(), WEIGHTS, MEANS, COVARIANCES["full"])
    square = GaussianMixture(VPSchedule(), WEIGHTS, MEANS.reshape(3, 2, 2), COVARIANCES["full"])
    x = X.reshape(5, 2, 2)
    assert torch.equal(square(x, 0.5).flatten(1), flat(X, 0.5))
    times = torch.linspace(0.1, 0.9, 5, dtype=torch.float64)
    assert torch.allclose(square(x, times)[2], square(x[2:3], float(times[2]))[0], atol=1e-13)
    assert square.draw(Noise.range(0, 3)).shape == (3, 2, 2)
    assert np.array_equal(square.denoiser(x, torch.tensor(0.5)).numpy(), square(x, 0.5).numpy())


def test_senseless_mixtures_are_refused():
    make = lambda *args: GaussianMixture(VPSchedule(), *args)  # noqa: E731
    with pytest.raises(ConfigError, match="sum to 1"):
        make(2 * WEIGHTS, MEANS, COVARIANCES["full"])
    with pytest.raises(ShapeError, match="expected weights"):
        make(WEIGHTS, MEANS, torch.ones(2))
    with pytest.raises(ConfigError, match="eigenvalue"):
        make(WEIGHTS, MEANS, -torch.ones(3))
    full = make(WEIGHTS, MEANS, COVARIANCES["full"])
    with pytest.raises(ShapeError, match="one time per sample"):
        full(X, torch.linspace(0, 1, 4, dtype=torch.float64).expand(5, 4))
    with pytest.raises(ShapeError, match="expected"):
        full(X[:, :3], 0.5)
