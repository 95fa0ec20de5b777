"""The reward at the end of the path, against the exact flow map of a Gaussian."""

from __future__ import annotations

import torch

from scidiff.denoise import GaussianMixture
from scidiff.denoise.flow_map import FlowMap
from scidiff.guidance import LookAhead, PlugIn, Tilt
from scidiff.process import GaussianProcess, VPSchedule
from scidiff.random import Noise
from scidiff.sample import Model, RunState
from scidiff.spaces import Euclidean

SCHEDULE = VPSchedule()
PROCESS = GaussianProcess(Euclidean((2,)), SCHEDULE)
VARIANCE, SLOPE = 0.3, torch.tensor([1.0, -2.0], dtype=torch.float64)


def spread(t):
    return (SCHEDULE.alpha(t) ** 2 * VARIANCE + SCHEDULE.sigma(t) ** 2).sqrt()


def velocity(x, t, s, condition):
    """Mean velocity of the exact map of ``N(0, v)`` data: the flow scales ``x`` by the ratio of the spreads."""
    gap = torch.where(s == t, 1.0, s - t)
    return (spread(s) / spread(t) - 1) / gap * x


def reward(x0):
    return x0 @ SLOPE


def test_the_look_ahead_is_the_gradient_through_the_exact_flow():
    noise = Noise.range(0, 5)
    t = 0.6
    state = RunState.at(noise.normal((2,), step=0, stream="x"), t, noise)
    prior = GaussianMixture.gaussian(SCHEDULE, torch.zeros(2), torch.tensor(VARIANCE))
    tilt = Tilt(reward, LookAhead(FlowMap(velocity, PROCESS)))
    with torch.no_grad():
        m, after = Model(prior.denoiser, PROCESS, None, (tilt,)).estimate(state)
    time = torch.tensor(t, dtype=torch.float64)
    scale = (VARIANCE**0.5 / spread(time)) * SCHEDULE.sigma(time) ** 2 / SCHEDULE.alpha(time)
    assert torch.allclose(m - prior(state.x, t), (scale * SLOPE).expand(5, 2), atol=1e-12)
    assert torch.allclose(after.records["tilt/log_h"], VARIANCE**0.5 / spread(time) * reward(state.x), atol=1e-12)
    assert after.calls.tolist() == [2] * 5


def test_the_end_of_the_path_lies_where_the_mean_does_not():
    """The mean shrinks the state by more than the flow does, so the plug-in of a linear reward is the smaller one."""
    noise = Noise.range(0, 5)
    state = RunState.at(noise.normal((2,), step=0, stream="x"), 0.6, noise)
    prior = GaussianMixture.gaussian(SCHEDULE, torch.zeros(2), torch.tensor(VARIANCE))
    shift = {}
    for name, estimator in {"mean": PlugIn(), "end": LookAhead(FlowMap(velocity, PROCESS))}.items():
        model = Model(prior.denoiser, PROCESS, None, (Tilt(reward, estimator),))
        shift[name] = float(model.estimate(state)[1].records["tilt/shift"].mean())
    assert 0 < shift["mean"] < shift["end"]
