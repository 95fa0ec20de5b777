"""Guidance by two predictions: algebra, the interval, one batch, and what finite sets do with excluded classes."""

from __future__ import annotations

import pytest
import torch

from scidiff.denoise import Denoiser
from scidiff.errors import ConfigError
from scidiff.guidance import AutoGuidance, ClassifierFree, extrapolate
from scidiff.process import DiscreteProcess, GaussianProcess, Kind, ProductProcess, mask
from scidiff.random import Noise
from scidiff.sample import TableRule, Unmask, ddim, log_snr_grid, run
from scidiff.sample.grids import Grid, uniform_grid
from scidiff.spaces import Categorical, Euclidean
from scidiff.testing_targets.gaussian import VE

PROCESS = GaussianProcess(Euclidean((2,)), VE)
FINITE = DiscreteProcess(Categorical(4, (4,)), mask(3))


class Shifted:
    """Denoiser of ``N(c, 1)``; keeps the sizes of its batches."""

    def __init__(self):
        self.sizes = []

    def __call__(self, x, t, condition):
        self.sizes.append(len(x))
        variance = VE.sigma(t) ** 2
        return (x + variance * condition.reshape(-1, 1)) / (1 + variance)


def drawn(scale, interval=(0.0, 1.0), count=4):
    spy, rule = Shifted(), TableRule(ddim(VE, log_snr_grid(VE, 30, floor=0.01)))
    condition = torch.arange(float(count), dtype=torch.float64)
    guide = ClassifierFree(torch.zeros(count, dtype=torch.float64), scale, interval)
    options = {"noise": Noise.range(0, count), "shape": (2,), "condition": condition, "transforms": (guide,)}
    return run(Denoiser(spy, Kind.MEAN), PROCESS, rule, rule.plan, **options), spy, rule


def test_for_one_gaussian_each_the_guided_mean_is_scaled():
    """Both laws have unit variance, so the guided field is that of ``N(w c, 1)``."""
    one, three = drawn(1.0)[0], drawn(3.0)[0]
    condition = torch.arange(4.0, dtype=torch.float64)[:, None]
    # DDIM carries the mean of a Gaussian by the same factor for every w
    unit = (one.x - drawn(0.0)[0].x)[1] / 1.0
    assert torch.allclose(three.x - one.x, 2 * condition * unit, atol=1e-12)
    assert 0.5 < float(unit[0]) < 1.0


def test_outside_the_interval_the_second_branch_is_not_evaluated():
    state, spy, rule = drawn(2.0, (0.3, 0.6))
    inside = int(((rule.plan.times[:-1] >= 0.3) & (rule.plan.times[:-1] <= 0.6)).sum())
    assert 0 < inside < 30
    assert spy.sizes.count(8) == inside and spy.sizes.count(4) == 30 - inside
    assert state.calls.tolist() == [30 + inside] * 4
    assert torch.equal(drawn(2.0, (0.999999, 0.9999999))[0].x, drawn(1.0)[0].x)


def test_autoguidance_counts_the_worse_network_and_agrees_with_the_formula():
    spy, rule = Shifted(), TableRule(ddim(VE, log_snr_grid(VE, 30, floor=0.01)))
    condition = torch.arange(4.0, dtype=torch.float64)
    worse = Denoiser(lambda x, t, c: x / (1 + VE.sigma(t) ** 2), Kind.MEAN)
    options = {"noise": Noise.range(0, 4), "shape": (2,), "condition": condition}
    state = run(Denoiser(spy, Kind.MEAN), PROCESS, rule, rule.plan, **options, transforms=(AutoGuidance(worse, 3.0),))
    assert torch.allclose(state.x, drawn(3.0)[0].x, atol=1e-12) and state.calls.tolist() == [60] * 4


def test_finite_sets_mix_in_the_logarithm():
    m = torch.log_softmax(Noise.range(0, 2).normal((4, 3), step=0, stream="m"), -1)
    other = torch.log_softmax(Noise.range(1, 2).normal((4, 3), step=0, stream="m"), -1)
    guided = extrapolate(FINITE, m, other, 2.5)
    wanted = m.exp() ** 2.5 / other.exp() ** 1.5
    assert torch.allclose(guided.exp(), wanted / wanted.sum(-1, keepdim=True), atol=1e-12)
    assert torch.allclose(extrapolate(FINITE, m, other, 1.0), m, atol=1e-12)
    excluded = m.clone()
    excluded[..., 0] = -torch.inf
    excluded = torch.log_softmax(excluded, -1)
    assert bool((extrapolate(FINITE, excluded, other, 3.0)[..., 0] == -torch.inf).all())
    assert bool(extrapolate(FINITE, m, excluded, 3.0).isfinite().all())


def test_a_run_on_finite_sets_is_guided_towards_the_condition():
    def network(x, t, condition):
        logits = torch.zeros(*x.shape, 3, dtype=torch.float64)
        logits[..., 2] = condition.reshape(-1, 1)
        return logits

    guide = ClassifierFree(torch.zeros(500), 3.0)
    options = {"noise": Noise.range(0, 500), "shape": (4,), "condition": torch.ones(500)}
    plan = Grid(uniform_grid(4))
    state = run(Denoiser(network, Kind.LOGITS), FINITE, Unmask(), plan, **options, transforms=(guide,))
    share, p = float((state.x == 2).double().mean()), float(torch.tensor(3.0).exp() / (2 + torch.tensor(3.0).exp()))
    # five binomial standard errors of 2000 independent sites
    assert abs(share - p) < 5 * (p * (1 - p) / 2000) ** 0.5


def test_factors_have_scales_of_their_own():
    process = ProductProcess({"x": PROCESS, "kind": FINITE})
    m = {"x": torch.ones(2, 2), "kind": torch.log_softmax(torch.randn(2, 4, 3), -1)}
    other = {"x": torch.zeros(2, 2), "kind": torch.log_softmax(torch.randn(2, 4, 3), -1)}
    guided = extrapolate(process, m, other, {"x": 3.0})
    assert torch.equal(guided["x"], torch.full((2, 2), 3.0)) and guided["kind"] is m["kind"]
    with pytest.raises(ConfigError, match="names factors \\['y'\\]"):
        extrapolate(process, m, other, {"y": 3.0})
    with pytest.raises(ConfigError, match="pass one number"):
        extrapolate(PROCESS, m["x"], other["x"], {"x": 3.0})


@pytest.mark.parametrize(
    "bad",
    [
        lambda: ClassifierFree(None, float("nan")),
        lambda: ClassifierFree(None, {"x": float("inf")}),
        lambda: ClassifierFree(None, 2.0, (0.6, 0.3)),
        lambda: ClassifierFree(None, 2.0, (0.0, 1.5)),
    ],
    ids=["nan", "inf", "reversed", "outside"],
)
def test_bad_scales_and_intervals(bad):
    with pytest.raises(ConfigError, match="guidance"):
        bad()
