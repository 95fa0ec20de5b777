"""Parts of the analyses: geometry of strings, fits, refusals, pictures."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from scidiff.analysis import audit, collapse, landscapes, membership, memorisation, principal, string, variance
from scidiff.denoise import GaussianMixture
from scidiff.errors import ConfigError, NumericalError, ShapeError
from scidiff.process import GaussianProcess, VPSchedule
from scidiff.spaces import Euclidean
from scidiff.spaces.torus import Torus

PLANE = Euclidean((2,))


def circle(count: int, end: float = math.pi) -> torch.Tensor:
    angle = torch.linspace(0, 1, count, dtype=torch.float64) ** 2 * end
    return torch.stack([angle.cos(), angle.sin()], 1)


def test_respacing_is_even_and_idempotent():
    images = string.respace(PLANE, circle(30))
    length = string.arc_length(PLANE, images)
    again = string.respace(PLANE, images)
    assert torch.equal(images[0], circle(30)[0]) and torch.equal(images[-1], circle(30)[-1])
    # neighbours on different sides of a corner are nearer than the way around it
    assert float(length.diff().max() / length.diff().min()) < 1.05
    assert float((again - images).norm(dim=1).max()) < 0.02
    assert string.respace(PLANE, images, 7).shape == (7, 2)
    line = string.geodesic(PLANE, torch.zeros(2).double(), torch.ones(2).double(), 5)
    assert torch.allclose(line, torch.linspace(0, 1, 5, dtype=torch.float64)[:, None].expand(5, 2), atol=1e-15)


def test_respacing_survives_images_that_coincide():
    images = torch.zeros(4, 2, dtype=torch.float64)
    images[3, 0] = 1.0
    assert torch.allclose(string.respace(PLANE, images)[:, 0], torch.linspace(0, 1, 4, dtype=torch.float64))
    assert torch.equal(string.respace(PLANE, torch.ones(4, 2)), torch.ones(4, 2))


def test_the_geodesic_of_a_torus_goes_the_short_way():
    torus = Torus(1)
    path = string.geodesic(torus, torch.tensor([3.0]), torch.tensor([-3.0]), 5)
    assert float(string.arc_length(torus, path)[-1]) == pytest.approx(2 * math.pi - 6, rel=1e-5)


def test_sites_are_summed():
    """Three points of two coordinates: one length for all, as in the plane of six coordinates."""
    torus = Torus(2)
    x, y = torch.rand(2, 5, 3, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.allclose(string.dist(torus, x, y), (x - y).flatten(1).norm(dim=1))
    assert torch.allclose(string.inner(torus, x, x, y), (x * y).flatten(1).sum(1))
    unit = string.unit(torus, x, y)
    assert torch.allclose(string.inner(torus, x, unit, unit), torch.ones(5, dtype=torch.float64))
    assert torch.equal(string.unit(torus, x, 0 * y), 0 * y)


def test_a_path_without_a_top_has_no_saddle():
    images = string.geodesic(PLANE, torch.tensor([0.0, 0.3]).double(), torch.tensor([2.0, 0.1]).double(), 9)
    curve = string.minimum_energy_path(
        PLANE, lambda x: 2 * x, images, step=0.1, energy=lambda x: x.square().sum(1), free_ends=False
    )
    assert curve.saddle is None
    assert curve.barrier == pytest.approx(2.0**2 + 0.1**2 - 0.3**2)


def test_slabs_of_a_straight_string():
    """Spacing 1: a walker at 0.7 is 0.2 outside, one at 0.3 inside whatever its height."""
    images = torch.stack([torch.arange(5.0), torch.zeros(5)], 1).double()
    x = images.repeat_interleave(2, 0)
    x[4] += torch.tensor([0.7, -3.0])
    x[5] += torch.tensor([0.3, 9.0])
    beyond = principal.excess(PLANE, x, images, 2)
    assert beyond[4] == pytest.approx(0.2) and float(beyond[[0, 1, 2, 3, 5, 6]].abs().max()) == 0


@pytest.mark.parametrize("ratio", [1.0, 1.001, 1.3, 3.0, 50.0])
def test_the_floor_is_unfolded(ratio):
    """Forward and back: the mean of |r + z| over that of |z|."""
    found = audit.unfold(0.01 * ratio, 0.01)
    r = found / 0.01 * math.sqrt(2 / math.pi)
    folded = math.sqrt(2 / math.pi) * math.exp(-0.5 * r**2) + r * math.erf(r / math.sqrt(2))
    assert folded == pytest.approx(math.sqrt(2 / math.pi) * ratio, rel=1e-9)
    assert audit.unfold(0.005, 0.01) == 0.0
    assert audit.unfold(0.3, 0.0) == 0.3


@pytest.mark.parametrize(("plateau", "order"), [(0.0, 1.0), (0.0, 0.5), (0.02, 1.0), (0.01, 2.0), (0.2, 0.5)])
def test_the_fit_finds_what_is_there(plateau, order):
    """Noise-free curves on the list of orders are found to round-off; the step of the list is 0.05."""
    calls = np.array([2, 4, 8, 16, 32, 64])
    found, orders = audit._fit(calls, (plateau + 0.4 * calls**-order)[None], np.zeros(6))
    assert orders[0] == pytest.approx(order, abs=0.03)
    assert found[0] == pytest.approx(plateau, abs=1e-4)


def test_senseless_requests_are_refused():
    images = circle(5)
    with pytest.raises(ConfigError, match="at least 3 images"):
        string.minimum_energy_path(PLANE, lambda x: x, images[:2], step=0.1)
    with pytest.raises(NumericalError, match="smaller step"):
        string.minimum_energy_path(PLANE, lambda x: -(x**3), 3 * images, step=5.0, iterations=50)
    with pytest.raises(ConfigError, match="positive"):
        principal.Walkers(0, 0.1)
    with pytest.raises(ConfigError, match="unstable"):
        principal.Pull(gain=0.5, smoothing=4.0)
    with pytest.raises(ConfigError, match="burn"):
        principal.principal_curve(
            PLANE, lambda x: x, images, walkers=principal.Walkers(2, 0.1), iterations=5, burn=5, seed=0
        )
    with pytest.raises(ConfigError, match="came to rest"):
        landscapes.find_modes(PLANE, lambda x: x + 5, images, step=1e-6, radius=0.1, iterations=2)
    with pytest.raises(ShapeError, match="components"):
        landscapes.WrappedMixture(torch.ones(2), torch.zeros(3, 2), torch.ones(3, 2))
    with pytest.raises(ConfigError, match="factor of four"):
        audit.audit_discrete({1: np.ones(2) / 2, 2: np.ones(2) / 2}, np.ones(2) / 2)
    with pytest.raises(ShapeError, match="sum to 1"):
        audit.tv_of_law(np.ones(2), np.ones(2) / 2)
    with pytest.raises(ShapeError, match="counts"):
        audit.tv_of_counts(np.ones(3), np.ones(2) / 2, seed=0)
    with pytest.raises(ShapeError, match="count >= 3"):
        variance.audit_gaussian(torch.zeros(2, 1), 1.0)
    with pytest.raises(ShapeError, match="same event shape"):
        memorisation.noise_regimes(torch.zeros(4, 2), torch.zeros(4, 3), [1.0], seed=0)
    with pytest.raises(ConfigError, match="duplicates"):
        memorisation.nearest_ratio(images, images, torch.zeros(8, 2), seed=0)
    process = GaussianProcess(PLANE, VPSchedule())
    model = GaussianMixture.gaussian(process.schedule, torch.zeros(2), torch.tensor(1.0))
    with pytest.raises(ConfigError, match="times"):
        membership.denoising_loss(model.denoiser, process, images, [0.0], seed=0)


def test_losses_depend_on_the_seed_alone():
    process = GaussianProcess(PLANE, VPSchedule())
    model = GaussianMixture.gaussian(process.schedule, torch.zeros(2), torch.tensor(1.0))
    whole, again, other = (
        membership.denoising_loss(model.denoiser, process, circle(6), [0.3], seed=seed) for seed in (0, 0, 1)
    )
    assert torch.equal(whole, again) and not torch.equal(whole, other)
    assert torch.equal(membership.denoising_loss(model.denoiser, process, circle(6)[:4], [0.3], seed=0), whole[:4])


def test_pictures():
    well = landscapes.EntropicWell()
    guess = string.geodesic(PLANE, torch.tensor([-1.0, 0.1]).double(), torch.tensor([1.0, 0.1]).double(), 9)
    path = string.minimum_energy_path(PLANE, well.gradient, guess, step=0.02, energy=well.energy)
    modes = torch.tensor([[-1.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    graph = landscapes.mode_graph(PLANE, well.gradient, well.energy, modes, images=9, radius=0.1, step=0.02)
    law = np.full(4, 0.25)
    chain = collapse.recurse(law, collapse.IndependentErrors(law, 0.1, 0), fresh=0.2, generations=4, runs=2)
    noise = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
    regimes = memorisation.noise_regimes(noise[:20], noise[20:], [0.1, 1.0], seed=0)
    found = audit.audit_discrete({n: np.array([60, 40]) for n in (1, 2, 4)}, np.array([0.5, 0.5]))
    figures = (
        string.plot_curve(path, names=["path"]),
        landscapes.plot_modes(graph),
        collapse.plot_collapse(chain, 0.1),
        memorisation.plot_regimes(regimes),
        audit.plot_audit(found),
    )
    for figure in figures:
        figure.canvas.draw()
        assert figure.axes[0].get_xlabel() and figure.axes[0].lines
    with pytest.raises(ConfigError, match="no energies"):
        string.plot_curve(string.Curve(guess, None, None, None, 0.0, 1, True))
