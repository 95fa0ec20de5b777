"""The discrete process: draws, conversions, the linear reverse step, per-site time, typed errors."""

from __future__ import annotations

import pytest
import torch

from scidiff.errors import ConfigError, NumericalError, ShapeError
from scidiff.process.base import Kind, ProductProcess
from scidiff.process.discrete import DiscreteProcess
from scidiff.process.kernels import Kernel, marginal, mask, tree, uniform
from scidiff.process.survival import Cosine
from scidiff.random import Noise, SharedNoise
from scidiff.spaces import Categorical
from scidiff.spaces.categorical import one_hot_log
from tests.core.test_kernels import EACH

ROUND = 1e-14


def make(kernel: Kernel) -> DiscreteProcess:
    """Process on sequences of free length."""
    return DiscreteProcess(Categorical(kernel.states, (None,)), kernel)


def batch(
    kernel: Kernel, seed: int = 0
) -> tuple[DiscreteProcess, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Process, clean and noisy states, per-site times, logits."""
    generator = torch.Generator().manual_seed(seed)
    process = make(kernel)
    x0 = torch.randint(0, kernel.clean, (8, 6), generator=generator)
    t = torch.rand(8, 6, generator=generator, dtype=torch.float64) * 0.98 + 0.01
    x_t = process.noise(x0, t, SharedNoise(generator, 8))
    return process, x0, x_t, t, torch.randn(8, 6, kernel.clean, generator=generator)


@EACH
def test_step_is_a_law_and_marginalises_the_posterior(kernel: Kernel) -> None:
    process, x0, x_t, t, logits = batch(kernel)
    s = 0.4 * t
    m = process.convert(logits, Kind.LOGITS, x_t, t)
    step = process.step_probs(m, x_t, t, s)
    assert bool((step >= 0).all())
    assert torch.allclose(step.sum(-1), torch.ones_like(t), rtol=0, atol=ROUND)
    by_hand = torch.zeros_like(step)
    for v in range(kernel.clean):
        x = torch.full_like(x0, v)
        reachable = kernel.entry(x, x_t, t) > 0
        safe = torch.where(reachable, x, x0)
        by_hand += torch.where(reachable, m[..., v].exp(), 0.0).unsqueeze(-1) * process.posterior(safe, x_t, t, s)
    assert torch.allclose(step, by_hand, rtol=0, atol=ROUND)


@EACH
def test_step_is_linear_in_the_posterior(kernel: Kernel) -> None:
    process, _, x_t, t, logits = batch(kernel)
    one = process.convert(logits, Kind.LOGITS, x_t, t)
    two = process.convert(logits.flip(-1), Kind.LOGITS, x_t, t)
    both = (0.3 * one.exp() + 0.7 * two.exp()).log()
    mixed = 0.3 * process.step_probs(one, x_t, t, 0.5 * t) + 0.7 * process.step_probs(two, x_t, t, 0.5 * t)
    assert torch.allclose(process.step_probs(both, x_t, t, 0.5 * t), mixed, rtol=0, atol=ROUND)


@EACH
def test_step_ends_at_the_posterior_and_rests_at_equal_times(kernel: Kernel) -> None:
    process, _, x_t, t, logits = batch(kernel)
    m = process.convert(logits, Kind.LOGITS, x_t, t)
    final = process.step_probs(m, x_t, t, 0.0)
    assert torch.allclose(final[..., : kernel.clean], m.exp(), rtol=0, atol=ROUND)
    assert float(final[..., kernel.clean :].abs().sum()) == 0.0
    still = torch.nn.functional.one_hot(x_t, kernel.states).double()
    assert torch.allclose(process.step_probs(m, x_t, t, t), still, rtol=0, atol=ROUND)


@EACH
def test_clean_sites_never_move(kernel: Kernel) -> None:
    process, x0, x_t, t, logits = batch(kernel)
    clean = torch.arange(6) % 2 == 0
    t, x_t = torch.where(clean, 0.0, t), torch.where(clean, x0, x_t)
    m = process.convert(logits, Kind.LOGITS, x_t, t)
    still = torch.nn.functional.one_hot(x_t, kernel.states).double()
    assert torch.equal(m[:, clean], one_hot_log(x0, kernel.clean)[:, clean])
    for law in (process.step_probs(m, x_t, t, 0.5 * t), process.renoise_probs(m, 0.5 * t)):
        assert torch.equal(law[:, clean], still[:, clean])
    assert float(process.reverse_rates(m, x_t, t)[:, clean].abs().sum()) == 0.0
    assert float(process.nelbo(m, x0, x_t, t)[:, clean].abs().sum()) == 0.0
    assert torch.equal(process.noise(x0, t, SharedNoise(torch.Generator().manual_seed(1), 8))[:, clean], x0[:, clean])


@EACH
def test_time_may_be_scalar_per_sample_or_per_site(kernel: Kernel) -> None:
    process, x0, _, _, logits = batch(kernel)
    noise = Noise.range(3, 8)
    forms = (0.6, torch.full((8,), 0.6, dtype=torch.float64), torch.full((8, 6), 0.6, dtype=torch.float64))
    states = [process.noise(x0, t, noise, step=2) for t in forms]
    assert torch.equal(states[0], states[1]) and torch.equal(states[0], states[2])
    x_t = states[0]
    m = [process.convert(logits, Kind.LOGITS, x_t, t) for t in forms]
    assert torch.equal(m[0], m[1]) and torch.equal(m[0], m[2])
    steps = [process.step_probs(m[0], x_t, t, 0.5 * t) for t in forms]
    assert torch.equal(steps[0], steps[1]) and torch.equal(steps[0], steps[2])
    bounds = [process.nelbo(m[0], x0, x_t, t) for t in forms]
    assert torch.equal(bounds[0], bounds[1]) and torch.equal(bounds[0], bounds[2])


@pytest.mark.parametrize("kernel", [uniform(4), marginal([0.2, 0.5, 0.3], Cosine())], ids=["uniform", "marginal"])
def test_leave_one_out_round_trip(kernel: Kernel) -> None:
    """Logarithms of numbers near 1e-2 are added and subtracted: round-off 1e-15, tolerance 1e-12."""
    process, _, x_t, t, logits = batch(kernel)
    m = process.convert(logits, Kind.LOGITS, x_t, t)
    loo = process.leave_one_out(m, x_t, t)
    assert torch.allclose(process.convert(loo, Kind.LOO_LOGITS, x_t, t), m, rtol=0, atol=1e-12)
    assert float((loo - m).abs().max()) > 0.1
    by_hand = torch.log_softmax(m - kernel.column(x_t, t).log(), -1)
    assert torch.allclose(loo, by_hand, rtol=0, atol=1e-12)


def test_uniform_conversion_subtracts_the_published_constant() -> None:
    """arXiv:2605.22765: subtract ``log(1 + K a / (1 - a))`` from the observed class."""
    process, _, x_t, t, logits = batch(uniform(4))
    m = process.convert(logits, Kind.LOGITS, x_t, t)
    shift = torch.zeros_like(m).scatter_(-1, x_t.unsqueeze(-1), torch.log1p(4 * (1 - t) / t).unsqueeze(-1))
    assert torch.allclose(process.leave_one_out(m, x_t, t), torch.log_softmax(m - shift, -1), rtol=0, atol=1e-12)


def test_carry_over_restricts_to_what_can_be() -> None:
    process = make(tree([0, 1, 1, 0]))
    x_t = torch.tensor([[2, 4, 5, 6]])
    m = process.convert(torch.zeros(1, 4, 4), Kind.LOGITS, x_t, 0.5).exp()
    expected = torch.tensor([[0, 0, 1, 0], [0.5, 0, 0, 0.5], [0, 0.5, 0.5, 0], [0.25] * 4], dtype=torch.float64)
    assert torch.allclose(m[0], expected, rtol=0, atol=1e-15)


def test_renoise_composes_with_noise() -> None:
    """Noise to s, then from s to t, against noise to t, in law: both by midpoint grids of uniforms through `row`."""
    for kernel in (mask(3), tree([0, 1, 1]), uniform(3)):
        s, t = torch.tensor(0.3, dtype=torch.float64), torch.tensor(0.8, dtype=torch.float64)
        x = torch.arange(kernel.clean)
        through = (kernel.row(x, s).unsqueeze(-1) * kernel.matrix(t, s)).sum(-2)
        assert torch.allclose(through, kernel.row(x, t), rtol=0, atol=2e-15)
        process = make(kernel)
        x_s = process.noise(torch.zeros(4000, 1, dtype=torch.int64), s, Noise.range(0, 4000))
        x_t = process.renoise(x_s, s, t, Noise.range(0, 4000))
        share = torch.bincount(x_t.flatten(), minlength=kernel.states).double() / 4000
        law = kernel.row(torch.tensor(0), t)
        assert bool(((share - law).abs() <= 5 * (law * (1 - law) / 4000).sqrt()).all())


def test_prior_is_the_prior() -> None:
    """Five standard deviations of a frequency of 4000 draws."""
    process = make(marginal([0.2, 0.5, 0.3]))
    x = process.prior(Noise.range(0, 1000), (4,))
    share = torch.bincount(x.flatten(), minlength=3).double() / 4000
    law = process.kernel.prior()
    assert bool(((share - law).abs() < 5 * (law * (1 - law) / 4000).sqrt()).all())
    assert bool((make(mask(3)).prior(Noise.range(0, 2), (5,)) == 3).all())


def test_longer_events_begin_with_the_draws_of_shorter_ones() -> None:
    process = make(uniform(5))
    long, short = (process.prior(Noise.range(7, 3), (length,)) for length in (9, 4))
    assert torch.equal(long[:, :4], short)


def test_loss_is_the_cross_entropy_and_carries_gradients() -> None:
    process, x0, x_t, t, logits = batch(tree([0, 1, 1, 0]))
    logits.requires_grad_()
    m = process.convert(logits, Kind.LOGITS, x_t, t)
    loss = process.loss(m, x0, x_t, t)
    assert m.dtype == torch.float64 and loss.shape == x0.shape
    loss.sum().backward()
    expected = m.detach().exp() - torch.nn.functional.one_hot(x0, 4)
    assert torch.allclose(logits.grad.double(), expected, rtol=0, atol=1e-6)
    assert float(loss[x_t < 4].detach().abs().max()) == 0.0


def test_tau_leap_rates_are_the_limit_of_the_step() -> None:
    """``step / (t - s)`` tends to the rates with error O(t - s); 1e-7 leaves 1e-5 of a rate of order 1e2 at most."""
    for kernel in (mask(3), uniform(3), tree([0, 1, 1]), marginal([0.5, 0.2, 0.3])):
        process, _, x_t, _, _ = batch(kernel)
        generator = torch.Generator().manual_seed(2)
        t = torch.full((8, 6), 0.6, dtype=torch.float64)
        m = process.convert(torch.randn(8, 6, kernel.clean, generator=generator), Kind.LOGITS, x_t, t)
        step = process.step_probs(m, x_t, t, t - 1e-7).scatter(-1, x_t.unsqueeze(-1), 0.0) / 1e-7
        assert torch.allclose(step, process.reverse_rates(m, x_t, t), rtol=1e-5, atol=1e-8)


def test_typed_errors() -> None:
    process, x0, x_t, t, logits = batch(mask(3))
    with pytest.raises(ConfigError, match=r"Kind\.EPS"):
        process.convert(logits, Kind.EPS, x_t, t)
    with pytest.raises(ShapeError, match="one logit per clean class"):
        process.convert(logits[..., :2], Kind.LOGITS, x_t, t)
    with pytest.raises(NumericalError, match="cannot be reached"):
        process.convert(logits, Kind.LOGITS, torch.full_like(x_t, 3), 0.0)
    with pytest.raises(NumericalError, match="not determined"):
        process.leave_one_out(process.convert(logits, Kind.LOGITS, x_t, t), x_t, t)
    with pytest.raises(NumericalError, match="through convert"):
        process.step_probs(torch.log_softmax(logits.double(), -1), x0, 0.5, 0.2)
    with pytest.raises(NumericalError, match="cannot have led"):
        process.posterior((x0 + 1) % 3, x0, 0.5, 0.2)
    with pytest.raises(ConfigError, match="must agree"):
        DiscreteProcess(Categorical(3, (None,)), mask(3))


def test_factors_of_a_product() -> None:
    product = ProductProcess({"atoms": make(tree([0, 1, 1])), "bonds": make(uniform(3))})
    noise = Noise.range(0, 5)
    x = product.prior(noise, {"atoms": (4,), "bonds": (6,)})
    assert bool((x["atoms"] == 5).all()) and x["bonds"].shape == (5, 6)
    logits = {"atoms": torch.zeros(5, 4, 3), "bonds": torch.zeros(5, 6, 3)}
    m = product.convert(logits, Kind.LOGITS, x, {"atoms": 0.9, "bonds": 0.5})
    assert m["bonds"].shape == (5, 6, 3)


@pytest.mark.gpu
@EACH
def test_a_gpu_gives_what_the_cpu_gives(kernel: Kernel) -> None:
    """Same formulas in float64; sums of at most D terms in another order."""
    process, x0, x_t, t, logits = batch(kernel)
    there = [part.cuda() for part in (x0, x_t, t, logits)]
    m, m_there = (process.convert(part[3], Kind.LOGITS, part[1], part[2]) for part in ((x0, x_t, t, logits), there))
    assert torch.allclose(m_there.exp().cpu(), m.exp(), rtol=0, atol=1e-13)
    step = process.step_probs(m_there, there[1], there[2], 0.5 * there[2]).cpu()
    assert torch.allclose(step, process.step_probs(m, x_t, t, 0.5 * t), rtol=0, atol=1e-13)
    bound = process.nelbo(m_there, there[0], there[1], there[2]).cpu()
    assert torch.allclose(bound, process.nelbo(m, x0, x_t, t), rtol=1e-9, atol=1e-9)
    noise = Noise.range(0, 8)
    assert torch.equal(process.noise(there[0], there[2], noise).cpu(), process.noise(x0, t, noise))
