"""The denoiser of a data set against the plain softmax, and the certificate of the one that reads less."""

from __future__ import annotations

import math

import pytest
import torch

from scidiff.denoise import DatasetDenoiser, GaussianMixture, SubsetDenoiser
from scidiff.errors import ConfigError, ShapeError
from scidiff.process import EDMSchedule, LinearFlowSchedule, VPSchedule
from scidiff.random import Noise

GENERATOR = torch.Generator().manual_seed(0)
DATA = torch.randn(50, 2, 3, generator=GENERATOR, dtype=torch.float64)
X = torch.randn(4, 2, 3, generator=GENERATOR, dtype=torch.float64)
SCHEDULES = [VPSchedule(), EDMSchedule(), LinearFlowSchedule()]
every = pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)


def brute(schedule, x: torch.Tensor, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and perplexity by the definition, with all weights at once."""
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    gap = (x[:, None] - alpha[:, None] * DATA) / sigma[:, None]
    w = torch.softmax(-0.5 * gap.flatten(2).square().sum(-1), 1)
    return torch.einsum("bk,k...->b...", w, DATA), torch.exp(-torch.special.xlogy(w, w).sum(1))


@every
@pytest.mark.parametrize("chunk", [1, 7, 50, 1000])
@pytest.mark.parametrize("t", [0.1, 0.5, 0.9])
def test_the_scan_is_the_softmax(schedule, chunk, t):
    denoiser = DatasetDenoiser(schedule, DATA, chunk)
    times = torch.full_like(X, t)
    mean, support = brute(schedule, X, times)
    assert torch.allclose(denoiser(X, t), mean, atol=1e-9)
    assert torch.allclose(denoiser.effective_support(X, t), support, rtol=1e-8)
    # one time per site
    times[:, 0] = 0.5 * t
    assert torch.allclose(denoiser(X, times), brute(schedule, X, times)[0], atol=1e-9)


def test_single_precision_data_and_states():
    denoiser = DatasetDenoiser(VPSchedule(), DATA.float())
    assert torch.allclose(denoiser(X.float(), 0.5), DatasetDenoiser(VPSchedule(), DATA)(X, 0.5), atol=1e-5)


def test_ends_of_the_clock():
    denoiser = DatasetDenoiser(LinearFlowSchedule(), DATA)
    assert torch.allclose(denoiser(X, 1.0), DATA.mean(0).expand_as(X), atol=1e-13)
    assert torch.allclose(denoiser.effective_support(X, 1.0), torch.full((4,), 50.0, dtype=torch.float64))
    nearest = torch.cdist(X.flatten(1), DATA.flatten(1)).argmin(1)
    assert torch.equal(denoiser(X, 0.0), DATA[nearest])
    assert torch.allclose(denoiser.effective_support(X, 0.0), torch.ones(4, dtype=torch.float64))


def test_clean_sites_select_the_data():
    """Two data share the clean site of the first sample: only these two are left."""
    data = DATA.clone()
    data[7, 0] = data[3, 0]
    x = X.clone()
    x[0, 0] = data[3, 0]
    times = torch.zeros_like(x)
    times[:, 1] = 0.4
    m = DatasetDenoiser(EDMSchedule(), data)(x[:1], times[:1])
    sigma = float(EDMSchedule().sigma(0.4))
    w = torch.softmax(-0.5 * ((x[0, 1] - data[[3, 7], 1]) / sigma).square().sum(1), 0)
    assert torch.allclose(m[0], torch.einsum("k,k...->...", w, data[[3, 7]]), atol=1e-12)


def test_it_is_a_mixture_of_points():
    points = GaussianMixture(VPSchedule(), torch.full((50,), 1 / 50), DATA, torch.zeros(50))
    assert torch.allclose(points(X, 0.4), DatasetDenoiser(VPSchedule(), DATA)(X, 0.4), atol=1e-11)


def curved(count: int, dim: int) -> torch.Tensor:
    """Points near a curved surface of four dimensions."""
    hidden = torch.randn(count, 4, generator=GENERATOR, dtype=torch.float64)
    return torch.tanh(hidden @ torch.randn(4, dim, generator=GENERATOR, dtype=torch.float64))


@pytest.mark.parametrize("error", [0.3, 1e-3, 1e-9])
def test_the_certificate_holds(error):
    """The true error never exceeds the bound, the bound never the target; low noise needs few data, high noise all."""
    data, schedule = curved(4000, 32), EDMSchedule(20.0, 7.0)
    exact, subset = DatasetDenoiser(schedule, data), SubsetDenoiser(schedule, data, error=error, rank=6)
    noise = Noise.range(0, 24)
    read = {}
    for sigma in (0.05, 0.3, 1.0, 3.0, 15.0):
        t = float(schedule.t(-math.log(sigma)))
        x = data[:24] + sigma * noise.normal((32,), step=0, stream="x")
        m, bound, count = subset.certified(x, t)
        true = (m - exact(x, t)).norm(dim=1)
        # 1e-12 is the round-off of the two ways to sum
        assert bool((true <= bound + 1e-12).all()) and bool((bound <= error).all())
        assert torch.equal(subset(x, t), m)
        read[sigma] = float(count.mean())
    assert read[0.05] < 0.1 * len(data) and read[15.0] == len(data)
    assert list(read.values()) == sorted(read.values())


def test_mixed_times_in_a_batch():
    data, schedule = curved(2000, 8), EDMSchedule(20.0, 7.0)
    exact, subset = DatasetDenoiser(schedule, data), SubsetDenoiser(schedule, data, error=1e-6, rank=8)
    t = schedule.t(-torch.tensor([0.02, 0.2, 2.0, 20.0], dtype=torch.float64).log())
    x = data[:4] + schedule.sigma(t)[:, None] * Noise.range(0, 4).normal((8,), step=0, stream="x")
    m, bound, count = subset.certified(x, t)
    assert bool(((m - exact(x, t)).norm(dim=1) <= bound + 1e-12).all())
    assert count.tolist() == sorted(count.tolist()) and count[0] < count[-1] == 2000


def test_senseless_requests_are_refused():
    with pytest.raises(ConfigError, match="count > 0"):
        DatasetDenoiser(VPSchedule(), torch.zeros(0, 3))
    with pytest.raises(ConfigError, match="positive"):
        SubsetDenoiser(VPSchedule(), DATA, error=0.0)
    with pytest.raises(ShapeError, match="expected"):
        DatasetDenoiser(VPSchedule(), DATA)(X[:, :1], 0.5)
    with pytest.raises(ShapeError, match="one time per sample"):
        SubsetDenoiser(VPSchedule(), DATA, error=0.1)(X, torch.rand(4, 2, 3, generator=GENERATOR))
