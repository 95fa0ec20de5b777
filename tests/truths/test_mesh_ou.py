"""The Ornstein-Uhlenbeck process of a mesh: its law, the trap of pure heat, and exact reversal of Gaussian fields."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from scidiff.denoise import Denoiser
from scidiff.errors import ConfigError
from scidiff.mesh import (
    Chebyshev,
    HodgeDecomposition,
    HodgeLaplacian,
    barycentric_stars,
    icosphere,
    spectrum,
    torus,
    whitney_stars,
)
from scidiff.process import CochainProcess, CosineSchedule, Kind, OperatorSchedule, VPSchedule
from scidiff.random import Noise
from scidiff.sample import ModeRule, RunState, analytic_dpm, ddim, dpmpp_2m, log_snr_grid, run, unipc
from scidiff.spaces import Cochain
from scidiff.testing_targets.gaussian import Impulse

CLOCK = VPSchedule()


@functools.cache
def edges_of_torus() -> Cochain:
    return Cochain(spectrum(HodgeLaplacian(whitney_stars(torus(8, 5)), 1)))


def heavier(l: Tensor) -> Tensor:
    """Noise that is stronger on high modes than the default."""
    return 1 + 0.3 * l


@pytest.mark.parametrize("power", [None, heavier], ids=["white", "coloured"])
@pytest.mark.parametrize("identity", [0.0, 1.0])
def test_levels_solve_the_equation(identity, power):
    """Mean and covariance of the equation in values at the edges, integrated without any basis.

    In the time ``B`` of the clock ``dX = -G X / 2 dB + Q^1/2 dW``, ``G = i + c L``: the mean map obeys
    ``F' = -G F / 2``, the covariance ``C' = -(G C + C G^T) / 2 + Q M^-1``. Classical Runge-Kutta with steps ``h``
    errs by less than ``(h r / 2)^4 B r / 120``, 1e-8 for the highest rate ``r`` here.
    """
    c, end = 0.02, 0.6
    laplacian = HodgeLaplacian(whitney_stars(icosphere(0)), 1)
    modes = spectrum(laplacian)
    schedule = OperatorSchedule(CLOCK, c, identity, power)
    t = float(CLOCK.t(-0.5 * math.log(math.expm1(end))))
    inverse = np.linalg.inv(laplacian.mass.toarray())
    operator = laplacian.apply(np.eye(laplacian.size))
    pull = identity * np.eye(laplacian.size) + c * operator
    feed = (pull if power is None else np.eye(laplacian.size) + 0.3 * operator) @ inverse

    def slope(pair: np.ndarray) -> np.ndarray:
        mean, covariance = pair
        return np.stack([-pull @ mean / 2, -(pull @ covariance + covariance @ pull.T) / 2 + feed])

    pair, count = np.stack([np.eye(laplacian.size), np.zeros_like(inverse)]), 150
    h = end / count
    for _ in range(count):
        k1 = slope(pair)
        k2 = slope(pair + h / 2 * k1)
        k3 = slope(pair + h / 2 * k2)
        pair = pair + h / 6 * (k1 + 2 * k2 + 2 * k3 + slope(pair + h * k3))
    eigenvalues = torch.from_numpy(modes.values)
    alpha, sigma = schedule.alpha(t, eigenvalues).numpy(), schedule.sigma(t, eigenvalues).numpy()
    assert float(schedule.rate(eigenvalues).max()) < 2
    assert np.abs(modes.apply(alpha, np.eye(laplacian.size)) - pair[0]).max() < 1e-8
    assert np.abs((modes.vectors * sigma**2) @ modes.vectors.T - pair[1]).max() < 1e-8 * np.abs(pair[1]).max()


def test_noised_samples_have_the_law():
    """Mean and variance of each of 120 modes over 4000 samples, within five standard errors.

    The standard error of the mean is ``sigma / sqrt(4000)``, that of the variance ``sigma^2 sqrt(2 / 4000)``.
    """
    space, count = edges_of_torus(), 4000
    process = CochainProcess(space, OperatorSchedule(CLOCK, 0.05))
    x0 = torch.from_numpy(np.random.default_rng(0).standard_normal(space.shape)).expand(count, -1)
    x_t = process.noise(x0, 0.3, Noise.range(3, count))
    coefficients, clean = space.coefficients(x_t), space.coefficients(x0)[0]
    alpha, sigma = process.schedule.alpha(0.3, space.eigenvalues), process.schedule.sigma(0.3, space.eigenvalues)
    assert float(alpha.min()) < 0.1 < 0.6 < float(alpha.max())
    error = (coefficients.mean(0) - alpha * clean) / (sigma / math.sqrt(count))
    assert float(error.abs().max()) < 5
    ratio = coefficients.var(0) / sigma**2 - 1
    assert float(ratio.abs().max()) < 5 * math.sqrt(2 / count)
    # and no correlation between any two modes, each of standard error 1 / sqrt(4000)
    normal = (coefficients - alpha * clean) / sigma
    correlation = normal.T @ normal / count
    assert float((correlation - correlation.diag().diag()).abs().max()) < 5.5 / math.sqrt(count)


@dataclass(frozen=True)
class Ones:
    """Noise that is 1 in every entry."""

    count: int

    def __len__(self) -> int:
        return self.count

    def normal(self, shape=(), *, step: int, stream: str) -> Tensor:
        """Return ones."""
        return torch.ones(self.count, *shape, dtype=torch.float64)


@pytest.mark.parametrize("clock", [VPSchedule(), CosineSchedule()], ids=lambda clock: type(clock).__name__)
def test_renoising_composes(clock):
    """Chapman-Kolmogorov in every mode: ``0 -> s -> t`` has signal and variance of ``0 -> t``."""
    space = edges_of_torus()
    process = CochainProcess(space, OperatorSchedule(clock, 0.05, power=heavier))
    unit = space.values(torch.ones(1, space.modes, dtype=torch.float64))
    for s, t in ((0.0, 0.4), (0.2, 0.7), (0.5, 0.5 + 1e-9), (0.3, 1.0), (1.0, 1.0)):
        ratio = space.coefficients(process.renoise(unit, s, t, Impulse(1)))
        std = space.coefficients(process.renoise(0 * unit, s, t, Ones(1)))
        (alpha_s, sigma_s), (alpha_t, sigma_t) = process.levels(s, unit), process.levels(t, unit)
        assert torch.allclose(ratio * alpha_s, alpha_t, rtol=1e-10, atol=1e-13)
        assert torch.allclose(torch.hypot(ratio * sigma_s, std), sigma_t, rtol=1e-10, atol=1e-13)


def test_pure_heat_never_forgets_the_harmonic_space():
    """The trap: without the identity term the two circulations of a torus pass through undamped, with it they fade."""
    space = edges_of_torus()
    heat, damped = OperatorSchedule(CLOCK, 10.0, identity=0.0), OperatorSchedule(CLOCK, 10.0)
    alpha = heat.alpha(1.0, space.eigenvalues)
    assert torch.equal(alpha[:2], torch.ones(2, dtype=torch.float64)) and float(alpha[2:].max()) < 1e-20
    assert torch.allclose(damped.alpha(1.0, space.eigenvalues)[:2], CLOCK.alpha(1.0).expand(2), rtol=1e-12)
    with pytest.raises(ConfigError, match=r"2 of 120 modes keep up to 1 of their signal.*harmonic"):
        CochainProcess(space, heat)
    # without the spectrum: what is left of a field at the end of pure heat is its harmonic part, and the mean is data
    complex = torus(8, 5)
    made = barycentric_stars(complex)
    fast = Chebyshev(HodgeLaplacian(made, 1))
    x0 = np.random.default_rng(1).standard_normal(complex.sizes[1])
    total = float(heat.integral(1.0))
    end = fast.apply(fast.coefficients(lambda l: np.exp(-5.0 * l * total), tolerance=1e-12), x0)
    harmonic = HodgeDecomposition(made, 1)(x0).harmonic
    assert np.abs(harmonic).max() > 0.05 and np.abs(end - harmonic).max() < 1e-9


def test_chebyshev_noise_is_the_noise_of_the_modes():
    """Without eigenvectors: ``alpha(L) x_0 + sigma(L) M^-1/2 z`` has the signal and covariance of the process."""
    laplacian = HodgeLaplacian(barycentric_stars(torus(8, 5)), 1)
    modes, fast = spectrum(laplacian), Chebyshev(laplacian)
    schedule, t = OperatorSchedule(CLOCK, 0.05), 0.3
    levels = [lambda l, f=f: f(t, torch.from_numpy(l)).numpy() for f in (schedule.alpha, schedule.sigma)]
    signal, noise = (fast.coefficients(level, tolerance=1e-10) for level in levels)
    identity = np.eye(laplacian.size)
    root = fast.apply(noise, fast.white(identity))
    eigenvalues = torch.from_numpy(modes.values)
    want = (modes.vectors * schedule.sigma(t, eigenvalues).numpy() ** 2) @ modes.vectors.T
    # both errors are at most the tolerance in the norm of the mass; its square roots lie within a factor of 5 here
    assert np.abs(root @ root.T - want).max() < 1e-8 * np.abs(want).max()
    mean = modes.apply(schedule.alpha(t, eigenvalues).numpy(), identity)
    assert np.abs(fast.apply(signal, identity) - mean).max() < 1e-8


def covariance(space: Cochain) -> Tensor:
    """Covariance of a smooth random flow: twelve low modes, the harmonic ones among them, depend on each other."""
    rng = np.random.default_rng(0)
    mixing = np.zeros((space.modes, 12))
    mixing[:12] = rng.standard_normal((12, 12))
    return torch.from_numpy(mixing @ mixing.T + np.diag(1 / (1 + space.spectrum.values)))


def gaussian(process: CochainProcess, data: Tensor) -> Denoiser:
    """Exact denoiser of Gaussian coefficients: ``m = C alpha (alpha C alpha + sigma^2)^-1 x``."""

    def mean(x: Tensor, t: Tensor, condition: object) -> Tensor:
        alpha, sigma = (level[0] for level in process.levels(t, x))
        gain = torch.linalg.solve(alpha[:, None] * data * alpha + torch.diag(sigma**2), alpha[:, None] * data)
        return process.space.values(process.space.coefficients(x) @ gain)

    return Denoiser(mean, Kind.MEAN)


@pytest.mark.parametrize(("solver", "order"), [(ddim, 1), (dpmpp_2m, 2)], ids=lambda x: getattr(x, "__name__", str(x)))
def test_reversal_recovers_the_covariance(solver, order):
    """The flow is linear: run on a basis of the prior it gives the covariance of the samples without sampling.

    The error falls by ``2^order`` when the steps double, and the correlations that no single mode sees come back.
    """
    space = edges_of_torus()
    process = CochainProcess(space, OperatorSchedule(CLOCK, 0.05))
    data = covariance(space)
    start = space.values(torch.diag(process.schedule.sigma(1.0, space.eigenvalues)))
    errors = []
    for steps in (40, 80, 160):
        rule = ModeRule.build(process, log_snr_grid(CLOCK, steps, floor=1e-3), solver)
        state = RunState.at(start, 1.0, Noise.range(0, space.modes))
        response = space.coefficients(run(gaussian(process, data), process, rule, rule.plan, state=state).x)
        errors.append(float((response.T @ response - data).norm() / data.norm()))
    assert errors[1] / errors[2] > 2 ** (order - 0.25)
    assert errors[2] < (0.05, 1e-3)[order - 1]


def test_independent_modes_are_exact_at_any_number_of_steps():
    """With the posterior variance in its noise the ancestral sampler is exact for modes that are independent.

    Three steps from the law at ``t = 1`` to that at ``t = 0.05``; the bound is round-off over the range of ``lam``.
    """
    space = edges_of_torus()
    process = CochainProcess(space, OperatorSchedule(CLOCK, 0.05))
    data = 2 / (1 + space.eigenvalues)
    grid = torch.tensor([1.0, 0.5, 0.2, 0.05], dtype=torch.float64)

    def table(l: float, variance: float):
        schedule = process.schedule.mode(l)
        return analytic_dpm(schedule, grid, posterior_variance=lambda lam: 1 / (1 / variance + math.exp(2 * lam)))

    rule = ModeRule(tuple(table(l, v) for l, v in zip(space.eigenvalues.tolist(), data.tolist(), strict=True)))
    (alpha_1, sigma_1), (alpha, sigma) = (process.levels(t, torch.zeros(1, *space.shape)) for t in (1.0, 0.05))
    law = sigma_1**2 + alpha_1**2 * data
    # sample 0 answers to the start, sample k + 1 to the noise of step k, all modes at once
    response = torch.zeros(4, space.modes, dtype=torch.float64)
    response[0] = law.sqrt()
    state = RunState.at(space.values(response), 1.0, Impulse(4))
    denoiser = gaussian(process, torch.diag(data))
    end = space.coefficients(run(denoiser, process, rule, rule.plan, state=state).x)
    assert torch.allclose(end.square().sum(0), sigma**2 + alpha**2 * data, rtol=1e-9)


def test_a_run_of_samples_has_the_circulations_of_the_data():
    """Harmonic coefficients of 2000 samples against their law, within five standard errors of each covariance."""
    space, count = edges_of_torus(), 2000
    process = CochainProcess(space, OperatorSchedule(CLOCK, 0.05))
    data = covariance(space)
    rule = ModeRule.build(process, log_snr_grid(CLOCK, 30, floor=1e-3), functools.partial(unipc, order=2))
    noise = Noise.range(7, count)
    final = run(gaussian(process, data), process, rule, rule.plan, noise=noise, shape=space.shape)
    harmonic = space.coefficients(final.x)[:, :2]
    found, truth = harmonic.T @ harmonic / count, data[:2, :2]
    error = torch.sqrt((truth.diag()[:, None] * truth.diag() + truth**2) / count)
    assert bool(((found - truth).abs() < 5 * error).all())
