"""Hard and noisy linear constraints, and ways to inpaint, against conditioned laws in closed form."""

from __future__ import annotations

import math

import pytest
import torch

from scidiff.denoise import GaussianMixture
from scidiff.errors import ConfigError, NumericalError, ShapeError
from scidiff.guidance import (
    LinearConstraint,
    Replace,
    Spectral,
    Tweedie,
    White,
    fourier_covariance,
    matrix_covariance,
    repaint,
)
from scidiff.process import GaussianProcess, VPSchedule
from scidiff.random import Noise
from scidiff.sample import Model, RunState, TableRule, ancestral, log_snr_grid, run, unipc
from scidiff.spaces import Euclidean
from scidiff.spaces.linear import MatrixOperator, Selection
from scidiff.testing_targets.gaussian import VE
from scidiff.testing_targets.posteriors import linear_posterior, random_mixture

MATRIX = torch.tensor([[1.0, 0.5, 0.0], [0.0, -1.0, 2.0]], dtype=torch.float64)
B = torch.tensor([0.4, -1.1], dtype=torch.float64)
ROOT = torch.tensor([[1.0, 0.2, 0.0], [0.0, 0.7, -0.3], [0.0, 0.0, 0.4]], dtype=torch.float64)
COVARIANCE = ROOT @ ROOT.T
MEAN = torch.tensor([0.3, -0.2, 1.0], dtype=torch.float64)


def gaussian(schedule=VE, mean=MEAN, covariance=COVARIANCE):
    return GaussianMixture.gaussian(schedule, mean, covariance)


def conditioned(prior, constraint, t, batch=5):
    """Prediction under a constraint, and the state, at draws of ``x_t``."""
    noise = Noise.range(2, batch)
    process = GaussianProcess(Euclidean(tuple(prior.means.shape[1:])), prior.schedule)
    state = RunState.at(process.noise(prior.draw(noise), t, noise), t, noise)
    with torch.no_grad():
        m, after = Model(prior.denoiser, process, None, (constraint,)).estimate(state)
    return m, after, state


@pytest.mark.parametrize("schedule", [VE, VPSchedule()], ids=["VE", "VP"])
@pytest.mark.parametrize("sd", [0.0, 0.3])
@pytest.mark.parametrize("t", [0.05, 0.5, 0.9])
def test_the_true_covariance_is_exact_for_gaussian_data(schedule, sd, t):
    # zero mean for the fixed covariance is not needed: it enters by the network's m
    prior = gaussian(schedule)
    exact, _ = linear_posterior(prior, MATRIX, B, sd)
    for covariance in (Tweedie(), matrix_covariance(COVARIANCE)):
        m, after, state = conditioned(prior, LinearConstraint(MatrixOperator(MATRIX), B, covariance, sd), t)
        # solves with matrices of condition below 1e4
        assert torch.allclose(m, exact(state.x, t), rtol=1e-8, atol=1e-8)
        assert not bool(after.records["failed/constraint"].any())


def test_orthogonal_projection_obeys_the_constraint_and_is_biased_where_the_data_are_not_white():
    prior, operator = gaussian(), MatrixOperator(MATRIX)
    exact, _ = linear_posterior(prior, MATRIX, B, 0.0)
    m, _, state = conditioned(prior, LinearConstraint(operator, B, White()), 0.6)
    assert float((operator.apply(m) - B).abs().max()) < 1e-12
    assert float((m - exact(state.x, 0.6)).norm(dim=1).median()) > 0.1
    raw = prior(state.x, 0.6)
    least = raw + (B - raw @ MATRIX.T) @ torch.linalg.pinv(MATRIX).T
    assert torch.allclose(m, least, atol=1e-12)
    white = gaussian(VE, torch.zeros(3), torch.tensor(0.7))
    exact, _ = linear_posterior(white, MATRIX, B, 0.4)
    m, _, state = conditioned(white, LinearConstraint(operator, B, White(0.7), sd=0.4), 0.6)
    assert torch.allclose(m, exact(state.x, 0.6), atol=1e-10)


def test_a_stationary_field_is_conditioned_in_its_fourier_basis():
    size = 16
    spectrum = 1 / (1 + torch.fft.fftfreq(size, 1 / size, dtype=torch.float64) ** 2)
    basis = torch.fft.fft(torch.eye(size, dtype=torch.complex128), norm="ortho")
    covariance = (basis.conj().T @ torch.diag(spectrum.to(basis)) @ basis).real
    prior = gaussian(VE, torch.zeros(size), covariance)
    seen = torch.zeros(size, dtype=torch.bool)
    seen[[1, 5, 6, 12]] = True
    b = torch.tensor([1.0, -0.3, 0.2, 0.6], dtype=torch.float64)
    exact, _ = linear_posterior(prior, torch.eye(size, dtype=torch.float64)[seen], b, 0.0)
    for c in (fourier_covariance(spectrum), matrix_covariance(covariance), Tweedie()):
        m, _, state = conditioned(prior, LinearConstraint(Selection(seen), b, c), 0.4)
        assert torch.allclose(m, exact(state.x, 0.4), atol=1e-9)


def test_many_data_by_conjugate_gradients():
    """Seventy rows of rank two and their consistent data say what the two rows say."""
    prior = gaussian()
    mix = Noise.range(3, 70).normal((2,), step=0, stream="mix")
    exact, _ = linear_posterior(prior, MATRIX, B, 0.0)
    many = LinearConstraint(MatrixOperator(mix @ MATRIX), mix @ B)
    m, after, state = conditioned(prior, many, 0.5)
    # two distinct eigenvalues: both iterations end after two steps, up to round-off times the condition
    assert torch.allclose(m, exact(state.x, 0.5), atol=1e-7)
    assert float((m @ MATRIX.T - B).abs().max()) < 1e-10
    assert not bool(after.records["failed/constraint"].any())


@pytest.mark.parametrize("copies", [2, 40], ids=["dense", "iterative"])
def test_dependent_rows_are_solved_and_contradictions_refused(copies):
    prior, operator = gaussian(), MatrixOperator(MATRIX.repeat(copies, 1))
    exact, _ = linear_posterior(prior, MATRIX, B, 0.0)
    m, _, state = conditioned(prior, LinearConstraint(operator, B.repeat(copies)), 0.5)
    assert torch.allclose(m, exact(state.x, 0.5), atol=1e-8)
    wrong = B.repeat(copies)
    wrong[0] += 0.1
    with pytest.raises(NumericalError, match=r"A x = b has no solution for samples \[0\].*sd > 0"):
        LinearConstraint(operator, wrong)
    # with noise the same data are allowed, and weigh as their mean does
    LinearConstraint(operator, wrong, sd=0.1)


def test_samples_of_gaussian_data_follow_the_conditioned_law():
    prior, count = gaussian(), 3000
    exact, _ = linear_posterior(prior, MATRIX, B, 0.0)
    rule = TableRule(unipc(VE, log_snr_grid(VE, 30, floor=0.01)))
    constraint = LinearConstraint(MatrixOperator(MATRIX), B)
    process = GaussianProcess(Euclidean((3,)), VE)
    state = run(
        prior.denoiser, process, rule, rule.plan, noise=Noise.range(0, count), shape=(3,), transforms=(constraint,)
    )
    wanted = exact.covariances[0]
    sd = wanted.diagonal().sqrt()
    # five standard errors, and 1 % of the solver
    assert bool(((state.x.mean(0) - exact.means[0]).abs() < 5 * sd / math.sqrt(count) + 0.01 * sd).all())
    assert float((state.x.T.cov() - wanted).norm() / wanted.norm()) < 5 * math.sqrt(2 / count) + 0.01
    assert float(state.records["constraint/after"].max()) < 1e-14
    assert float(state.records["constraint/before"].max()) < 1e-8


def test_the_polish_ends_at_round_off_also_where_the_grid_stops_above_zero():
    prior = random_mixture(3, 6, seed=4)
    rule = TableRule(unipc(VE, log_snr_grid(VE, 12, floor=0.01, to_zero=False)))
    constraint = LinearConstraint(MatrixOperator(MATRIX), B, White())
    process = GaussianProcess(Euclidean((3,)), VE)
    options = {"noise": Noise.range(0, 50), "shape": (3,), "transforms": (constraint,)}
    state = run(prior.denoiser, process, rule, rule.plan, **options)
    assert (
        float(state.records["constraint/before"].max()) > 1e-4 > 1e-13 > float(state.records["constraint/after"].max())
    )


ROW = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
SEEN = torch.tensor([True, False])
VALUE = torch.tensor([0.8], dtype=torch.float64)
TIGHT = torch.tensor([[1.0, 0.9], [0.9, 1.0]], dtype=torch.float64)
PLANE = GaussianProcess(Euclidean((2,)), VE)


def inpainted(prior, count, *, transforms=(), correctors=(), table=None, clean=False, seed=0, steps=30):
    table = table or ancestral(VE, log_snr_grid(VE, steps, floor=0.02))
    rule = TableRule(table)
    options = {"noise": Noise.range(seed, count), "shape": (2,), "transforms": transforms, "correctors": correctors}
    if clean:
        options |= {"free": (~SEEN).expand(count, 2), "clean": torch.tensor([0.8, 0.0]).double().expand(count, 2)}
    return run(prior.denoiser, PLANE, rule, rule.plan, **options).x


def test_inpainting_a_correlated_gaussian_only_the_covariance_is_right():
    """Value 0.8 of the first site, correlation 0.9: the other one is N(0.72, 0.19)."""
    prior, count = gaussian(VE, torch.zeros(2), TIGHT), 1500
    exact, _ = linear_posterior(prior, ROW, VALUE, 0.0)
    mean, sd = float(exact.means[0, 1]), float(exact.covariances[0, 1, 1].sqrt())
    values = torch.tensor([0.8, 0.0], dtype=torch.float64)
    right = inpainted(prior, count, transforms=(LinearConstraint(Selection(SEEN), VALUE),))
    white = inpainted(prior, count, transforms=(LinearConstraint(Selection(SEEN), VALUE, White()),))
    once = inpainted(prior, count, correctors=(Replace(SEEN, values),))
    grid = log_snr_grid(VE, 30, floor=0.02)
    often = inpainted(prior, count, correctors=(Replace(SEEN, values),), table=repaint(ancestral, VE, grid, times=8))
    assert all(bool((x[:, 0] == 0.8).all()) for x in (once, often))
    errors = [abs(float(x[:, 1].mean()) - mean) for x in (right, white, once, often)]
    noise = sd / math.sqrt(count)
    # five standard errors; first-order steps leave 3 % of the standard deviation
    assert errors[0] < 5 * noise + 0.03 * sd
    # the projection leaves the free site to the prior of the network, replacement sees the data late, repeats mend it
    assert min(errors[1], errors[2]) > 0.1 and errors[3] < 0.5 * errors[2]


def test_inpainting_a_mixture_only_clean_sites_are_right():
    """Two modes that the known value tells apart: weights of the conditioned law against those of the samples."""
    means = torch.tensor([[-1.0, -2.0], [1.2, 2.0]], dtype=torch.float64)
    prior = GaussianMixture(VE, torch.tensor([0.5, 0.5]), means, torch.tensor([0.6, 0.6]))
    value = torch.tensor([0.3], dtype=torch.float64)
    exact, _ = linear_posterior(prior, ROW, value, 0.0)
    count = 1500
    t = torch.tensor([0.0, 0.75], dtype=torch.float64).expand(40, 2)
    x = torch.cat([torch.full((40, 1), 0.3), torch.linspace(-4, 4, 40).unsqueeze(1)], 1).double()
    wanted = exact(x, 0.75)[:, 1]
    assert torch.allclose(prior(x, t)[:, 1], wanted, atol=1e-10)
    for covariance in (Tweedie(), White()):
        m, _, state = conditioned(prior, LinearConstraint(Selection(SEEN), value, covariance), 0.75, batch=40)
        assert float((m[:, 0] - 0.3).abs().max()) < 1e-13
        assert float((m - exact(state.x, 0.75))[:, 1].abs().max()) > 0.5
    rule = TableRule(ancestral(VE, log_snr_grid(VE, 60, floor=0.02)))
    fixed = {"free": (~SEEN).expand(count, 2), "clean": torch.tensor([0.3, 0.0]).double().expand(count, 2)}
    clean = run(prior.denoiser, PLANE, rule, rule.plan, noise=Noise.range(0, count), shape=(2,), **fixed).x
    upper = float(exact.weights[1])
    # four binomial errors, and 2 % for the tails that cross 0 and for sixty steps of first order
    assert abs(float((clean[:, 1] > 0).double().mean()) - upper) < 4 * math.sqrt(upper * (1 - upper) / count) + 0.02


def test_clean_sites_and_a_constraint_on_the_rest():
    prior = random_mixture(3, 4, seed=1)
    process, count = GaussianProcess(Euclidean((3,)), VE), 6
    free = torch.tensor([True, False, True]).expand(count, 3)
    clean = torch.full((count, 3), 0.5, dtype=torch.float64)
    rule = TableRule(unipc(VE, log_snr_grid(VE, 8, floor=0.05)))
    for covariance in (Tweedie(), White()):
        constraint = LinearConstraint(MatrixOperator(MATRIX), B, covariance)
        options = {"noise": Noise.range(0, count), "shape": (3,), "free": free, "clean": clean}
        state = run(prior.denoiser, process, rule, rule.plan, transforms=(constraint,), **options)
        assert bool((state.x[:, 1] == 0.5).all())
        assert float(state.records["constraint/after"].max()) < 1e-13
    fixed = LinearConstraint(Selection(torch.tensor([False, True, False])), torch.zeros(1))
    with pytest.raises(NumericalError, match="sites that are not free"):
        run(prior.denoiser, process, rule, rule.plan, transforms=(fixed,), **options)


def test_a_network_that_breaks_marks_its_samples():
    prior = gaussian()

    def broken(x, t, condition):
        return torch.where(torch.arange(len(x)).unsqueeze(1) == 3, torch.nan, prior(x, t))

    from scidiff.denoise import Denoiser
    from scidiff.process import Kind

    noise = Noise.range(0, 5)
    state = RunState.at(prior.draw(noise), 0.5, noise)
    process = GaussianProcess(Euclidean((3,)), VE)
    model = Model(Denoiser(broken, Kind.MEAN), process, None, (LinearConstraint(MatrixOperator(MATRIX), B),))
    m, after = model.estimate(state)
    assert after.records["failed/constraint"].tolist() == [False, False, False, True, False]
    assert bool(m[[0, 1, 2, 4]].isfinite().all())


def test_what_constraints_refuse():
    operator = MatrixOperator(MATRIX)
    with pytest.raises(ShapeError, match=r"b has shape \(3,\)"):
        LinearConstraint(operator, torch.zeros(3))
    with pytest.raises(ConfigError, match="1 values that are not finite"):
        LinearConstraint(operator, torch.tensor([torch.nan, 0.0]))
    with pytest.raises(ConfigError, match="sd is -1"):
        LinearConstraint(operator, B, sd=-1)
    with pytest.raises(ConfigError, match="variance is 0"):
        White(0.0)
    with pytest.raises(ConfigError, match="variances lie in"):
        Spectral(torch.tensor([-1.0]), lambda v: v, lambda v: v)
    with pytest.raises(ConfigError, match="not even"):
        fourier_covariance(torch.tensor([1.0, 2.0, 3.0]))
    with pytest.raises(ShapeError, match="symmetric"):
        matrix_covariance(MATRIX)
    with pytest.raises(ShapeError, match="2 sets of data"):
        conditioned(gaussian(), LinearConstraint(operator, B.repeat(2, 1)), 0.5)
    with pytest.raises(ShapeError, match="at least one True"):
        Replace(torch.zeros(2, dtype=torch.bool), torch.zeros(2))
    with pytest.raises(ConfigError, match="known value is not finite"):
        Replace(SEEN, torch.tensor([torch.nan, 0.0]))
    with pytest.raises(ConfigError, match="times is 0"):
        repaint(ancestral, VE, log_snr_grid(VE, 4), times=0)
