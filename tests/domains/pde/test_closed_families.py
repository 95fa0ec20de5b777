"""Degenerate diffusion against closed forms: Barenblatt, fronts, orders, mass, positivity, and mutations."""

from __future__ import annotations

import math

import pytest
import torch
from scidiff.domains.pde import certify
from scidiff.domains.pde.problems.closed_families import ClosedFamily, PorousMedium, Stefan, StokesSecond, front_number
from scidiff.domains.pde.refinement import observed_orders
from scidiff.domains.pde.solvers.diffusion_line import DiffusionLine

from scidiff.errors import ConfigError
from scidiff.random import Noise

FAMILIES = [PorousMedium, Stefan, StokesSecond]
IDS = [family.name for family in FAMILIES]


def barenblatt(x: torch.Tensor, t: float, m: float = 1.0) -> torch.Tensor:
    """Source solution of ``u_t = (u^2 / 2)_xx`` (m = 1): ``t^(-1/3) (c - x^2 / (6 t^(2/3)))_+``."""
    return t ** (-1 / 3) * (0.06 - x**2 / (6 * t ** (2 / 3))).clamp_min(0)


def spread(size: int, *, width: float | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """A heap between closed ends from t = 0.05 to 0.2: computed and exact."""
    x = (torch.arange(size, dtype=torch.float64) + 0.5) / size * 2 - 1
    line = DiffusionLine(lambda u: u**2 / 2, lambda u: u, None, None, width or 2 / size)
    times = torch.linspace(0.05, 0.2, size // 2 + 1, dtype=torch.float64)
    u = barenblatt(x, 0.05)[None]
    start = u.sum()
    for k in range(len(times) - 1):
        u = line.step(u, times[k : k + 2])
        assert float(u.min()) >= 0
    assert float((u.sum() - start).abs() / start) < 1e-13
    return u[0], barenblatt(x, 0.2)


def test_the_heap_of_barenblatt():
    """First order in space and time together; mass and sign are kept at every step (inside `spread`)."""

    def error(size: int) -> float:
        u, exact = spread(size)
        return float((u - exact).abs().mean() / exact.mean())

    assert error(80) < 0.02
    assert observed_orders(error, (40, 80))[0] > 0.8


def test_a_wrong_width_is_seen_by_the_heap():
    """A missing factor of h moves the front: cells counted 10 % too wide spread by 5 % too little."""
    u, exact = spread(80, width=1.1 * 2 / 80)
    assert float((u - exact).abs().mean() / exact.mean()) > 0.03


@pytest.mark.parametrize(("family", "order"), list(zip(FAMILIES, [0.4, 0.4, 1.9], strict=True)), ids=IDS)
def test_refinement(family, order):
    """In L2 a front that falls like ``y^(1/m)`` costs half an order and a jump too; smooth waves have two."""

    def error(size: int) -> float:
        one = family(size=size, frames=size + 1)
        return float(one.deviation(one.truth(1, 2)).max())

    assert observed_orders(error, (20, 60))[0] > order


@pytest.mark.parametrize("family", FAMILIES, ids=IDS)
def test_the_closed_form_satisfies_the_equation(family):
    """``d_t u`` against ``d_xx Phi(u)`` of cell averages, differences of second order, away from fronts and ends."""
    one, dt = family(size=400), 1e-4
    inputs = one.draw(Noise.range(2, 3))
    t = one.start + 0.6 * (one.duration - one.start)
    before, now, after = one.averages(inputs, torch.tensor([t - dt, t, t + dt], dtype=torch.float64)).unbind(1)
    rate = (after - before) / (2 * dt)
    phi = one.scheme(inputs).potential(now)
    bend = torch.diff(torch.diff(phi)) * one.size**2
    inside = torch.ones_like(bend, dtype=torch.bool) if family is StokesSecond else now[:, 1:-1] > 0.6
    inside = inside & (inside.roll(8, 1)) & (inside.roll(-8, 1))
    scale = (bend.abs() * inside).amax(1, keepdim=True)
    assert float((((bend - rate[:, 1:-1]).abs() / scale) * inside).max()) < 0.02
    assert int(inside.sum(1).min()) > 50


def test_the_number_of_the_front():
    latent = torch.tensor([0.55, 0.6, 0.7], dtype=torch.float64)
    alpha = front_number(latent)
    left = alpha * torch.exp(alpha**2) * torch.erf(alpha)
    torch.testing.assert_close(left, (1 - latent) / (latent * math.pi**0.5), rtol=1e-14, atol=0)


def test_the_front_of_the_porous_medium_moves_at_speed_one():
    one = PorousMedium(size=80, frames=81)
    state = one.truth(0, 4)
    wet = (state["u"][:, 40] > 1e-2).sum(1) / 80
    assert float((wet - 0.5).abs().max()) < 0.05


class WrongSign(Stefan):
    """The boundary takes heat out instead of putting it in."""

    def scheme(self, inputs):
        right = super().scheme(inputs)
        return DiffusionLine(right.potential, right.slope, lambda t: -right.left(t), None, right.width)


class MissingWidth(StokesSecond):
    """The flux lacks the width of a cell."""

    def scheme(self, inputs):
        right = super().scheme(inputs)
        return DiffusionLine(right.potential, right.slope, right.left, right.right, right.width**0.5, right.theta)


@pytest.mark.parametrize(("wrong", "right"), [(WrongSign, Stefan), (MissingWidth, StokesSecond)], ids=["sign", "width"])
def test_mutations_are_seen(wrong, right):
    """Their own residual is 0; the closed form and the residual of the right operator are not."""
    one: ClosedFamily = wrong(size=25, frames=26)
    state = one.truth(0, 2)
    assert float(certify(one, state, independent=False).relative.max()) < 1e-10
    assert float(one.deviation(state).min()) > 5 * one.truth_error
    assert float(certify(right(size=25, frames=26), state, independent=False).relative.max()) > 1e-2


def test_too_small_grids_are_refused():
    with pytest.raises(ConfigError, match="at least 4 cells"):
        PorousMedium(size=2)
