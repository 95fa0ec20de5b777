"""Reconstruction with a prior, against posteriors that are known in full."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scidiff.domains.ct.cli import app
from scidiff.domains.ct.grid import Grid
from scidiff.domains.ct.methods import METHODS, reconstruct, reconstruct_volume
from scidiff.domains.ct.methods.conditional import Conditional, Spectral, White
from scidiff.domains.ct.methods.jacobian import JacobianDraw
from scidiff.domains.ct.methods.ladders import ladder, still_table, times
from scidiff.domains.ct.methods.problem import Problem, turned
from scidiff.domains.ct.methods.spread import Rings
from scidiff.domains.ct.readers import write_scan
from typer.testing import CliRunner

from scidiff.errors import ConfigError, DataError, UnknownNameError
from scidiff.random import Noise
from scidiff.sample.continuous.table import TableRule
from scidiff.sample.loop import run
from scidiff.sample.state import RunState

from .scan_cases import GRID, PRIOR, scan_and_truth

SCAN, TRUTH = scan_and_truth(sd=0.02)
PROBLEM = Problem(SCAN, GRID, PRIOR)
POSTERIOR = PRIOR.posterior(PROBLEM.likelihood, GRID).dense()


def against_the_posterior(x: torch.Tensor) -> tuple[float, float]:
    """Ratio of root mean square deviations, and root mean square error of the mean in deviations."""
    ratio = float((x.var(0).mean() / POSTERIOR.sd.square().mean()).sqrt())
    return ratio, float(((x.mean(0) - POSTERIOR.mean) / POSTERIOR.sd).square().mean().sqrt())


@pytest.mark.parametrize("stationary", [False, True], ids=["white", "spectral"])
def test_perturb_and_solve_draws_the_dense_law(stationary):
    """Mean and covariance of 1500 draws against matrices: five Monte-Carlo deviations, and the solver's 1e-2."""
    grid, count = Grid.square(8, 400.0), 1500
    problem, n = Problem(SCAN, grid, PRIOR), grid.size
    root = Spectral(PRIOR.covariance(grid).eigenvalues) if stationary else White(0.3)
    unit = torch.eye(n, dtype=torch.float64).reshape(n, *grid.shape)
    k = root.apply(unit).reshape(n, n)
    information = problem.information(unit).reshape(n, n)
    covariance = torch.linalg.inv(torch.linalg.inv(k @ k) + information)
    m = torch.full((count, *grid.shape), 0.5, dtype=torch.float64)
    mean = 0.5 + covariance @ problem.pull(problem.residual(m[:1])).flatten()
    solver = Conditional(problem, 1e-3, 1000)
    x = solver.draw(m, root, Noise.range(3, count), 0, "test").x.flatten(1)
    sd = covariance.diagonal().sqrt()
    assert float(((solver.mean(m[:1], root).x.flatten() - mean) / sd).abs().max()) < 0.02
    assert float(((x.mean(0) - mean) / sd).abs().max()) < 5 / math.sqrt(count) + 0.02
    gap = (torch.cov(x.T) - covariance) / (sd[:, None] * sd)
    assert float(gap.abs().max()) < 5 * math.sqrt(2 / count) + 0.02


def test_draws_with_matherons_rule_are_exact_for_a_gaussian_at_few_steps():
    """300 samples of 3 steps: deviations to 2 % and the mean to its Monte-Carlo error 1 / sqrt(300) = 0.058."""
    found = reconstruct(SCAN, PRIOR, "matheron", grid=GRID, count=300, steps=3)
    ratio, error = against_the_posterior(found.samples / PRIOR.unit)
    assert abs(ratio - 1) < 0.02
    assert error < 0.08


def test_the_default_is_near_the_posterior_of_a_gaussian():
    """Levels fall in 20 steps: deviations to 5 %, the mean to a tenth of one more than its Monte-Carlo error."""
    found = reconstruct(SCAN, PRIOR, grid=GRID, count=120, steps=20)
    ratio, error = against_the_posterior(found.samples / PRIOR.unit)
    assert abs(ratio - 1) < 0.05
    assert error < 1 / math.sqrt(120) + 0.1
    assert 0.8 < float(found.chi2.mean()) < 1.2


@pytest.mark.parametrize("momentum", [0.0, 0.5], ids=["published", "momentum"])
def test_dpir_alternates_the_data_and_the_prior_and_ends_with_the_prior(momentum):
    """Three levels by hand, up to the round-off of the projector, 6e-8 times the condition of the solve."""
    warm = TRUTH + 0.1 * Noise.range(8, 1).normal(GRID.shape, step=0, stream="test")[0]
    options = {"top": 0.1, "weight": 0.25, "tolerance": 1e-6, "momentum": momentum}
    found = reconstruct(SCAN, PRIOR, "dpir", grid=GRID, count=1, steps=3, warm=PRIOR.unit * warm, **options)
    high, middle, low = ladder(3, 0.1, 0.01).tolist()
    data = Conditional(PROBLEM, 1e-6)
    first = data.mean(PRIOR.denoise(warm[None], high, GRID), White(high / 0.25**0.5)).x
    second = data.mean(PRIOR.denoise(first, middle, GRID), White(middle / 0.25**0.5)).x
    expected = PRIOR.denoise(second + momentum * (second - first), low, GRID)
    assert float((found.samples / PRIOR.unit - expected).abs().max()) < 1e-3 * float(expected.std())
    assert float((expected - warm).abs().max()) > 0.1 * float(expected.std())


def test_momentum_brings_dpir_nearer_to_where_it_ends_in_the_same_calls():
    """Against 300 levels of the published method: of eight levels, those with momentum are left with less."""
    end = reconstruct(SCAN, PRIOR, "dpir", grid=GRID, count=1, steps=300).mean
    off = [
        float((reconstruct(SCAN, PRIOR, name, grid=GRID, count=1, steps=8).mean - end).norm())
        for name in ("dpir", "dpir-momentum")
    ]
    assert off[1] < off[0]


def test_draws_by_the_jacobian_have_the_power_of_a_gaussian_posterior():
    """Power of each ring of frequencies against ``P sigma^2 / (P + sigma^2)``: five Monte-Carlo deviations."""
    count, sigma = 800, 0.3
    rule = TableRule(still_table(PRIOR.process.schedule, times(PRIOR, ladder(1, sigma))))
    state = RunState.at(torch.zeros(count, 16, 16).double(), float(PRIOR.time(sigma)), Noise.range(4, count))
    denoiser = PRIOR.denoiser(GRID)
    x = run(denoiser, PRIOR.process, rule, rule.plan, state=state, transforms=(JacobianDraw(),)).x
    off = torch.fft.rfft2(x - PRIOR.denoise(torch.zeros(1, 16, 16).double(), sigma, GRID))
    power, rings = PRIOR.covariance(GRID).eigenvalues, Rings((16, 16))
    exact = rings.add((power * sigma**2 / (power + sigma**2))[None])[0] * GRID.size
    found = rings.add(off.abs().square().mean(0, keepdim=True))[0]
    modes = rings.add(torch.ones_like(rings.k)[None])[0]
    assert bool(((found / exact - 1).abs() < 5 * (2 / (count * modes)).sqrt()).all())


def test_fit_of_samples_and_mean_obey_their_identity():
    found = reconstruct(SCAN, PRIOR, grid=GRID, count=6, steps=4)
    mean = found.samples.mean(0) / PRIOR.unit
    apart = PROBLEM.operator.apply(found.samples / PRIOR.unit - mean)
    spread = float((SCAN.weights * apart**2).flatten(1).sum(1).mean()) / SCAN.used
    assert float(found.chi2.mean()) == pytest.approx(found.chi2_mean + spread, rel=1e-5)
    assert found.spread == pytest.approx(spread, rel=1e-4)


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"cbg", "tds"}))
def test_a_sample_is_the_same_in_any_batch(method):
    """Up to sums in another order: round-off of float32, 6e-8, a hundred times over."""
    whole = reconstruct(SCAN, PRIOR, method, grid=GRID, count=4, steps=4, seed=2).samples
    part = reconstruct(SCAN, PRIOR, method, grid=GRID, count=2, steps=4, seed=2, first=2).samples
    assert torch.allclose(whole[2:], part, rtol=0.0, atol=6e-6 * float(whole.abs().max()))


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_runs_and_reports(method):
    options = {"draws": 2, "inner": 2} if method == "cbg" else {"size": 2} if method == "tds" else {}
    found = reconstruct(SCAN, PRIOR, method, grid=GRID, count=2, steps=4, **options)
    assert found.samples.shape == (2, 16, 16)
    assert bool(found.ok.all())
    assert found.calls >= 3
    assert found.label in ("biased", "consistent(0.5)")
    json.dumps(found.as_json())


@pytest.mark.slow
def test_moment_matching_is_exact_for_a_gaussian():
    """The flow is linear: 60 steps of order 2, solved to the end; deviations to 3 %, mean to its Monte-Carlo error."""
    found = reconstruct(SCAN, PRIOR, "mmps", grid=GRID, count=100, steps=60, top=20.0, iterations=150)
    ratio, error = against_the_posterior(found.samples / PRIOR.unit)
    assert abs(ratio - 1) < 0.03
    assert error < 0.15


def test_classical_methods_come_in_the_same_call():
    found = reconstruct(SCAN, PRIOR, "cgls", grid=GRID, holdout=3)
    assert len(found) == 1
    assert found.calls == 0
    assert found.held_out is not None
    assert float(found.sd.max()) == 0


def test_measured_and_invented_parts_add_up_and_follow_the_data():
    found = reconstruct(SCAN, PRIOR, grid=GRID, count=3, steps=4)
    assert torch.allclose(found.measured + found.invented, found.mean)
    few = reconstruct(SCAN.select([0]), PRIOR, grid=GRID, count=3, steps=4)
    assert float(few.measured.std() / few.mean.std()) < float(found.measured.std() / found.mean.std())


def test_intervals_and_files(tmp_path):
    found = reconstruct(SCAN, PRIOR, grid=GRID, count=4, steps=4)
    low, high = found.interval(0.9)
    wide = found.interval(0.9, 2.0)
    assert torch.allclose((wide[1] - wide[0]), 2 * (high - low))
    assert 0 <= found.coverage(PRIOR.unit * TRUTH) <= 1
    with np.load(found.save(tmp_path / "x.npz"), allow_pickle=False) as file:
        assert set(file) == {"about", "samples", "values", "sd", "measured", "hu"}
        assert np.allclose(file["hu"], 1000 * (file["values"] / 0.0193 - 1), atol=0.5)
        assert json.loads(str(file["about"]))["method"] == found.method
    assert found.save(tmp_path / "x.png").read_bytes()[:4] == b"\x89PNG"
    assert "chi²/n" in found._repr_html_()
    with pytest.raises(DataError, match=r"\.npz or \.png"):
        found.save(tmp_path / "x.txt")


def test_turning_changes_nothing_for_a_law_without_direction():
    """A stationary isotropic law on a square; float64 round-off of transforms of 256 values."""
    plain = PRIOR.denoiser(GRID)
    x = PRIOR.draw(2, GRID, seed=3)
    for sigma in (0.5, 0.3, 0.2, 0.1, 0.05):
        t = PRIOR.time(torch.full((2,), sigma))
        assert torch.allclose(turned(plain)(x, t), plain(x, t), atol=1e-12)


def test_turning_is_undone():
    """A denoiser that shifts its image shows every way of the eight, and none twice over several levels."""
    shift = type(PRIOR.denoiser(GRID))(lambda x, t, condition: x.roll((1, 2), (1, 2)), PRIOR.denoiser(GRID).kind)
    x = torch.zeros(1, 16, 16, dtype=torch.float64)
    x[0, 5, 6] = 1.0
    places = {tuple(torch.nonzero(turned(shift)(x, PRIOR.time(0.01 * k))[0])[0].tolist()) for k in range(1, 60)}
    assert places == {
        (5 + a, 6 + b) for a, b in [(1, 2), (1, -2), (-1, 2), (-1, -2), (2, 1), (2, -1), (-2, 1), (-2, -1)]
    }


def test_what_cannot_be_is_refused():
    with pytest.raises(UnknownNameError, match="posterior"):
        reconstruct(SCAN, PRIOR, "posteriour", grid=GRID)
    with pytest.raises(UnknownNameError, match="gaussian"):
        reconstruct(SCAN, "gausian", grid=GRID)
    with pytest.raises(ConfigError, match="autoencoder"):
        reconstruct(SCAN, PRIOR, "psld", grid=GRID)
    with pytest.raises(ConfigError, match="does not take these options"):
        reconstruct(SCAN, PRIOR, grid=GRID, stepps=3)
    with pytest.raises(ConfigError, match="expected at least 1"):
        reconstruct(SCAN, PRIOR, grid=GRID, count=0)
    with pytest.raises(ConfigError, match="momentum is 1"):
        reconstruct(SCAN, PRIOR, "dpir-momentum", grid=GRID, momentum=1.0)
    with pytest.raises(ConfigError, match="two dimensions"):
        reconstruct(SCAN, PRIOR, grid=Grid((4, 16, 16), 25.0))
    with pytest.raises(DataError, match="not finite"):
        reconstruct(replace(SCAN, projections=SCAN.projections * math.nan), PRIOR, grid=GRID)
    with pytest.raises(ConfigError, match="knows"):
        reconstruct(SCAN, "ct", grid=GRID)


def test_a_volume_streams_and_resumes(tmp_path):
    scans = [scan_and_truth(0.02, seed)[0] for seed in range(3)]
    options = {"out": tmp_path, "grid": GRID, "count": 2, "steps": 2}
    stack = reconstruct_volume(scans, PRIOR, **options)
    assert next(stack)[0] == 0
    stack.close()
    assert [row for row, _ in reconstruct_volume(scans, PRIOR, **options)] == [1, 2]
    assert list(reconstruct_volume(scans, PRIOR, **options)) == []
    mean = np.load(tmp_path / "mean.npy", mmap_mode="r")
    assert mean.shape == (3, 16, 16)
    assert float(np.abs(mean).min(axis=(1, 2)).max()) > 0
    with pytest.raises(DataError, match="other settings"):
        next(reconstruct_volume(scans, PRIOR, **{**options, "steps": 3}))


def test_the_command(tmp_path):
    path, out = tmp_path / "s.npz", tmp_path / "x.npz"
    write_scan(path, SCAN)
    words = [
        "reconstruct",
        str(path),
        "--out",
        str(out),
        "--method",
        "posterior",
        "--prior",
        "gaussian",
        "--count",
        "2",
    ]
    done = CliRunner().invoke(app, [*words, "--steps", "3", "--size", "16", "--holdout", "2", "--json", "-"])
    assert done.exit_code == 0, done.output
    facts = json.loads(done.output)
    assert facts["count"] == 2
    assert facts["held_out_chi2"] > 0
    assert out.exists()


def test_samples_that_do_not_explain_the_data_say_so(tmp_path):
    """A noise level that is stated thirty times too low leaves ``chi^2 / n`` far above 1; half the fit is overfit."""
    good, bad = reconstruct(SCAN, PRIOR, grid=GRID, count=2, steps=4), replace(SCAN, weights=1e3 * SCAN.weights)
    assert good.remarks == ()
    (low,) = replace(good, chi2=0.5 * good.chi2).remarks
    assert "follow the noise" in low and "too high" in low
    (high,) = reconstruct(bad, PRIOR, grid=GRID, count=2, steps=4).remarks
    assert "do not explain the data" in high and f"{GRID.lengths[-1]:.3g} mm" in high
    path = tmp_path / "s.npz"
    write_scan(path, bad)
    words = ["reconstruct", str(path), "--out", str(tmp_path / "x.png"), "--count", "2", "--steps", "4", "--size", "16"]
    done = CliRunner().invoke(app, [*words, "--prior", "gaussian"])
    assert done.exit_code == 0, done.output
    assert "do not explain the data" in done.output


def test_progress_counts_the_steps_to_their_end():
    seen = []
    reconstruct(SCAN, PRIOR, grid=GRID, count=1, steps=3, progress=lambda done, total: seen.append((done, total)))
    assert [done for done, _ in seen] == list(range(1, seen[-1][1] + 1))
    assert len({total for _, total in seen}) == 1
