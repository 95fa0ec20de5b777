"""Correctors leave the law at their time as it is: ``p_t G = p_t``, by enumeration."""

from __future__ import annotations

import pytest
import torch

from scidiff.errors import NumericalError
from scidiff.process.kernels import Kernel, marginal, mask, uniform
from scidiff.process.matrix_kernel import MatrixKernel
from scidiff.sample.discrete.correctors import LooGibbs
from scidiff.sample.discrete.ctmc import Ancestral, Psi
from scidiff.testing_targets.enumeration import Chain, gibbs
from scidiff.testing_targets.kernels import banded

KERNELS = {"uniform": uniform(3), "marginal": marginal([0.5, 0.3, 0.2]), "banded": MatrixKernel(banded(3))}


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS.keys())
def test_gibbs_leaves_the_law(kernel: Kernel) -> None:
    chain = Chain(kernel, 3)
    for t in (0.05, 0.5, 0.9, 1.0):
        law = chain.marginal(t)
        assert torch.allclose(law @ gibbs(chain, t), law, rtol=0, atol=2e-15)


def test_gibbs_is_in_detailed_balance_and_mixes() -> None:
    chain = Chain(uniform(3), 3)
    law, kernel = chain.marginal(0.4), gibbs(chain, 0.4)
    flow = law.unsqueeze(1) * kernel
    assert torch.allclose(flow, flow.mT, rtol=0, atol=2e-15)
    point = torch.eye(len(law), dtype=torch.float64)[0]
    assert float((point @ torch.linalg.matrix_power(kernel, 200) - law).abs().sum()) < 1e-6


def test_gibbs_beats_steps_and_psi_at_equal_calls() -> None:
    """64 calls each: 64 steps; 32 steps with an update after all but the last (63 calls); 64 steps of Psi."""
    chain = Chain(uniform(3), 3)
    plain = chain.tv(chain.grid(Ancestral().probs, 64))
    corrected = chain.tv(chain.grid(Ancestral().probs, 32, after=lambda law, t: law @ gibbs(chain, t)))
    mixed = chain.tv(chain.grid(Psi(0.95).probs, 64))
    assert corrected < plain < mixed


def test_gibbs_refuses_masks() -> None:
    chain = Chain(mask(3), 2)
    x = torch.tensor([[0, 3]])
    t = torch.full((1, 2), 0.5, dtype=torch.float64)
    with pytest.raises(NumericalError, match="not determined"):
        LooGibbs().probs(chain.process, chain.oracle.posterior(x, t), x, t)
