"""IGSO(3): two series, one density; its score, its limits and its draws."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import gammainc
from torch import Tensor

from scidiff.errors import ConfigError, ShapeError
from scidiff.process.igso3 import IGSO3, igso3_images, igso3_spectral
from scidiff.random import Noise
from scidiff.spaces.so3 import SO3, to_matrix

KERNEL = IGSO3()
ANGLES = torch.linspace(0, math.pi, 401, dtype=torch.float64)
ALL_TIMES = (1e-5, 1e-2, 0.3, 1.0, 1.999, 2.001, 6.0)


def at(t: float, like: Tensor = ANGLES) -> Tensor:
    return torch.full_like(like, t)


def gauss_legendre(top: float, count: int = 200) -> tuple[Tensor, Tensor]:
    nodes, weights = (torch.from_numpy(part) for part in np.polynomial.legendre.leggauss(count))
    return (nodes + 1) / 2 * top, weights * top / 2


def angle_cdf(w: Tensor, t: float, degrees: int = 400) -> Tensor:
    """Closed CDF of the angle, ``1/pi sum (2l+1) e^(-l(l+1)t/2) (sin lw / l - sin (l+1)w / (l+1))``."""
    total = w - torch.sin(w)
    for l in range(1, degrees):
        weight = (2 * l + 1) * math.exp(-l * (l + 1) * t / 2)
        total = total + weight * (torch.sin(l * w) / l - torch.sin((l + 1) * w) / (l + 1))
    return total / math.pi


@pytest.mark.parametrize("t", [0.7, 1.0, 1.5, 2.0, 2.5, 3.0])
def test_the_two_series_agree(t):
    """Measured below 1e-13; the bar is 1e-10."""
    near, far = igso3_images(ANGLES, at(t)), igso3_spectral(ANGLES, at(t))
    assert float((near[0] - far[0]).abs().max()) < 1e-10
    assert float((near[1] - far[1]).abs().max()) < 1e-10


@pytest.mark.parametrize("t", [0.05, 0.3, 1.0, 4.0])
def test_the_density_is_the_published_series(t):
    """Against ``sum (2l+1) e^(-l(l+1)t/2) sin((l+1/2)w) / sin(w/2)``, which keeps 16 digits of the largest value."""
    w = ANGLES[1:]
    plain = sum(
        (2 * l + 1) * math.exp(-l * (l + 1) * t / 2) * torch.sin((l + 0.5) * w) / torch.sin(w / 2) for l in range(60)
    )
    density = KERNEL.log_haar(w, at(t, w)).exp()
    assert torch.allclose(density, plain, rtol=1e-12, atol=1e-12 * float(plain.max()))


@pytest.mark.parametrize("t", ALL_TIMES)
def test_the_mass_is_one(t):
    """Gauss-Legendre up to the horizon; with respect to volume and to the Haar measure."""
    w, weights = gauss_legendre(float(KERNEL.horizon(torch.tensor(t, dtype=torch.float64))))
    by_volume = (KERNEL.log_radial(w, at(t, w)) + KERNEL.log_area(w)).exp()
    by_haar = KERNEL.log_haar(w, at(t, w)).exp() * (1 - w.cos()) / math.pi
    assert float((by_volume * weights).sum()) == pytest.approx(1, abs=1e-12)
    assert float((by_haar * weights).sum()) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("t", [0.02, 0.3, 1.5, 2.5, 5.0])
def test_the_slope_is_the_derivative(t):
    """Central differences of step ``h = 1e-4 t``: the third derivative, at most ``(pi/t)^3`` where two images meet,
    gives ``h^2 (pi/t)^3 / 6 < 1e-7 / t``; round-off gives ``1e-16 |log f| / h``.
    """
    w, h = ANGLES[1:-1], 1e-4 * min(t, 1)
    up, down = KERNEL.log_haar(w + h, at(t, w)), KERNEL.log_haar(w - h, at(t, w))
    size = 1e-7 / min(t, 1) + 1e-15 * (1 + up.abs()) / h
    assert bool((((up - down) / (2 * h) - KERNEL.slope(w, at(t, w)) * w).abs() < size).all())
    ends = KERNEL.slope(torch.tensor([1e-9, math.pi], dtype=torch.float64), at(t, ANGLES[:2]))
    assert bool(torch.isfinite(ends).all()) and abs(float(ends[1])) < 1e-12 * (1 + 1 / t)


def test_the_score_is_the_gradient_on_the_group():
    """Derivative of log p along every body axis by central differences, at random rotations and times."""
    noise = Noise.range(3, 40)
    x0, x = (SO3().uniform(noise, (4,), step=0, stream=name) for name in ("x0", "x"))
    t = 0.2 + 3 * noise.uniform((), step=0, stream="t")
    score, h = KERNEL.score(x0, x, t), 1e-4
    for axis in torch.eye(3, dtype=torch.float64):
        up, down = (KERNEL.log_density(x0, SO3().exp(x, s * h * axis.expand(40, 3)), t) for s in (1, -1))
        assert torch.allclose((up - down) / (2 * h), score @ axis, atol=1e-5)
    assert KERNEL.score(x0.float(), x.float(), t).dtype == torch.float32


def test_large_times_are_uniform_and_small_times_maxwell():
    """The distance to uniform is ``3 e^-t tr R``; for small t the angle over sqrt t has the law of Maxwell."""
    t = 25.0
    assert float(KERNEL.log_haar(ANGLES, at(t)).abs().max()) < 9 * math.exp(-t) * 1.01
    small, u = 1e-8, torch.linspace(0.01, 0.99, 99, dtype=torch.float64)
    w = KERNEL.quantile(u, at(small, u))
    maxwell = gammainc(1.5, (w**2 / (2 * small)).numpy())
    # the correction of curvature to the density is of relative size w^2
    assert np.abs(maxwell - u.numpy()).max() < 20 * small


def test_the_gaussian_of_the_tangent_space_is_the_limit_of_the_score():
    """``score -> log_x(x0) / t`` with a relative error of ``t / 12``, from the curvature."""
    t = 1e-6
    slope = KERNEL.slope(torch.tensor([1e-3], dtype=torch.float64), at(t, ANGLES[:1]))
    assert float(-slope * t) == pytest.approx(1 - t / 12, abs=1e-9)


@pytest.mark.parametrize("t", [1e-3, 0.1, 1.0, 3.0, 10.0])
def test_the_sampler_inverts_the_closed_cdf(t):
    """``F(F^-1(u)) = u`` to 1e-11, with the CDF summed as a series of 400 degrees."""
    u = torch.cat((torch.tensor([1e-9, 1e-5]), torch.linspace(0.001, 0.999, 500), torch.tensor([1 - 1e-9]))).double()
    assert float((angle_cdf(KERNEL.quantile(u, at(t, u)), t) - u).abs().max()) < 1e-11


def test_a_draw_does_not_depend_on_the_times_beside_it():
    """Every sample of a batch with many times has the quantile it has alone."""
    u = Noise.range(0, 50).uniform((), step=0, stream="u")
    t = 10 ** torch.linspace(-4, 1, 50, dtype=torch.float64)
    alone = torch.cat([KERNEL.quantile(u[k : k + 1], t[k : k + 1]) for k in range(50)])
    assert torch.allclose(KERNEL.quantile(u, t), alone, rtol=1e-12, atol=0)


@pytest.mark.parametrize("t", [0.05, 0.7, 3.0])
def test_the_mean_trace(t):
    """``E R = e^-t I``: every entry within five standard errors, the entries being at most 1; and no direction."""
    count = 20_000
    noise = Noise.range(11, count)
    x0 = SO3().uniform(noise, (4,), step=0, stream="x0")
    x = KERNEL.sample(x0, t, noise, step=0, stream="x")
    relative = to_matrix(x0).mT @ to_matrix(x)
    error = 5 * float(relative.std(0).max()) / math.sqrt(count)
    assert float((relative.mean(0) - math.exp(-t) * torch.eye(3)).abs().max()) < error
    assert float(torch.einsum("nii->n", relative).mean()) == pytest.approx(3 * math.exp(-t), abs=3 * error)


def test_two_short_times_are_one_long():
    """Chapman-Kolmogorov in the observable ``tr R``, by quadrature: the characters multiply."""
    w, weights = gauss_legendre(math.pi)

    def mean_trace(t: float) -> float:
        law = KERNEL.log_haar(w, at(t, w)).exp() * (1 - w.cos()) / math.pi
        return float((law * (1 + 2 * w.cos()) * weights).sum())

    assert mean_trace(0.4) * mean_trace(1.1) / 3 == pytest.approx(mean_trace(1.5), rel=1e-12)


def test_sites_and_per_sample_times():
    noise = Noise.range(1, 4)
    x0 = SO3().uniform(noise, (5, 4), step=0, stream="x0").float()
    t = torch.tensor([0.01, 0.1, 1.0, 4.0])
    x = KERNEL.sample(x0, t, noise, step=0, stream="x")
    assert x.shape == x0.shape and x.dtype == torch.float32
    assert KERNEL.log_density(x0, x, t).shape == (4, 5)
    assert KERNEL.score(x0, x, t.unsqueeze(1).expand(4, 5)).shape == (4, 5, 3)
    again = KERNEL.sample(x0[1:], t[1:], noise.take([1, 2, 3]), step=0, stream="x")
    assert torch.allclose(again, x[1:], atol=1e-6)


def test_what_is_refused():
    x = SO3().uniform(Noise.range(0, 2), (4,), step=0, stream="x")
    with pytest.raises(ConfigError, match="variance > 0"):
        KERNEL.log_density(x, x, 0.0)
    with pytest.raises(ShapeError, match="one stream per sample"):
        KERNEL.sample(x, 1.0, Noise.range(0, 3), step=0, stream="x")
