"""The exact denoiser against Bayes' rule written out over all sequences."""

from __future__ import annotations

import itertools

import pytest
import torch

from scidiff.denoise.enumerated import Enumerated, markov_chain
from scidiff.errors import ConfigError, NumericalError, ShapeError
from scidiff.process.base import Kind
from scidiff.process.discrete import DiscreteProcess
from scidiff.process.kernels import Kernel, mask, uniform
from scidiff.spaces import Categorical
from tests.core.test_kernels import EACH


def law_of(classes: int, length: int) -> torch.Tensor:
    """Random law with full support."""
    generator = torch.Generator().manual_seed(classes * 10 + length)
    law = torch.rand((classes,) * length, generator=generator, dtype=torch.float64) + 0.05
    return law / law.sum()


@EACH
def test_posterior_is_bayes(kernel: Kernel) -> None:
    law = law_of(kernel.clean, 3)
    oracle = Enumerated(law, kernel)
    generator = torch.Generator().manual_seed(0)
    t = torch.rand(5, 3, generator=generator, dtype=torch.float64) * 0.9 + 0.05
    x_t = torch.randint(0, kernel.states, (5, 3), generator=generator)
    posterior, others = torch.zeros(5, 3, kernel.clean).double(), torch.zeros(5, 3, kernel.clean).double()
    for x0 in itertools.product(range(kernel.clean), repeat=3):
        c = kernel.entry(torch.tensor(x0).expand(5, 3), x_t, t)
        for site, v in enumerate(x0):
            rest = c[:, [j for j in range(3) if j != site]].prod(1)
            posterior[:, site, v] += law[x0] * c.prod(1)
            others[:, site, v] += law[x0] * rest
    posterior, others = (p / p.sum(-1, keepdim=True) for p in (posterior, others))
    assert torch.allclose(oracle.posterior(x_t, t).exp(), posterior, rtol=0, atol=1e-14)
    assert torch.allclose(oracle.leave_one_out(x_t, t).exp(), others, rtol=0, atol=1e-14)


@EACH
def test_both_kinds_agree_through_convert(kernel: Kernel) -> None:
    oracle = Enumerated(law_of(kernel.clean, 3), kernel)
    process = DiscreteProcess(Categorical(kernel.states, (3,)), kernel)
    x_t = torch.randint(0, kernel.states, (6, 3), generator=torch.Generator().manual_seed(1))
    t = torch.tensor(0.6, dtype=torch.float64)
    m = [
        process.convert(denoiser(x_t, t), denoiser.kind, x_t, t)
        for denoiser in (oracle.denoiser(), oracle.denoiser(Kind.LOO_LOGITS))
    ]
    assert torch.allclose(m[0].exp(), m[1].exp(), rtol=0, atol=1e-13)
    assert torch.allclose(m[0].exp(), oracle.posterior(x_t, t).exp(), rtol=0, atol=1e-15)


def test_prior_gives_the_marginals_and_data_a_point_mass() -> None:
    law = law_of(3, 3)
    oracle = Enumerated(law, mask(3))
    masked = oracle.posterior(torch.full((1, 3), 3), 1.0).exp()
    assert torch.allclose(masked[0, 1], law.sum((0, 2)), rtol=0, atol=1e-15)
    clean = oracle.posterior(torch.tensor([[2, 0, 1]]), 0.0).exp()
    assert torch.equal(clean[0], torch.eye(3, dtype=torch.float64)[[2, 0, 1]])


def test_markov_chain() -> None:
    initial = torch.tensor([0.7, 0.3], dtype=torch.float64)
    transition = torch.tensor([[0.9, 0.1], [0.4, 0.6]], dtype=torch.float64)
    law = markov_chain(initial, transition, 3)
    assert law.shape == (2, 2, 2)
    assert abs(float(law.sum()) - 1) < 1e-15
    assert abs(float(law[0, 1, 1]) - 0.7 * 0.1 * 0.6) < 1e-16


def test_typed_errors() -> None:
    with pytest.raises(ConfigError, match="sum 1"):
        Enumerated(torch.ones(3, 3), mask(3))
    with pytest.raises(ConfigError, match=r"\(3,\)"):
        Enumerated(law_of(2, 2), mask(3))
    oracle = Enumerated(torch.tensor([[0.5, 0.0], [0.0, 0.5]]), uniform(2))
    with pytest.raises(ShapeError, match="batch, 2"):
        oracle.posterior(torch.zeros(1, 3, dtype=torch.int64), 0.5)
    with pytest.raises(NumericalError, match="probability zero"):
        oracle.posterior(torch.tensor([[0, 1]]), 0.0)
    with pytest.raises(ConfigError, match=r"Kind\.EPS"):
        oracle.denoiser(Kind.EPS)
