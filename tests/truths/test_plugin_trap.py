"""The plug-in trap of uniform noise: the bridge of one class, fed with the posterior, never converges.

The bridge ``q(x_s | x_t, p) = Q_{t|s}[x_s, x_t] (p Q_s)[x_s] / (p Q_t)[x_t]`` is right for the leave-one-out posterior
and for nothing else. The package's step is linear in the posterior, so that the trap does not exist.
"""

from __future__ import annotations

import pytest
import torch

from scidiff.process.base import Kind
from scidiff.process.kernels import Kernel, marginal, uniform
from scidiff.process.survival import Cosine
from scidiff.sample.discrete.ctmc import Ancestral
from scidiff.testing_targets.enumeration import Chain, bridge, plugged, plugged_loo

KERNELS = {"uniform": uniform(3), "marginal": marginal([0.5, 0.3, 0.2], Cosine())}


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS.keys())
def test_step_of_the_posterior_is_the_bridge_of_the_leave_one_out_posterior(kernel: Kernel) -> None:
    """Two divisions and a sum of three products: a few 1e-16."""
    chain = Chain(kernel, 3)
    t, s = (torch.full(chain.states.shape, value, dtype=torch.float64) for value in (0.7, 0.4))
    m = chain.oracle.posterior(chain.states, t)
    step = chain.process.step_probs(m, chain.states, t, s)
    loo = chain.oracle.leave_one_out(chain.states, t)
    assert torch.allclose(step, bridge(chain.process, loo.exp(), chain.states, t, s), rtol=0, atol=2e-15)
    assert torch.allclose(chain.process.leave_one_out(m, chain.states, t), loo, rtol=0, atol=1e-12)
    assert torch.allclose(chain.process.convert(loo, Kind.LOO_LOGITS, chain.states, t), m, rtol=0, atol=1e-12)


def test_the_posterior_plugged_in_never_converges() -> None:
    chain = Chain(uniform(3), 3)
    trapped = [chain.tv(chain.grid(plugged, steps)) for steps in (8, 32, 128)]
    right = [chain.tv(chain.grid(plugged_loo, steps)) for steps in (8, 32, 128)]
    linear = [chain.tv(chain.grid(Ancestral().probs, steps)) for steps in (8, 32, 128)]
    assert torch.allclose(torch.tensor(right), torch.tensor(linear), rtol=0, atol=1e-13)
    assert trapped[2] > 0.9 * trapped[1] > 0.1
    assert linear[1] / linear[2] > 3.5
