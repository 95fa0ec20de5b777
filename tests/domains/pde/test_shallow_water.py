"""Shallow water: rest over any bottom, Riemann problem, linear waves, mass, the radial check, and mutations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scidiff.domains.pde import certify
from scidiff.domains.pde.errors import CoefficientError
from scidiff.domains.pde.problems.shallow_water import ShallowWater, radial_dam
from scidiff.domains.pde.refinement import observed_orders
from scidiff.domains.pde.solvers.shallow_water import shallow_step, tendency
from scipy.optimize import brentq

from scidiff.errors import ConfigError, NumericalError


def rough_bottom(shape: tuple[int, int], seed: int = 0) -> torch.Tensor:
    return 0.8 * torch.from_numpy(np.random.default_rng(seed).uniform(size=shape))


def test_water_at_rest_stays_at_rest_over_any_bottom():
    """Every term cancels; what is left is round-off of g h^2 / dx, here below 1e-13."""
    bottom = rough_bottom((12, 9))
    state = torch.stack([1.0 - bottom, torch.zeros_like(bottom), torch.zeros_like(bottom)])
    assert float(tendency(state, bottom, 9.81, 0.1).abs().max()) < 2e-13 * 9.81 / 0.1
    moved = state
    for _ in range(30):
        moved = shallow_step(moved, bottom, 9.81, 0.1, 0.005)
    assert float((moved - state).abs().max()) < 1e-13
    # without the slope of the bottom the same water runs
    assert float(tendency(state, 0 * bottom, 9.81, 0.1).abs().max()) > 1.0


def stoker(x: np.ndarray, t: float, high: float, low: float) -> np.ndarray:
    """Depth after the break of a dam at 0, g = 1: rarefaction, plateau, bore."""
    left = math.sqrt(high)
    speed = lambda h: (h - low) * math.sqrt((h + low) / (2 * h * low))  # noqa: E731
    h = brentq(lambda h: speed(h) - 2 * (left - math.sqrt(h)), low, high)
    u, c = speed(h), math.sqrt(h)
    bore = h * u / (h - low)
    fan = (2 * left - x / t) ** 2 / 9
    return np.select(
        [x < -left * t, x < (u - c) * t, x < bore * t], [np.full_like(x, high), fan, np.full_like(x, h)], low
    )


@pytest.mark.parametrize("axis", [0, 1], ids=["x", "y"])
def test_the_break_of_a_plane_dam(axis):
    """First order in the mean at the bore, along either axis; the other momentum stays 0."""

    def error(size: int) -> float:
        spacing, t = 4 / size, 0.4
        x = (np.arange(size) + 0.5) * spacing - 2
        h = torch.from_numpy(np.where(x < 0, 1.5, 0.5))[:, None].expand(size, 3)
        state = torch.stack([h, torch.zeros(size, 3).double(), torch.zeros(size, 3).double()])
        state = state if axis == 0 else state.transpose(-1, -2)
        steps = math.ceil(t * 2 / (0.4 * spacing))
        for _ in range(steps):
            state = shallow_step(state, torch.zeros(1, dtype=torch.float64), 1.0, spacing, t / steps)
        assert float(state[2 - axis].abs().max()) < 1e-14
        depth = (state[0] if axis == 0 else state[0].T)[:, 1].numpy()
        # the box is periodic: its second dam at the ends is left out
        near = abs(x) < 1
        return float(abs(depth - stoker(x, t, 1.5, 0.5))[near].mean())

    assert error(128) < 0.015
    assert observed_orders(error, (64, 256))[0] > 0.75


def test_linear_waves_have_the_right_dispersion():
    """Standing wave of amplitude 1e-5 in depth 2, g = 3: frequency ``k sqrt(g H)``, error of second order."""

    def error(size: int) -> float:
        spacing, h0, g, k = 1 / size, 2.0, 3.0, 2 * math.pi
        x = (torch.arange(size, dtype=torch.float64) + 0.5) * spacing
        wave = torch.cos(k * x)[:, None].expand(size, 2)
        state = torch.stack([h0 + 1e-5 * wave, 0 * wave, 0 * wave])
        t = 0.3
        steps = math.ceil(t * math.sqrt(g * h0) / (0.4 * spacing))
        for _ in range(steps):
            state = shallow_step(state, torch.zeros(1, dtype=torch.float64), g, spacing, t / steps)
        exact = math.cos(k * math.sqrt(g * h0) * t) * wave
        return float(((state[0] - h0) / 1e-5 - exact).abs().mean())

    orders = observed_orders(error, (32, 64))
    assert error(64) < 0.02
    assert orders[0] > 1.6


def test_mass_is_conserved_over_a_rough_bottom():
    bottom = rough_bottom((10, 11), 3)
    h = 1.5 - bottom + 0.3 * rough_bottom((10, 11), 4)
    state = torch.stack([h, 0.2 * rough_bottom((10, 11), 5), -0.1 * rough_bottom((10, 11), 6)])
    total = state[0].sum()
    for _ in range(20):
        state = shallow_step(state, bottom, 1.0, 0.1, 0.01)
    assert float((state[0].sum() - total).abs() / total) < 1e-14


def test_the_radial_check_conserves_mass_and_starts_from_the_dam():
    r, h, q = radial_dam(0.5, 0.2, np.array([0.0, 0.3]), cells=200)
    ring = 2 * np.pi * r * (r[1] - r[0])
    assert ((h - h[0]) @ ring)[1] == pytest.approx(0, abs=1e-12)
    water = np.pi * 3.6**2 + np.pi * 0.25 - (ring * 0.2 * np.exp(-(r**2))).sum()
    assert (h[0] @ ring) == pytest.approx(water, rel=1e-12)
    assert abs(q[0]).max() == 0 and abs(q[1]).max() > 0.1


class WrongWidth(ShallowWater):
    """Half the width of a cell in the scheme."""

    def propagate(self, u, inputs):
        state, steps = self._momenta(u, self._speed), 4 * self._steps()
        for _ in range(steps):
            state = shallow_step(state, inputs["b"][:, None], self.gravity, self.spacing / 2, self.interval / steps)
        return self._momenta(state, 1 / self._speed)


class NoBottom(ShallowWater):
    """The slope of the bottom is forgotten."""

    def propagate(self, u, inputs):
        return super().propagate(u, {**inputs, "b": 0 * inputs["b"]})


@pytest.mark.parametrize("wrong", [WrongWidth, NoBottom], ids=["width", "bottom"])
def test_mutations_are_seen_by_the_radial_check(wrong):
    """Over a mound of 0.6; the bores cost the right scheme 6 % on this coarse grid."""
    settings = {"size": 24, "frames": 3, "duration": 0.8}
    right, other = ShallowWater(**settings), wrong(**settings)
    drawn = right.truth(1, 1)
    bottom = drawn["b"] * 0.6 / drawn["b"].max()
    inputs = {"b": bottom, "start": drawn["start"] + drawn["b"] - bottom}
    base = float(right.deviation(right.solve(inputs)))
    assert base < 3 * right.truth_error
    state = other.solve(inputs)
    assert float(certify(other, state, independent=False).relative.max()) < 1e-12
    assert float(other.deviation(state)) > 1.5 * base
    assert float(certify(right, state, independent=False).relative.max()) > 1e-2


def test_dry_ground_and_long_steps_are_refused():
    one = ShallowWater(size=16, frames=3, duration=0.2)
    inputs = {name: value for name, value in one.truth(0, 1).items() if name != "u"}
    inputs["start"] = inputs["start"].clone()
    inputs["start"][0, 3, 5] = -0.1
    with pytest.raises(CoefficientError, match=r"start is -0.1 at \(0, 3, 5\)"):
        one.solve(inputs)
    with pytest.raises(NumericalError, match="substeps"):
        ShallowWater(size=64, frames=3, duration=0.2, substeps=1).truth(0, 1)
    with pytest.raises(ConfigError, match="round"):
        one.reference({**inputs, "start": 1 + rough_bottom((16, 16))[None]})
    with pytest.raises(ConfigError, match="positive gravity"):
        ShallowWater(gravity=0.0)
