"""Flow on staggered grids against Taylor-Green and Poiseuille, conservation of energy, and the law of snapshots."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scidiff.domains.pde.flows import FlowLaw, flow_batches, flow_snapshots
from scidiff.domains.pde.grids import MacGrid
from scidiff.domains.pde.leray import leray
from scidiff.domains.pde.obstacles import random_obstacles
from scidiff.domains.pde.solvers.mac_flow import MacFlow

from scidiff.errors import ConfigError, NumericalError

SMALL = FlowLaw(shape=(24, 24), viscosity=0.02, times=(0.05, 0.1), trajectories=2)


def taylor_green(n: int) -> np.ndarray:
    x, y = np.indices((n, n)) / n
    half = 0.5 / n
    u = np.sin(2 * np.pi * x) * np.cos(2 * np.pi * (y + half))
    v = -np.cos(2 * np.pi * (x + half)) * np.sin(2 * np.pi * y)
    return np.stack([u, v])[None]


def test_taylor_green_vortices_decay_with_second_order():
    """They stay as they are but for a factor exp(-8 pi^2 nu t): an exact solution with convection and pressure."""
    nu, time, errors = 0.01, 0.5, []
    for n in (16, 32, 64):
        flow = MacFlow(MacGrid(np.zeros((n, n), dtype=bool)), nu)
        start = taylor_green(n)
        end = flow.run(start, time, steps=n * n // 16)
        errors.append(abs(end - np.exp(-8 * np.pi**2 * nu * time) * start).max())
    assert all(1.8 < np.log2(a / b) < 2.5 for a, b in itertools.pairwise(errors))


def test_poiseuille_flow_between_walls():
    """Held mean flow between no-slip walls becomes the parabola; the scheme has it exactly but for the wall ghost."""
    errors = []
    for n in (8, 16):
        grid = MacGrid.channel(np.zeros((4, n + 1), dtype=bool), (1 / n, 1 / n))
        flow = MacFlow(grid, 1.0)
        start = np.zeros((1, 2, 4, n + 1))
        start[:, 0, :, 1:] = 1.0
        end = flow.run(start, 1.0)[0]
        y = (np.arange(n) + 0.5) / n
        errors.append(abs(end[0, :, 1:] - 6 * y * (1 - y)).max())
        assert abs(end[1]).max() < 1e-12
    assert errors[1] < 0.3 * errors[0] < 0.01


def test_convection_conserves_energy_around_obstacles():
    grid = MacGrid(random_obstacles((32, 32), 0, 1))
    w = np.random.default_rng(0).normal(size=(2, 2, 32, 32))
    w = np.stack(leray(grid).project(w[:, 0], w[:, 1]), 1)
    flow = MacFlow(grid, 1e-300)
    # the sum cancels: its terms have the size of |w|^3 / h
    assert abs((w * flow.force(w)).sum()) < 1e-13 * (abs(w) ** 3).sum() * 32


def test_the_flow_around_a_square_converges():
    """A body that every grid resolves; singular corners leave an order between 1 and 2."""
    ends = []
    for n in (16, 32, 64):
        solid = np.zeros((n, n), dtype=bool)
        solid[n // 4 : n // 2, n // 4 : n // 2] = True
        flow = MacFlow(MacGrid(solid), 0.1)
        start = np.zeros((1, 2, n, n))
        start[:, 0] = 1.0
        end = flow.run(flow.project(start, np.array([[1.0, 0.0]])), 0.1)[0, 0]
        ends.append(end[:: n // 16].reshape(16, 16, -1).mean(-1))
    first, second = (np.sqrt(((a - b) ** 2).mean()) for a, b in itertools.pairwise(ends))
    assert second < 0.6 * first < 0.1


def test_snapshots_are_incompressible_and_keep_out_of_obstacles():
    flows = flow_snapshots(8, 0, SMALL)
    assert len(flows) == 8
    for w, mask in zip(flows.velocity, flows.obstacles, strict=True):
        grid = MacGrid(mask)
        assert grid.relative_divergence(w[0], w[1]) < 1e-13
        assert not w[~grid.free].any()
        np.testing.assert_allclose(w.mean((-2, -1)), [1, 0], atol=1e-12)


def test_snapshots_are_a_function_of_the_seed_and_the_geometry():
    a, b = flow_snapshots(8, 3, SMALL), flow_snapshots(4, 3, SMALL, first=1)
    np.testing.assert_array_equal(a.velocity[4:], b.velocity)
    np.testing.assert_array_equal(a.geometry, [0] * 4 + [1] * 4)
    np.testing.assert_array_equal(a.time, [0.05, 0.05, 0.1, 0.1] * 2)
    assert abs(a.velocity[0] - a.velocity[1]).max() > 0.1
    other = next(flow_batches(4, SMALL))
    assert abs(other.velocity - a.velocity[:4]).max() > 0.1


def test_what_cannot_be_run_is_refused():
    with pytest.raises(ConfigError, match="ascending"):
        FlowLaw(times=(1.0, 0.5))
    with pytest.raises(ConfigError, match="at least one"):
        flow_snapshots(0, 0)
    with pytest.raises(ConfigError, match="viscosity"):
        MacFlow(MacGrid(np.zeros((8, 8), dtype=bool)), 0.0)
    with np.errstate(all="ignore"), pytest.raises(NumericalError, match="more steps"):
        MacFlow(MacGrid(np.zeros((16, 16), dtype=bool)), 1.0).run(taylor_green(16), 500.0, steps=400)
