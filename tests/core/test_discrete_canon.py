"""Score entropy, published bounds, and the rules of the discrete canon inside the loop."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from scidiff.denoise.corrupted import corrupted
from scidiff.denoise.denoiser import Denoiser
from scidiff.denoise.enumerated import Enumerated
from scidiff.errors import ConfigError, NumericalError, ShapeError
from scidiff.process.base import Kind
from scidiff.process.bounds import md4, mdlm, udlm
from scidiff.process.discrete import DiscreteProcess
from scidiff.process.flow import MinimalFlow, MixtureFlow, TimeReversal, law_slope
from scidiff.process.kernels import Kernel, marginal, mask, tree, uniform
from scidiff.process.matrix_kernel import MatrixKernel
from scidiff.process.score_entropy import denoising_score_entropy, log_score, score_entropy
from scidiff.process.survival import Cosine
from scidiff.random import Noise
from scidiff.sample.discrete.ctmc import Ancestral
from scidiff.sample.discrete.discrete_flow import polydec_grid
from scidiff.sample.discrete.exact_audit import audit_chain
from scidiff.sample.discrete.exact_laws import ExactLaws
from scidiff.sample.discrete.predictor_corrector import ForwardBackward
from scidiff.sample.discrete.trapezoidal import Trapezoidal
from scidiff.sample.discrete.uniformisation import Uniformisation
from scidiff.sample.grids import Grid, uniform_grid
from scidiff.sample.loop import run
from scidiff.sample.state import RunState
from scidiff.spaces import Categorical
from tests.core.test_kernels import banded

KERNELS: dict[str, Kernel] = {
    "mask": mask(3, Cosine()),
    "uniform": uniform(3),
    "marginal": marginal([0.5, 0.3, 0.2]),
    "tree": tree([0, 1, 1]),
    "banded": MatrixKernel(banded(3)),
}


def exact(kernel: Kernel, t: float, length: int = 2) -> tuple[ExactLaws, Tensor, Tensor, Tensor]:
    """Reachable states of a chain, a time per site, and the exact prediction."""
    laws = ExactLaws(audit_chain(length), kernel)
    x = laws.states[laws.marginal(t) > 0]
    now = torch.full(x.shape, t, dtype=torch.float64)
    return laws, x, now, laws.predict(x, now)


def rough(m: Tensor) -> Tensor:
    """A wrong prediction with the same impossible classes."""
    wave = torch.cos(torch.arange(m.numel(), dtype=torch.float64) * 1.7).reshape(m.shape)
    return torch.log_softmax(m + wave, dim=-1)


# ---- concrete score --------------------------------------------------------------------------------------------------


def true_score(laws: ExactLaws, x: Tensor, t: float) -> Tensor:
    """Ratios of the exact law at states that differ in one site."""
    law, powers = laws.marginal(t), laws.kernel.states ** torch.arange(laws.length - 1, -1, -1)
    index = (x * powers).sum(1)
    out = torch.empty((*x.shape, laws.kernel.states), dtype=torch.float64)
    for site, y in itertools.product(range(laws.length), range(laws.kernel.states)):
        out[:, site, y] = law[index + (y - x[:, site]) * powers[site]] / law[index]
    return out


@pytest.mark.parametrize("name", KERNELS)
def test_score_is_the_ratio_of_probabilities(name: str) -> None:
    """Where noise leads from ``y`` to ``x_t``; elsewhere the posterior knows nothing of ``y``, nor needs to."""
    laws, x, now, m = exact(KERNELS[name], 0.35)
    score, truth = log_score(laws.process, m, x, now).exp(), true_score(laws, x, 0.35)
    known = laws.kernel.rate_column(x, now).scatter(-1, x.unsqueeze(-1), 1.0) > 0
    assert torch.allclose(score[known], truth[known], rtol=1e-12, atol=1e-15)
    assert bool(known.all()) == (name in ("uniform", "marginal"))


@pytest.mark.parametrize("name", KERNELS)
def test_true_ratios_give_the_posterior(name: str) -> None:
    """Whatever ratios a network learns where noise does not lead to ``x_t``, the posterior is the same."""
    laws, x, now, m = exact(KERNELS[name], 0.35)
    f = laws.process.convert(true_score(laws, x, 0.35).log(), Kind.SCORE, x, now).exp()
    assert torch.allclose(f, m.exp(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", KERNELS)
def test_posterior_and_score_invert_each_other(name: str) -> None:
    """To 1e-12, for predictions right and wrong; the condition number of the blocks here stays below 1e3."""
    for t in (0.02, 0.35, 0.8):
        laws, x, now, m = exact(KERNELS[name], t)
        for f in (m, rough(m)):
            score = log_score(laws.process, f, x, now)
            back = laws.process.convert(score, Kind.SCORE, x, now)
            assert torch.allclose(back.exp(), f.exp(), rtol=0, atol=1e-12)
            again = log_score(laws.process, back, x, now)
            assert torch.allclose(again.exp(), score.exp(), rtol=1e-11, atol=1e-11)


def test_score_of_a_clean_site_is_a_point_mass() -> None:
    laws = ExactLaws(audit_chain(2), uniform(3))
    x, t = torch.tensor([[2, 1]]), torch.tensor([[0.0, 0.5]], dtype=torch.float64)
    f = laws.process.convert(torch.zeros(1, 2, 3, dtype=torch.float64), Kind.SCORE, x, t).exp()
    assert torch.equal(f[0, 0], torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64))
    # equal ratios: nothing is known from the other site, and the class that is seen came through with 2/3
    assert torch.allclose(f[0, 1], torch.tensor([1, 4, 1], dtype=torch.float64) / 6, rtol=0, atol=1e-15)


@pytest.mark.parametrize("name", KERNELS)
def test_score_says_nothing_at_the_prior(name: str) -> None:
    kernel = KERNELS[name]
    process = DiscreteProcess(Categorical(kernel.states, (1,)), kernel)
    x = torch.tensor([[kernel.states - 1]])
    with pytest.raises(NumericalError, match="does not determine"):
        process.convert(torch.zeros(1, 1, kernel.states, dtype=torch.float64), Kind.SCORE, x, 1.0)


def test_score_has_one_entry_per_state_and_is_no_law_of_nothing() -> None:
    process = DiscreteProcess(Categorical(4, (1,)), mask(3))
    x = torch.tensor([[3]])
    with pytest.raises(ShapeError, match="one log-ratio per state"):
        process.convert(torch.zeros(1, 1, 3), Kind.SCORE, x, 0.5)
    with pytest.raises(NumericalError, match="any mass"):
        process.convert(torch.full((1, 1, 4), -torch.inf), Kind.SCORE, x, 0.5)
    with pytest.raises(ConfigError, match="SCORE"):
        process.convert(torch.zeros(1, 1, 3), Kind.EPS, x, 0.5)


def test_a_network_of_ratios_samples_as_one_of_logits() -> None:
    laws = ExactLaws(audit_chain(2), uniform(3))
    oracle = Enumerated(laws.table, laws.kernel)

    def ratios(x: Tensor, t: Tensor, condition: None) -> Tensor:
        return log_score(laws.process, oracle.posterior(x, t), x, t)

    begin = RunState.at(laws.states.repeat(20, 1), 0.9, Noise.range(3, 180))
    plan = Grid(uniform_grid(5, start=0.9))
    ends = [
        run(d, laws.process, Ancestral(), plan, state=begin).x
        for d in (Denoiser(ratios, Kind.SCORE), oracle.denoiser())
    ]
    assert torch.equal(*ends)


# ---- losses ----------------------------------------------------------------------------------------------------------


def test_score_entropy_is_a_divergence() -> None:
    r = torch.tensor([0.0, 0.3, 2.0], dtype=torch.float64)
    z = torch.linspace(-3, 3, 13, dtype=torch.float64).unsqueeze(1)
    by_hand = z.exp() - r * z + torch.xlogy(r, r) - r
    assert torch.allclose(score_entropy(z.expand(13, 3), r.expand(13, 3)), by_hand, rtol=0, atol=1e-14)
    assert float(score_entropy(r.log(), r).abs().max()) == 0.0
    assert float(by_hand.min()) > 0


@pytest.mark.parametrize("name", KERNELS)
def test_denoising_score_entropy_is_least_at_the_exact_ratios(name: str) -> None:
    """The mean over the clean class given ``x_t`` is convex; its gradient vanishes at the ratios and only there."""
    laws, x, now, m = exact(KERNELS[name], 0.4)
    truth = log_score(laws.process, m, x, now)
    others = truth.isfinite() & (laws.kernel.rate_column(x, now) > 0)
    others = others.scatter(-1, x.unsqueeze(-1), False)

    def mean(z: Tensor) -> Tensor:
        total = z.new_zeros(x.shape)
        for v in range(3):
            x0, weight = torch.full_like(x, v), m[..., v].exp()
            alive = weight > 0
            safe = torch.where(alive, x0, torch.argmax(m, -1))
            total = total + torch.where(alive, weight * denoising_score_entropy(laws.process, z, safe, x, now), 0.0)
        return total.sum()

    z = torch.where(others, truth, 0.0).requires_grad_()
    (gradient,) = torch.autograd.grad(mean(z), z)
    assert float(gradient.abs().max()) < 1e-13
    z = torch.where(others, truth + 0.4, 0.0).requires_grad_()
    for _ in range(12):
        (gradient,) = torch.autograd.grad(mean(z), z)
        curvature = torch.where(others, laws.kernel.rate_column(x, now) * z.exp(), 1.0)
        z = (z - torch.where(others, gradient / curvature, 0.0)).detach().requires_grad_()
    assert torch.allclose(z.exp()[others], truth.exp()[others], rtol=1e-12, atol=0)
    assert float(mean(torch.where(others, truth + 0.1, 0.0)) - mean(z.detach())) > 1e-3


@pytest.mark.parametrize("name", KERNELS)
def test_score_entropy_of_ratios_is_the_bound(name: str) -> None:
    laws, x, now, m = exact(KERNELS[name], 0.4)
    f = rough(m)
    x0 = torch.argmax(m, -1)
    loss = denoising_score_entropy(laws.process, log_score(laws.process, f, x, now), x0, x, now)
    assert torch.allclose(loss, laws.process.nelbo(f, x0, x, now), rtol=1e-11, atol=1e-13)


def test_published_bounds_are_the_general_one() -> None:
    for name, losses in {"mask": (mdlm, md4), "uniform": (udlm,)}.items():
        for t in (0.05, 0.5, 0.95):
            laws, x, now, m = exact(KERNELS[name], t)
            f, x0 = rough(m), torch.argmax(m, -1)
            for loss in losses:
                bound = laws.process.nelbo(f, x0, x, now)
                assert torch.allclose(loss(laws.process, f, x0, x, now), bound, rtol=1e-9, atol=1e-12)
                assert float(bound.max()) > 0.01


def test_published_bounds_refuse_other_noise() -> None:
    for loss, name in ((mdlm, "uniform"), (udlm, "marginal"), (udlm, "mask"), (mdlm, "tree"), (udlm, "banded")):
        laws, x, now, m = exact(KERNELS[name], 0.5)
        with pytest.raises(ConfigError):
            loss(laws.process, m, torch.argmax(m, -1), x, now)


# ---- rates -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KERNELS)
def test_slope_of_the_laws(name: str) -> None:
    """Central difference of step 1e-5: a relative error of about 1e-9."""
    t, h = torch.tensor([0.2, 0.6], dtype=torch.float64), 1e-5
    kernel = KERNELS[name]
    numeric = (kernel.matrix(t + h) - kernel.matrix(t - h))[:, : kernel.clean] / (2 * h)
    assert torch.allclose(law_slope(kernel, t), numeric, rtol=1e-7, atol=1e-7)


def test_rates_are_finite_at_the_prior_and_zero_at_clean_sites() -> None:
    for kernel in KERNELS.values():
        laws, x, now, m = exact(kernel, 1.0)
        time = now.clone()
        time[:, 0] = 0.0
        for rates in (MinimalFlow(0.5), TimeReversal()):
            u = rates(laws.process, m, x, now)
            assert bool(u.isfinite().all()) and float(u.min()) >= 0
        clean = torch.zeros_like(x)
        f = laws.predict(clean, torch.zeros_like(now))
        assert float(MinimalFlow(0.5, omega=0.2)(laws.process, f, clean, torch.zeros_like(now)).abs().max()) == 0.0


def test_rates_do_not_depend_on_how_time_comes() -> None:
    """A table per distinct time, or one computation per site: the same numbers."""
    laws, x, now, m = exact(tree([0, 1, 1]), 0.4)
    spread = now + torch.linspace(0, 1e-3, now.numel(), dtype=torch.float64).reshape(now.shape)
    for time in (now, spread):
        whole = MinimalFlow(0.5)(laws.process, m, x, time)
        rows = [MinimalFlow(0.5)(laws.process, m[k : k + 1], x[k : k + 1], time[k : k + 1]) for k in range(len(x))]
        assert torch.allclose(whole, torch.cat(rows), rtol=1e-14, atol=1e-15)


def test_parameters_of_rates_and_rules_are_checked() -> None:
    process = DiscreteProcess(Categorical(3, (2,)), uniform(3))
    trees = DiscreteProcess(Categorical(6, (2,)), tree([0, 1, 1]))
    makers = [
        lambda: MinimalFlow(-1.0),
        lambda: MinimalFlow(omega=-0.1),
        lambda: MixtureFlow(-0.1),
        lambda: Trapezoidal(uniform_grid(3), theta=1.0),
        lambda: Trapezoidal(torch.tensor([1.0, 0.5, 0.5], dtype=torch.float64)),
        lambda: ForwardBackward(0.0),
        lambda: ForwardBackward(0.1, updates=0),
        lambda: Uniformisation(process, floor=0.0),
        lambda: Uniformisation(process, rates=TimeReversal()),
        lambda: Uniformisation(process, rates=MinimalFlow(0.5)),
        lambda: Uniformisation(trees),
        lambda: corrupted(Denoiser(lambda x, t, c: x, Kind.LOGITS), process, -1.0),
    ]
    for make in makers:
        with pytest.raises(ConfigError):
            make()


def test_polydec_grid() -> None:
    grid = polydec_grid(4)
    assert torch.allclose(grid, torch.tensor([16, 9, 4, 1, 0], dtype=torch.float64) / 16, rtol=0, atol=1e-16)
    flow = 1 - torch.linspace(0, 1, 5, dtype=torch.float64)
    assert torch.allclose(1 - grid, 2 * (1 - flow) - (1 - flow) ** 2, rtol=0, atol=1e-15)
