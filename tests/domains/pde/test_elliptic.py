"""Poisson, Helmholtz and Darcy: two solvers, orders, and what the refinement test refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scidiff.domains.pde.errors import CoefficientError
from scidiff.domains.pde.manufactured import darcy_error, darcy_state
from scidiff.domains.pde.problems.darcy import Darcy, DarcyLogNormal
from scidiff.domains.pde.problems.poisson import Helmholtz, Poisson
from scidiff.domains.pde.refinement import check_refinement, observed_orders
from scipy import sparse
from scipy.sparse.linalg import spsolve

from scidiff.errors import ConfigError, NumericalError


@pytest.mark.parametrize("one", [Poisson(20), Helmholtz(20, wave=3.0)], ids=["poisson", "helmholtz"])
def test_sine_transforms_against_a_sparse_factor(one):
    n = one.size - 2
    line = sparse.diags_array([np.ones(n - 1), np.full(n, -2.0), np.ones(n - 1)], offsets=[-1, 0, 1]) * (n + 1) ** 2
    matrix = sparse.kronsum(line, line) + one.wave**2 * sparse.eye_array(n * n)
    f = np.random.default_rng(0).normal(size=(one.size, one.size))
    expected = spsolve(matrix.tocsc(), f[1:-1, 1:-1].ravel()).reshape(n, n)
    np.testing.assert_allclose(one.solve_array(f)[1:-1, 1:-1], expected, atol=1e-13)


def test_a_resonance_is_refused():
    one = Helmholtz(24)
    first = np.sqrt(8 / one.spacing**2) * np.sin(np.pi * one.spacing / 2)
    with pytest.raises(NumericalError, match="resonance"):
        Helmholtz(24, wave=float(first)).truth(0, 1)
    with pytest.raises(ConfigError):
        Poisson(3)


def poisson_residual(size: int, kind: type[Poisson] = Poisson) -> float:
    """Residual of ``u = sin(pi x) sin(2 pi y)``, ``f = -5 pi^2 u``, over the largest f."""
    x, y = np.indices((size, size)) / (size - 1)
    u = torch.from_numpy(np.sin(np.pi * x) * np.sin(2 * np.pi * y))[None]
    one = kind(size)
    state = {"u": u, "f": -5 * np.pi**2 * u}
    return float(one.residual(state).abs().max() / one.scale(state))


class NoWidth(Poisson):
    """The mesh width is forgotten."""

    def residual(self, state):
        return (super().residual(state) + state["f"][..., 1:-1, 1:-1]) * self.cell - state["f"][..., 1:-1, 1:-1]


class WrongSign(Poisson):
    """``-lap u = f``."""

    def residual(self, state):
        return -super().residual(state) - 2 * state["f"][..., 1:-1, 1:-1]


def test_the_stencil_is_consistent():
    assert check_refinement(poisson_residual, (17, 33, 65), 2.0)[-1] == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize("kind", [NoWidth, WrongSign], ids=["no-width", "wrong-sign"])
def test_a_wrong_stencil_fails_the_refinement_test(kind):
    with pytest.raises(NumericalError, match="missing mesh width"):
        check_refinement(lambda size: poisson_residual(size, kind), (17, 33, 65), 2.0)


def darcy_residual(size: int, factor: float = 1.0) -> float:
    """Residual of the exact smooth solution in cells away from the boundary, where it is of order 2."""
    state = darcy_state(size)
    state["f"] = factor * state["f"]
    return float(Darcy(size).residual(state)[..., 1:-1, 1:-1].abs().max())


def test_darcy_converges_with_second_order():
    orders = observed_orders(darcy_error, (16, 32, 64))
    assert orders[-1] == pytest.approx(2, abs=0.05)
    check_refinement(darcy_residual, (16, 32, 64), 2.0)
    with pytest.raises(NumericalError):
        check_refinement(lambda size: darcy_residual(size, 1 / size**2), (16, 32, 64), 2.0)


def test_darcy_is_exact_across_layers():
    """Between plates, layers of any conductivity have a piecewise quadratic head; here f = 0 and heads differ.

    Without sources and with heads 0 and 1 the flux through layers in series is constant, h / sum(1 / a) in total; the
    scheme has it to round-off. The boundary head enters as a source in the first column.
    """
    n = 12
    layers = np.random.default_rng(0).uniform(0.1, 10, n)
    a = torch.from_numpy(np.repeat(layers[:, None], n, 1))[None]
    flux = 1 / (np.sum(1 / layers) / n)
    inside = np.cumsum(1 / layers) / n - 0.5 / layers / n
    u = torch.from_numpy(np.repeat((1 - flux * inside)[:, None], n, 1))[None]
    one = Darcy(n)
    f = torch.zeros(1, n, n, dtype=torch.float64)
    f[:, 0] = 2 * layers[0] * n**2
    rest = one.residual({"a": a, "u": u, "f": f})[..., 1:-1]
    assert float(rest.abs().max()) < 1e-12 * float(f.max())


def test_the_matrix_is_the_residual():
    one = DarcyLogNormal(7)
    inputs = one.truth(0, 1)
    u = torch.randn(1, 7, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    applied = one.matrix(inputs["a"][0]) @ u.numpy().ravel()
    zero = torch.zeros_like(u)
    np.testing.assert_allclose(one.residual({"a": inputs["a"], "u": u, "f": zero}).numpy().ravel(), applied, atol=1e-10)


def test_the_coefficient_has_to_be_positive():
    one = Darcy(8)
    inputs = one.truth(0, 2)
    inputs["a"][1, 2, 3] = -1.6
    with pytest.raises(CoefficientError, match=r"-1.6 at \(1, 2, 3\)") as caught:
        one.solve(inputs)
    assert caught.value.where.tolist() == [[1, 2, 3]]
