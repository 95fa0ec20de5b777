"""Analytic priors against dense algebra: denoisers, draws, posteriors, modes, and volumes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scidiff.domains.ct.geometry import Parallel, even_angles
from scidiff.domains.ct.grid import Grid
from scidiff.domains.ct.operators import system_matrix
from scidiff.domains.ct.priors.gaussian import GaussianPrior
from scidiff.domains.ct.priors.mixture import MixturePrior
from scidiff.domains.ct.priors.posterior import dense_posterior
from scidiff.domains.ct.priors.volumes import VolumePrior
from scidiff.domains.ct.volume import PER_MM, Volume
from scipy.stats import multivariate_normal

from scidiff.errors import ConfigError, DataError, ShapeError
from scidiff.guidance.reward import GaussianLikelihood
from scidiff.random import Noise
from scidiff.spaces.linear import MatrixOperator

GRIDS = [Grid((8, 6), 4.0), Grid((7, 9), (3.0, 2.0))]
IDS = ["even", "odd"]
PRIOR = GaussianPrior(0.7, 0.4, 30.0, 3.2)


def noise(count: int, *shape: int, seed: int = 0) -> torch.Tensor:
    return Noise.range(seed, count).normal(shape, step=0, stream="test")


def measured(grid: Grid, count: int = 20, sd: float = 0.05, seed: int = 3) -> GaussianLikelihood:
    """Random rows as data of a draw of the prior."""
    matrix = noise(1, count, grid.size, seed=seed)[0] / math.sqrt(grid.size)
    operator = MatrixOperator(matrix, grid.shape)
    truth = PRIOR.draw(1, grid, seed=seed)
    return GaussianLikelihood(operator, operator.apply(truth)[0] + sd * noise(1, count, seed=seed + 1)[0], sd)


@pytest.mark.parametrize("grid", GRIDS, ids=IDS)
def test_the_covariance_is_the_one_of_its_spectral_density(grid):
    c = PRIOR.covariance(grid).dense()
    rows, columns = grid.shape
    f_r, f_c = np.fft.fftfreq(rows, grid.lengths[0]), np.fft.fftfreq(columns, grid.lengths[1])
    density = 0.4**2 * 1.2 * 30.0**2 / (2 * math.pi) * (1 + 30.0**2 * (f_r[:, None] ** 2 + f_c**2)) ** -1.6
    row = np.fft.ifft2(density / math.prod(grid.lengths)).real
    assert torch.allclose(c[0].reshape(grid.shape), torch.from_numpy(row), atol=1e-14)
    assert torch.allclose(c, c.T, atol=1e-14)
    assert float(torch.linalg.eigvalsh(c).min()) > 0


def test_a_fine_wide_grid_has_the_variance_of_the_field():
    # the square of frequencies up to 1 / 2h leaves out the tail beyond: at most (1 + (L / 2h)^2)^(1 - p/2) of the
    # variance, 0.11 % here; the sum replaces an integral of a smooth density with steps of 1 / 400 mm, far below 1 / L
    prior = GaussianPrior(0.0, 0.4, 30.0, 4.0)
    grid = Grid((400, 400), 1.0)
    variance = float(prior.covariance(grid).apply(torch.eye(1, 400 * 400).double().reshape(1, 400, 400))[0, 0, 0])
    tail = (1 + 15.0**2) ** -1
    assert 0.4**2 * (1 - tail - 1e-4) < variance < 0.4**2 * (1 + 1e-4)


@pytest.mark.parametrize("grid", GRIDS, ids=IDS)
def test_the_gaussian_denoiser_is_that_of_dense_algebra(grid):
    c, x = PRIOR.covariance(grid).dense(), noise(3, *grid.shape)
    sigma = torch.tensor([0.01, 0.3, 5.0], dtype=torch.float64)
    found = PRIOR.denoise(x, sigma, grid)
    for row, level in enumerate(sigma):
        gain = c @ torch.linalg.inv(c + level**2 * torch.eye(grid.size, dtype=torch.float64))
        expected = 0.7 + gain @ (x[row].flatten() - 0.7)
        # round-off is amplified by the condition of the inverse, at most 1 + 0.4^2 * size / 0.01^2
        assert torch.allclose(found[row].flatten(), expected, atol=1e-10)


def test_tweedie_ties_the_denoiser_to_the_density():
    grid, level = GRIDS[1], 0.2
    law = torch.distributions.MultivariateNormal(
        PRIOR.mean(grid).flatten(), PRIOR.covariance(grid).dense() + level**2 * torch.eye(grid.size).double()
    )
    x = (0.5 + noise(2, *grid.shape)).requires_grad_()
    score = torch.autograd.grad(law.log_prob(x.flatten(1)).sum(), x)[0]
    assert torch.allclose(PRIOR.denoise(x, level, grid), x + level**2 * score, atol=1e-10)


def test_gradients_pass_through_the_denoiser_and_are_symmetric():
    grid = GRIDS[0]
    x = noise(1, *grid.shape).requires_grad_()
    jacobian = torch.autograd.functional.jacobian(lambda v: PRIOR.denoise(v, 0.3, grid), x)
    jacobian = jacobian.reshape(grid.size, grid.size)
    assert torch.allclose(jacobian, jacobian.T, atol=1e-12)
    c = PRIOR.covariance(grid).dense()
    assert torch.allclose(jacobian, c @ torch.linalg.inv(c + 0.09 * torch.eye(grid.size).double()), atol=1e-11)


def test_draws_have_the_covariance_of_the_prior():
    grid, count = Grid((4, 4), 5.0), 4000
    x = PRIOR.draw(count, grid, seed=1).flatten(1) - 0.7
    c = PRIOR.covariance(grid).dense()
    # entries of a sample covariance have variance (c_ii c_jj + c_ij^2) / count; 5 deviations for 136 entries
    bound = 5 * ((c.diagonal()[:, None] * c.diagonal() + c**2) / count).sqrt()
    assert bool(((x.T @ x / count - c).abs() < bound).all())


def test_draws_depend_on_their_index_only():
    grid = GRIDS[0]
    assert torch.equal(PRIOR.draw(4, grid, seed=5)[2:], PRIOR.draw(2, grid, seed=5, first=2))


def test_the_posterior_by_gradients_is_that_by_matrices():
    grid = GRIDS[1]
    likelihood = measured(grid)
    posterior = PRIOR.posterior(likelihood, grid)
    dense = posterior.dense()
    # the residual of the solver times C A^T K^-1, whose norm is below 1 / sd here
    assert torch.allclose(posterior.mean(1e-12), dense.mean, atol=1e-9)
    count = 2000
    draws = posterior.draw(count, seed=2)
    bound = 5 / math.sqrt(count)
    assert bool(((draws.mean(0) - dense.mean).abs() < bound * dense.sd).all())
    assert bool(((draws.std(0) / dense.sd - 1).abs() < 5 / math.sqrt(2 * count)).all())
    again = dense.draw(count, seed=4)
    assert bool(((again.mean(0) - dense.mean).abs() < bound * dense.sd).all())


def test_the_dense_posterior_is_that_of_information_form():
    grid = GRIDS[0]
    likelihood = measured(grid)
    c, a = PRIOR.covariance(grid).dense(), likelihood.operator.matrix
    found = dense_posterior(PRIOR.mean(grid), c, likelihood)
    precision = torch.linalg.inv(c) + a.T @ a / 0.05**2
    covariance = torch.linalg.inv(precision)
    pull = a.T @ likelihood.y / 0.05**2 + torch.linalg.solve(c, PRIOR.mean(grid).flatten())
    assert torch.allclose(found.covariance, covariance, atol=1e-9)
    assert torch.allclose(found.mean.flatten(), covariance @ pull, atol=1e-8)
    law = multivariate_normal((a @ PRIOR.mean(grid).flatten()).numpy(), (a @ c @ a.T).numpy() + 0.05**2 * np.eye(20))
    assert found.log_evidence == pytest.approx(law.logpdf(likelihood.y.numpy()), abs=1e-8)


def test_the_posterior_covers_the_truth_through_a_projector():
    # pixels of draws of the prior itself: 90 % intervals hold 90 % of them. With 40 truths and about 10 independent
    # directions in each, the share has a standard error near 0.015; five of them
    grid = Grid((12, 12), 4.0)
    operator = system_matrix(Parallel(even_angles(6), 18, 4.0), grid, torch.float64)
    held = []
    for seed in range(40):
        truth = PRIOR.draw(1, grid, seed=seed)
        y = operator.apply(truth)[0]
        y = y + 0.5 * noise(1, *y.shape, seed=seed)[0]
        dense = PRIOR.posterior(GaussianLikelihood(operator, y, 0.5), grid).dense()
        held.append(((truth[0] - dense.mean).abs() < 1.6449 * dense.sd).double().mean())
    assert abs(float(torch.stack(held).mean()) - 0.9) < 0.075


def test_the_fit_finds_the_spectrum_of_draws_at_two_resolutions():
    truth = GaussianPrior(0.5, 0.3, 40.0, 3.3)
    grids = [Grid((64, 64), 2.0), Grid((48, 56), 3.0)]
    found = GaussianPrior.fit([(truth.draw(12, grid, seed=7), grid.lengths[0]) for grid in grids])
    # log periodograms of some 30000 independent coefficients: power to about 0.02, doubled by the window
    assert found.power == pytest.approx(3.3, abs=0.2)
    assert found.length == pytest.approx(40.0, rel=0.35)
    assert found.mean_image == pytest.approx(0.5, abs=0.1)
    with pytest.raises(DataError, match=">= 16"):
        GaussianPrior.fit([(torch.zeros(2, 8, 8), 1.0)])
    with pytest.raises(DataError, match="one value"):
        GaussianPrior.fit([(torch.zeros(2, 16, 16), 1.0)])


def two_modes() -> MixturePrior:
    grid = GRIDS[0]
    bump = torch.zeros(grid.shape, dtype=torch.float64)
    bump[2:5, 2:4] = 1.0
    parts = (GaussianPrior(0.5 + bump, 0.2, 20.0, 3.0), GaussianPrior(0.5 - 0.4 * bump, 0.3, 30.0, 3.4))
    return MixturePrior((0.3, 0.7), parts)


def test_the_mixture_denoiser_is_that_of_its_parts():
    prior, grid, level = two_modes(), GRIDS[0], 0.6
    x = prior.draw(3, grid, seed=1) + level * noise(3, *grid.shape)
    logs, means = [], []
    for weight, part in zip(prior.weights, prior.parts, strict=True):
        c = part.covariance(grid).dense().numpy() + level**2 * np.eye(grid.size)
        logs.append(math.log(weight) + multivariate_normal(part.mean(grid).flatten(), c).logpdf(x.flatten(1).numpy()))
        means.append(part.denoise(x, level, grid))
    share = torch.softmax(torch.tensor(np.array(logs)), 0)
    assert torch.allclose(prior.denoise(x, level, grid), torch.einsum("kb,kbrc->brc", share, torch.stack(means)))


def test_the_mixture_posterior_has_the_weights_of_bayes():
    prior, grid = two_modes(), GRIDS[0]
    matrix = noise(1, 4, grid.size, seed=3)[0] / math.sqrt(grid.size)
    between = matrix @ sum(part.mean(grid) for part in prior.parts).flatten() / 2
    likelihood = GaussianLikelihood(MatrixOperator(matrix, grid.shape), between, 0.3)
    posterior = prior.posterior(likelihood, grid)
    logs = [
        math.log(weight)
        + multivariate_normal(
            (matrix @ part.mean(grid).flatten()).numpy(),
            (matrix @ part.covariance(grid).dense() @ matrix.T).numpy() + 0.09 * np.eye(4),
        ).logpdf(likelihood.y.numpy())
        for weight, part in zip(prior.weights, prior.parts, strict=True)
    ]
    expected = np.exp(logs - np.logaddexp.reduce(logs))
    assert posterior.weights.numpy() == pytest.approx(expected, abs=1e-10)
    assert 0.02 < expected[0] < 0.98  # both modes matter in this test
    # self-normalised importance sampling knows nothing of the formulas
    x = prior.draw(20000, grid, seed=9)
    weights = torch.softmax(likelihood(x), 0)
    count = float(1 / weights.square().sum())
    error = (torch.einsum("b,brc->rc", weights, x) - posterior.mean).abs()
    assert bool((error < 5 * posterior.sd / math.sqrt(count)).all())


def test_draws_of_the_mixture_posterior_are_found_in_their_modes():
    prior, grid = two_modes(), GRIDS[0]
    bump = torch.zeros(1, grid.size, dtype=torch.float64)
    bump[0, 2 * 6 + 2] = 1.0
    likelihood = GaussianLikelihood(MatrixOperator(bump, grid.shape), torch.tensor([0.7]).double(), 0.5)
    posterior, count = prior.posterior(likelihood, grid), 2000
    share = float((posterior.modes(posterior.draw(count, seed=3)) == 0).double().mean())
    weight = float(posterior.weights[0])
    # five binomial deviations, and the overlap of the modes
    assert share == pytest.approx(weight, abs=5 * math.sqrt(weight * (1 - weight) / count) + 0.02)


def test_a_volume_of_gaussian_slices_is_denoised_exactly():
    grid, tau, level = Grid((5, 6, 4), (2.0, 4.0, 4.0)), 0.15, 0.3
    plane = Grid(grid.shape[1:], grid.lengths[1:])
    prior = VolumePrior(PRIOR, tau)
    c, depth, size = PRIOR.covariance(plane).dense(), grid.shape[0], plane.size
    chain = 2 * torch.eye(depth).double() - torch.diag(torch.ones(4), 1) - torch.diag(torch.ones(4), -1)
    chain[0, 0] = chain[-1, -1] = 1.0
    eye = torch.eye(size).double()
    tied = torch.kron(torch.eye(depth).double(), torch.linalg.inv(c).contiguous()) + torch.kron(chain, eye) / tau**2
    x = noise(2, *grid.shape) + 0.7
    pull = torch.linalg.solve(c, torch.full((size,), 0.7).double()).repeat(depth) + x.flatten(1) / level**2
    expected = torch.linalg.solve(tied + torch.eye(depth * size).double() / level**2, pull.T).T.reshape(x.shape)
    found = prior.denoiser(grid)(x, prior.slices.time(level))
    assert prior.label == "exact"
    assert torch.allclose(found, expected, atol=1e-10)


def test_a_tie_that_is_loose_or_tight():
    grid = Grid((4, 6, 6), 3.0)
    plane, x = Grid((6, 6), 3.0), noise(1, 4, 6, 6)
    t = PRIOR.time(0.4)
    loose = VolumePrior(PRIOR, 1e6).denoiser(grid)(x, t)[0]
    assert torch.allclose(loose, PRIOR.denoise(x[0], 0.4, plane), atol=1e-9)
    tight = VolumePrior(PRIOR, 1e-6).denoiser(grid)(x, t)[0]
    assert torch.allclose(tight, tight[:1].expand_as(tight), atol=1e-8)
    volume = Volume(0.0193 * (1 + torch.arange(3.0)[:, None, None].expand(3, 4, 4)), Grid((3, 4, 4), 1.0), PER_MM)
    assert VolumePrior.fit(PRIOR, volume).tau == pytest.approx(1.0, rel=1e-6)


def test_noise_levels_and_times_are_inverse():
    sigma = torch.tensor([0.0, 1e-4, 0.02, 1.0, 80.0], dtype=torch.float64)
    assert torch.allclose(PRIOR.sigma(PRIOR.time(sigma)), sigma, rtol=1e-12)
    for wrong in (-0.1, 81.0, math.nan):
        with pytest.raises(ConfigError, match="sigma is"):
            PRIOR.time(wrong)


def test_numbers_and_shapes_are_checked():
    with pytest.raises(ConfigError, match="power above 2"):
        GaussianPrior(power=2.0)
    with pytest.raises(ShapeError, match="count, rows, columns"):
        PRIOR.denoise(noise(2, 4, 4), 0.1, GRIDS[0])
    with pytest.raises(ConfigError, match="the grid has"):
        GaussianPrior(torch.zeros(3, 3)).mean(GRIDS[0])
    with pytest.raises(ConfigError, match="40 x 40"):
        two_modes().mixture(Grid((64, 64), 1.0))
    with pytest.raises(ConfigError, match="expected equally"):
        MixturePrior((1.0,), (PRIOR, PRIOR))
    with pytest.raises(ConfigError, match="up to"):
        big = MatrixOperator(torch.zeros(1, 90 * 90), (90, 90))
        dense_posterior(torch.zeros(90, 90), torch.zeros(1, 1), GaussianLikelihood(big, torch.zeros(1), 1.0))
    with pytest.raises(ConfigError, match="tau"):
        VolumePrior(PRIOR, 0.0)
