"""Flows of exact denoisers on manifolds: orders of convergence, and transport of the prior to the data.

The data are a few points; with the uniform prior the density of ``x_t`` given a datum is known in closed form, so the
posterior mean of the tangent is too (`ManifoldDatasetDenoiser`). Its flow must carry the uniform law to equal shares.
"""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import chi2
from torch import Tensor

from scidiff.denoise import Denoiser
from scidiff.denoise.manifold_dataset import ManifoldDatasetDenoiser
from scidiff.process import GeodesicFlow, Kind, LogBridge, NormalAround, PowerClock, contracted_uniform
from scidiff.random import Noise
from scidiff.sample import Grid, Retracted, RetractedBridge, RunState, run, uniform_grid
from scidiff.spaces import SO3, Flat, Manifold, Power, Sphere, Torus

START, END = 0.95, 0.4
names = lambda value: repr(value)[:24]  # noqa: E731


def cloud(space: Manifold, count: int, seed: int) -> Tensor:
    """Points within a radius of 0.5 sqrt(dim) of a fixed centre: every datum can have led to every state there."""
    centre = space.uniform(Noise.range(1, 1), space.shape, step=0, stream="centre").expand(count, *space.shape)
    xi = space.random_tangent(centre, Noise.range(seed, count), step=0, stream="cloud").clamp(-2, 2)
    return space.exp(centre, 0.25 * xi)


def end(space: Manifold, rule: Retracted, steps: int, power: float) -> Tensor:
    flow = GeodesicFlow(space, clock=PowerClock(power))
    denoiser = ManifoldDatasetDenoiser(flow, contracted_uniform, cloud(space, 4, 3)).denoiser
    start = RunState.at(cloud(space, 30, 4), START, Noise.range(0, 30))
    times = uniform_grid(steps, start=START, end=END)
    return run(denoiser, flow, rule, Grid(times), state=start).x


@pytest.mark.parametrize("power", [1.0, 1.5])
@pytest.mark.parametrize("space", [Sphere(2), SO3()], ids=names)
def test_orders_on_curved_spaces(space, power):
    """Slope between 30 and 90 steps within 0.25 of the declared order; 540 steps of order 2 are the reference.

    Its own error is 1/36 of that of 90 steps, which moves the slope by 0.03 at most.
    """
    reference = end(space, Retracted(2), 540, power)
    for order in (1, 2):
        coarse, fine = (float(space.dist(end(space, Retracted(order), n, power), reference).median()) for n in (30, 90))
        assert abs(math.log(coarse / fine, 3) - order) < 0.25
        assert Retracted(order).label == f"consistent({order})"


def shares(space: Manifold, x: Tensor, data: Tensor) -> tuple[Tensor, float]:
    """Number of samples at each datum, and the largest distance of a sample to its datum."""
    dist = torch.stack([space.dist(x, point.expand_as(x)) for point in data], dim=1)
    return torch.bincount(dist.argmin(1), minlength=len(data)).double(), float(dist.amin(1).max())


@pytest.mark.parametrize(
    ("space", "rule", "steps"),
    [
        (Sphere(2), Retracted(2), 40),
        (Sphere(2), Retracted(1), 80),
        (SO3(), Retracted(2), 40),
        (Torus(2), Retracted(2), 60),
        (Power(Torus(1), (2,)), Retracted(2), 60),
    ],
    ids=["sphere 2", "sphere 1", "rotations", "torus", "two circles"],
)
def test_the_uniform_law_flows_to_the_data(space, rule, steps):
    """Five data: every sample arrives at one, to round-off, and the counts pass chi-square at 99.9 %."""
    count, flow = 2000, GeodesicFlow(space)
    data = space.uniform(Noise.range(2, 5), space.shape, step=0, stream="data")
    denoiser = ManifoldDatasetDenoiser(flow, contracted_uniform, data).denoiser
    x = run(denoiser, flow, rule, Grid(uniform_grid(steps)), noise=Noise.range(0, count), shape=space.shape).x
    counts, gap = shares(space, x, data)
    assert gap < 1e-7
    assert float(((counts - count / 5) ** 2 / (count / 5)).sum()) < chi2.ppf(0.999, 4)


def test_unequal_shares_are_kept():
    """One datum thrice and one once: shares 3/4 and 1/4 within four standard errors."""
    count, space = 2000, Sphere(2)
    flow = GeodesicFlow(space)
    points = space.uniform(Noise.range(2, 2), (3,), step=0, stream="data")
    denoiser = ManifoldDatasetDenoiser(flow, contracted_uniform, points[[0, 0, 0, 1]]).denoiser
    x = run(denoiser, flow, Retracted(2), Grid(uniform_grid(40)), noise=Noise.range(0, count), shape=(3,)).x
    counts, _ = shares(space, x, points)
    assert abs(float(counts[0]) / count - 0.75) < 4 * math.sqrt(0.75 * 0.25 / count)


def bridge_variance(steps: int, data: float, prior: float, total: float) -> float:
    """Variance at the data of the mixture of bridges in R, by exact recursion of the linear rule with Gaussian data.

    Data N(0, data) and prior N(0, prior) give ``x_t ~ N(0, d)`` with ``k = v/V``,
    ``d = (1-k)^2 data + k^2 prior + V k (1-k)``, and ``m = ((1-k) data / d - 1) x``.
    """
    bridge = LogBridge(Flat(1), variance=total)
    times, variance = uniform_grid(steps), prior
    for t, s in zip(times[:-1].tolist(), times[1:].tolist(), strict=True):
        c1, c2 = bridge.coefficients(bridge.coming(t), bridge.coming(s))
        d = (1 - t) ** 2 * data + t**2 * prior + total * t * (1 - t)
        gain = 1 + float(c1) * ((1 - t) * data / d - 1)
        variance = gain**2 * variance + float(c2) ** 2
    return variance


def test_weak_order_of_the_bridge():
    """The variance of Gaussian data is reached with order 1, and a run has the variance of the recursion."""
    errors = [abs(bridge_variance(n, 0.5, 1.0, 1.0) - 0.5) for n in (50, 200)]
    assert abs(math.log2(errors[0] / errors[1]) / 2 - 1) < 0.25
    count, steps, space = 20000, 10, Flat(1)
    bridge = LogBridge(space, base=NormalAround(space, torch.zeros(1)))

    def tangent(x: Tensor, t: Tensor, condition: object = None) -> Tensor:
        d = (1 - t) ** 2 * 0.5 + t**2 + t * (1 - t)
        return ((1 - t) * 0.5 / d - 1) * x

    x = run(
        Denoiser(tangent, Kind.TANGENT),
        bridge,
        RetractedBridge(),
        Grid(uniform_grid(steps)),
        noise=Noise.range(0, count),
        shape=(1,),
    ).x
    wanted = bridge_variance(steps, 0.5, 1.0, 1.0)
    assert abs(float(x.var()) / wanted - 1) < 5 * math.sqrt(2 / count)


@pytest.mark.parametrize("space", [Sphere(2), SO3()], ids=names)
def test_walk_of_the_bridge_agrees_with_the_rule(space):
    """With one datum the generated path and the noised data have one law: mean squared distance at t = 1/2.

    Both walks have 32 steps; the means of 4000 draws each agree within four standard errors of their difference.
    """
    count = 4000
    bridge = LogBridge(space, variance=0.5)
    x0 = space.uniform(Noise.range(9, 1), space.shape, step=0, stream="x").expand(count, *space.shape)
    denoiser = Denoiser(lambda x, t, condition: space.log(x, x0), Kind.TANGENT)
    plan = Grid(uniform_grid(32, end=0.5))
    made = run(denoiser, bridge, RetractedBridge(), plan, noise=Noise.range(0, count), shape=space.shape).x
    drawn = bridge.noise(x0, 0.5, Noise.range(count, count))
    squares = [space.dist(x, x0) ** 2 for x in (made, drawn)]
    error = math.sqrt(sum(float(q.var()) for q in squares) / count)
    assert abs(float(squares[0].mean() - squares[1].mean())) < 4 * error
