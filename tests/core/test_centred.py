"""Clouds of zero mean: the projection is the matrix it should be, and the Gaussian process lives on its image."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from scidiff.denoise import GaussianMixture
from scidiff.errors import ConfigError, ShapeError
from scidiff.process import EDMSchedule, GaussianProcess, VPSchedule
from scidiff.random import Noise
from scidiff.sample import TableRule, ancestral, dpmpp_2m, log_snr_grid, run
from scidiff.spaces import Centred, centre

SIZES = (5, 3, 1, 4)
MASK = torch.arange(5) < torch.tensor(SIZES).unsqueeze(1)
SPACE = Centred((None, 3), MASK)


def clouds(dtype: torch.dtype = torch.float64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(4, 5, 3, generator=generator, dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("d", [1, 2, 3])
def test_the_projection_is_one_minus_the_mean(size, d):
    """``1 - 1 1^T / n`` on the real points, read off the unit vectors, and 0 at padding; its trace is `dimension`."""
    padded, width = 6, 6 * d
    space = Centred((padded, d), (torch.arange(padded) < size).expand(width, padded))
    matrix = space.project(torch.eye(width, dtype=torch.float64).view(width, padded, d)).view(width, width)
    real = torch.zeros(padded, padded, dtype=torch.float64)
    real[:size, :size] = torch.eye(size, dtype=torch.float64) - 1 / size
    assert torch.allclose(matrix, torch.kron(real, torch.eye(d, dtype=torch.float64)), rtol=0, atol=4 * 2.0**-52)
    assert torch.allclose(matrix @ matrix, matrix, rtol=0, atol=1e-15)
    assert float(matrix.trace()) == pytest.approx(float(space.dimension(torch.zeros(width, padded, d))[0]), abs=1e-13)


def test_without_a_mask_all_points_are_real():
    x, full = clouds(), Centred((5, 3), torch.ones(4, 5, dtype=torch.bool))
    assert torch.allclose(Centred().project(x), full.project(x), rtol=0, atol=1e-15)
    assert torch.equal(Centred().dimension(x), full.dimension(x))
    assert Centred().take([0, 2]).mask is None


def test_padding_may_hold_anything():
    x = clouds()
    junk = torch.where(MASK.unsqueeze(-1), x, torch.nan)
    assert torch.equal(centre(junk, MASK), centre(x, MASK))
    x.requires_grad_()
    centre(torch.where(MASK.unsqueeze(-1), x, torch.inf), MASK).square().sum().backward()
    assert bool(x.grad.isfinite().all())


def test_points_of_the_space(dtype):
    x = SPACE.project(clouds(dtype))
    SPACE.check(x)
    SPACE.check(100 * x)
    with pytest.raises(ShapeError, match=r"project\(x0\)"):
        SPACE.check(x + 0.01 * MASK.unsqueeze(-1), "x0")
    with pytest.raises(ShapeError, match="zero padding"):
        SPACE.check(x + 0.01 * ~MASK.unsqueeze(-1))
    with pytest.raises(ShapeError, match="mask of the space"):
        SPACE.check(x[:2])
    SPACE.take([2, 0]).check(x[[2, 0]])
    with pytest.raises(ShapeError, match="expected"):
        Centred((None, 2)).check(x)


def test_geometry_is_that_of_euclid():
    x, y = SPACE.project(clouds()), SPACE.project(clouds().flip(0))
    assert torch.equal(SPACE.phi(x, y), y)
    assert torch.allclose(SPACE.dist(x, y) ** 2, SPACE.inner(x, x - y, x - y))
    SPACE.check(SPACE.exp(x, SPACE.log(x, y)))
    with pytest.raises(ConfigError, match="no uniform law"):
        SPACE.uniform(Noise.range(0, 4), (5, 3), step=0, stream="u")
    assert SPACE != replace(SPACE) and SPACE == SPACE and hash(SPACE) == hash(SPACE)


@pytest.mark.parametrize(
    "bad", [{"shape": (3,)}, {"mask": torch.ones(2, 3)}, {"mask": torch.ones(2, dtype=torch.bool)}]
)
def test_what_is_no_cloud_is_refused(bad):
    with pytest.raises(ShapeError, match="expected"):
        Centred(**bad)


class Units:
    """Noise that is 1 in entry `k` of sample `k`, and 0 elsewhere."""

    def __len__(self) -> int:
        return 8

    def normal(self, shape, *, step: int, stream: str) -> torch.Tensor:
        return torch.eye(8, dtype=torch.float64).view(8, *shape)


@pytest.mark.parametrize("schedule", [EDMSchedule(), VPSchedule()])
def test_the_prior_is_the_normal_law_of_the_subspace(schedule):
    """The response to unit noise is ``sigma(1) P``: the covariance is ``sigma(1)^2 P``."""
    x = GaussianProcess(Centred((4, 2)), schedule).prior(Units(), (4, 2)).flatten(1) / float(schedule.sigma(1.0))
    want = torch.kron(torch.eye(4) - 1 / 4, torch.eye(2)).double()
    assert torch.allclose(x.T @ x, want, rtol=0, atol=1e-15)
    assert torch.allclose((x.T @ x).diag(), torch.tensor(0.75, dtype=torch.float64))


def test_the_size_of_the_noise():
    """``|x_1|^2 / sigma^2`` of a cloud is chi-squared with ``(n - 1) d`` degrees of freedom: mean and variance."""
    count = 3000
    space = Centred((None, 3), MASK.repeat_interleave(count, 0))
    x = GaussianProcess(space, VPSchedule()).prior(Noise.range(0, 4 * count), (5, 3))
    squares = x.square().sum((1, 2)).view(4, count) / float(VPSchedule().sigma(1.0)) ** 2
    for size, row in zip(SIZES, squares, strict=True):
        free = 3 * (size - 1)
        assert abs(float(row.mean()) - free) <= 5 * math.sqrt(2 * free / count)
        # the fourth central moment of chi-squared is 12 k (k + 4), so the variance has error sqrt((12k^2+48k-4k^2)/n)
        assert abs(float(row.var()) - 2 * free) <= 5 * math.sqrt((8 * free**2 + 48 * free) / count)


def test_the_process_stays_in_the_space(dtype):
    """And its noise is the projection of the noise of R^(n d): linear in ``x_0`` and in the noise."""
    process, noise = GaussianProcess(SPACE, VPSchedule()), Noise.range(0, 4)
    x0 = SPACE.project(clouds(dtype))
    x_t = process.noise(x0, 0.4, noise)
    eps = SPACE.project(noise.normal((5, 3), step=0, stream="noise"))
    want = VPSchedule().alpha(0.4) * x0 + VPSchedule().sigma(0.4) * eps
    assert torch.allclose(x_t.double(), want.double(), rtol=0, atol=8 * torch.finfo(dtype).eps)
    for x in (x_t, process.renoise(x_t, 0.4, 0.9, noise), process.prior(noise, (5, 3))):
        SPACE.check(x)
        assert not bool(x[~MASK].any()) and not bool(x[2].any())
    with pytest.raises(ShapeError, match="project"):
        process.noise(clouds(dtype), 0.4, noise)


@pytest.mark.parametrize("solver", [dpmpp_2m, ancestral])
def test_padding_does_not_change_a_run(solver):
    """A padded batch and each cloud by itself give the same samples, to round-off, and stay in the space."""
    schedule = VPSchedule()
    rule = TableRule(solver(schedule, log_snr_grid(schedule, 8)))
    denoiser = GaussianMixture.gaussian(schedule, torch.zeros(5, 3), torch.tensor(0.7)).denoiser
    process = GaussianProcess(SPACE, schedule)
    batch = run(denoiser, process, rule, rule.plan, noise=Noise.range(1, 4), shape=(5, 3)).x
    SPACE.check(batch)
    assert not bool(batch[~MASK].any())
    for row, size in enumerate(SIZES):
        alone = GaussianMixture.gaussian(schedule, torch.zeros(size, 3), torch.tensor(0.7)).denoiser
        process = GaussianProcess(Centred((size, 3)), schedule)
        x = run(alone, process, rule, rule.plan, noise=Noise.range(1, 1, first=row), shape=(size, 3)).x
        assert torch.allclose(batch[row, :size], x[0], rtol=0, atol=1e-13)
