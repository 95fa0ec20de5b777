"""Site kernels: semigroup law, positivity, limits, rates, and rejection of what is not a kernel.

Tolerances: a kernel entry is a sum of at most four products of numbers in [0, 1], so its round-off is a few 1e-16.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scidiff.errors import ConfigError
from scidiff.process.kernels import Kernel, LevelKernel, marginal, tree, uniform
from scidiff.process.matrix_kernel import MatrixKernel
from scidiff.process.survival import Cosine, Linear, Power, Survival
from scidiff.testing_targets.kernels import KERNELS, banded, chapman_kolmogorov_defect

ROUND = 2e-15


EACH = pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS.keys())


def at(value: float) -> torch.Tensor:
    """Time as a float64 scalar."""
    return torch.tensor(value, dtype=torch.float64)


@EACH
@pytest.mark.parametrize("times", [(0.1, 0.35, 0.8), (0.0, 0.5, 1.0), (1e-6, 0.6, 0.999999)])
def test_chapman_kolmogorov(kernel: Kernel, times: tuple[float, float, float]) -> None:
    assert chapman_kolmogorov_defect(kernel, *times) < ROUND


@EACH
def test_rows_are_laws_and_ends_are_identity_and_prior(kernel: Kernel) -> None:
    t = torch.linspace(0, 1, 11, dtype=torch.float64)
    matrices = kernel.matrix(t)
    assert bool((matrices >= 0).all())
    assert torch.allclose(matrices.sum(-1), torch.ones(11, kernel.states, dtype=torch.float64), rtol=0, atol=ROUND)
    assert torch.equal(matrices[0], torch.eye(kernel.states, dtype=torch.float64))
    assert torch.allclose(matrices[-1], kernel.prior().expand(kernel.states, -1), rtol=0, atol=ROUND)
    assert torch.equal(kernel.matrix(t, t), torch.eye(kernel.states, dtype=torch.float64).expand(11, -1, -1))


@EACH
def test_row_column_entry_and_mix_are_parts_of_the_matrix(kernel: Kernel) -> None:
    torch.manual_seed(0)
    x = torch.randint(0, kernel.states, (6, 4))
    s, t = torch.rand(6, 4, dtype=torch.float64).sort(0).values[[0, -1]]
    s, t = s.expand(6, 4), t.expand(6, 4)
    whole = kernel.matrix(t, s)
    rows = whole.gather(-2, x[..., None, None].expand(6, 4, 1, kernel.states)).squeeze(-2)
    columns = whole.gather(-1, x[..., None, None].expand(6, 4, kernel.states, 1)).squeeze(-1)
    assert torch.allclose(kernel.row(x, t, s), rows, rtol=0, atol=ROUND)
    assert torch.allclose(kernel.column(x, t, s), columns, rtol=0, atol=ROUND)
    clean = x % kernel.clean
    assert torch.allclose(
        kernel.entry(clean, x, t), kernel.row(clean, t).gather(-1, x.unsqueeze(-1))[..., 0], rtol=0, atol=ROUND
    )
    w = torch.rand(6, 4, kernel.clean, dtype=torch.float64)
    mixed = torch.einsum("...v,...vy->...y", w, kernel.matrix(s)[..., : kernel.clean, :])
    assert torch.allclose(kernel.mix(w, s), mixed, rtol=0, atol=ROUND * kernel.clean)


@EACH
def test_rate_is_the_derivative(kernel: Kernel) -> None:
    """``(Q_{t+h|t-h} - I) / 2h = R + h R^2 + O(h^2 R^3) + O(1e-16 / h)``; at h = 1e-6, |R| < 10 the rest is < 1e-8."""
    t, h = at(0.4), 1e-6
    change = (kernel.matrix(t + h, t - h) - torch.eye(kernel.states, dtype=torch.float64)) / (2 * h)
    rate = kernel.rate(t)
    second = rate @ rate * h
    assert torch.allclose(change - second, rate, rtol=0, atol=1e-8)
    assert torch.allclose(rate.sum(-1), torch.zeros(kernel.states, dtype=torch.float64), rtol=0, atol=1e-14)
    x = torch.arange(kernel.states)
    assert torch.allclose(kernel.rate_column(x, t), rate.mT, rtol=0, atol=1e-14)


@EACH
def test_draw_follows_the_row(kernel: Kernel) -> None:
    """A midpoint grid of N uniforms gives frequencies within a few 1/N of the law, one for each interval of a class."""
    count, s, t = 20_000, at(0.15), at(0.7)
    u = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    for state in range(kernel.states):
        x = torch.full((count,), state)
        drawn = torch.bincount(kernel.draw(x, u, t, s), minlength=kernel.states).double() / count
        law = kernel.row(torch.tensor(state), t, s)
        assert float((drawn - law).abs().max()) <= 4 * kernel.states / count
        assert float(drawn[law == 0].sum()) == 0.0


def test_tree_marginals() -> None:
    """Clean with probability a, in the group b - a, masked 1 - b; 1 - b is accurate down to tiny times."""
    kernel = tree([0, 1, 1])
    for t in (1e-7, 0.3, 0.9, 1 - 1e-7):
        row = kernel.row(torch.tensor(2), at(t))
        expected = torch.tensor([0, 0, 1 - t, 0, t - t * t, t * t], dtype=torch.float64)
        assert torch.allclose(row, expected, rtol=1e-9, atol=0)


def test_survival_ratio_that_increases_is_rejected() -> None:
    """``a_1 <= a_2`` is not enough: the ratio ``a_1 / a_2`` must never increase."""

    class Late(Survival):
        """Decreasing curve above ``1 - t``; ``(1 - t) / a`` falls until t = 1/2 and rises after."""

        def value(self, t: torch.Tensor) -> torch.Tensor:
            return (1 - t) * (1 + 0.2 * torch.sin(torch.pi * t) ** 2)

        def complement(self, t: torch.Tensor) -> torch.Tensor:
            return 1 - self.value(t)

        def slope(self, t: torch.Tensor) -> torch.Tensor:
            return torch.zeros_like(t)

        def inverse(self, complement: torch.Tensor) -> torch.Tensor:
            return complement

    t = torch.linspace(0, 1, 101, dtype=torch.float64)
    assert bool((Linear().value(t) <= Late().value(t)).all())
    with pytest.raises(ConfigError, match="negative"):
        tree([0, 1, 1], survivals=(Linear(), Late()))
    with pytest.raises(ConfigError, match="negative"):
        tree([0, 1, 1], survivals=(Power(2), Linear()))


def test_bad_kernels_are_rejected() -> None:
    with pytest.raises(ConfigError, match="summing to 1"):
        marginal([0.5, 0.6])
    with pytest.raises(ConfigError, match="every group"):
        tree([0, 2, 2])
    with pytest.raises(ConfigError, match="prior depends"):
        LevelKernel(torch.eye(3).unsqueeze(0), (Linear(),), 3)
    with pytest.raises(ConfigError, match="stochastic"):
        LevelKernel(torch.ones(1, 3, 3), (Linear(),), 3)
    with pytest.raises(ConfigError, match="fine to coarse"):
        LevelKernel(tree([0, 1]).projections.flip(0), (Linear(), Power(2)), 2)
    with pytest.raises(ConfigError, match="reducible"):
        MatrixKernel(torch.tensor([[-1.0, 1.0], [0.0, 0.0]]))
    with pytest.raises(ConfigError, match="rate matrix"):
        MatrixKernel(torch.ones(2, 2))


@pytest.mark.parametrize("shape", [(), (2,), (2, 3), (0, 0), (1, 2, 2)], ids=str)
def test_a_generator_that_is_no_square_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="square"):
        MatrixKernel(torch.zeros(shape))


def test_the_stationary_law_is_accurate_entry_by_entry() -> None:
    """Rates ``exp((log p_j - log p_i) / 2)`` of a chain of 80 states are reversible for `p`, which falls to 2e-23.

    Elimination adds and multiplies positive numbers: 80 states err by some 80 units of 2e-16.
    """
    log_p = -(torch.linspace(-10, 10, 80, dtype=torch.float64) ** 2) / 2
    up = torch.exp((log_p[1:] - log_p[:-1]) / 2)
    rates = torch.diag(up, 1) + torch.diag(1 / up, -1)
    kernel, law = MatrixKernel(rates - torch.diag(rates.sum(1))), torch.softmax(log_p, 0)
    assert torch.allclose(kernel.prior(), law, rtol=1e-12, atol=0)


def test_the_stationary_law_of_dense_rates_is_that_of_least_squares() -> None:
    rates = torch.from_numpy(np.random.default_rng(0).uniform(0.5, 2.0, (7, 7)))
    generator = rates - torch.diag(rates.sum(1))
    system = torch.cat([generator.mT, torch.ones(1, 7, dtype=torch.float64)])
    wanted = torch.linalg.lstsq(system, torch.eye(8, dtype=torch.float64)[:, 7:], driver="gelsd").solution[:, 0]
    assert torch.allclose(MatrixKernel(generator).prior(), wanted, rtol=0, atol=1e-14)


def test_matrix_kernel_of_uniform_rates_is_the_uniform_kernel() -> None:
    size = 5
    kernel = MatrixKernel(torch.full((size, size), 1 / size, dtype=torch.float64) - torch.eye(size), Cosine())
    t, s = torch.tensor([0.0, 0.2, 0.7, 1.0], dtype=torch.float64), at(0.0)
    assert torch.allclose(kernel.matrix(t, s), uniform(size, Cosine()).matrix(t, s), rtol=0, atol=ROUND)
    assert torch.allclose(kernel.matrix(t), torch.stack([kernel.matrix(v) for v in t]), rtol=0, atol=0)


def test_matrix_kernel_is_accurate_entry_by_entry() -> None:
    """Far from the diagonal ``Q[0, k] = depth^k / k! (1 + O(depth))`` for nearest neighbours, however small."""
    kernel, t = MatrixKernel(banded(6)), at(1e-4)
    for k in range(1, 6):
        expected = 1e-4**k / torch.arange(1, k + 1).prod().item()
        assert abs(float(kernel.matrix(t)[0, k]) / expected - 1) < 2e-3


@pytest.mark.parametrize("survival", [Linear(), Power(2), Power(0.5), Cosine()], ids=repr)
def test_survivals(survival: Survival) -> None:
    """Complement, slope (central difference, error below 1e-8 at h = 1e-5) and inverse agree with the value."""
    t = torch.linspace(0.05, 0.95, 19, dtype=torch.float64)
    h = 1e-5
    assert torch.allclose(survival.value(t) + survival.complement(t), torch.ones_like(t), rtol=0, atol=ROUND)
    difference = (survival.value(t + h) - survival.value(t - h)) / (2 * h)
    assert torch.allclose(survival.slope(t), difference, rtol=1e-7, atol=1e-8)
    assert torch.allclose(survival.inverse(survival.complement(t)), t, rtol=0, atol=1e-14)
    ends = survival.value(torch.tensor([0.0, 1.0], dtype=torch.float64))
    assert ends.tolist() == [1.0, 0.0]


def test_survival_exponent_is_checked() -> None:
    with pytest.raises(ConfigError, match="exponent"):
        Power(0.0)
