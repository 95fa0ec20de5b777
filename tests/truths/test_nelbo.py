"""The discrete and continuous bounds on ``-log p(x_0)``, against closed forms, by enumeration of one site.

A batch row is a time, its sites are all ``D`` states that the noisy site can take, weighted with ``Q_t[x_0, x_t]``: the
expectation over ``x_t`` is exact, the one over ``t`` is a quadrature or the sum over the intervals of a grid.
"""

from __future__ import annotations

import pytest
import torch

from scidiff.process.base import Kind
from scidiff.process.discrete import DiscreteProcess
from scidiff.process.kernels import Kernel, LevelKernel, mask, tree, uniform
from scidiff.process.survival import Cosine, Linear, Power
from scidiff.testing_targets.likelihood import EVERY, HIERARCHIES, X0, P, constant, continuous, discrete, sites


def moving(process: DiscreteProcess, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """Predict something that depends smoothly on time and state."""
    wave = torch.cos(torch.arange(4.0).double() * (1 + x.unsqueeze(-1)) + 2.0 * t.unsqueeze(-1))
    return process.convert(P.log() + wave, Kind.LOO_LOGITS, x, t)


@pytest.mark.parametrize("kernel", HIERARCHIES.values(), ids=HIERARCHIES.keys())
def test_constant_posterior_gives_the_likelihood(kernel: LevelKernel) -> None:
    """Masks and trees: the bound of a predictor without time and state is ``-log p(x_0)``, for any schedule."""
    truth = -float(P[X0].log())
    assert abs(continuous(kernel, constant(Kind.LOGITS)) - truth) < 1e-12
    for steps in (1, 2, 7, 50):
        assert abs(discrete(kernel, constant(Kind.LOGITS), steps) - truth) < 1e-13


@pytest.mark.parametrize("kernel", EVERY.values(), ids=EVERY.keys())
def test_constant_leave_one_out_posterior_gives_the_likelihood(kernel: Kernel) -> None:
    """Any kernel: sites that are independent with law ``P`` have leave-one-out posterior ``P``; the bound is tight."""
    truth = -float(P[X0].log())
    assert abs(continuous(kernel, constant(Kind.LOO_LOGITS)) - truth) < 1e-8
    for steps in (1, 2, 7, 50):
        assert abs(discrete(kernel, constant(Kind.LOO_LOGITS), steps) - truth) < 1e-12


@pytest.mark.parametrize("kernel", EVERY.values(), ids=EVERY.keys())
def test_discrete_sum_tends_to_the_integral(kernel: Kernel) -> None:
    """A grid of N steps differs by O(1/N), here below 1e-4 at N = 4000; extrapolation leaves O(1/N^2), below 1e-6."""
    limit = continuous(kernel, moving)
    fine, coarse = (discrete(kernel, moving, steps) - limit for steps in (4000, 2000))
    assert abs(fine) < 1e-4 * limit
    assert abs(2 * fine - coarse) < 1e-6 * limit


def test_tree_has_the_published_weights() -> None:
    """Group: (a b'/b - a')/(b - a); mask to class: -a b'/(b (1 - b)); mask to group: -b'(b - a)/(b (1 - b))."""
    groups = [0, 1, 1, 0]
    for survivals in ((Linear(), Power(2)), (Power(2), Power(3.5)), (Cosine(), Power(3))):
        kernel = tree(groups, survivals=survivals)
        t = torch.linspace(0.05, 0.95, 19, dtype=torch.float64)
        process, x, x0, times, _ = sites(kernel, t)
        m = moving(process, x, times)
        bound = process.nelbo(m, x0, x, times)
        a, b = (survival.value(t) for survival in survivals)
        da, db = (survival.slope(t) for survival in survivals)
        group, hidden = 4 + groups[X0], 6
        masked = m[:, hidden].exp()
        of_group = masked[:, [v for v in range(4) if groups[v] == groups[X0]]].sum(-1)
        from_group = (a * db / b - da) / (b - a) * -m[:, group, X0]
        from_mask = -a * db / (b * (1 - b)) * -masked[:, X0].log() - db * (b - a) / (b * (1 - b)) * -of_group.log()
        assert torch.allclose(bound[:, group], from_group, rtol=1e-12, atol=0)
        assert torch.allclose(bound[:, hidden], from_mask, rtol=1e-12, atol=0)
        assert torch.equal(bound[:, X0], torch.zeros_like(t))


def test_tree_weights_of_the_default_schedule() -> None:
    """For a = 1 - t, b = 1 - t^2 the weights are 1/(t(1+t)), 2/(t(1+t)) and 2/(1+t)."""
    kernel = tree([0, 1, 1, 0])
    t = torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64)
    process, x, x0, times, _ = sites(kernel, t)
    m = constant(Kind.LOGITS)(process, x, times)
    bound = process.nelbo(m, x0, x, times)
    inside = -torch.log(P[1] / (P[1] + P[2]))
    assert torch.allclose(bound[:, 5], inside / (t * (1 + t)), rtol=1e-13, atol=0)
    masked = -P[1].log() * 2 / (t * (1 + t)) - torch.log(P[1] + P[2]) * 2 / (1 + t)
    assert torch.allclose(bound[:, 6], masked, rtol=1e-13, atol=0)


def test_mask_is_the_weighted_cross_entropy() -> None:
    """MDLM, arXiv:2406.07524: ``-a'/(1 - a) (-log F(x_0))`` at masked sites, nothing elsewhere."""
    t = torch.linspace(0.1, 0.9, 9, dtype=torch.float64)
    process, x, x0, times, _ = sites(mask(4, Cosine()), t)
    m = moving(process, x, times)
    bound = process.nelbo(m, x0, x, times)
    weight = -Cosine().slope(t) / Cosine().complement(t)
    assert torch.allclose(bound[:, 4], -weight * m[:, 4, X0], rtol=1e-12, atol=0)
    assert float(bound[:, X0].abs().max()) == 0.0


def test_uniform_is_the_published_bound() -> None:
    """UDLM, arXiv:2412.10193: with z = K a onehot(x_0) + 1 - a and z' the same for the leave-one-out prediction,

    a'/(K a) [K/z_i - K/z'_i - sum_j (z_j/z_i) log((z'_i z_j)/(z'_j z_i))],  i the observed class.
    """
    t = torch.linspace(0.1, 0.9, 9, dtype=torch.float64)
    process, x, x0, times, _ = sites(uniform(4), t)
    m = moving(process, x, times)
    loo = process.leave_one_out(m, x, times).exp()
    a = (1 - t)[:, None, None]
    z = 4 * a * torch.nn.functional.one_hot(x0, 4) + 1 - a
    guess = 4 * a * loo + 1 - a
    own, own_guess = (part.gather(-1, x.unsqueeze(-1)) for part in (z, guess))
    inner = 4 / own - 4 / own_guess - (z / own * (own_guess * z / (guess * own)).log()).sum(-1, keepdim=True)
    expected = (-1 / (4 * a) * inner).squeeze(-1)
    assert torch.allclose(process.nelbo(m, x0, x, times), expected, rtol=1e-10, atol=1e-12)


def test_bound_is_finite_at_the_ends_and_never_negative() -> None:
    """A generalised divergence is non-negative; at t = 1 its limit is taken."""
    for kernel in EVERY.values():
        process, x, x0, times, _ = sites(kernel, torch.tensor([1e-6, 0.5, 1.0], dtype=torch.float64))
        bound = process.nelbo(moving(process, x, times), x0, x, times)
        assert bool(bound.isfinite().all())
        assert float(bound.min()) > -1e-12


@pytest.mark.parametrize("kernel", EVERY.values(), ids=EVERY.keys())
def test_the_gradient_is_that_of_differences(kernel: Kernel) -> None:
    """Sites that are clean, where rates and posteriors vanish, leave the gradient with respect to logits finite."""
    t = torch.tensor([0.3, 0.7], dtype=torch.float64)
    process, x, x0, times, _ = sites(kernel, t)
    start = moving(process, x, times).detach()

    def value(shift: torch.Tensor) -> torch.Tensor:
        logits = torch.where(start > -torch.inf, start + shift, start)
        m = logits - logits.logsumexp(-1, keepdim=True)
        earlier = 0.5 * times
        bound = process.nelbo(m, x0, x, times) + process.nelbo_step(m, x0, x, times, earlier)
        reached = bound.isfinite()
        return torch.where(reached, bound, 0.0).sum()

    shift = torch.zeros_like(start, requires_grad=True)
    (gradient,) = torch.autograd.grad(value(shift), shift)
    assert gradient.isfinite().all()
    wave = torch.cos(torch.arange(start.numel(), dtype=torch.float64)).reshape(start.shape)
    step = 1e-6
    # central differences: an error of step^2 and a round-off of 1e-16 / step, relative to values of size one
    slope = (value(step * wave) - value(-step * wave)) / (2 * step)
    assert float((gradient * wave).sum() - slope) == pytest.approx(0.0, abs=1e-7 * float(gradient.abs().sum() + 1))
