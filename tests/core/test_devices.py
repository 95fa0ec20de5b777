"""Tensors are made on the device of the state, shown without a second device.

Either the state lies on the ``meta`` device, which knows shapes and refuses a partner of another device, or tensors
without a device of their own are made there while the state lies on the CPU.
"""

from __future__ import annotations

import pytest
import torch

from scidiff.analysis.membership import denoising_loss
from scidiff.denoise import Denoiser, GaussianMixture
from scidiff.process import GaussianProcess, Kind, VPSchedule
from scidiff.random import Noise
from scidiff.sample.continuous.adams import adams_weights, scaled_moments
from scidiff.sample.continuous.adaptive import _Bases
from scidiff.spaces import Euclidean


def test_weights_of_adams_lie_where_the_steps_lie():
    h, nodes = torch.full((2,), 0.3, device="meta").double(), torch.zeros(2, 2, device="meta").double()
    assert scaled_moments(h, 2).is_meta
    assert adams_weights(h, nodes).is_meta


def test_adaptive_steps_lie_where_the_state_lies():
    level = torch.ones(3, 2, dtype=torch.float64)
    lam = torch.tensor([[0.0, 0.2], [-0.3, -0.1], [-0.5, -0.4]], dtype=torch.float64)
    x, there = torch.ones(3, 2, 4, dtype=torch.float64), torch.tensor([[True, True], [True, False], [True, False]])
    step = lambda: _Bases(lam, level, level, x, 2 * x, there).step(level[0], level[0], lam[0] + 0.3)  # noqa: E731
    wanted = step()
    with torch.device("meta"):
        found = step()
    assert torch.equal(found, wanted)


@pytest.mark.parametrize("full", [False, True], ids=["isotropic", "full"])
def test_draws_of_a_mixture_lie_where_the_mixture_lies(full, monkeypatch):
    covariances = torch.eye(2).repeat(2, 1, 1) if full else torch.ones(2)
    mixture = GaussianMixture(VPSchedule(), torch.full((2,), 0.5), torch.eye(2), covariances)
    for name, value in vars(mixture).items():
        if isinstance(value, torch.Tensor):
            object.__setattr__(mixture, name, value.to("meta"))
    first = lambda log_probs, u: torch.zeros(u.shape, dtype=torch.int64, device=log_probs.device)  # noqa: E731
    monkeypatch.setattr("scidiff.denoise.mixture.draw", first)
    noise, x = Noise.range(0, 3), torch.ones(3, 2, device="meta")
    assert mixture.draw(noise).is_meta
    assert mixture.posterior_draw(x, 0.5, noise).is_meta
    assert mixture.posterior_draws(x, 0.5, noise, 4).shape == (4, 3, 2)
    assert mixture.reverse_draw(x, 0.5, 0.4, noise).is_meta


def test_the_loss_of_a_datum_lies_where_it_lies():
    zero = Denoiser(lambda x, t, c: torch.zeros_like(x), Kind.MEAN)
    x = torch.ones(3, 2, device="meta")
    assert denoising_loss(zero, GaussianProcess(Euclidean((2,)), VPSchedule()), x, [0.5], seed=0).is_meta
