"""Typed boundary conditions, balance of fluxes, and lifting."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pytest
import torch
from scidiff.domains.pde.boundaries import Dirichlet, Neumann, Rectangle, transfinite
from scidiff.domains.pde.errors import ConstraintError, FluxError
from scidiff.domains.pde.problems.darcy import Darcy, DarcyWells

from scidiff.errors import ConfigError
from scidiff.random import Noise


@dataclass(frozen=True)
class Layers(Darcy):
    """Heads 1 on the left, outflow 2 on the right, closed above and below."""

    @cached_property
    def domain(self) -> Rectangle:
        return Rectangle((self.size, self.size), Dirichlet(1.0), Neumann(2.0), Neumann(), Neumann())


def test_flow_through_layers_is_exact():
    """The flux is 2 everywhere, and the head falls by 2 h / a in each layer: the harmonic mean has it to round-off."""
    n, layers = 12, np.random.default_rng(0).uniform(0.1, 10, 12)
    a = torch.from_numpy(np.repeat(layers[:, None], n, 1))[None]
    found = Layers(n).solve({"a": a, "f": torch.zeros_like(a)})
    exact = 1 - 2 * (np.cumsum(1 / layers) - 0.5 / layers) / n
    np.testing.assert_allclose(found["u"][0].numpy(), np.repeat(exact[:, None], n, 1), atol=1e-12)
    x, y = Layers(n).domain.fluxes(a, found["u"])
    np.testing.assert_allclose(x.numpy(), 2.0, atol=1e-11)
    np.testing.assert_allclose(y.numpy(), 0.0, atol=1e-11)
    assert float(Layers(n).domain.outflow(a, found["u"])) == pytest.approx(0, abs=1e-11)


def test_the_matrix_and_the_residual_are_one_operator():
    for one in (Darcy(7), Layers(7), DarcyWells(8)):
        rng = np.random.default_rng(0)
        a, u = (
            torch.from_numpy(draw) for draw in (rng.uniform(0.5, 2, (1, *one.shape)), rng.normal(size=(1, *one.shape)))
        )
        applied = (one.domain.divergence(a, u) - one.domain.divergence(a, torch.zeros_like(u))).numpy().ravel()
        np.testing.assert_allclose(one.matrix(a[0]) @ u.numpy().ravel(), applied, atol=1e-10)


def test_values_along_a_side():
    """``u = x y`` solves the equation for a = 1; its boundary values vary along two sides."""
    n = 16
    x, y = ((np.indices((n, n)) + 0.5) / n).reshape(2, n, n)
    middle = (np.arange(n) + 0.5) / n
    rect = Rectangle((n, n), Dirichlet(), Dirichlet(middle), Neumann(middle), Dirichlet(middle))
    u = torch.from_numpy(x * y)[None]
    assert float(rect.divergence(torch.ones_like(u), u).abs().max()) < 1e-10


def test_a_closed_region_needs_balanced_sources():
    one = DarcyWells(16)
    inputs = one.draw(Noise.range(0, 2))
    inputs["f"][1, 3, 3] += 1
    with pytest.raises(FluxError, match="sample 1") as caught:
        one.solve(inputs)
    assert caught.value.where == 1
    with pytest.raises(ConfigError, match="multiple of 8"):
        DarcyWells(20)


def test_transfinite_interpolation():
    rng = np.random.default_rng(0)
    left, right, bottom, top = rng.normal(size=(4, 9))
    bottom[0], bottom[-1], top[0], top[-1] = left[0], right[0], left[-1], right[-1]
    field = transfinite(left, right, bottom, top)
    for side, given in ((field[0], left), (field[-1], right), (field[:, 0], bottom), (field[:, -1], top)):
        np.testing.assert_array_equal(side, given)
    x, y = np.meshgrid(np.linspace(0, 1, 5), np.linspace(0, 1, 7), indexing="ij")
    bilinear = 1 + 2 * x - y + 3 * x * y
    again = transfinite(bilinear[0], bilinear[-1], bilinear[:, 0], bilinear[:, -1])
    np.testing.assert_allclose(again, bilinear, atol=1e-14)
    top[0] += 0.1
    with pytest.raises(ConstraintError, match="left top"):
        transfinite(left, right, bottom, top)
