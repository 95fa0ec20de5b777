"""Tables: weights, checks at construction, storage, and what the rule refuses."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from scidiff.errors import ConfigError, DataError
from scidiff.process import CosineSchedule, GaussianProcess, LinearFlowSchedule, VPSchedule
from scidiff.random import Noise
from scidiff.sample import (
    RunState,
    Table,
    TableRule,
    analytic_dpm,
    ancestral,
    ddim,
    deis,
    dpmpp_2m,
    dpmpp_2m_sde,
    dpmpp_3m,
    exponential_adams,
    heun,
    log_snr_grid,
    run,
    sa_solver,
    uniform_grid,
    unipc,
)
from scidiff.sample.continuous.moments import exponential_moments, exponential_weights
from scidiff.spaces import Euclidean
from scidiff.testing_targets.gaussian import VE, follow, standard_normal

SOLVERS = {
    "ddim": ddim,
    "ddim, eta": lambda s, g: ddim(s, g, eta=0.5),
    "ancestral": ancestral,
    "analytic": lambda s, g: analytic_dpm(s, g, posterior_variance=lambda lam: 1 / (1 + np.exp(2 * lam))),
    "heun": heun,
    "2m": dpmpp_2m,
    "2m sde": dpmpp_2m_sde,
    "3m": dpmpp_3m,
    "adams 4": lambda s, g: exponential_adams(s, g, order=4),
    "adams 2, eta": lambda s, g: exponential_adams(s, g, order=2, eta=0.5),
    "unipc": unipc,
    "sa": sa_solver,
    "deis": deis,
}
every = pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS)
GRID = log_snr_grid(VE, 24, floor=0.01, to_zero=False)


@pytest.mark.parametrize("h", [-3.0, -0.3, 1e-9, 1e-3, 0.5, 0.999, 1.001, 4.0, 30.0])
def test_moments_are_the_integrals(h):
    """Against adaptive quadrature (1e-12) and the leading term ``h^(k+1) / (k+1)`` at small h."""
    moments = exponential_moments(h, 5)
    for k, moment in enumerate(moments):
        if abs(h) < 1e-2:
            assert moment == pytest.approx(h ** (k + 1) / (k + 1), rel=2 * abs(h))
        else:
            exact, _ = quad(lambda u, k=k: np.exp(-(h - u)) * u**k, 0, h, epsabs=0, epsrel=1e-12)
            assert moment == pytest.approx(exact, rel=1e-11)


def test_weights_integrate_polynomials():
    h, nodes = 0.7, np.array([0.0, -0.5, -1.3, 0.7])
    for power in range(4):
        exact, _ = quad(lambda u, p=power: np.exp(-(h - u)) * u**p, 0, h, epsabs=1e-14)
        assert exponential_weights(h, nodes) @ nodes**power == pytest.approx(exact, abs=1e-13)


@every
@pytest.mark.parametrize("schedule", [VPSchedule(), CosineSchedule(), LinearFlowSchedule(), VE], ids=str)
@pytest.mark.parametrize("grid", ["log", "uniform"])
def test_every_solver_makes_a_sound_table(solver, schedule, grid):
    """Construction checks that constants and noise levels are reproduced, also into ``t = 0`` and out of no signal."""
    times = log_snr_grid(schedule, 12) if grid == "log" else uniform_grid(12)
    table = solver(schedule, times)
    assert table.nodes[0] == 1 and table.nodes[-1] == 0
    assert table.label == f"consistent({table.order})" and table.citation.startswith("arXiv:")
    # the last step returns the prediction, up to the spread
    assert np.allclose(table.b[-1], np.eye(1, table.depth)[0]) and not table.a[-1].any() and table.c[-1] == 0
    assert table.steps == (23 if solver is heun else 12) - (solver is heun and schedule == LinearFlowSchedule())


def test_a_constant_denoiser_is_followed_exactly():
    """``x = alpha m* + sigma z`` at every node, for a rule of every depth, through the loop."""
    from scidiff.denoise import Denoiser
    from scidiff.process import Kind

    constant = Denoiser(lambda x, t, condition: torch.full_like(x, 3.0), Kind.MEAN)
    z = Noise.range(4, 5).normal((2,), step=0, stream="z")
    schedule = VPSchedule()
    times = log_snr_grid(schedule, 10, floor=0.05, to_zero=False)
    x = schedule.alpha(1.0) * 3.0 + schedule.sigma(1.0) * z
    wanted = schedule.alpha(times[-1]) * 3.0 + schedule.sigma(times[-1]) * z
    for solver in (ddim, heun, dpmpp_2m, dpmpp_3m, unipc, deis):
        assert torch.allclose(follow(solver(schedule, times), constant, schedule, x).x, wanted, atol=1e-12)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: {"b": t.b * 1.001}, "constant"),
        (lambda t: {"a": t.a * 1.001}, "constant"),
        (lambda t: {"c": t.c + 0.01}, "constant"),
        (lambda t: {"b": t.b[:-1]}, "shape"),
        (lambda t: {"b": t.b * np.nan}, "finite"),
        (lambda t: {"c": t.c - 1}, "negative"),
        (lambda t: {"b": np.flip(t.b, 1)}, "before the start"),
        (lambda t: {"label": "good"}, "label"),
        (lambda t: {"order": 0}, "order"),
        (lambda t: {"nodes": t.nodes[::2]}, "shape"),
    ],
)
def test_a_wrong_table_is_refused(change, says):
    table = dpmpp_2m(VE, GRID)
    with pytest.raises(ConfigError, match=says):
        replace(table, **change(table))


def test_a_biased_table_may_break_consistency():
    table = dpmpp_2m(VE, GRID)
    learned = replace(table, b=table.b * 1.01, label="biased", order=1, name="learned")
    assert np.array_equal(learned.b, table.b * 1.01)
    with pytest.raises(ValueError, match="read-only"):
        learned.b[0] = 0


@pytest.mark.parametrize(
    ("solver", "order"), [(ddim, 1), (dpmpp_2m, 2), (heun, 2), (lambda s, g: deis(s, g, order=2), 2)]
)
def test_too_high_an_order_is_refused(solver, order):
    """On a grid of 300 steps (h = 0.028) the moments tell order 1 from 2, and 2 from 3."""
    table = solver(VE, log_snr_grid(VE, 300, floor=0.01, to_zero=False))
    assert table.order == order
    with pytest.raises(ConfigError, match=f"claims order {order + 1}"):
        replace(table, order=order + 1, label=f"consistent({order + 1})")


@every
def test_a_table_is_stored_to_the_last_bit(solver, tmp_path):
    table = solver(VE, GRID)
    table.save(tmp_path / "t.json")
    back = Table.load(tmp_path / "t.json")
    for name, value in table.as_dict().items():
        assert value == back.as_dict()[name]
    assert back.b.dtype == np.float64 and np.array_equal(back.b, table.b)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"name": "x"}'])
def test_a_file_that_is_no_table(text, tmp_path):
    (tmp_path / "t.json").write_text(text)
    with pytest.raises(DataError, match="expected"):
        Table.load(tmp_path / "t.json")


def test_a_stored_table_is_checked_again(tmp_path):
    values = dpmpp_2m(VE, GRID).as_dict()
    values["b"][3][0] += 1e-3
    (tmp_path / "t.json").write_text(json.dumps(values))
    with pytest.raises(ConfigError, match="row 3"):
        Table.load(tmp_path / "t.json")


def test_published_coefficients():
    """DDIM, DDPM and DPM-Solver++(2M) as printed, in alpha and sigma (VP)."""
    schedule, times = VPSchedule(), torch.tensor([1.0, 0.6, 0.3, 0.1], dtype=torch.float64)
    alpha, sigma, lam = schedule.alpha(times).numpy(), schedule.sigma(times).numpy(), schedule.lam(times).numpy()
    one = ddim(schedule, times)
    assert np.allclose(one.a[:, 0], sigma[1:] / sigma[:-1])
    assert np.allclose(one.b[:, 0], alpha[1:] - alpha[:-1] * sigma[1:] / sigma[:-1])
    step = alpha[:-1] / alpha[1:]
    beta = 1 - step**2
    ddpm = ancestral(schedule, times)
    assert np.allclose(ddpm.c**2, sigma[1:] ** 2 / sigma[:-1] ** 2 * beta)
    assert np.allclose(ddpm.b[:, 0], alpha[1:] * beta / sigma[:-1] ** 2)
    assert np.allclose(ddpm.a[:, 0], step * sigma[1:] ** 2 / sigma[:-1] ** 2)
    h = np.diff(lam)
    r = h[0] / h[1]
    phi = alpha[2] * (1 - np.exp(-h[1]))
    assert np.allclose(dpmpp_2m(schedule, times).b[1], [phi * (1 + 1 / (2 * r)), -phi / (2 * r)])


def test_one_method_under_several_names():
    """First order: DDIM, exponential Adams and DEIS are one table; ``eta = 1``: DDPM is the exponential SDE step."""
    first = ddim(VE, GRID)
    for other in (exponential_adams(VE, GRID, order=1), deis(VE, GRID, order=1)):
        assert np.allclose(other.a, first.a, atol=1e-12) and np.allclose(other.b, first.b, atol=1e-12)
    sde = exponential_adams(VE, GRID, order=1, eta=1.0)
    for name in ("a", "b", "c"):
        assert np.allclose(getattr(sde, name), getattr(ancestral(VE, GRID), name), atol=1e-13)
    assert np.array_equal(sa_solver(VE, GRID, order=2, tau=0.0).b, unipc(VE, GRID, order=2).b)
    euler = ddim(LinearFlowSchedule(), uniform_grid(5))
    assert np.allclose(euler.b[:, 0], 0.2 / np.array([1, 0.8, 0.6, 0.4, 0.2]))


@pytest.mark.parametrize(
    "make",
    [
        lambda: ddim(VE, GRID.flip(0), eta=0.5),
        lambda: dpmpp_2m_sde(VE, GRID.flip(0)),
        lambda: ddim(VE, uniform_grid(4).flip(0)),
        lambda: ddim(VE, GRID.repeat_interleave(2)),
        lambda: ddim(VE, GRID, eta=1.5),
        lambda: exponential_adams(VE, GRID, order=0),
        lambda: exponential_adams(VE, GRID, order=5),
        lambda: exponential_adams(VE, GRID, order=2, eta=-1),
        lambda: deis(VE, GRID, order=7),
    ],
)
def test_senseless_requests_are_refused(make):
    with pytest.raises(ConfigError):
        make()


def test_the_rule_refuses_what_is_not_its_own():
    rule = TableRule(dpmpp_2m(VE, GRID))
    process, denoiser = GaussianProcess(Euclidean((1,)), VE), standard_normal(VE).denoiser
    x = torch.ones(2, 1, dtype=torch.float64)
    with pytest.raises(ConfigError, match="another schedule"):
        run(denoiser, GaussianProcess(Euclidean((1,)), VPSchedule()), rule, rule.plan, state=start(x, GRID))
    with pytest.raises(ConfigError, match="plan goes elsewhere"):
        run(denoiser, process, rule, TableRule(ddim(VE, uniform_grid(24))).plan, state=start(x, GRID))
    with pytest.raises(ConfigError, match="plan goes elsewhere"):
        run(denoiser, process, rule, rule.plan, state=RunState.at(x, 0.5, Noise.range(0, 2)))
    done = run(denoiser, process, rule, rule.plan, state=start(x, GRID))
    with pytest.raises(ConfigError, match="step 24"):
        rule(process, done, done.x, done.t)


def start(x: torch.Tensor, grid: torch.Tensor) -> RunState:
    return RunState.at(x, float(grid[0]), Noise.range(0, len(x)))


def test_the_state_stays_in_double_precision():
    """A single-precision prediction does not lower the precision of ``x`` and the coefficients."""
    from scidiff.denoise import Denoiser
    from scidiff.process import Kind

    single = Denoiser(lambda x, t, condition: torch.zeros_like(x, dtype=torch.float32), Kind.MEAN)
    x = torch.full((1, 1), 1 / 3, dtype=torch.float64)
    out = follow(dpmpp_3m(VE, GRID), single, VE, x).x
    assert out.dtype == torch.float64
    assert float(out) == pytest.approx(float(VE.sigma(GRID[-1]) / VE.sigma(GRID[0])) / 3, rel=1e-14)


@pytest.mark.parametrize(
    "wrong",
    [{"c": ["x"] * 3}, {"a": [[1.0], [1.0, 2.0], [1.0]]}, {"nodes": {}}, {"order": "2"}, {"label": None}],
    ids=["text", "ragged", "mapping", "order", "label"],
)
def test_a_file_with_entries_of_another_type_is_refused(tmp_path, wrong):
    path = tmp_path / "table.json"
    path.write_text(json.dumps(ddim(VPSchedule(), uniform_grid(3)).as_dict() | wrong))
    with pytest.raises(DataError):
        Table.load(path)
